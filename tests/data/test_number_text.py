"""Numbers in text tables: what a cell says, what its column decides, and that new rows are read alike."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.data import Dataset, Schema, read, read_rows
from shoal.data.number_text import NumberStyle, values

ROWS = 60
DELIMITERS = {"csv": ",", "semicolons": ";", "tsv": "\t"}


def write(path: Path, kind: str, **columns: list[str]) -> Path:
    """A text file with `columns`, each repeated to 60 rows, and a target `y`."""
    file = path / f"{kind}.{'tsv' if kind == 'tsv' else 'csv'}"
    columns.setdefault("y", ["yes", "no", "no"])
    with file.open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, delimiter=DELIMITERS[kind])
        writer.writerow(columns)
        writer.writerows([cells[row % len(cells)] for cells in columns.values()] for row in range(ROWS))
    return file


def numbers(dataset: Dataset, name: str = "x") -> list[float]:
    return dataset.features.frame.get_column(name).unique(maintain_order=True).to_list()


def finding(dataset: Dataset, code: str) -> Finding | None:
    return next((each for each in dataset.findings if each.code == code), None)


@pytest.mark.parametrize(
    ("kind", "cells", "right"),
    [
        ("tsv", ["2,444", "950", "17"], [2444, 950, 17]),
        ("semicolons", ["2,444", "950", "17"], [2444, 950, 17]),
        ("semicolons", ["12.345", "950", "17"], [12345, 950, 17]),
        ("semicolons", ["12.345", "1.950"], [12345, 1950]),
        ("semicolons", ["12,345", "1,950"], [12.345, 1.95]),
        ("tsv", ["12,345", "1,950"], [12345, 1950]),
        ("csv", ["12,345", "1,950"], [12345, 1950]),
        ("csv", ["12.345", "1.950"], [12.345, 1.95]),
        ("csv", ["2,444", "1234.5"], [2444, 1234.5]),
        ("csv", ["1.234,56", "7.000,1"], [1234.56, 7000.1]),
        ("csv", ["1,234.56", "7,000"], [1234.56, 7000]),
        ("csv", ["1,234,567", "7,000"], [1234567, 7000]),
        ("semicolons", ["1.234.567", "7.000"], [1234567, 7000]),
        ("semicolons", ["0,123", "7,500"], [0.123, 7.5]),
        ("semicolons", ["1234,567", "7,500"], [1234.567, 7.5]),
        ("semicolons", ["0.123", "7.500"], [0.123, 7.5]),
        ("semicolons", ["1,5", "2,25"], [1.5, 2.25]),
        ("csv", ["$23,752.38", "$5", "-$1.50", "($7)"], [23752.38, 5, -1.5, -7]),
        ("csv", ["€ 5", "€ 6.50", "7"], [5, 6.5, 7]),
        ("semicolons", ["5,50 €", "1.006,25 €"], [5.5, 1006.25]),
        ("csv", ["USD 5", "USD 6.5"], [5, 6.5]),
        ("csv", ["16.87%", "5 %"], [16.87, 5]),
        ("csv", ["1 234", "5 678.5", "12"], [1234, 5678.5, 12]),
        ("csv", ["1\u00a0234", "5\u202f678.5", "1\u2009000\u2009000"], [1234, 5678.5, 1e6]),
        ("csv", ["1'234", "5\u2019678.5"], [1234, 5678.5]),
        ("csv", ["(12.3)", "4"], [-12.3, 4]),
        ("csv", ["\u221212.3", "+5", "-2"], [-12.3, 5, -2]),
        ("csv", ["5 kg", "7.5kg", "1,200 kg"], [5, 7.5, 1200]),
        ("csv", ["12 °C", "-3 °C", "7.5°C"], [12, -3, 7.5]),
        ("csv", ["1 day", "2 days"], [1, 2]),
        ("csv", ["5 sq ft", "6 sq ft"], [5, 6]),
        ("csv", ["1e-5", "1.5E+03", "2"], [1e-5, 1500, 2]),
        ("csv", ["12,34,567", "1,00,000", "99,999"], [1234567, 100000, 99999]),
        ("semicolons", ["12,34,567", "1,00,00,000"], [1234567, 10000000]),
        ("csv", ["₹12,34,567.50", "₹ 950", "-₹1,00,000"], [1234567.5, 950, -100000]),
        ("tsv", ["12,34,567", "1,234,568"], [1234567, 1234568]),
    ],
)
def test_what_cells_say(tmp_path: Path, kind: str, cells: list[str], right: list[float]) -> None:
    path = write(tmp_path, kind, x=cells)
    dataset = read(path, target="y")
    assert numbers(dataset) == right
    schema = Schema.model_validate_json(dataset.schema.model_dump_json())
    for cell, number in zip(cells, right, strict=True):  # each alone, where nothing beside it tells
        new = write(tmp_path, "csv", x=[cell])
        assert read_rows(new, schema).features.frame["x"].unique().to_list() == [number]


@pytest.mark.parametrize(
    "cells",
    [
        ["5 kg", "7 lb"],
        ["1.2.3", "1.2.4", "2.0.0"],
        ["192.168.1.20", "10.0.0.1"],
        ["192.168.100.201", "192.168.100.202"],
        ["555-1234", "555-9999"],
        ["501 234 567", "502 345 678"],
        ["+1 555 123 456", "+1 555 123 457"],
        ["02139", "10001"],
        ["12-34", "12-35"],
        ["0xFF", "0x1A", "0x2B"],
        ["1,23,4", "5,67,8"],
        ["1,23,4567", "12,34"],
        ["12:30", "7:15"],
    ],
)
@pytest.mark.parametrize("kind", ["csv", "semicolons"])
def test_what_is_no_number(tmp_path: Path, kind: str, cells: list[str]) -> None:
    dataset = read(write(tmp_path, kind, x=cells), target="y")
    assert dataset.schema.columns[0].role == ("date" if cells[0] == "12:30" else "category")


def test_groups_of_two_digits_are_said(tmp_path: Path) -> None:
    said = finding(read(write(tmp_path, "csv", x=["12,34,567", "1,00,000", "950"]), target="y"), "SHL276")
    assert said is not None and said.level == "note" and said.evidence["columns"] == ["x"]
    for cells in (["1,234,567", "1,000", "950"], ["12", "34", "567"], ["1.5", "2", "3"]):
        assert finding(read(write(tmp_path, "csv", x=cells), target="y"), "SHL276") is None


TIMES = {  # cells in their order, and the numbers that they are; "" where the order is not sure
    "thousands": ("csv", [f"{v:,}" for v in range(500, 3500, 50)], 500.0),
    "thousands by point": ("semicolons", [f"{v:,}".replace(",", ".") for v in range(500, 3500, 50)], 500.0),
    "decimal comma": ("semicolons", [f"{v / 4:.2f}".replace(".", ",") for v in range(60)], 0.0),
    "three decimals": ("csv", [f"{v / 1000:.3f}" for v in range(1000, 1060)], 1.0),
    "spaces": ("csv", [f"{v:,}".replace(",", " ") for v in range(500, 3500, 50)], 500.0),
    "a unit": ("csv", [f"{v} s" for v in range(60)], 0.0),
    "groups of two": ("csv", [f"{v},00,000" for v in range(1, 61)], 100000.0),
}


@pytest.mark.parametrize("name", TIMES)
def test_numbers_that_order_the_rows_are_read_in_their_style(name: str, tmp_path: Path) -> None:
    kind, cells, first = TIMES[name]
    features = {"x": [str(row * row % 17) for row in range(ROWS)], "y": ["yes", "no"]}
    dataset = read(write(tmp_path, kind, t=cells, **features), target="y", time="t")
    assert dataset.time is not None and dataset.time[0] == first and (np.diff(dataset.time) > 0).all()
    arrays = {"X": np.zeros((ROWS, 3)) + np.arange(ROWS)[:, None] % 17, "y": np.arange(ROWS) % 2, "t": np.array(cells)}
    asked = "," if kind == "semicolons" else None
    assert (np.diff(read(arrays, time="t", decimal=asked).time) > 0).all()


@pytest.mark.parametrize("kind", ["csv", "semicolons"])
@pytest.mark.parametrize("sign", [",", "."])
def test_an_order_of_numbers_that_is_not_sure_is_refused_with_a_cell(kind: str, sign: str, tmp_path: Path) -> None:
    cells = [f"{v:,}".replace(",", sign) for v in range(3450, 450, -50)]
    path = write(tmp_path, kind, t=cells, x=[str(row * row % 17) for row in range(ROWS)], y=["yes", "no"])
    with pytest.raises(InputError, match=rf"'3{re.escape(sign)}450' in line 2 may be .*3450.*option `decimal`"):
        read(path, target="y", time="t")
    down = read(path, target="y", time="t", decimal="." if sign == "," else ",")
    assert down.time is not None and down.time[0] == 3450 and (np.diff(down.time) < 0).all()
    up = read(path, target="y", time="t", decimal=sign)
    assert up.time is not None and up.time[0] == 3.45


def test_what_can_be_read_in_two_ways_is_said_and_can_be_decided(tmp_path: Path) -> None:
    path = write(tmp_path, "tsv", area=["2,444", "950", "17"])
    dataset = read(path, target="y")
    said = finding(dataset, "SHL271")
    assert said is not None and said.level == "warning"
    evidence = {"cell": "2,444", "read": 2444.0, "other": 2.444, "why": "beside"}
    assert said.evidence == {"columns": {"area": evidence}}
    assert "area ('2,444' as 2444, not 2.444" in said.sentence and said.fix.endswith("--decimal ','")
    for decimal, right in ((",", 2.444), (".", 2444.0)):
        decided = read(path, target="y", decimal=decimal)
        assert numbers(decided, "area")[0] == right
        assert finding(decided, "SHL271") is None


def test_what_the_cells_decide_is_not_said(tmp_path: Path) -> None:
    for cells in (["1,234.5", "950"], ["1.5", "2.25"], ["5", "6"]):
        assert finding(read(write(tmp_path, "tsv", x=cells), target="y"), "SHL271") is None
    beside = read(write(tmp_path, "csv", x=["12.345", "1.950"], z=["0.5", "1.25"]), target="y")
    assert numbers(beside) == [12.345, 1.95] and finding(beside, "SHL271") is None


@pytest.mark.parametrize(("other", "right"), [(["1,5", "2,25"], 2.444), (["1.5", "2.25"], 2444.0)])
def test_a_file_has_one_decimal_sign(tmp_path: Path, other: list[str], right: float) -> None:
    dataset = read(write(tmp_path, "tsv", x=["2,444", "950", "17"], z=other), target="y")
    assert numbers(dataset)[0] == right
    target = read(write(tmp_path, "tsv", x=["2,444", "950", "17"], y=other, z=["a", "b"]), target="y")
    assert numbers(target)[0] == right  # the target's cells tell as well


def test_a_column_that_contradicts_itself_says_nothing_of_others_and_is_said(tmp_path: Path) -> None:
    mix = ["1.238,18", "1,187.82", "1.338,18", "1,287.82", "1.438,18"]  # more commas than points
    path = write(tmp_path, "csv", dot=["1.206", "2.117"], comma=["6,423", "7,118"], mix=mix)
    dataset = read(path, target="y")
    assert (numbers(dataset, "dot")[0], numbers(dataset, "comma")[0]) == (1.206, 6423)
    said = finding(dataset, "SHL271")
    assert said is not None and "other columns" not in said.sentence and "comma ('6,423' as 6423" in said.sentence
    apart = finding(dataset, "SHL277")
    assert apart is not None and apart.level == "warning" and list(apart.evidence["columns"]) == ["mix"]
    assert "mix ('1,187.82' and '1.238,18')" in apart.sentence
    many = [f"{row}.{row + 100},18" if row % 2 else f"{row},{row + 100}.82" for row in range(1, ROWS + 1)]
    aside = read(write(tmp_path, "csv", x=["1.206", "2.117"], mix=many), target="y")
    assert [each.role for each in aside.schema.columns if each.name == "mix"] == ["identifier"]
    assert finding(aside, "SHL277") is not None
    answers = read(write(tmp_path, "csv", x=["1.206", "2.117"], y=mix), target="y")
    assert finding(answers, "SHL277") is not None


def test_a_slip_does_not_make_two_styles(tmp_path: Path) -> None:
    cells = ["1,5"] * 29 + ["1.25"] + ["2,5"] * 30
    dataset = read(write(tmp_path, "tsv", x=cells, z=["2,444", "3,111"]), target="y")
    assert numbers(dataset, "z")[0] == 2.444 and finding(dataset, "SHL277") is None


def test_decimal_commas_in_a_comma_delimited_file_are_for_the_user_to_say(tmp_path: Path) -> None:
    path = write(tmp_path, "csv", x=["1,5", "2,25", "3"])
    dataset = read(path, target="y")
    assert dataset.schema.columns[0].role == "category"
    said = finding(dataset, "SHL274")
    assert said is not None and "--decimal ',')." in said.sentence
    assert numbers(read(path, target="y", decimal=",")) == [1.5, 2.25, 3]


def test_cells_that_contradict_the_given_sign_keep_their_own(tmp_path: Path) -> None:
    dataset = read(write(tmp_path, "semicolons", x=["1.5", "2.25"], z=["1,5", "2,5"]), target="y", decimal=",")
    assert (numbers(dataset), numbers(dataset, "z")) == ([1.5, 2.25], [1.5, 2.5])
    said = finding(dataset, "SHL272")
    assert said is not None and said.evidence == {"columns": ["x"]}


def test_whole_numbers_take_the_sign_of_their_file_for_rows_to_come(tmp_path: Path) -> None:
    dataset = read(write(tmp_path, "semicolons", x=["3", "4"], z=["1,5", "2,5"]), target="y")
    new = write(tmp_path, "semicolons", x=["4,5"], z=["1"])
    assert read_rows(new, dataset.schema).features.frame["x"][0] == 4.5


def test_the_unit_is_in_the_note_and_new_rows_need_it(tmp_path: Path) -> None:
    path = write(tmp_path, "csv", rate=["16.87%", "5 %"], weight=["5 kg", "6kg"], price=["$5", "$6", "$5"])
    dataset = read(path, target="y")
    notes = {column.name: column.note for column in dataset.schema.columns}
    assert [notes[name].rpartition(", ")[2] for name in ("rate", "weight", "price")] == ["in %", "in kg", "in $"]
    rows = read_rows(write(tmp_path, "tsv", rate=["0.5", "5%"], weight=["5 lb", "5 kg"], price=["7"]), dataset.schema)
    assert rows.features.frame.row(0) == (None, None, 7.0)
    assert [each.evidence["column"] for each in rows.warnings if each.code == "SHL209"] == ["rate", "weight"]
    with pytest.raises(InputError, match=r"'rate': 60 of 60 cells, such as '0.5' in line 2, .* in %"):
        read_rows(write(tmp_path, "tsv", rate=["0.5"], weight=["5 kg"], price=["7"]), dataset.schema)


def test_a_number_column_can_be_forced(tmp_path: Path) -> None:
    path = write(tmp_path, "csv", x=["5 kg", "7 kg", "7 lb", "n.d.", "many", "few", "some"], z=["501 234 567", "1"])
    dataset = read(path, target="y", roles={"x": "numeric", "z": "numeric"})
    assert numbers(dataset) == [5, 7, None] and numbers(dataset, "z") == [501234567, 1]
    said = finding(dataset, "SHL209")
    assert said is not None and said.evidence == {"column": "x", "cells": 42} and "'7 lb'" in said.sentence
    with pytest.raises(InputError, match="'x' cannot be numeric: 60 of 60 cells"):
        read(write(tmp_path, "csv", x=["a", "b"]), target="y", roles={"x": "numeric"})


@pytest.mark.parametrize(
    ("kind", "cells", "right"),
    [
        ("semicolons", [f"{i},5" for i in range(30)], 0.5),
        ("tsv", [f"{i},{444 + i}" for i in range(2, 32)], 2446.0),
        ("csv", [f"${i},{444 + i}.25" for i in range(2, 32)], 2446.25),
        ("csv", [f"{i}.5%" for i in range(30)], 0.5),
    ],
)
def test_the_target_is_read_alike_at_training_and_scoring(
    tmp_path: Path, kind: str, cells: list[str], right: float
) -> None:
    path = write(tmp_path, kind, x=["1", "2", "3.5"], y=cells)
    dataset = read(path, target="y")
    assert (dataset.task, dataset.target[0]) == ("regression", right)
    schema = Schema.model_validate_json(dataset.schema.model_dump_json())
    rows = read_rows(path, schema)
    assert rows.truth is not None and rows.truth.tolist() == dataset.target.tolist()
    plain = pl.DataFrame({"x": [1.0], "y": [right]})
    assert read_rows(plain, schema).truth.tolist() == [right]  # type: ignore[union-attr]


def test_classes_that_are_numbers_are_named_as_the_file_has_them(tmp_path: Path) -> None:
    path = write(tmp_path, "semicolons", x=["1", "2", "3,5", "4"], y=["1,5", "2,5", "10,5"])
    dataset = read(path, target="y", task="classification")
    assert dataset.classes == ("1,5", "2,5", "10,5")
    again = write(tmp_path, "tsv", x=["1"], y=["2,50"])
    assert read_rows(again, dataset.schema).truth.tolist() == [1] * ROWS  # type: ignore[union-attr]


def test_a_target_in_two_ways_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "tsv", x=["1", "2", "3.5"], y=[f"{i},{444 + i}" for i in range(2, 32)])
    assert finding(read(path.rename(tmp_path / "a.tsv"), target="y"), "SHL271") is None  # 3.5 tells
    path = write(tmp_path, "tsv", x=["1", "2"], y=[f"{i},{444 + i}" for i in range(2, 32)])
    said = finding(read(path, target="y"), "SHL271")
    assert said is not None and list(said.evidence["columns"]) == ["y"]
    assert read(path, target="y", decimal=",").target[0] == 2.446


STYLES = [
    NumberStyle(decimal=decimal, thousands=thousands, unit=unit)
    for decimal, thousands in ((".", ","), (".", ""), (",", "."), (",", ""))
    for unit in ("", "$", "€", "%", "kg", "°C", "days", "sq ft")
]


def written(number: float, style: NumberStyle, group: str, sign: str, space: str) -> str:
    """A number in the words of a style."""
    whole, _, part = f"{abs(number):.3f}".rstrip("0").partition(".")
    grouped = f"{int(whole):,}".replace(",", style.thousands if group == "sign" else group)
    body = grouped + (style.decimal + part if part else "")
    if style.currency:
        body = style.unit + space + body
    elif style.unit:
        body += space + style.unit
    if number >= 0:
        return {"plus": "+"}.get(sign, "") + body
    return f"({body})" if sign == "parentheses" else {"true": "\u2212"}.get(sign, "-") + body


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(-(10**9), 10**9).map(lambda whole: whole / 1000), min_size=1, max_size=20),
    st.sampled_from(STYLES),
    st.sampled_from(["sign", "", " ", "\u00a0", "\u202f", "'", "\u2019"]),
    st.sampled_from(["minus", "true", "parentheses", "plus"]),
    st.sampled_from(["", " ", "\u00a0"]),
)
def test_numbers_in_any_style_come_back(
    given_numbers: list[float], style: NumberStyle, group: str, sign: str, space: str
) -> None:
    texts = pl.Series([written(number, style, group, sign, space) for number in given_numbers])
    assert values(texts, style).to_list() == given_numbers
