"""Prepared rows as tensors: what networks are trained on and scored by."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Part:
    """Inputs [N, ...] and targets, int64 [N] classes or standardised numbers [N, 1]."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Tensor) -> Part:
        """Some of the rows."""
        return Part(self.x[rows], self.y[rows])
