"""In which type classes were given, so that a prediction equals the target of its row: text, numbers, truth values."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.data.schema import ClassType

_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")  # 007 is a code
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?")


def of_column(series: pl.Series, names: Sequence[str], *, from_text: bool) -> ClassType:
    """The type of the classes of a column: its own, or in a file of text the one that the cells spell.

    Args:
        series: the target.
        names: of its classes.
        from_text: whether the table is a file of text, where everything is.
    """
    if series.dtype == pl.String and not from_text:
        return "text"
    return _spelled(names, fractions=series.dtype.is_float())


def of_array(y: NDArray[np.generic], names: Sequence[str]) -> ClassType:
    """The type of the classes of an array."""
    if y.dtype.kind in "US" or (y.dtype.kind == "O" and any(isinstance(value, str) for value in y.reshape(-1))):
        return "text"
    return _spelled(names, fractions=y.dtype.kind == "f")


def _spelled(names: Sequence[str], *, fractions: bool) -> ClassType:
    """What the names spell; whole numbers among `fractions` stay fractions.

    >>> _spelled(("0", "1"), fractions=False), _spelled(("02139", "10001"), fractions=False)
    ('integer', 'text')
    """
    if not names:
        return "text"
    if len(names) == 2 and {name.lower() for name in names} == {"true", "false"}:
        return "boolean"
    if not fractions and all(_WHOLE.fullmatch(name) for name in names):
        return "integer"
    return "number" if all(_NUMBER.fullmatch(name) for name in names) else "text"
