"""How the text of a cell becomes a value: missing markers, truth values, dates; numbers are in `number_text`."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from shoal.data import number_text
from shoal.data.number_text import NumberStyle
from shoal.data.schema import Column

# What counts as an empty cell, in any case of letters, spaces around it aside.
MISSING = ("", "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-")
TRUE = ("true", "yes", "y", "t", "1", "1.0", "on")
FALSE = ("false", "no", "n", "f", "0", "0.0", "off")
DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d, %Y",
    "%d %B %Y",
    "%B %d, %Y",
)
CLOCKS = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", "T%H:%M")
DATE_SHAPE = (
    r"^(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{4}|[A-Za-z]{3,9} \d{1,2}, \d{4})([ T]\d|$)"
)


@dataclass(frozen=True)
class Cells:
    """A column read by a rule: `values` is null where a cell is missing or odd; `odd` marks the cells that broke it."""

    values: pl.Series
    odd: pl.Series


def text(series: pl.Series) -> pl.Series:
    """The cells as trimmed text, missing ones null."""
    if series.dtype.is_float():  # 3.0 in a frame and 3 in a file are one category, whatever stands beside it
        series = series.fill_nan(None)
        whole = series.is_finite() & (series == series.round()) & (series.abs() < 2**53)
        texts = series.cast(pl.String).zip_with(~whole, series.cast(pl.Int64, strict=False).cast(pl.String))
        return texts.rename(series.name)
    trimmed = series.cast(pl.String).str.strip_chars()
    return trimmed.set(trimmed.str.to_lowercase().is_in(MISSING).fill_null(False), None)


def numbers(series: pl.Series, style: NumberStyle = NumberStyle()) -> Cells:  # noqa: B008 - frozen
    """Numbers as Float64; text is read as its style says. Infinities stay, for the caller to refuse."""
    if series.dtype == pl.String:
        cells = text(series)
        values = number_text.values(cells, style)
        return Cells(values, cells.is_not_null() & values.is_null())
    if series.dtype in (pl.Duration, pl.Time):
        series = series.to_physical() / 1e6
    values = series.cast(pl.Float64, strict=False).fill_nan(None)
    return Cells(values, series.is_not_null() & values.is_null() & ~_nan(series))


def booleans(series: pl.Series) -> Cells:
    """Truth values as 0 and 1."""
    cells = text(series).str.to_lowercase()
    values = pl.select(
        pl.when(cells.is_in(TRUE)).then(pl.lit(1.0)).when(cells.is_in(FALSE)).then(pl.lit(0.0)).otherwise(None)
    ).to_series()
    values = values.rename(series.name)
    return Cells(values, cells.is_not_null() & values.is_null())


def positions(series: pl.Series, levels: tuple[str, ...]) -> Cells:
    """Places of the cells in an order, from 0 for the lowest."""
    cells = text(series)
    values = cells.replace_strict(list(levels), [float(k) for k in range(len(levels))], default=None)
    values = values.cast(pl.Float64).rename(series.name)
    return Cells(values, cells.is_not_null() & values.is_null())


def dates(series: pl.Series, date_format: str | None) -> Cells:
    """Dates as Datetime in microseconds, local time: fractions of a second and offsets from UTC are dropped."""
    if series.dtype == pl.Date:
        values = series.cast(pl.Datetime("us"))
    elif isinstance(series.dtype, pl.Datetime):
        values = series.dt.replace_time_zone(None).cast(pl.Datetime("us"))
    else:
        cells = _clock(text(series))
        values = cells.str.to_datetime(date_format or "%Y-%m-%d", time_unit="us", strict=False, exact=True)
        return Cells(values, cells.is_not_null() & values.is_null())
    return Cells(values, pl.repeat(False, series.len(), eager=True))


def date_format(series: pl.Series) -> tuple[str | None, bool]:
    """The format that reads the most cells of a text column, and whether another one reads as many.

    Args:
        series: trimmed text without missing cells.

    Returns:
        None where less than 95 % of the cells read as dates; else strptime's format, and whether the order of day and
        month stays open.
    """
    shaped = series.head(200).str.contains(DATE_SHAPE)
    if series.len() == 0 or shaped.sum() < 0.95 * shaped.len():
        return None, False
    cells = _clock(series).unique(maintain_order=True)
    best: list[tuple[int, str]] = []
    for clock in CLOCKS:
        for day in DATE_FORMATS:
            head = cells.head(200).str.to_datetime(day + clock, strict=False, exact=True)
            if head.is_not_null().sum() < 0.9 * head.len():
                continue
            read = cells.str.to_datetime(day + clock, strict=False, exact=True).is_not_null().sum()
            best.append((int(read), day + clock))
    if not best:
        return None, False
    most, chosen = max(best, key=lambda pair: pair[0])  # the first of equals
    if most < 0.95 * cells.len():
        return None, False
    swapped = chosen.replace("%d", "%x").replace("%m", "%d").replace("%x", "%m")
    return chosen, swapped != chosen and (most, swapped) in best


def parse(series: pl.Series, column: Column) -> Cells:
    """The cells of a column by the rule that its schema states."""
    if column.cells == "number":
        return numbers(series, column.numbers)
    if column.cells == "boolean":
        return booleans(series)
    if column.cells == "date":
        return dates(series, column.date_format)
    if column.cells == "ordered":
        return positions(series, column.levels)
    cells = text(series)
    return Cells(cells, pl.repeat(False, cells.len(), eager=True))


def _clock(cells: pl.Series) -> pl.Series:
    return cells.str.replace(r"(:\d{2})\.\d+", "$1").str.replace(r"(:\d{2})\s?(Z|[+-]\d{2}:?\d{2})$", "$1")


def _nan(series: pl.Series) -> pl.Series:
    return series.is_nan().fill_null(False) if series.dtype.is_float() else pl.repeat(False, series.len(), eager=True)
