"""Columns that repeat each other or the target, and rows that repeat each other."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.events import Finding, Task
from shoal.data import codes
from shoal.data.wording import count

FEWEST_PER_VALUE = 5  # rows for each value of a column, on average, before "determines" means anything
EXACT = 1e-12


def duplicates(values: dict[str, pl.Series]) -> dict[str, str]:
    """Columns whose cells all equal those of an earlier column, with that column's name."""
    seen: dict[tuple[str, int, object], list[str]] = {}
    found: dict[str, str] = {}
    for name, series in values.items():
        key = (str(series.dtype), series.null_count(), series.drop_nulls().head(1).to_list().__repr__())
        for other in seen.setdefault(key, []):
            if series.equals(values[other], check_names=False, null_equal=True):
                found[name] = other
                break
        else:
            seen[key].append(name)
    return found


def copies_of_target(
    values: dict[str, pl.Series], target: NDArray[np.generic], task: Task
) -> tuple[list[str], list[str]]:
    """Columns that are the target under another coding, and columns that determine it exactly without being one.

    A copy maps one to one to the classes, or linearly to the values. A column determines the classes when each of its
    values, with five rows or more on average, goes with a single class.
    """
    copies: list[str] = []
    determining: list[str] = []
    for name, series in values.items():
        if task == "regression":
            if series.dtype == pl.Float64 and _linear(series, target.astype(np.float64)):
                copies.append(name)
            continue
        unique = series.n_unique()
        if unique < 2 or unique * FEWEST_PER_VALUE > series.len():
            continue
        pairs = pl.DataFrame({"x": series, "y": target}).unique()
        if pairs.height > unique:
            continue
        (copies if unique == pairs.get_column("y").n_unique() else determining).append(name)
    return copies, determining


def repeated_rows(frame: pl.DataFrame, target: NDArray[np.generic]) -> Finding | None:
    """Rows that occur more than once, target included."""
    if frame.width == 0:
        return None
    repeats = frame.height - frame.with_columns(pl.Series("\x00target", target)).n_unique()
    if not repeats:
        return None
    return Finding(
        code=codes.REPEATED_ROWS,
        level="warning" if repeats > 0.05 * frame.height else "note",
        sentence=f"{count(repeats, 'row')} of {frame.height} {'repeats' if repeats == 1 else 'repeat'} an earlier one "
        "exactly; a copy may fall on each side of the split and flatter the test score.",
        evidence={"repeats": repeats, "rows": frame.height},
        fix="drop the copies, or give --group so that they stay together",
    )


def _linear(series: pl.Series, target: NDArray[np.float64]) -> bool:
    """Whether the target is a linear function of the column, to rounding."""
    if series.null_count():
        return False
    x = series.to_numpy()
    x = x - x.mean()
    y = target - target.mean()
    scale = float(x @ x) * float(y @ y)
    return scale > 0 and float(x @ y) ** 2 >= scale * (1 - EXACT)
