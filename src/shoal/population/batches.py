"""Mini-batches as index streams: which rows of the data each gradient step sees, and with what weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from shoal.core import keyed


@dataclass(frozen=True)
class Batches:
    """One epoch: which rows, and `weights` [T, B], 1 for a row that counts and 0 for filling."""

    rows: Tensor  # int64 [T, B] for all members, or [c, T, B] for each its own
    weights: Tensor

    @property
    def steps(self) -> int:
        """Gradient steps T of the epoch."""
        return self.weights.shape[0]

    @property
    def by_row(self) -> bool:
        """Each member has rows of its own."""
        return self.rows.dim() == 3

    def at(self, step: int) -> Tensor:
        """The rows of one step, [B] or [c, B]."""
        return self.rows[..., step, :]

    def through(self, views: Sequence[Tensor]) -> Batches:
        """These batches of positions as batches of rows of the data, each member looking through its view.

        Args:
            views: int64 [n] of each member of a block, all of the length that the batches were made for.
        """
        if all(view is views[0] or torch.equal(view, views[0]) for view in views):
            return Batches(views[0][self.rows], self.weights)
        return Batches(torch.stack([view[self.rows] for view in views]), self.weights)


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
