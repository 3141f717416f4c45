"""Answers as they come, beside the rows or as a column of them, and the rows that have none.

An answer is missing as a cell is: where it is empty, NaN or null, and where it is one of the words or numbers of the
option `missing`. Rows without an answer are left out, counted and named; all others keep their places in messages.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.core.wording import count
from shoal.data import absence, cells, codes, typed
from shoal.data.frames import RawTable

SHOWN_ROWS = 20
PLAIN = (str, bytes, bool, np.bool_, int, float, np.number, Decimal)


@dataclass(frozen=True)
class Answers:
    """Answers beside rows: those that there are, and the rows that they belong to."""

    values: NDArray[np.generic]  # [M]; as it came where it is no column
    rows: NDArray[np.int64] | None = None  # [M] of the [N] that came, where some have no answer
    given: pl.Series | None = None  # [N] of all rows, as they came
    findings: tuple[Finding, ...] = ()


def of_array(y: NDArray[np.generic], words: absence.Words, source: str) -> Answers:
    """Answers that came as an array.

    Args:
        y: [N] or [N, 1] of numbers, text, truth values, or objects of these, None among them; other arrays are handed
            on, for `targets` to refuse.
        words: what means a missing answer besides an empty one.
        source: for messages.

    Raises:
        InputError: objects that are neither numbers nor text, or not a single answer.
    """
    flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if flat.ndim != 1 or flat.dtype.kind not in "biufUSO":
        return Answers(flat)
    given = column(flat, source)
    missing = cells.text(given).is_null() | absence.marks(given, words)
    if not missing.any():
        return Answers(given.to_numpy() if flat.dtype.kind == "O" else flat, given=given)
    kept = (~missing).arg_true().to_numpy().astype(np.int64)
    found = _left_out(RawTable(given.to_frame(), source), missing, f"{source}, target")
    return Answers(given.gather(kept).to_numpy() if flat.dtype.kind == "O" else flat[kept], kept, given, found)


def without_unanswered(raw: RawTable, target: str) -> tuple[RawTable, tuple[Finding, ...]]:
    """The rows of a table whose answer is not missing, and what is said of the others.

    Raises:
        InputError: no row has an answer.
    """
    missing = cells.text(raw.frame.get_column(target)).is_null()
    if not missing.any():
        return raw, ()
    found = _left_out(raw, missing, f"{raw.source}, target {target!r}")
    return raw.take((~missing).arg_true().to_numpy().astype(np.int64)), found


def from_any(y: Any) -> tuple[Any, bool]:
    """A series or a frame of one column as an array whose missing cells are None, and whether it declares categories.

    Anything else, and dates, are handed on as they came.
    """
    import narwhals as nw

    native = nw.from_native(y, pass_through=True, allow_series=True)
    if isinstance(native, nw.LazyFrame):
        native = native.collect()
    if isinstance(native, nw.DataFrame) and len(native.columns) == 1:
        native = native.get_column(native.columns[0])
    if not isinstance(native, nw.Series) or native.dtype in (nw.Date, nw.Datetime):
        return y, False
    if type(native.dtype).__name__ in ("Categorical", "Enum"):
        return np.array([None if typed.is_absent(each) else each for each in native.to_list()], dtype=object), True
    found = typed.from_native("y", native)
    return (np.array(found.to_list(), dtype=object) if found.null_count() else found.to_numpy()), False


def column(y: NDArray[np.generic], source: str) -> pl.Series:
    """An array of answers [N] as a column.

    Raises:
        InputError: objects that are neither numbers nor text; names the first.
    """
    if y.dtype.kind == "f":
        return pl.Series("y", y.astype(np.float64))
    if y.dtype.kind in "biu":
        return pl.Series("y", y.astype(y.dtype.newbyteorder("=")))
    found = y.tolist()
    odd = [row for row, each in enumerate(found) if not (typed.is_absent(each) or isinstance(each, PLAIN))]
    if odd:
        kind = type(found[odd[0]]).__name__
        raise InputError(f"{source}, target: an answer of type {kind} in row {odd[0]}; numbers or text are expected.")
    return typed.from_objects(
        "y", [each.decode("utf-8", "replace") if isinstance(each, bytes) else each for each in found]
    )


def _left_out(raw: RawTable, missing: pl.Series, where: str) -> tuple[Finding, ...]:
    rows = missing.arg_true().to_numpy().astype(np.int64)
    if len(rows) == missing.len():
        raise InputError(f"{where}: all {count(len(rows), 'answer')} missing; there is nothing to learn from.")
    few = len(rows) == 1
    return (
        Finding(
            code=codes.UNANSWERED,
            level="warning",
            sentence=f"{count(len(rows), 'row')} of {missing.len()} {'has' if few else 'have'} no answer and "
            f"{'was' if few else 'were'} left out ({raw.places(rows)}).",
            evidence={"rows": len(rows), "of": missing.len(), "first": raw.in_source(rows[:SHOWN_ROWS]).tolist()},
            fix="give the answers of these rows if they are known",
        ),
    )
