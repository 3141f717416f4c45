"""Text tables: two ways in with one meaning, and the line of every row."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import InputError
from shoal.data import delimited
from shoal.data.delimited import read_delimited


def test_cells_stay_text(text_file) -> None:
    raw = read_delimited(text_file("zip,n\n02139,1\n10001,1.50\n"))
    assert raw.frame.to_dict(as_series=False) == {"zip": ["02139", "10001"], "n": ["1", "1.50"]}
    assert raw.lines.tolist() == [2, 3]


def test_quotes_delimiters_and_line_breaks_inside_cells(text_file) -> None:
    raw = read_delimited(text_file('a,b\r\n"x, y",1\r\n"two\nlines",2\r\n"say ""hi""",3\r\n'))
    assert raw.frame["a"].to_list() == ["x, y", "two\nlines", 'say "hi"']
    assert raw.lines.tolist() == [2, 3, 5]  # the second record takes two lines
    assert raw.place(2) == "line 5"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(text_file, delimiter: str) -> None:
    rows = [["a", "b, c", "d"], ["1", "2", "3"], ["4", "5", "6"]]
    text = "\n".join(delimiter.join(f'"{cell}"' if "," in cell else cell for cell in row) for row in rows)
    raw = read_delimited(text_file(text))
    assert raw.frame.columns == ["a", "b, c", "d"]
    assert raw.frame.rows() == [("1", "2", "3"), ("4", "5", "6")]


def test_a_single_column_keeps_its_blank_lines_as_missing_cells(text_file) -> None:
    assert read_delimited(text_file("a\n1\n\n3\n")).frame["a"].to_list() == ["1", "", "3"]


def test_blank_lines_between_rows_are_skipped_and_counted_in_the_lines(text_file) -> None:
    raw = read_delimited(text_file("\na,b\n1,2\n\n3,4\n"))
    assert raw.frame.rows() == [("1", "2"), ("3", "4")]
    assert raw.lines.tolist() == [3, 5]


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b""])
def test_byte_order_marks_and_old_line_ends(text_file, start: bytes) -> None:
    raw = read_delimited(text_file(start + b"a,b\r1,2\r3,4\r"))
    assert raw.frame.columns == ["a", "b"]
    assert raw.frame.rows() == [("1", "2"), ("3", "4")]


def test_utf16_and_gzip(text_file) -> None:
    assert read_delimited(text_file("é,b\n1,2\n".encode("utf-16"))).frame.columns == ["é", "b"]
    packed = text_file(gzip.compress(b"a,b\n1,2\n"), "rows.csv.gz")
    assert read_delimited(packed).frame.rows() == [("1", "2")]


def test_other_encodings_are_read_and_said(text_file) -> None:
    raw = read_delimited(text_file("a,b\n1,2\nM\xfcller,3\n".encode("cp1252")))
    assert raw.frame["a"].to_list() == ["1", "Müller"]
    assert [finding.code for finding in raw.findings] == ["SHL212"]
    assert "line 3" in raw.findings[0].sentence


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["is empty"]),
        ("\n \n", ["is empty"]),
        ("a,b\n", ["header", "no rows"]),
        ("a,b\n1,2\n3\n4,5\n", ["line 3", "1 cell", "2 columns"]),
        ("a,b\n1,2\n3,4,5\n", ["line 3", "3 cells"]),
        ('a,b\n"x\ny",2\n"z",4,5\n', ["line 4", "3 cells"]),
        ('a,b\n1,2\n"x,2\n3,4\n', ["line 3", "quotes"]),
        ("a,b,a\n1,2,3\n", ["columns 1 and 3", "'a'"]),
        (b"a,b\n1,\x002\n", ["line 2", "NUL"]),
        (b"a,b\n1,2\n3,\x81\xff\x01\n", ["line 3", "UTF-8"]),
    ],
)
def test_damaged_text_is_refused_with_its_line(text_file, content: str | bytes, words: list[str]) -> None:
    path = text_file(content)
    with pytest.raises(InputError) as caught:
        read_delimited(path)
    message = str(caught.value)
    assert str(path) in message
    assert all(word in message for word in words), message


def test_a_damaged_gzip_is_refused(text_file) -> None:
    packed = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    with pytest.raises(InputError, match="unpacked"):
        read_delimited(text_file(packed[: len(packed) // 2], "rows.csv.gz"))


def test_a_gzip_bomb_stops_at_the_bound(text_file, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.data.limits.memory_bytes", lambda: 1 << 22)
    monkeypatch.setattr(delimited, "memory_bytes", lambda: 1 << 22)
    bomb = text_file(gzip.compress(b"a,b\n" + b"1,2\n" * (1 << 20)), "rows.csv.gz")
    with pytest.raises(InputError, match="GB"):
        read_delimited(bomb)


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r", exclude_categories=["Cs", "Cc"]), max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(2, 4).flatmap(
        lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=8)
    )
)
def test_what_csv_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    header = [f"n{column}" for column in range(len(rows[0]))]
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *rows])
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    path.write_text(buffer.getvalue(), newline="")
    read = read_delimited(path).frame
    assert [["" if cell is None else cell for cell in row] for row in read.rows()] == rows


PLAIN = st.text("ab1. é", max_size=4)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(PLAIN, PLAIN, PLAIN), min_size=1, max_size=8))
def test_both_ways_in_agree(rows: list[tuple[str, str, str]]) -> None:
    text = "\n".join(",".join(row) for row in [("x", "y", "z"), *rows]).encode()
    names = ["x", "y", "z"]
    fast, fast_lines = delimited._by_polars(text, ",", names, 1, Path("rows.csv"))
    slow, slow_lines = delimited._by_csv(text, ",", names, Path("rows.csv"))
    assert fast.fill_null("").equals(slow.fill_null(""))
    assert fast_lines.tolist() == slow_lines.tolist()


def test_rows_beyond_one_batch(text_file, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BATCH_ROWS", 3)
    raw = read_delimited(text_file("a,b\n" + "".join(f'"{i}",{i}\n' for i in range(10))))
    assert raw.frame["a"].to_list() == [str(i) for i in range(10)]
    assert raw.frame.schema == {"a": pl.String, "b": pl.String}
