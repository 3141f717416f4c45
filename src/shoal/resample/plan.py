"""A plan: the indices of the training, the validation and the test rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.core.keyed import Purpose, key, permutation


@dataclass(frozen=True)
class SplitIndices:
    """Three sets of row indices, ascending and disjoint, and how they were drawn."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    method: str  # a phrase for the report

    def sizes(self) -> dict[str, int]:
        """Rows of each part."""
        return {"train": len(self.train), "validation": len(self.validation), "test": len(self.test)}


def draw(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """At most so many of the rows, in their order, drawn without replacement by a keyed order.

    >>> draw(np.arange(4), 9, seed=0).tolist()
    [0, 1, 2, 3]
    """
    if len(rows) <= most:
        return rows
    order = permutation(key(seed, Purpose.SAMPLE, len(rows)), len(rows)).numpy()
    return np.sort(rows[order[:most]])
