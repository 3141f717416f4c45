"""Typed columns of any library as polars series of numbers, truth values, dates, categories or text.

What a type declares is believed: categories are categories, an order among them is an order, a length of time is a
number of seconds, a period is the moment at which it begins (a year is a number). No cell is lost on the way: those
that were filled are counted before and after, and a cell that became empty is refused by its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from shoal.core.errors import InputError

PER_SECOND = {"ns": 1e9, "us": 1e6, "ms": 1e3}
YEARS = (1, 9999)  # that Python's dates can hold
NUMBERS = (int, float, np.integer, np.floating, Decimal)
NESTED = (list, tuple, dict, set, np.ndarray)


def plain(series: pl.Series) -> pl.Series:
    """A polars column with its lengths of time in seconds; all else stays as it is.

    Raises:
        InputError: a date before the year 1 or after 9999, by its row.

    >>> plain(pl.Series([1500, None]).cast(pl.Duration("ms"))).to_list()
    [1.5, None]
    """
    if isinstance(series.dtype, pl.Duration):
        counts = series.to_physical()
        seconds = counts.cast(pl.Float64) / PER_SECOND[series.dtype.time_unit]
        return complete(seconds, counts.is_null().to_list(), counts)
    if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
        years = series.dt.year()
        beyond = (~years.is_between(*YEARS)).fill_null(False).arg_true()
        if beyond.len():
            raise InputError(
                f"column {series.name!r}, row {beyond[0]}: a date in the year {years[int(beyond[0])]}; years from 1 to "
                f"9999 are read ({beyond.len()} such cells); mend it, or drop the column (option `drop`)."
            )
    return series


def from_native(name: str, column: Any) -> pl.Series:
    """A column of a narwhals frame, or a narwhals series.

    Args:
        name: of the column.
        column: its narwhals series.

    Raises:
        InputError: cells that hold lists, structures or complex numbers, or that would be lost, by their row.
    """
    try:
        return _from_cells(name, column.dtype, column.to_list())
    except InputError:
        raise
    except (ValueError, OverflowError, TypeError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"column {name!r} of type {column.dtype} cannot be read ({reason}); convert it, or drop it (option `drop`)."
        ) from error


def _from_cells(name: str, dtype: Any, cells: Sequence[Any]) -> pl.Series:
    kept = [None if is_absent(cell) else cell for cell in cells]
    if dtype.is_numeric():
        return _numbers(name, kept, whole=not (dtype.is_float() or dtype.is_decimal()))
    if type(dtype).__name__ in ("Categorical", "Enum"):
        names = pl.Series(name, [None if cell is None else str(cell) for cell in kept], dtype=pl.Categorical)
        return complete(names, [cell is None for cell in kept], kept)
    if type(dtype).__name__ == "Duration":
        return _numbers(name, [None if cell is None else _seconds(cell) for cell in kept], whole=False)
    if dtype.is_temporal():
        return complete(pl.Series(name, kept, strict=False), [cell is None for cell in kept], kept)
    return from_objects(name, cells)


def from_objects(name: str, cells: Sequence[Any]) -> pl.Series:
    """Cells of unknown types as truth values, numbers or moments where all are, else as text; missing ones as null.

    Raises:
        InputError: a cell that is no plain value; names the row.

    >>> from_objects("x", [1, 2.5, None]).to_list(), from_objects("x", [True, None]).dtype
    ([1.0, 2.5, None], Boolean)
    """
    for row, cell in enumerate(cells):
        if isinstance(cell, (*NESTED, complex, np.complexfloating)):
            raise InputError(
                f"column {name!r}, row {row}: a cell of type {type(cell).__name__}; only plain values are read, "
                "drop it (option `drop`)."
            )
    kept = [None if is_absent(cell) else cell for cell in cells]
    present = [cell for cell in kept if cell is not None]
    if present and all(type(cell).__name__ == "Period" for cell in present):
        return _periods(name, kept, yearly=all(str(cell.freqstr).startswith(("Y", "A")) for cell in present))
    if present and all(isinstance(cell, timedelta) for cell in present):
        return _numbers(name, [None if cell is None else _seconds(cell) for cell in kept], whole=False)
    truths = [isinstance(cell, bool | np.bool_) for cell in present]
    if truths and all(truths):
        return pl.Series(name, [None if cell is None else bool(cell) for cell in kept], dtype=pl.Boolean)
    if present and not any(truths) and all(isinstance(cell, int | np.integer) for cell in present):
        if all(-(2**63) <= int(cell) < 2**63 for cell in present):
            return _numbers(name, [None if cell is None else int(cell) for cell in kept], whole=True)
    elif present and not any(truths) and all(isinstance(cell, NUMBERS) for cell in present):
        return _numbers(name, kept, whole=False)
    return pl.Series(name, [None if cell is None else str(cell) for cell in kept], dtype=pl.String)


def order_of(column: Any) -> tuple[str, ...]:
    """The order that a narwhals column declares for its categories, lowest first; none where it declares none.

    pandas and Arrow say of categories whether they are ordered; an `Enum` of polars is a list of them, and no order.
    """
    native = column.to_native()
    levels: Sequence[Any] = ()
    if getattr(getattr(native, "dtype", None), "ordered", False):
        levels = list(native.dtype.categories)
    elif getattr(getattr(native, "type", None), "ordered", False) and native.num_chunks:
        levels = native.unify_dictionaries().chunk(0).dictionary.to_pylist()
    return tuple(str(level) for level in levels)


def is_absent(cell: object) -> bool:
    """Whether a cell is missing: None, NaN, or pandas' NA and NaT, which are known by their names alone."""
    if isinstance(cell, float | np.floating):
        return bool(cell != cell)
    return cell is None or type(cell).__name__ in ("NAType", "NaTType")


