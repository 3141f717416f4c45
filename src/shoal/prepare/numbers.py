"""A number column to one or two inputs: fill, bend, standardise, clip softly, and say what was missing."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.core.events import Record

KNOTS = 256
SOFT_LIMIT = 3.0


class NumberColumn(Record):
    """Fitted on training rows: z = (bend(x) - center) / scale, then z / sqrt(1 + (z/3)^2), which stays within 3.

    Source: soft clipping after robust scaling as in RealMLP (Holzmueller et al. 2024).
    """

    kind: Literal["number"] = "number"
    name: str
    fill: float  # median of the training rows
    center: float
    scale: float  # 0 where the training rows are constant: the input is then 0
    indicator: bool  # cells were missing in training: a second input says where

    def names(self) -> list[str]:
        """The inputs that it makes."""
        return [self.name, f"{self.name} missing"] if self.indicator else [self.name]

    def transform(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """[N] with NaN for missing cells to [N, 1 or 2]."""
        missing = np.isnan(values)
        z = (np.where(missing, self.fill, values) - self.center) * (1.0 / self.scale if self.scale > 0 else 0.0)
        soft = z / np.sqrt(1 + (z / SOFT_LIMIT) ** 2)
        columns = [soft, missing] if self.indicator else [soft]
        return np.stack(columns, axis=1).astype(np.float32)


def fit_number(name: str, values: NDArray[np.float64]) -> NumberColumn:
    """The statistics of one column; NaN is missing."""
    present = values[~np.isnan(values)]
    missing = len(present) < len(values)
    if not len(present):
        return NumberColumn(name=name, fill=0.0, center=0.0, scale=0.0, indicator=missing)
    fill = np.median(present)
    return NumberColumn(
        name=name, fill=float(fill), center=float(present.mean()), scale=float(present.std()), indicator=missing
    )
