"""Frames with types: what they declare is believed, and no cell is lost on the way."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoal.core.errors import InputError
from shoal.data import Dataset, read, read_rows, typed
from shoal.diagnose.description import describe

RNG = np.random.default_rng(0)
Y = ["a", "b"] * 30


def columns(dataset: Dataset) -> dict[str, str]:
    return {column.name: column.role for column in dataset.schema.columns}


def test_whole_numbers_above_the_signed_range_stay() -> None:
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    values = [int(v) for v in RNG.integers(2**62, 2**64 - 1, 60, dtype=np.uint64)]
    assert max(values) > 2**63
    frames = [
        pandas.DataFrame({"big": np.array(values, dtype=np.uint64), "y": Y}),
        pyarrow.table({"big": pyarrow.array(values, pyarrow.uint64()), "y": Y}),
        pl.DataFrame({"big": pl.Series(values, dtype=pl.UInt64), "y": Y}),
        pl.DataFrame({"big": pl.Series([v * 2**40 for v in values], dtype=pl.Int128), "y": Y}),
    ]
    for frame, scale in zip(frames, (1, 1, 1, 2**40), strict=True):
        dataset = read(frame, target="y", roles={"big": "numeric"})
        assert dataset.features.frame["big"].to_list() == [float(v * scale) for v in values]
        assert columns(dataset)["big"] == "numeric"


def test_declared_categories_of_digits_are_categories(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    codes = [str(12100 + i * 7 % 11) for i in range(60)]
    base = pl.DataFrame({"x": RNG.normal(size=60), "code": codes, "y": Y})
    frames = [
        base.with_columns(pl.col("code").cast(pl.Categorical)),
        base.with_columns(pl.col("code").cast(pl.Enum(sorted(set(codes))))),
        pandas.DataFrame({"x": base["x"].to_list(), "code": pandas.Categorical(codes), "y": Y}),
        pandas.DataFrame({"x": base["x"].to_list(), "code": pandas.Categorical([int(c) for c in codes]), "y": Y}),
    ]
    frames[0].write_parquet(tmp_path / "rows.parquet")
    base.write_csv(tmp_path / "rows.csv")
    for source in (*frames, tmp_path / "rows.parquet"):
        dataset = read(source, target="y")
        assert columns(dataset)["code"] == "category"
        assert dataset.features.frame["code"].to_list() == codes
        assert read_rows(tmp_path / "rows.csv", dataset.schema).features.frame["code"].to_list() == codes


def test_a_declared_category_is_a_target_by_its_names() -> None:
    classes = ["30", "10", "20"] * 20
    frame = pl.DataFrame({"x": RNG.normal(size=60), "y": pl.Series(classes, dtype=pl.Categorical)})
    dataset = read(frame, target="y")
    assert [str(dataset.classes[code]) for code in dataset.target] == classes
    assert read(frame, target="y", task="regression").target.tolist() == [float(each) for each in classes]


def test_decimals_are_numbers() -> None:
    pandas = pytest.importorskip("pandas")
    values = [Decimal(f"{RNG.normal():.2f}") for _ in range(60)]
    arrow = pandas.Series(values, dtype=pandas.ArrowDtype(pytest.importorskip("pyarrow").decimal128(12, 2)))
    for frame in (pl.DataFrame({"price": values, "y": Y}), pandas.DataFrame({"price": arrow, "y": Y})):
        dataset = read(frame, target="y")
        assert dataset.features.frame["price"].to_list() == [float(value) for value in values]


def test_tensors_of_bfloat16() -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(RNG.normal(size=(60, 3))).to(torch.bfloat16)
    dataset = read((x, np.arange(60) % 2))
    assert np.array_equal(dataset.features.frame.to_numpy(), x.double().numpy())


def test_nested_columns_of_parquet_are_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    monkeypatch.setattr("shoal.data.frames.pl.read_parquet", lambda *a, **k: pytest.fail("was read"))
    for values in ([[0] * 9] * 60, [{"a": 1}] * 60, [b"x"] * 60):
        pl.DataFrame({"held": values, "y": Y}).write_parquet(path)
        with pytest.raises(InputError, match="column 'held': cells of type"):
            read(path, target="y")


def test_columns_that_are_dropped_may_hold_anything(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "rows.parquet"
    frame = pl.DataFrame({"held": [[1, 2]] * 60, "x": RNG.normal(size=60), "y": Y})
    frame.write_parquet(path)
    objects = pandas.DataFrame({"held": [[1, 2]] * 60, "x": frame["x"].to_list(), "y": Y})
    for source in (path, frame, frame.lazy(), objects):
        with pytest.raises(InputError, match=r"column 'held'.*option `drop`"):
            read(source, target="y")
        dataset = read(source, target="y", drop=("held",))
        assert columns(dataset) == {"held": "dropped", "x": "numeric", "y": "target"}
        assert next(iter(dataset.schema.columns)).note == "not read"
        assert dataset.features.frame.equals(frame.select("x"))
        assert describe(source, target="y", drop=("held",)).columns == dataset.schema.columns
        assert describe(source, drop=("held",)).columns[0].role == "dropped"
        with pytest.raises(InputError, match="no column 'hold'"):
            read(source, target="y", drop=("hold", "held"))
    pair = read((frame.drop("y"), np.arange(60) % 2), drop=("held",))
    assert pair.features.frame.columns == ["x"]


def test_pages_of_dropped_columns_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"text": ["x" * 100_000] * 500, "x": RNG.normal(size=500), "y": [0, 1] * 250}).write_parquet(path)
    monkeypatch.setattr("shoal.data.limits.memory_bytes", lambda: 20 << 20)
    assert read(path, target="y", drop=("text",)).features.frame.columns == ["x"]


def test_new_rows_may_have_nested_columns_beside_those_that_the_model_needs(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "rows.parquet"
    known = pl.DataFrame({"id": [f"p{i}" for i in range(60)], "x": RNG.normal(size=60), "y": Y})
    schema = read(known, target="y").schema
    more = known.with_columns(held=pl.Series([[1, 2]] * 60))
    more.write_parquet(path)
    for source in (path, more, pandas.DataFrame({name: more[name].to_list() for name in more.columns})):
        rows = read_rows(source, schema)
        assert rows.features.frame.equals(known.select("x")) and rows.truth is not None
        assert rows.identifiers is not None and rows.identifiers["id"].to_list() == known["id"].to_list()
        assert "held" in "".join(finding.sentence for finding in rows.warnings)
        with pytest.raises(InputError, match="column 'x'"):
            read_rows(more.with_columns(x="held"), schema)


def test_long_cells_of_a_dictionary_are_counted_before_they_are_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.parquet"
    pl.DataFrame({"text": ["x" * 100_000] * 500, "y": [0, 1] * 250}).write_parquet(path)
    monkeypatch.setattr("shoal.data.frames.pl.read_parquet", lambda *a, **k: pytest.fail("was read"))
    monkeypatch.setattr("shoal.data.limits.memory_bytes", lambda: 20 << 20)
    with pytest.raises(InputError, match="its text"):
        read(path, target="y")


def test_an_index_with_a_name_is_left_out_and_said() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"who": [f"p{i}" for i in range(60)], "x": RNG.normal(size=60), "y": Y})
    said = {finding.code: finding.sentence for finding in read(frame.set_index("who"), target="y").findings}
    assert "(who)" in said["SHL236"]
    assert "SHL236" not in {finding.code for finding in read(frame[frame.x < 9], target="y").findings}


def test_an_order_that_a_type_declares_is_kept(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    sizes, rising = ["mid", "big", "wee"] * 20, ["wee", "mid", "big", "vast"]
    base = pandas.DataFrame({"x": RNG.normal(size=60), "size": sizes, "y": Y})
    declared = pandas.Categorical(sizes, categories=rising, ordered=True)
    coded = pyarrow.DictionaryArray.from_arrays(pyarrow.array([1, 2, 0] * 20), pyarrow.array(rising), ordered=True)
    arrow = pyarrow.table({"x": base["x"].to_list(), "size": coded, "y": Y})
    base.to_csv(tmp_path / "new.csv", index=False)
    for frame in (base.assign(size=declared), arrow):
        dataset = read(frame, target="y")
        column = next(each for each in dataset.schema.columns if each.name == "size")
        assert (column.role, column.levels) == ("ordered", tuple(rising))
        for rows in (dataset, read_rows(tmp_path / "new.csv", dataset.schema), read_rows(frame, dataset.schema)):
            assert rows.features.frame["size"].to_list() == [1.0, 2.0, 0.0] * 20
        assert columns(read(frame, target="y", roles="size=category"))["size"] == "category"
    assert (
        columns(read(base.assign(size=pandas.Categorical(sizes, categories=rising)), target="y"))["size"] == "category"
    )
    bands = pandas.cut(base["x"], 4)  # text of intervals says no order of its own
    assert columns(read(base.assign(size=bands), target="y"))["size"] == "ordered"


def test_column_names_of_several_levels_are_joined_and_said() -> None:
    pandas = pytest.importorskip("pandas")
    names = pandas.MultiIndex.from_tuples([("blood", "low"), ("blood", "high"), ("y", "")])
    values = RNG.normal(size=(60, 2)).tolist()
    frame = pandas.DataFrame([[*row, y] for row, y in zip(values, Y, strict=True)], columns=names)
    dataset = read(frame, target="y")
    assert columns(dataset) == {"blood_low": "numeric", "blood_high": "numeric", "y": "target"}
    assert "blood_low, blood_high, y" in {f.code: f.sentence for f in dataset.findings}["SHL246"]
    assert isinstance(frame.columns, pandas.MultiIndex)  # the caller's frame stays as it was
    assert read_rows(frame, dataset.schema).features.frame.to_numpy().tolist() == values
    twice = frame.set_axis(pandas.MultiIndex.from_tuples([("a", "b"), ("a_b", ""), ("y", "")]), axis=1)
    with pytest.raises(InputError, match="two columns are named 'a_b'"):
        read(twice, target="y")


@pytest.mark.parametrize("unit", ["ns", "us", "ms", "s"])
def test_lengths_of_time_are_seconds_in_every_unit(unit: str) -> None:
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    counts = [int(each) for each in RNG.integers(-900, 900, 60)]
    seconds = [each / {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}[unit] for each in counts]
    typed = np.array(counts, dtype=f"m8[{unit}]")
    frames = [
        pandas.DataFrame({"lag": typed, "y": Y}),
        pandas.DataFrame({"lag": pandas.Series([pandas.Timedelta(each) for each in typed], dtype=object), "y": Y}),
        pyarrow.table({"lag": pyarrow.array(counts, pyarrow.duration(unit)), "y": Y}),
        *([pl.DataFrame({"lag": typed, "y": Y})] if unit != "s" else []),
    ]
    for frame in frames:
        dataset = read(frame, target="y")
        assert dataset.features.frame["lag"].to_list() == pytest.approx(seconds, abs=1e-15)
    ordered = pandas.DataFrame({"lag": np.arange(60).astype(f"m8[{unit}]"), "x": RNG.normal(size=60), "y": Y})
    assert (np.diff(read(ordered, target="y", time="lag").time) > 0).all()
    assert read(ordered, target="lag", drop=("y",)).target[1] == pytest.approx(seconds[0] / counts[0])


def test_missing_lengths_of_time_stay_missing() -> None:
    pandas = pytest.importorskip("pandas")
    lags = pandas.to_timedelta([None, *range(1, 60)], unit="h")
    assert read(pandas.DataFrame({"lag": lags, "y": Y}), target="y").features.frame["lag"].null_count() == 1


@pytest.mark.parametrize("freq", ["D", "h", "W", "M", "Q"])
def test_periods_are_the_moments_at_which_they_begin(freq: str, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    periods = pandas.period_range("2001-02", periods=60, freq=freq)
    frame = pandas.DataFrame({"when": periods, "x": RNG.normal(size=60), "y": Y})
    dataset = read(frame, target="y")
    assert columns(dataset)["when"] == "date"
    starts = periods.start_time.to_pydatetime().tolist()
    assert dataset.features.frame["when"].to_list() == starts
    assert (np.diff(read(frame, target="y", time="when").time) > 0).all()
    gap = frame.assign(when=frame["when"].where(frame.index > 0))
    assert read(gap, target="y").features.frame["when"].to_list() == [None, *starts[1:]]


def test_yearly_periods_are_years_typed_and_as_text(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"when": pandas.period_range("1960", periods=60, freq="Y"), "y": Y})
    dataset = read(frame, target="y")
    frame.to_csv(tmp_path / "new.csv", index=False)
    for rows in (dataset, read_rows(tmp_path / "new.csv", dataset.schema)):
        assert rows.features.frame["when"].to_list() == [float(year) for year in range(1960, 2020)]


def test_complex_numbers_and_columns_without_a_type() -> None:
    pandas = pytest.importorskip("pandas")
    base = pl.DataFrame({"x": RNG.normal(size=60), "nothing": [None] * 60, "y": Y})
    assert base.schema["nothing"] == pl.Null
    assert columns(read(base, target="y"))["nothing"] == "empty"
    with pytest.raises(InputError, match=r"column 'z', row 0: a cell of type complex; .*option `drop`"):
        read(pandas.DataFrame({"z": RNG.normal(size=60) + 1j, "y": Y}), target="y")


def test_a_cell_that_would_be_lost_is_refused_by_its_place() -> None:
    cells = ["a", None, "b", "c"]
    assert typed.complete(pl.Series("w", cells), [False, True, False, False], cells).to_list() == cells
    with pytest.raises(InputError, match=r"column 'w', row 2: 'b' cannot be kept as String \(2 such cells\)"):
        typed.complete(pl.Series("w", ["a", None, None, None]), [False, True, False, False], cells)


@pytest.mark.parametrize("year", ["12000", "-0500"])
def test_dates_beyond_the_calendar_are_refused_by_their_column(year: str) -> None:
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    days = np.array([f"{year}-01-01", *["2020-01-01", "2020-01-02"] * 29, "2020-01-03"], dtype="M8[s]")
    for frame in (
        pandas.DataFrame({"when": days, "x": RNG.normal(size=60), "y": Y}),
        pyarrow.table({"when": pyarrow.array(days), "x": RNG.normal(size=60), "y": Y}),
        pl.DataFrame({"when": days.astype("M8[ms]"), "x": RNG.normal(size=60), "y": Y}),
    ):
        with pytest.raises(InputError, match=r"column 'when'.* (cannot be read|a date in the year).*option `drop`"):
            read(frame, target="y")
        assert columns(read(frame, target="y", drop="when"))["when"] == "dropped"