def complete(made: pl.Series, absent: Sequence[bool], cells: Any) -> pl.Series:
    """A column that was made of cells, if it is filled where they were.

    Args:
        made: the column [N].
        absent: [N] where no cell was filled.
        cells: [N] for the message.

    Raises:
        InputError: names the first cell that would be lost.
    """
    lost = np.flatnonzero(made.is_null().to_numpy() & ~np.asarray(absent, dtype=np.bool_))
    if len(lost):
        raise InputError(
            f"column {made.name!r}, row {lost[0]}: {str(cells[int(lost[0])])!r} cannot be kept as {made.dtype} "
            f"({len(lost)} such cells); convert the column, or drop it (option `drop`)."
        )
    return made


def _numbers(name: str, cells: Sequence[Any], *, whole: bool) -> pl.Series:
    """Numbers as Float64, or in the narrowest integers of 64 bits or more that hold them all."""
    if not whole:
        return pl.Series(name, [None if cell is None else float(cell) for cell in cells], dtype=pl.Float64)
    filled = [cell for cell in cells if cell is not None] or [0]
    least, most = min(filled), max(filled)
    wide: type[pl.DataType] = pl.Int128
    if least >= -(2**63) and most < 2**64:
        wide = pl.Int64 if most < 2**63 else pl.UInt64 if least >= 0 else pl.Int128
    return pl.Series(name, cells, dtype=wide)  # strict: what does not fit raises


def _seconds(cell: Any) -> float:
    """Of a timedelta of Python's, or of pandas', which also has nanoseconds."""
    return float(cell.days * 86_400 + cell.seconds + cell.microseconds / 1e6 + getattr(cell, "nanoseconds", 0) / 1e9)


def _periods(name: str, cells: Sequence[Any], *, yearly: bool) -> pl.Series:
    """The moments at which periods of pandas' begin, or their years."""
    if yearly:
        return _numbers(name, [None if cell is None else cell.year for cell in cells], whole=True)
    starts = [None if cell is None else cell.start_time.to_pydatetime() for cell in cells]
    return complete(pl.Series(name, starts, dtype=pl.Datetime("us")), [cell is None for cell in cells], cells)
