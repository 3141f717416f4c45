"""The best epoch of each row by its own validation score, and the weights it had there (early stopping)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from shoal.population.matrix import Matrix
from shoal.population.record import Floats


class Best:
    """Tracks K rows. A higher score is better; between equal scores the lower loss is."""

    def __init__(self, members: int) -> None:
        self.score = np.full(members, -np.inf)
        self.loss = np.full(members, np.inf)
        self.epoch = np.zeros(members, dtype=np.int64)
        self._theta: Tensor | None = None
        self._buffers: dict[str, Tensor] = {}

    def update(self, epoch: int, score: Floats, loss: Floats) -> None:
        """Note which rows are better than ever after this epoch. NaN is never better."""
        better = (score > self.score) | ((score == self.score) & (loss < self.loss))
        self.score = np.where(better, score, self.score)
        self.loss = np.where(better, loss, self.loss)
        self.epoch = np.where(better, epoch, self.epoch)

    def keep(self, rows: list[int], population: Matrix) -> None:
        """Copy the weights and buffers of these rows."""
        if self._theta is None:
            self._theta = population.theta.clone()
            self._buffers = {name: stack.clone() for name, stack in population.buffers.items()}
        self._theta[rows] = population.theta[rows]
        for name, stack in population.buffers.items():
            self._buffers[name][rows] = stack[rows]

    def restore(self, population: Matrix) -> None:
        """Put the kept weights back, in place, for rows that have a best epoch."""
        rows = [int(row) for row in np.flatnonzero(self.epoch)]
        if self._theta is None or not rows:
            return
        population.theta[rows] = self._theta[rows]
        for name, stack in population.buffers.items():
            stack[rows] = self._buffers[name][rows]
