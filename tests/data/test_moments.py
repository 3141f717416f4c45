"""Dates and clocks: what each cell means, in files and in frames, and what is not sure to be in order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoal.core.errors import InputError
from shoal.data import Dataset, Schema, moments, read, read_rows

Write = Callable[..., Path]
RNG = np.random.default_rng(0)


def rows(cells: list[str], name: str = "when") -> str:
    """A text file whose column of dates stands beside a number and two classes."""
    lines = [
        f'{value:.3f},"{cell}",{"ab"[i % 2]}'
        for i, (value, cell) in enumerate(zip(RNG.normal(size=len(cells)), cells, strict=True))
    ]
    return "\n".join([f"x,{name},y", *lines])


def days(form: str, number: int = 40, step: int = 1) -> list[str]:
    return [f"{date(2009, 1, 1) + timedelta(days=step * i):{form}}" for i in range(number)]


def kept(dataset: Dataset, name: str = "when") -> list[datetime]:
    return dataset.features.frame[name].to_list()


def said(dataset: Dataset) -> dict[str, str]:
    return {finding.code: finding.sentence for finding in dataset.findings}


def note(dataset: Dataset, name: str = "when") -> str:
    return next(column.note for column in dataset.schema.columns if column.name == name)


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2021-01-31", datetime(2021, 1, 31)),
        ("2021-01-31 1:05 PM", datetime(2021, 1, 31, 13, 5)),
        ("2021-01-31 1:05:09 am", datetime(2021, 1, 31, 1, 5, 9)),
        ("2021-01-31 12:00 AM", datetime(2021, 1, 31)),
        ("2021-01-31 12:30 p.m.", datetime(2021, 1, 31, 12, 30)),
        ("01/31/2021 11 PM", datetime(2021, 1, 31, 23)),
        ("2021-01-31T10:00:00.5", datetime(2021, 1, 31, 10, 0, 0, 500_000)),
        ("2021-01-31 10:00:00.123456789", datetime(2021, 1, 31, 10, 0, 0, 123_456)),
        ("2021-01-31 10:00:00,25", datetime(2021, 1, 31, 10, 0, 0, 250_000)),
        ("2021-01-31T00:30:00+02:00", datetime(2021, 1, 30, 22, 30)),
        ("2021-01-31 20:30-0430", datetime(2021, 2, 1, 1, 0)),
        ("2021-01-31T10:00:00-05", datetime(2021, 1, 31, 15)),
        ("2021-01-31T10:00Z", datetime(2021, 1, 31, 10)),
        ("2021-01-31 10:00:00 UTC", datetime(2021, 1, 31, 10)),
        ("2021-01-31T10:00+02:00[Europe/Berlin]", datetime(2021, 1, 31, 8)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1)),
        ("2021-01-31T24:00", datetime(2021, 2, 1)),
        ("2021-01", datetime(2021, 1, 1)),
        ("2021/03", datetime(2021, 3, 1)),
        ("03/2021", datetime(2021, 3, 1)),
        ("2021Q3", datetime(2021, 7, 1)),
        ("2021-q4", datetime(2021, 10, 1)),
        ("Q1 2021", datetime(2021, 1, 1)),
        ("2021-W05", datetime(2021, 2, 1)),
        ("2021-W05-3", datetime(2021, 2, 3)),
        ("2020-W53", datetime(2020, 12, 28)),
        ("20210131T120000", datetime(2021, 1, 31, 12)),
        ("31.01.2021 08:15", datetime(2021, 1, 31, 8, 15)),
        ("31-JAN-2021", datetime(2021, 1, 31)),
        ("31 january 2021", datetime(2021, 1, 31)),
        ("Sept 3, 2021", datetime(2021, 9, 3)),
        ("31JAN2021:10:11:12", datetime(2021, 1, 31, 10, 11, 12)),
        ("Sun, 31 Jan 2021 10:00:00 +0100", datetime(2021, 1, 31, 9)),
        ("09/28/09", datetime(2009, 9, 28)),
        ("28.09.69", datetime(1969, 9, 28)),
        ("28.09.68", datetime(2068, 9, 28)),
        ("28-Sep-09", datetime(2009, 9, 28)),
        ("13:45", datetime(1970, 1, 1, 13, 45)),
        ("1:05:09 pm", datetime(1970, 1, 1, 13, 5, 9)),
    ],
)  # fmt: skip
def test_what_a_cell_means(cell: str, moment: datetime) -> None:
    texts = pl.Series([cell])
    writing = moments.find(texts, (moments.COMPACT,))
    assert moments.read(texts, writing.formats).to_list() == [moment]


@pytest.mark.parametrize(
    "cell",
    [
        "2021-02-29", "2021-13-01", "2021-01-00", "0000-00-00", "-0044-03-15", "2021-01-31 13:05 PM",
        "2021-01-31 25:00", "2021-01-31 10:60", "2021-01-31 10:00:60", "2021-01-31 10", "2021-W54", "2021-W53-1",
        "2021Q5", "15 M\u00e4rz 2021",
        "1.10.12", "2021-01-31 10:00+25:00", "31 Foo 2021", "Jan-09", "20211301", "17991231",
    ],
)  # fmt: skip
def test_what_is_no_moment(cell: str) -> None:
    assert moments.find(pl.Series([cell]), (moments.COMPACT,)).formats == ()
    assert moments.read(pl.Series([cell]), ("%Y-%m-%d", "%b %y")).to_list() == [None]


@pytest.mark.parametrize("form", moments.FORMATS)
def test_every_format_reads_what_it_writes(form: str) -> None:
    if form == moments.TIME_OF_DAY:
        assert moments.read(pl.Series(["23:59"]), (form,)).to_list() == [datetime(1970, 1, 1, 23, 59)]
        return
    cells, expected = [], []
    for step in range(0, 730, 17):
        day = date(2021, 1, 1) + timedelta(days=step)
        cells.append(f"{day:{form.replace('%q', str((day.month + 2) // 3))}}")
        first = day.replace(day=1) if "%d" not in form else day
        first = first.replace(month=3 * ((day.month + 2) // 3) - 2) if "%q" in form else first
        if "%G" in form:
            first = day if "%u" in form else day - timedelta(days=day.weekday())
        expected.append(datetime.combine(first, time()))
    assert moments.read(pl.Series(cells), (form,)).to_list() == expected


def test_years_of_two_figures_are_in_order_and_said(text_file: Write) -> None:
    path = text_file(rows(days("%m/%d/%y", 60, step=20)))
    dataset = read(path, target="y", time="when")
    assert np.diff(dataset.time).tolist() == [20 * 86400.0] * 59
    assert "69 to 99 are read as 1969 to 1999" in said(dataset)["SHL218"]
    assert "two figures" in note(dataset) and "2009-01-01 to 2012-03-26" in note(dataset)
    plain = read(path, target="y")
    assert kept(plain)[1] == datetime(2009, 1, 21)
    assert "SHL218" in said(plain) and "69 to 99" in note(plain)


@pytest.mark.parametrize("form", ["%d/%m/%y", "%d.%m.%y"])
def test_where_the_day_stands_is_told_by_how_days_vary(text_file: Write, form: str) -> None:
    dataset = read(text_file(rows(days(form, 60))), target="y", time="when")
    assert np.diff(dataset.time).tolist() == [86400.0] * 59


DAYS = days("%Y-%m-%d")
SLASHED = [f"0{1 + i % 9}/0{2 + i % 7}/2009" for i in range(40)]
MIXED = [*DAYS[:20], *days("%d.%m.%Y", 20)]
HALF_ZONED = [f"{day} 10:00{zone}" for day, zone in zip(DAYS, ["+02:00", ""] * 20, strict=True)]
NAMED_ZONE = [f"{day} 10:00 EST" for day in DAYS]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (SLASHED, ["cannot be told apart", "'01/02/2009' in line 2", "2021-01-31"]),
        ([f"0{1 + i % 9}-0{1 + i % 7}-1{i % 3}" for i in range(40)], ["cannot be told apart", "'01-01-10'"]),
        (MIXED, ["several formats", "'2009-01-01' in line 2"]),
        (HALF_ZONED, ["offset from UTC"]),
        (NAMED_ZONE, ["time zones", "'2009-01-01 10:00 EST' in line 2", "-05:00"]),
        ([f"{10 + i % 12}:3{i % 10}" for i in range(40)], ["times of day", "add the day"]),
        ([f"{i % 28 + 1}. M\u00e4rz 20{10 + i % 9}" for i in range(40)], ["M\u00e4rz", "read in English"]),
        ([*DAYS[:39], "9999-12-31"], ["'9999-12-31', which stands for never", "line 41"]),
        ([*DAYS[:39], "2009-02-30"], ["'2009-02-30'", "line 41"]),
        ([*DAYS[:39], ""], ["1 cell missing", "line 41"]),
    ],
)  # fmt: skip
def test_what_is_not_sure_to_be_in_order_is_refused(text_file: Write, cells: list[str], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read(text_file(rows(cells)), target="y", time="when")
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("cells", "code", "first"),
    [
        (SLASHED, "SHL211", datetime(2009, 1, 2)),
        (MIXED, "SHL219", datetime(2009, 1, 1)),
        (HALF_ZONED, "SHL220", datetime(2009, 1, 1, 8)),
        (NAMED_ZONE, "SHL220", datetime(2009, 1, 1, 10)),
    ],
)  # fmt: skip
def test_as_a_feature_it_is_guessed_and_said(text_file: Write, cells: list[str], code: str, first: datetime) -> None:
    path = text_file(rows(cells))
    dataset = read(path, target="y")
    assert kept(dataset)[0] == first
    assert "when" in said(dataset)[code]
    assert read_rows(path, again(dataset.schema)).features.frame["when"].to_list() == kept(dataset)


def again(schema: Schema) -> Schema:
    """As it comes back from a saved model."""
    return Schema.model_validate_json(schema.model_dump_json())


def test_formats_that_read_a_cell_in_two_ways_are_not_taken_together(text_file: Write) -> None:
    mixed = [*[f"{13 + i}/02/2009" for i in range(10)], *[f"02/{13 + i}/2009" for i in range(10)], *["01/02/2009"] * 10]
    roles = {c.name: c.role for c in read(text_file(rows(mixed)), target="y").schema.columns}
    assert roles["when"] == "identifier"


def test_never_is_missing_and_does_not_stretch_the_range(text_file: Write) -> None:
    dataset = read(text_file(rows([*DAYS[:38], "9999-12-31", "0001-01-01"])), target="y")
    assert kept(dataset)[-3:] == [datetime(2009, 2, 7), None, None]
    assert "2 cells such as '9999-12-31'" in said(dataset)["SHL209"]
    typed = pl.DataFrame(
        {"when": [date(2009, 1, 1 + i % 28) for i in range(39)] + [date(9999, 12, 31)], "y": ["a", "b"] * 20}
    )
    assert kept(read(typed, target="y"))[-1] is None


def test_digits_alone_are_dates_where_the_name_or_the_user_says_so(text_file: Write) -> None:
    cells = days("%Y%m%d", 40, step=9)
    assert kept(read(text_file(rows(cells, "orderDate")), target="y"), "orderDate")[1] == datetime(2009, 1, 10)
    path = text_file(rows(cells, "code"), "plain.csv")
    assert kept(read(path, target="y"), "code")[1] == 20090110.0
    assert kept(read(path, target="y", roles={"code": "date"}), "code")[1] == datetime(2009, 1, 10)
    assert read(path, target="y", time="code").time[1] == datetime(2009, 1, 10, tzinfo=UTC).timestamp()
    other = text_file(rows([*cells[:-1], "20091301"], "orderDate"), "odd.csv")
    assert kept(read(other, target="y"), "orderDate")[0] == datetime(2009, 1, 1)  # one cell is odd
    plain = text_file(rows([str(20000000 + 77 * i) for i in range(40)], "date"), "numbers.csv")
    assert kept(read(plain, target="y"), "date")[1] == 20000077.0
    frame = pl.DataFrame({"date": [int(cell) for cell in cells], "x": RNG.normal(size=40), "y": ["a", "b"] * 20})
    assert kept(read(frame, target="y"), "date")[1] == datetime(2009, 1, 10)


@pytest.mark.parametrize("unit", [1, 1000, 1_000_000])
def test_counts_since_1970_are_dates_where_the_user_says_so(text_file: Write, unit: int) -> None:
    counts = [(1_600_000_000 + 3600 * i) * unit for i in range(40)]
    path = text_file(rows([str(count) for count in counts], "t"))
    assert kept(read(path, target="y", roles={"t": "date"}), "t")[1] == datetime(2020, 9, 13, 13, 26, 40)
    timed = read(path, target="y", time="t")
    assert np.diff(timed.time).tolist() == [3600.0] * 39
    assert kept(read_rows(path, again(timed.schema)), "t")[0] == datetime(2020, 9, 13, 12, 26, 40)
    frame = pl.DataFrame({"t": counts, "x": RNG.normal(size=40), "y": ["a", "b"] * 20})
    assert read(frame, target="y", time="t").time.tolist() == timed.time.tolist()


def test_seasons_are_no_months(text_file: Write) -> None:
    path = text_file(rows([f"20{9 + i % 3:02d}-{10 + i % 3}" for i in range(42)], "season"))
    assert {c.name: c.role for c in read(path, target="y").schema.columns}["season"] == "category"


# --- frames and files say the same ------------------------------------------------------------------------------------

MOMENTS = [datetime(2021, 3, 1 + i % 28, i % 24, 7, 9) for i in range(40)]


def typed(values: list[object], dtype: pl.DataType | None = None) -> pl.DataFrame:
    return pl.DataFrame({"x": RNG.normal(size=40), "when": pl.Series(values, dtype=dtype), "y": ["a", "b"] * 20})


@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%d %b %Y %H:%M:%S"])
def test_trained_on_typed_dates_asked_with_text(tmp_path: Path, form: str) -> None:
    typed(MOMENTS).write_parquet(tmp_path / "train.parquet")
    schema = again(read(tmp_path / "train.parquet", target="y").schema)
    typed(MOMENTS).with_columns(pl.col("when").dt.to_string(form)).write_csv(tmp_path / "new.csv")
    new = read_rows(tmp_path / "new.csv", schema)
    assert kept(new) == MOMENTS
    assert new.warnings == ()


@pytest.mark.parametrize("form", ["%d.%m.%Y", "%m/%d/%y", "%d %B %Y"])
def test_trained_on_text_asked_with_typed_dates(tmp_path: Path, form: str) -> None:
    table = typed([moment.date() for moment in MOMENTS])
    table.with_columns(pl.col("when").dt.to_string(form)).write_csv(tmp_path / "train.csv")
    dataset = read(tmp_path / "train.csv", target="y")
    table.write_parquet(tmp_path / "new.parquet")
    table.write_csv(tmp_path / "iso.csv")
    for name in ("new.parquet", "iso.csv"):
        new = read_rows(tmp_path / name, again(dataset.schema))
        assert kept(new) == kept(dataset) == [datetime.combine(m.date(), time()) for m in MOMENTS]
        assert new.warnings == ()


def test_zones_of_typed_columns_become_utc_as_in_their_text(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    there = [moment.replace(tzinfo=timezone(timedelta(hours=-5))) for moment in MOMENTS]
    expected = [moment + timedelta(hours=5) for moment in MOMENTS]
    berlin = typed(there, pl.Datetime("us", "Europe/Berlin"))
    berlin.write_parquet(tmp_path / "train.parquet")
    berlin.write_csv(tmp_path / "train.csv")
    frame = pandas.DataFrame({"x": RNG.normal(size=40), "when": pandas.Series(there), "y": ["a", "b"] * 20})
    frame.to_csv(tmp_path / "pandas.csv", index=False)
    sources = [berlin, frame, *(tmp_path / name for name in ("train.parquet", "train.csv", "pandas.csv"))]
    for source in sources:
        dataset = read(source, target="y")
        assert kept(dataset) == expected
        assert read(source, target="y", time="when").time[0] == datetime(2021, 3, 1, 5, 7, 9, tzinfo=UTC).timestamp()
        for other in sources:
            assert kept(read_rows(other, dataset.schema)) == expected


def test_the_hour_that_comes_twice_in_autumn_stays_two_hours() -> None:
    utc = [datetime(2021, 10, 31, hour, 30, tzinfo=UTC) for hour in (0, 0, 1, 1)] * 10
    frame = typed(utc, pl.Datetime("us", "UTC")).with_columns(pl.col("when").dt.convert_time_zone("Europe/Berlin"))
    assert frame["when"].dt.hour()[:3].to_list() == [2, 2, 2]
    assert [moment.hour for moment in kept(read(frame, target="y"))[:3]] == [0, 0, 1]


def test_times_of_day_typed_and_as_text(tmp_path: Path) -> None:
    clock = typed([time(i % 24, 5, 0, 250_000) for i in range(40)])
    clock.write_parquet(tmp_path / "clock.parquet")
    clock.write_csv(tmp_path / "clock.csv")
    for source in ("clock.parquet", "clock.csv"):
        dataset = read(tmp_path / source, target="y")
        assert "00:05 to 23:05" in note(dataset)
        for other in ("clock.parquet", "clock.csv"):
            assert kept(read_rows(tmp_path / other, again(dataset.schema)))[3] == datetime(1970, 1, 1, 3, 5, 0, 250_000)
    with pytest.raises(InputError, match="add the day"):
        read(clock, target="y", time="when")


def test_arrays_of_moments() -> None:
    x, y = RNG.normal(size=(40, 3)), np.arange(40) % 2
    stamps = np.array(MOMENTS, dtype="datetime64[ns]")
    seconds = [moment.replace(tzinfo=UTC).timestamp() for moment in MOMENTS]
    texts = np.array([moment.isoformat() for moment in MOMENTS])
    for when in (stamps, stamps.astype("datetime64[s]"), texts, texts.astype("S")):
        assert read({"X": x, "y": y, "when": when}, time="when").time.tolist() == seconds
    stamps[7] = np.datetime64("NaT")
    with pytest.raises(InputError, match="row 7"):
        read({"X": x, "y": y, "when": stamps}, time="when")
