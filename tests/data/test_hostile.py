"""Files that somebody made to hurt, and files that broke: one clear sentence or usable data, bounded memory."""

from __future__ import annotations

import gzip
import io
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from shoal.core.errors import InputError
from shoal.data import Dataset, read, read_rows

RELAXED = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
RNG = np.random.default_rng(0)


def tried(source: object, **options: object) -> Dataset | None:
    """The data, or None where they were refused in one clear sentence. Anything else is a failure."""
    try:
        return read(source, **options)  # type: ignore[arg-type]
    except InputError as error:
        sentence = str(error)
        assert 20 < len(sentence) < 600 and "\n" not in sentence and "Traceback" not in sentence, sentence
        assert sentence.rstrip().endswith((".", "?", ")", "`")), sentence
        return None


# --- text -------------------------------------------------------------------------------------------------------------

NAMES = st.lists(st.sampled_from(["a", "b", "A", " a", "y", "", "1", "a b", "ä", '"q"', "x,y"]), min_size=1, max_size=5)
CELL = st.one_of(
    st.sampled_from(
        ["", "0", "1", "007", "-1e5", "1,5", "NA", "nan", "inf", "1e999", "x", "yes", "2024-02-30", "\t", "''"]
    ),
    st.text(max_size=4),
    st.integers(0, 3).map(lambda n: "long " * 10**n),
)
QUOTED = st.one_of(CELL, CELL.map(lambda text: '"' + text.replace('"', '""') + '"'), CELL.map(lambda text: '"' + text))


