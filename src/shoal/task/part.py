"""Prepared rows as tensors: what networks are trained on and scored by."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from shoal.augment import Pixels


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


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows to train on, and rows to be scored on where there are any."""

    train: Part
    validation: Part | None = None
    pixels: Pixels | None = None  # what the inputs' numbers mean; None where they are no pixels in places
