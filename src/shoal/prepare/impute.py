"""Missing cells are filled, and flags say where they were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.prepare.fitted import Fitted, Floats
from shoal.prepare.step import Step
from shoal.prepare.streaming import Chunks, known, quantiles, sample, spread


class Impute(Step):
    """Missing cells become their feature's `fill`; each feature with an indicator has one more output, 0 or 1."""

    kind: Literal["impute"] = "impute"
    fill: Fitted  # [D]
    indicator: tuple[bool, ...]  # [D]: cells were missing in training

    @property
    def features(self) -> int:
        """D."""
        return len(self.fill)

    def filled(self, x: Floats) -> Floats:
        """Rows [n, D] without missing cells."""
        x = self.check(x)
        return np.where(np.isnan(x), self.fill, x)

    def flags(self, x: Floats) -> Floats:
        """Where cells were missing, [n, number of indicators] of 0 and 1."""
        return np.isnan(self.check(x))[:, self._flagged()].astype(np.float64)

    def apply(self, x: Floats) -> Floats:
        """Rows [n, D] to filled rows and indicators, [n, D + indicators].

        Raises:
            InputError: rows of another width.
        """
        return np.concatenate([self.filled(x), self.flags(x)], axis=1)

    def invert(self, y: Floats) -> Floats:
        """Filled rows and indicators back to rows with their missing cells."""
        x = np.array(y[:, : self.features], dtype=np.float64)
        for slot, feature in enumerate(self._flagged()):
            x[y[:, self.features + slot] > 0.5, feature] = np.nan
        return x

    def names(self, inputs: Sequence[str]) -> list[str]:
        """The inputs, then `NAME missing`."""
        return [*inputs, *(f"{inputs[feature]} missing" for feature in self._flagged())]

    def _flagged(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.indicator)


def fit_impute(chunks: Chunks, by: Literal["median", "mean"] = "median") -> Impute:
    """Fit the fill of missing cells.

    Args:
        chunks: the training rows, NaN for missing cells; read twice.
        by: fill with the training median (beyond 131072 rows, of an even sample) or the training mean.

    Raises:
        InputError: no rows, or a value is infinite.
    """
    stats = spread(chunks)
    rows = 0
    for block in chunks():
        rows += len(block)
    fill = stats.mean if by == "mean" else quantiles(sample(chunks)[0], np.array([0.5]))[0]
    return Impute(fill=known(fill), indicator=tuple((stats.count < rows).tolist()))
