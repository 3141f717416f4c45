"""Mini-batches as index streams: which rows of the data each gradient step sees, and with what weight."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from shoal.core import keyed


@dataclass(frozen=True)
class Batches:
    """One epoch: `rows` int64 [T, B] and `weights` [T, B], 1 for a row that counts and 0 for filling."""

    rows: Tensor
    weights: Tensor

    @property
    def steps(self) -> int:
        """Gradient steps T of the epoch."""
        return self.rows.shape[0]


def epoch_batches(n: int, batch_size: int, seed: int, epoch: int, dtype: torch.dtype, device: torch.device) -> Batches:
    """The batches of one epoch, in an order keyed by (seed, epoch).

    The last, short batch is filled with rows from the epoch's beginning at weight 0: each step has the same shape, and
    the filling enters neither the loss nor its gradient.

    Args:
        n: rows of the data.
        batch_size: B; more than n means one batch of all rows.
        seed: of the order; all members of a population share it.
        epoch: number of the epoch.
        dtype: type of the weights.
        device: where the tensors go.
    """
    size = min(batch_size, n)
    steps = -(-n // size)
    order = keyed.permutation(keyed.key(seed, keyed.Purpose.ORDER, epoch), n)
    position = torch.arange(steps * size)
    rows = order[position % n].reshape(steps, size)
    weights = (position < n).to(dtype).reshape(steps, size)
    return Batches(rows.to(device), weights.to(device))
