"""Mini-batches as index streams: which examples each gradient step sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from shoal.core import keyed


@dataclass(frozen=True)
class Batches:
    """One epoch: an order of the examples and where it is cut into batches."""

    order: Tensor  # int64 [n]
    cuts: tuple[int, ...]  # T + 1 positions

    @property
    def steps(self) -> int:
        """Gradient steps T of the epoch."""
        return len(self.cuts) - 1

    def at(self, step: int) -> Tensor:
        """The examples of one step, [B]."""
        return self.order[self.cuts[step] : self.cuts[step + 1]]


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Gradient steps of one pass over n rows: the last batch is short.

    A row that would be alone in it joins the batch before, because one row has no variance to normalise by.

    >>> steps_per_epoch(10, 4), steps_per_epoch(9, 4), steps_per_epoch(3, 8)
    (3, 2, 1)
    """
    size = min(batch_size, n)
    return max(1, n // size + (n % size > 1))


def epoch_batches(n: int, batch_size: int, seed: int, epoch: int, device: torch.device) -> Batches:
    """The batches of one epoch, in an order keyed by (seed, epoch).

    Args:
        n: rows of the data.
        batch_size: B; n or more means one batch of all rows.
        seed: of the order; all members of a population share it.
        epoch: number of the epoch.
        device: where the order goes.
    """
    size = min(batch_size, n)
    order = keyed.permutation(keyed.key(seed, keyed.Purpose.ORDER, epoch), n)
    cuts = (*(size * step for step in range(steps_per_epoch(n, batch_size))), n)
    return Batches(order.to(device), cuts)
