"""The best epoch of each row by its own validation score, and the weights it had there (early stopping)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from shoal.population.matrix import Matrix
from shoal.population.record import Floats


class Best:
    """Tracks K rows. A higher score is better; between equal scores the lower loss is."""

    def __init__(self, members: int) -> None:
        self.score = np.full(members, -np.inf)
        self.loss = np.full(members, np.inf)
        self.epoch = np.zeros(members, dtype=np.int64)  # the row's own count; 0 is none yet
        self._theta: Tensor | None = None
        self._buffers: dict[str, Tensor] = {}

    def update(self, epochs: Tensor, score: Floats, loss: Floats) -> None:
        """Record which rows scored their best so far, after `epochs` [K] epochs each. NaN is never better."""
        better = (score > self.score) | ((score == self.score) & (loss < self.loss))
        self.score = np.where(better, score, self.score)
        self.loss = np.where(better, loss, self.loss)
        self.epoch = np.where(better, epochs.numpy(), self.epoch)

    def forget(self, rows: list[int]) -> None:
        """Forget the best epochs of these rows, which new members have taken over."""
        self.score[rows], self.loss[rows], self.epoch[rows] = -np.inf, np.inf, 0

    def keep(self, rows: list[int], population: Matrix) -> None:
        """Copy the weights that were scored, and the buffers, of these rows."""
        if self._theta is None:
            self._theta = torch.empty_like(population.theta)
            self._buffers = {name: torch.empty_like(stack) for name, stack in population.buffers.items()}
        self._theta[rows] = population.answering(rows)
        for name, stack in population.buffers.items():
            self._buffers[name][rows] = stack[rows]

    def restore(self, population: Matrix, rows: Sequence[int]) -> None:
        """Restore the weights of these rows' best epoch, or those scored last where none were kept."""
        population.theta[list(rows)] = population.answering(rows)
        chosen = [row for row in rows if self.epoch[row]]
        if self._theta is None or not chosen:
            return
        population.theta[chosen] = self._theta[chosen]
        for name, stack in population.buffers.items():
            stack[chosen] = self._buffers[name][chosen]

    def tensors(self) -> dict[str, Tensor]:
        """Everything that is to be saved, by name."""
        found = {name: torch.from_numpy(getattr(self, name)) for name in ("score", "loss", "epoch")}
        if self._theta is not None:
            found["theta"] = self._theta
            found |= {f"buffer.{name}": stack for name, stack in self._buffers.items()}
        return found

    @staticmethod
    def of(tensors: dict[str, Tensor], device: torch.device) -> Best:
        """Rebuilt from what `tensors` gave."""
        best = Best(len(tensors["score"]))
        best.score, best.loss, best.epoch = (tensors[name].numpy() for name in ("score", "loss", "epoch"))
        if "theta" in tensors:
            best._theta = tensors["theta"].to(device)
            prefix = "buffer."
            best._buffers = {
                name.removeprefix(prefix): stack.to(device)
                for name, stack in tensors.items()
                if name.startswith(prefix)
            }
        return best
