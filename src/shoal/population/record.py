"""What one epoch of a population measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch; all fields but `epoch` are [K], in the order of the members, NaN for rows that were not trained.

    `loss` and `score` are means over the epoch's batches in training mode (dropout on, smoothing included in the loss);
    `validation_loss` and `validation_score` are in evaluation mode, without smoothing.
    """

    epoch: int  # the largest of `epochs` among the rows that were trained
    epochs: NDArray[np.int64]  # passes over the data that each row has made
    loss: Floats
    score: Floats
    validation_loss: Floats
    validation_score: Floats
    lr: Floats
    best_epoch: NDArray[np.int64]  # 0 before the first
    best_score: Floats
    best_loss: Floats
    status: tuple[str, ...]

    @property
    def trained(self) -> NDArray[np.intp]:
        """Rows that this epoch trained."""
        return np.flatnonzero(~np.isnan(self.lr))

    def with_status(self, status: Sequence[str]) -> EpochRecord:
        """The same epoch after rows were stopped."""
        return replace(self, status=tuple(status))


def scatter(size: int, rows: Sequence[Sequence[int]], values: Sequence[Tensor]) -> Floats:
    """Values of some rows, block by block, as one array [K] with NaN elsewhere."""
    whole = np.full(size, np.nan)
    for block_rows, block_values in zip(rows, values, strict=True):
        whole[list(block_rows)] = block_values.detach().cpu().numpy()
    return whole