@RELAXED
@given(
    NAMES,
    st.lists(st.lists(QUOTED, min_size=0, max_size=6), max_size=30),
    st.sampled_from([",", ";", "\t", "|", ", "]),
    st.sampled_from(["\n", "\r\n", "\r", "\n\n"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252", "shift-jis"]),
    st.sampled_from([b"", b"\0", b"\xff", b"\x80\x81", b'"', b"\x1a"]),
)
@example(["a", "a", "y"], [["1", "2", "3"]] * 8, ",", "\n", "utf-8", b"")
@example(["a", "y"], [["1", "2"], ["3"]] * 8, ",", "\n", "utf-8", b"")
def test_text_of_every_kind(
    tmp_path: Path, names: list[str], rows: list[list[str]], mark: str, end: str, encoding: str, tail: bytes
) -> None:
    path = tmp_path / "rows.csv"
    text = end.join(mark.join(row) for row in [names, *rows])
    path.write_bytes(text.encode(encoding, "replace") + tail)
    for target in ("y", "a"):
        dataset = tried(path, target=target)
        if dataset is not None:
            assert dataset.rows == len(dataset.features) == len(dataset.target) <= len(text)
            assert len(read_rows(path, dataset.schema)) == dataset.rows


@RELAXED
@given(st.data())
def test_frames_of_mixed_types(data: st.DataObject) -> None:
    pandas = pytest.importorskip("pandas")
    cell = st.one_of(
        st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=3), st.dates(),
        st.sampled_from([b"x", [1], {"a": 1}, 1j, float("inf")]),
    )  # fmt: skip
    column = st.one_of(st.lists(cell, min_size=12, max_size=12), cell.map(lambda value: [value] * 12))
    frame = pandas.DataFrame({"a": data.draw(column), "b": data.draw(column), "y": [0, 1] * 6})
    tried(frame, target="y")
    tried((frame[["a", "b"]], list(frame["y"])))


def test_a_cell_without_end_and_a_row_without_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('a,y\n"' + "x" * 200_000 + "\n")
    with pytest.raises(InputError, match="line 2: a cell of more than 131072 characters"):
        read(path, target="y")
    path.write_text(",".join(f"c{i}" for i in range(60_000)) + "\n" + ",".join("1" for _ in range(60_000)) + "\n")
    with pytest.raises(InputError, match="60000 columns and at most 50000"):
        read(path, target="c0")
    path.write_text("a,y\n" + "".join(f"{'z' * 50_000}{i},{i % 2}\n" for i in range(30)))
    assert tried(path, target="y") is None or read(path, target="y").rows == 30


def test_archives_are_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "inside.csv").write_text("a,y\n1,2\n")
    for name, mode in (("rows.tar", "w"), ("rows.tar.gz", "w:gz"), ("rows.tgz", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as archive:  # type: ignore[call-overload]
            archive.add(tmp_path / "inside.csv", "inside.csv")
        with pytest.raises(InputError, match="unpack it"):
            read(tmp_path / name, target="y")
    os.rename(tmp_path / "rows.tar.gz", tmp_path / "rows.csv.gz")  # an archive under a table's name
    with pytest.raises(InputError, match="unpack it"):
        read(tmp_path / "rows.csv.gz", target="y")
    with zipfile.ZipFile(tmp_path / "rows.zip", "w") as archive:
        archive.writestr("inside.csv", "a,y\n1,2\n")
    with pytest.raises(InputError, match="unpack it"):
        read(tmp_path / "rows.zip", target="y")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "rows.csv")
    (tmp_path / "pictures/a").mkdir(parents=True)
    os.mkfifo(tmp_path / "pictures/a/1.png")
    os.symlink("/dev/zero", tmp_path / "pictures/a/2.png")
    (tmp_path / "pictures/b").mkdir()
    for i in range(2):
        Image.new("L", (4, 4)).save(tmp_path / f"pictures/b/{i}.png")
    assert tried(tmp_path / "rows.csv", target="y") is None
    assert tried(tmp_path / "pictures") is None
    schema = read(pl.DataFrame({"a": [1.5, 2, 3] * 20, "y": [0, 1] * 30}), target="y").schema
    with pytest.raises(InputError):
        read_rows(tmp_path / "rows.csv", schema)


# --- pictures ---------------------------------------------------------------------------------------------------------


def encoded(form: str) -> bytes:
    file = io.BytesIO()
    mode = "RGB" if form == "JPEG" else "L"
    Image.fromarray(RNG.integers(0, 255, (12, 11)).astype(np.uint8)).convert(mode).save(file, form)
    return file.getvalue()


WHOLE = {form: encoded(form) for form in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")}


@RELAXED
@given(
    st.sampled_from(sorted(WHOLE)),
    st.integers(0, 4000),
    st.binary(min_size=0, max_size=8),
    st.booleans(),
    st.booleans(),
)
def test_damaged_pictures(tmp_path: Path, form: str, where: int, bits: bytes, cut: bool, renamed: bool) -> None:
    content = bytearray(WHOLE[form])
    at = where % len(content)
    content = content[:at] + bits if cut else content[:at] + bits + content[at + len(bits) :]
    ending = {"JPEG": "jpg", "TIFF": "tif"}.get(form, form.lower())
    folder = tmp_path / "pictures"
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for old in (folder / label).iterdir():
            old.unlink()
        (folder / label / "whole.png").write_bytes(WHOLE["PNG"])
        (folder / label / f"hurt.{'png' if renamed else ending}").write_bytes(bytes(content))
    dataset = tried(folder)
    assert dataset is None or dataset.rows == 4


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that declares a size, with given chunks."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), *chunks, (b"IEND", b"")]
    packed = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


PIXELS = (b"IDAT", zlib.compress(b"\0" * 20))


def bomb(name: str) -> bytes:
    """A small PNG that wants much memory."""
    if name == "declares 4 gigapixels":
        return png(65_000, 65_000, PIXELS)
    chunk = b"zTXt" if name == "holds a text of 200 MB" else b"iCCP"
    return png(4, 4, (chunk, b"k\0\0" + zlib.compress(b"\0" * 200_000_000, 1)), PIXELS)


def peak_mb(program: str) -> int:
    """What a program takes above what it took before, and the sentence that it ended with."""
    lines = f"""
import resource, sys
from shoal.core.errors import InputError
from shoal.data import read
import shoal.data.images, numpy, polars
path = sys.argv[1] if len(sys.argv) > 1 else ""
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) // 1024
before = peak()
try:
    {program}
except InputError as error:
    assert "\\n" not in str(error)
print(peak() - before)
"""
    ended = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout.split()[-1])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
@pytest.mark.parametrize("name", ["declares 4 gigapixels", "holds a text of 200 MB", "holds a profile of 200 MB"])
def test_bombs_among_pictures_do_not_unpack(tmp_path: Path, name: str) -> None:
    content = bomb(name)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for i in range(2):
            (tmp_path / label / f"{i}.png").write_bytes(content)
    assert peak_mb(f"read({str(tmp_path)!r})") < 50


# --- archives of arrays -----------------------------------------------------------------------------------------------


def npy(descr: str, shape: tuple[int, ...], body: bytes = b"") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + body


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


GOOD_X, GOOD_Y = (
    npy("<f8", (60, 3), RNG.normal(size=(60, 3)).tobytes()),
    npy("<i8", (60,), (np.arange(60) % 2).tobytes()),
)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("declares more than it holds", npy("<f8", (1 << 40, 8))),
        ("no bytes, many rows", npy("<U0", (1 << 60,))),
        ("many rows of nothing", npy("<f8", (1 << 60, 0))),
        ("negative rows", npy("<f8", (-5, 3))),
        ("objects", npy("|O", (60,))),
        ("dates", npy("<M8[s]", (60,), b"\0" * 480)),
        ("a record", npy("|V24", (60,), b"\0" * 1440)),
        ("nothing at all", b""),
        ("another version", b"\x93NUMPY\x09\x09" + b"\0" * 50),
        ("a long header", b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31) + b" " * 1000),
        ("text for a header", b"\x93NUMPY\x01\x00\x10\x00" + b"__import__('os')"),
        ("rows without a value", npy("<f8", (60, 0))),
    ],
)
@pytest.mark.parametrize("place", ["X", "y", "classes", "who"])
def test_arrays_that_lie(tmp_path: Path, name: str, content: bytes, place: str) -> None:
    members = {"X": GOOD_X, "y": GOOD_Y} | {place: content}
    path = zipped(tmp_path / "a.npz", **members)
    dataset = tried(path, group="who" if place == "who" else None)
    assert dataset is None or (place in ("classes", "who") and dataset.rows == 60)
    if place == "X":
        (tmp_path / "a.npy").write_bytes(content)
        schema = read(zipped(tmp_path / "good.npz", X=GOOD_X, y=GOOD_Y)).schema
        with pytest.raises(InputError):
            read_rows(tmp_path / "a.npy", schema)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_a_header_that_unpacks_to_a_gigabyte_is_not_unpacked(tmp_path: Path) -> None:
    header = b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 30)
    path = tmp_path / "a.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("X.npy", "w", force_zip64=True) as file,
    ):
        file.write(header)
        for _ in range(256):
            file.write(b" " * (1 << 20))
    assert peak_mb(f"read({str(path)!r})") < 50


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_gzip_bombs_stop_early(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    with gzip.open(path, "wb", 1) as file:
        for _ in range(150):
            file.write(b"\0" * (1 << 20))
    assert peak_mb(f"read({str(path)!r}, target='y')") < 80
    with gzip.open(path, "wb", 1) as file:
        file.write(b"a,y\n")
        for _ in range(150):
            file.write(b"1,2\n" * (1 << 18))
    limited = "import shoal.data.limits, shoal.data.delimited as d; "
    limited += "d.memory_bytes = shoal.data.limits.memory_bytes = lambda: 200 << 20; "
    assert peak_mb(f"{limited}read({str(path)!r}, target='y')") < 120  # 33 MB of text, and what is on the way


def test_short_cells_are_counted_before_they_are_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,y\n" + "1,2\n" * 100_000)
    monkeypatch.setattr("shoal.data.limits.memory_bytes", lambda: 6 << 20)  # fifteen times the file
    monkeypatch.setattr("shoal.data.delimited.pl.read_csv", lambda *a, **k: pytest.fail("was parsed"))
    with pytest.raises(InputError, match="parsing 200001 cells"):
        read(path, target="y")


def test_a_dictionary_that_repeats_a_long_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"text": ["x" * 100_000] * 500, "y": [0, 1] * 250}).write_parquet(path)
    assert path.stat().st_size < 500_000
    monkeypatch.setattr("shoal.data.limits.memory_bytes", lambda: 20 << 20)
    with pytest.raises(InputError, match="its text"):
        read(path, target="y")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
