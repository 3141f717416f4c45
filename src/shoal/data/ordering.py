"""The column that orders the rows. What is not sure to be in order is refused: a wrong order leaks the future."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.wording import count
from shoal.data import cells, moments, number_style
from shoal.data.frames import RawTable
from shoal.data.number_style import Signs
from shoal.data.roles import Inferred
from shoal.data.schema import Column

REFUSED = {  # of `moments.DOUBTS`: why, and what to do
    "ambiguous": "day, month and year cannot be told apart; write dates as 2021-01-31",
    "formats": "dates are written in several formats; write them in one, such as 2021-01-31",
    "offsets": "some cells have an offset from UTC and some have none; write one in every cell, or in none",
    "zones": "names of time zones are not read; write the offset from UTC, such as -05:00, or leave the name out",
}


def time_column(raw: RawTable, name: str, signs: Signs) -> tuple[Inferred, NDArray[np.float64]]:
    """The column that orders the rows, and its moments [N]: seconds since 1970, or the numbers given.

    The cycles of a date are features, what keeps growing is not.

    Args:
        raw: the table.
        name: of the column.
        signs: what is known of the decimal sign.

    Raises:
        InputError: cells that are missing, infinite, neither dates nor numbers, or dates or numbers whose order is not
            sure.
    """
    series = raw.frame.get_column(name)
    where = f"{raw.source}, time column {name!r}"
    writing = moments.Writing()
    if not moments.is_typed(series):
        texts = cells.text(series)
        writing = moments.asked(series, texts)
        series = series if series.dtype.is_numeric() else texts
    _refuse_doubts(writing, raw, series, where)
    is_date = moments.is_typed(series) or bool(writing.formats)
    read = cells.dates(series, writing.formats) if is_date else _numbers(raw, series, signs, where)
    wrong = np.flatnonzero(read.values.is_null().to_numpy())
    if len(wrong):
        raise InputError(f"{where}: {_unread(series, wrong)} ({raw.places(wrong)}); mend or delete these rows.")
    numbers = read.values.dt.epoch("us").to_numpy() / 1e6 if is_date else read.values.to_numpy()
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise InputError(f"{where}: infinity in {raw.places(bad)}; mend or delete these rows.")
    notes = ["orders the rows", *(["its cycles are features", moments.span(read.values)] if is_date else [])]
    column = Column.model_validate(
        {
            "name": name, "role": "time", "cells": "date" if is_date else "number", "feature": is_date,
            "unique": read.values.n_unique(), "date_formats": writing.formats, "date_parts": "cycles",
            "note": "; ".join(part for part in (*notes, moments.note(writing)) if part),
        }
    )  # fmt: skip
    return Inferred(column, read.values if is_date else None, tags=writing.doubts), np.asarray(numbers, np.float64)


def _numbers(raw: RawTable, series: pl.Series, signs: Signs, where: str) -> cells.Cells:
    """Numbers in the style of their column.

    Where another style is possible, both must give one order, or the rows must stand in that of the likelier one alone.
    """
    found = None if series.dtype.is_numeric() else number_style.find(series.drop_nulls(), signs, given=True)
    if found is None:
        return cells.numbers(series)
    read = cells.numbers(series, found.style)
    other = cells.numbers(series, found.other).values if found.open_cell else read.values
    stand_so = read.values.is_sorted() and not other.is_sorted()
    if not stand_so and not read.values.rank("dense").equals(other.rank("dense")):
        here, there = found.both()
        row = series.index_of(found.open_cell)
        raise InputError(
            f"{where}: {found.open_cell!r} in {raw.place(row or 0)} may be {here:.12g} or {there:.12g}, which would be "
            "another order; say which sign is the decimal one (option `decimal`). The order of the rows must be sure."
        )
    return read


def _refuse_doubts(writing: moments.Writing, raw: RawTable, series: pl.Series, where: str) -> None:
    filled = np.flatnonzero(series.is_not_null().to_numpy())
    example = f"{str(series[int(filled[0])])!r} in {raw.place(int(filled[0]))}" if len(filled) else ""
    for doubt, why in REFUSED.items():
        if doubt in writing.doubts:
            raise InputError(f"{where}: {why} (as in {example}). The order of the rows must be sure.")
    if series.dtype == pl.Time or moments.TIME_OF_DAY in writing.formats:
        raise InputError(f"{where}: times of day without a day (as in {example}) do not order rows; add the day.")


def _unread(series: pl.Series, wrong: NDArray[np.int64]) -> str:
    """How many cells are no moments, and what stands in the first of them."""
    filled = [int(row) for row in wrong if series[int(row)] is not None]
    if not filled:
        return f"{count(len(wrong), 'cell')} missing"
    cell = str(series[filled[0]])
    hint = ""
    if cell.startswith(("0001-", "9999-")):
        hint = ", which stands for never"
    elif re.search(r"\d", cell) and re.search(r"[^\W\d_]{3}", cell):
        hint = " (names of months are read in English)"
    elif re.search(r"\d,\d", cell):
        hint = " (where the comma is a decimal sign, say so: option `decimal`)"
    return f"{count(len(wrong), 'cell')} missing or neither date nor number, such as {cell!r}{hint}"
