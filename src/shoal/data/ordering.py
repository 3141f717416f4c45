"""The column that orders the rows. What is not sure to be in order is refused: a wrong order leaks the future."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.data import cells, moments
from shoal.data.frames import RawTable
from shoal.data.roles import Inferred
from shoal.data.schema import Column
from shoal.data.wording import count

REFUSED = {  # of `moments.DOUBTS`: why, and what to do
    "ambiguous": "day, month and year cannot be told apart; write dates as 2021-01-31",
    "formats": "dates are written in several formats; write them in one, such as 2021-01-31",
    "offsets": "some cells have an offset from UTC and some have none; write one in every cell, or in none",
    "zones": "names of time zones are not read; write the offset from UTC, such as -05:00, or leave the name out",
}


def time_column(raw: RawTable, name: str) -> tuple[Inferred, NDArray[np.float64]]:
    """The column that orders the rows, and its moments [N]: seconds since 1970, or the numbers given.

    The cycles of a date are features, what keeps growing is not.

    Raises:
        InputError: cells that are missing, infinite, neither dates nor numbers, or dates whose order is not sure.
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
    read = cells.dates(series, writing.formats) if is_date else cells.numbers(series)
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
    return f"{count(len(wrong), 'cell')} missing or neither date nor number, such as {cell!r}{hint}"