def test_a_list_column_of_parquet_does_not_unpack(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    cell = pl.select(pl.repeat(0, 1_000_000, dtype=pl.Int8).implode().alias("held"))
    pl.concat([cell] * 150).with_columns(y=pl.int_range(150) % 2).write_parquet(path)
    assert path.stat().st_size < 1 << 20
    assert peak_mb(f"read({str(path)!r}, target='y')") < 50


# --- too little -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ((RNG.normal(size=(1, 3)), [1]), ["1 row"]),
        (pl.DataFrame({"a": [1.5], "y": ["x"]}), ["one class only"]),
        (pl.DataFrame({"a": [1.5, 2.5], "y": ["x", "z"]}), ["single row"]),
        (pl.DataFrame({"a": [1.5] * 9, "y": ["x", "z", "z"] * 3}), ["no column is left", "a: constant"]),
        ((RNG.normal(size=(9, 3)), [np.nan] * 9), ["all 9 answers missing"]),
        ((RNG.normal(size=(9, 2, 8, 8)), [-1, 1, 1000] * 3), []),
    ],
)
def test_too_little_to_learn_from(source: object, words: list[str]) -> None:
    if not words:
        assert read(source).classes == ("-1", "1", "1000")  # any whole numbers are names of classes
        return
    with pytest.raises(InputError) as caught:
        read(source, target="y" if isinstance(source, pl.DataFrame) else None)
    assert all(word in str(caught.value) for word in words), str(caught.value)
