"""How the text of a cell becomes a value: truth values; see also `absence`, `number_text` and `moments`."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from shoal.data import moments, number_text
from shoal.data.number_text import NumberStyle
from shoal.data.schema import Column
from shoal.data.spelling import Known
from shoal.data.truth import truth


@dataclass(frozen=True)
class Cells:
    """A column read by a rule: `values` is null where a cell is missing or odd; `odd` marks the cells that broke it."""

    values: pl.Series
    odd: pl.Series


def text(series: pl.Series) -> pl.Series:
    """The cells as trimmed text in Unicode's composed form, empty ones null."""
    if series.dtype.is_decimal():
        series = series.cast(pl.Float64)
    if series.dtype.is_float():  # 3.0 in a frame and 3 in a file are one category, whatever stands beside it
        series = series.fill_nan(None)
        whole = series.is_finite() & (series == series.round()) & (series.abs() < 2**53)
        texts = series.cast(pl.String).zip_with(~whole, series.cast(pl.Int64, strict=False).cast(pl.String))
        return texts.rename(series.name)
    trimmed = series.cast(pl.String).str.strip_chars()
    if (trimmed.str.len_bytes() != trimmed.str.len_chars()).any():  # é may be one sign, or two
        trimmed = trimmed.str.normalize("NFC")
    return trimmed.set((trimmed == "").fill_null(False), None)


def numbers(series: pl.Series, style: NumberStyle = NumberStyle()) -> Cells:  # noqa: B008 - frozen
    """Numbers as Float64; text is read as its style says. Infinities stay, for the caller to refuse."""
    if series.dtype == pl.String:
        cells = text(series)
        values = number_text.values(cells, style)
        return Cells(values, cells.is_not_null() & values.is_null())
    values = series.cast(pl.Float64, strict=False).fill_nan(None)
    return Cells(values, series.is_not_null() & values.is_null() & ~_nan(series))


def booleans(series: pl.Series) -> Cells:
    """Truth values as 0 and 1: words, and numbers that are 0 or 1."""
    cells = text(series).str.to_lowercase()
    read = {cell: truth(cell) for cell in cells.drop_nulls().unique().to_list()}
    values = cells.replace_strict(read, default=None, return_dtype=pl.Float64).rename(series.name)
    return Cells(values, cells.is_not_null() & values.is_null())


def positions(series: pl.Series, levels: tuple[str, ...]) -> Cells:
    """Places of the cells in an order, from 0 for the lowest."""
    cells = Known(levels).read(text(series))
    values = cells.replace_strict(list(levels), [float(k) for k in range(len(levels))], default=None)
    values = values.cast(pl.Float64).rename(series.name)
    return Cells(values, cells.is_not_null() & values.is_null())


def dates(series: pl.Series, formats: tuple[str, ...]) -> Cells:
    """Dates as Datetime in microseconds: of typed columns, of counts since 1970, or of text in the given formats."""
    if moments.is_typed(series):
        values = moments.of_typed(series)
        return Cells(values, series.is_not_null() & values.is_null())
    if formats and formats[0] in moments.EPOCHS:
        counts = numbers(series)
        values = moments.of_epoch(counts.values, formats[0])
        return Cells(values, counts.odd | (counts.values.is_not_null() & values.is_null()))
    texts = text(series)
    values = moments.read(texts, formats)
    return Cells(values, texts.is_not_null() & values.is_null())


def parse(series: pl.Series, column: Column) -> Cells:
    """The cells of a column by the rule that its schema states."""
    if column.cells == "number":
        read = numbers(series, column.numbers)
        return _with_truths(read, series) if column.role == "boolean" else read
    if column.cells == "boolean":
        return booleans(series)
    if column.cells == "date":
        return dates(series, column.date_formats)
    if column.cells == "ordered":
        return positions(series, column.levels)
    cells = text(series) if column.exact else Known(column.values).read(text(series))
    return Cells(cells, pl.repeat(False, cells.len(), eager=True))


def _with_truths(read: Cells, series: pl.Series) -> Cells:
    """Numbers that were 0 and 1 in training, true and false among them read too."""
    if not read.odd.any():
        return read
    words = booleans(series)
    return Cells(read.values.fill_null(words.values), read.odd & words.odd)


def _nan(series: pl.Series) -> pl.Series:
    return series.is_nan().fill_null(False) if series.dtype.is_float() else pl.repeat(False, series.len(), eager=True)
