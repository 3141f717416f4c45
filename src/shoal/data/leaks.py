"""Columns that repeat each other or the target, and rows that repeat each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.events import Finding, TaskType
from shoal.core.wording import count
from shoal.data import codes
from shoal.data.roles import Inferred
from shoal.data.schema import Role
from shoal.data.targets import Target

FEWEST_PER_VALUE = 5  # rows for each value of a column, on average, before "determines" means anything
EXACT = 1e-12


@dataclass(frozen=True)
class Repeats:
    """Columns that say again what another column or the target says."""

    same: dict[str, str]  # a column and the earlier one that it equals
    copies: list[str]  # of the target
    determining: list[str]

    @classmethod
    def of(cls, inferred: dict[str, Inferred], answer: Target | None) -> Repeats:
        """Find them; without a target only columns that repeat each other."""
        values = {key: found.values for key, found in inferred.items() if found.values is not None}
        same = duplicates(values)
        if answer is None:
            return cls(same, [], [])
        once = {key: series for key, series in values.items() if key not in same}
        return cls(same, *copies_of_target(once, answer.values, answer.task))

    def role(self, name: str) -> tuple[Role, str] | None:
        """The role of a column that is set aside for this, and why."""
        if name in self.same:
            return "duplicate", f"the same as {self.same[name]}"
        return ("leak", "the target under another name or coding") if name in self.copies else None


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
    values: dict[str, pl.Series], target: NDArray[np.generic], task: TaskType
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


def row_keys(frame: pl.DataFrame, target: NDArray[np.generic] | None) -> NDArray[np.uint64]:
    """A number for each row [N], equal where all cells are equal, target included; others meet by chance 1 in 2^64."""
    if target is not None:
        frame = frame.with_columns(pl.Series("\x00target", target))
    return frame.hash_rows().to_numpy() if frame.width else np.arange(frame.height, dtype=np.uint64)


def repeated_rows(keys: NDArray[np.uint64]) -> list[Finding]:
    """Rows that occur more than once."""
    repeats = len(keys) - len(np.unique(keys))
    if not repeats:
        return []
    return [
        Finding(
            code=codes.REPEATED_ROWS,
            level="warning" if repeats > 0.05 * len(keys) else "note",
            sentence=f"{count(repeats, 'row')} of {len(keys)} {'repeats' if repeats == 1 else 'repeat'} an earlier one "
            "exactly; a copy may fall on each side of the split and flatter the test score.",
            evidence={"repeats": repeats, "rows": len(keys)},
            fix="drop the copies, or keep them together by a column that they share (option group)",
        )
    ]


def _linear(series: pl.Series, target: NDArray[np.float64]) -> bool:
    """Whether the target is a linear function of the column, to rounding."""
    if series.null_count():
        return False
    x = series.to_numpy()
    x = x - x.mean()
    y = target - target.mean()
    scale = float(x @ x) * float(y @ y)
    return scale > 0 and float(x @ y) ** 2 >= scale * (1 - EXACT)
