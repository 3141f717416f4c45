"""Which rows a caller means: numbers, a slice, or a mask of truth values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from shoal.core.errors import InputError

Rows = SupportsIndex | slice | Iterable[Any] | Tensor | NDArray[np.generic]
"""What names rows: a number, a slice, a list of numbers, or a mask with one truth value for each row."""


def row_numbers(rows: Rows, count: int, of: str = "the population", *, from_end: bool = True) -> NDArray[np.int64]:
    """The numbers of the rows that are meant, in the order in which they were named.

    Args:
        rows: whole numbers, from the end where they are negative; a slice; or a mask [count] of truth values, whose
            true ones are meant.
        count: how many rows there are.
        of: what these rows are of, for the message.
        from_end: negative numbers count from the end; else they are refused, as those of rows of data are, where -1 is
            what a search that found nothing gives.

    Raises:
        InputError: there is no such row; a mask of another length; or neither whole numbers nor truth values.

    >>> row_numbers([-1, 0], 3).tolist(), row_numbers([False, True, True], 3).tolist()
    ([2, 0], [1, 2])
    """
    if isinstance(rows, slice):
        return np.arange(count)[rows]
    named = _named(rows)
    if named.ndim == 1 and not len(named):
        return np.empty(0, dtype=np.int64)
    if named.dtype == bool and named.ndim:
        if named.shape != (count,):
            raise InputError(f"A mask of shape {list(named.shape)}: {of} has {count} rows, so give {count} values.")
        return np.flatnonzero(named)
    if named.dtype.kind not in "iu" or named.ndim > 1:
        raise InputError(
            f"{_shown(rows)} names no rows of {of}: give whole numbers, a slice, or a mask of {count} truth values."
        )
    wrong = (named < (-count if from_end else 0)) | (named >= count)
    if wrong.any():
        raise InputError(
            f"There is no row {int(np.atleast_1d(named)[np.atleast_1d(wrong)][0])}: {of} has the rows 0 to {count - 1}."
        )
    return np.atleast_1d(named).astype(np.int64) % count


def _named(rows: Rows) -> NDArray[Any]:
    """What was given, as an array; of objects where it is no array of one kind."""
    if isinstance(rows, Tensor):
        return rows.detach().cpu().numpy()
    if isinstance(rows, np.ndarray) or not isinstance(rows, Iterable) or isinstance(rows, str | bytes):
        return np.asarray(rows)
    values = [value.item() if isinstance(value, Tensor) and value.dim() == 0 else value for value in rows]
    truths = sum(isinstance(value, bool | np.bool_) for value in values)
    if 0 < truths < len(values):  # NumPy would read the truth values as the numbers 0 and 1
        return np.asarray(values, dtype=object)
    try:
        return np.asarray(values)
    except ValueError:  # lists of different lengths
        return np.asarray([None])


def _shown(rows: Rows) -> str:
    text = repr(rows.tolist() if isinstance(rows, Tensor | np.ndarray) else rows)
    return text if len(text) <= 60 else f"{text[:57]}..."
