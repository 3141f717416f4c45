"""A category column to one input per value that is frequent enough in the training rows."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.events import Record

FEWEST_ROWS = 4  # training rows, below which a value goes to "other"
MOST_VALUES = 128  # the commonest; the rest goes to "other"


class CategoryColumn(Record):
    """One-hot: an input per kept value, one for "other" and one for missing cells, where training rows had such.

    A value without training rows goes to "other"; where there is no "other", it is all zeros. If there are two values
    and nothing else, they become one input, -1 or 1.
    """

    kind: Literal["category"] = "category"
    name: str
    values: tuple[str, ...]
    other: bool
    missing: bool

    def names(self) -> list[str]:
        """Names of the inputs that it makes."""
        if self._signed():
            return [f"{self.name}={self.values[1]}"]
        slots = [f"{self.name}={value}" for value in self.values]
        return slots + [f"{self.name}=other"] * self.other + [f"{self.name} missing"] * self.missing

    def _signed(self) -> bool:
        return len(self.values) == 2 and not self.other and not self.missing

    def transform(self, cells: pl.Series) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Text with null for missing cells to [N, slots], and which rows hold a value without an input."""
        lookup = pl.DataFrame(
            {"value": list(self.values), "slot": np.arange(len(self.values))},
            schema={"value": pl.String, "slot": pl.Int64},
        )
        joined = pl.DataFrame({"value": cells.cast(pl.String)}).join(
            lookup, on="value", how="left", maintain_order="left"
        )
        slot = joined.get_column("slot").fill_null(-1).to_numpy().copy()
        absent = cells.is_null().to_numpy()
        foreign = (slot < 0) & ~absent
        if self._signed():
            return (2.0 * slot - 1.0 + (slot < 0) * 3.0).astype(np.float32)[:, None], foreign
        width = len(self.names())
        slot[foreign] = len(self.values) if self.other else -1
        slot[absent] = width - 1 if self.missing else -1
        encoded = np.zeros((len(slot), width), dtype=np.float32)
        rows = np.flatnonzero(slot >= 0)
        encoded[rows, slot[rows]] = 1.0
        return encoded, foreign


def fit_category(name: str, cells: pl.Series) -> tuple[CategoryColumn, frozenset[str]]:
    """The values kept, the commonest first, and all values of the training rows (to tell unseen from rare ones)."""
    counts = cells.drop_nulls().value_counts(sort=False).sort(["count", cells.name], descending=[True, False])
    often = counts.filter(pl.col("count") >= FEWEST_ROWS).get_column(cells.name).head(MOST_VALUES).to_list()
    column = CategoryColumn(
        name=name, values=tuple(often), other=len(often) < counts.height, missing=cells.null_count() > 0
    )
    return column, frozenset(counts.get_column(cells.name).to_list())
