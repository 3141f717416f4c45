"""Each feature shifted and scaled by itself: centred, standardised, to [0, 1], or robustly."""

from __future__ import annotations

from typing import Literal

import numpy as np

from shoal.prepare.fitted import Fitted, Floats
from shoal.prepare.step import Step
from shoal.prepare.streaming import Chunks, known, quantiles, sample, spread

SOFT_LIMIT = 3.0


class Scaling(Step):
    """z = (x - center) / scale, by feature; with `smooth_clip` then z / sqrt(1 + (z / 3)^2).

    A feature that is constant over the training rows has scale 0 and becomes 0, in new rows too.
    """

    kind: Literal["center", "standardize", "minmax", "robust"]
    center: Fitted  # [D]
    scale: Fitted  # [D], 0 for a constant feature
    smooth_clip: bool = False

    @property
    def features(self) -> int:
        """D."""
        return len(self.center)

    def apply(self, x: Floats) -> Floats:
        """Rows [n, D] to scaled rows [n, D]; NaN stays.

        Raises:
            InputError: rows of another width.
        """
        away = self.check(x) - self.center
        away[:, self.scale == 0] = np.where(np.isnan(away[:, self.scale == 0]), np.nan, 0.0)
        z = away / np.where(self.scale > 0, self.scale, 1.0)
        return soft_clip(z) if self.smooth_clip else z

    def invert(self, y: Floats) -> Floats:
        """Scaled rows back: center + z scale. A constant feature comes back as its constant.

        Raises:
            InputError: rows of another width.
        """
        z = self.check(y)
        if self.smooth_clip:
            near = np.clip(z, -SOFT_LIMIT * (1 - 1e-16), SOFT_LIMIT * (1 - 1e-16))
            z = near / np.sqrt((1 - near / SOFT_LIMIT) * (1 + near / SOFT_LIMIT))
        return self.center + z * self.scale


def soft_clip(score: Floats) -> Floats:
    """z / sqrt(1 + (z / 3)^2): near 0 the identity, never beyond 3.

    Source: Holzmueller, Grinsztajn & Steinwart 2024 (RealMLP), there after robust scaling.

    >>> soft_clip(np.array([0.0, 3.0, 1e9])).round(3).tolist()
    [0.0, 2.121, 3.0]
    """
    near = np.clip(score, -1e8, 1e8)  # beyond, the value is the limit to the last bit, and the square could overflow
    clipped: Floats = near / np.sqrt(1 + (near / SOFT_LIMIT) ** 2)
    return clipped


def fit_center(chunks: Chunks) -> Scaling:
    """x - mean; the unit stays.

    Args:
        chunks: the training rows; read once.
    """
    stats = spread(chunks)
    return Scaling(kind="center", center=known(stats.mean), scale=np.ones_like(stats.mean))


def fit_standardize(chunks: Chunks) -> Scaling:
    """(x - mean) / std, with std over all training rows.

    Args:
        chunks: the training rows; read once.

    Agrees with scikit-learn's StandardScaler, but for constant features: those become 0 in new rows too.
    """
    stats = spread(chunks)
    return Scaling(kind="standardize", center=known(stats.mean), scale=known(stats.std))


def fit_minmax(chunks: Chunks) -> Scaling:
    """(x - least) / (largest - least): the training rows fill [0, 1]; new rows may leave it.

    Args:
        chunks: the training rows; read once.
    """
    stats = spread(chunks)
    return Scaling(kind="minmax", center=known(stats.low), scale=known(stats.high - stats.low))


def fit_robust(chunks: Chunks, smooth_clip: bool = False) -> Scaling:
    """(x - median) / (q75 - q25), which outliers hardly move.

    Args:
        chunks: the training rows; read twice where there are more than can be sampled whole (see `sample`).
        smooth_clip: bend outliers towards 3, as RealMLP does.

    Where half of the values are equal the quartiles coincide; half of the range takes their place, as in RealMLP
    (scikit-learn leaves such a feature in its unit). Otherwise as scikit-learn's RobustScaler.
    """
    rows, _ = sample(chunks)
    low, middle, high = quantiles(rows, np.array([0.25, 0.5, 0.75]))
    stats = spread(chunks)
    scale = np.where(high > low, high - low, (stats.high - stats.low) / 2)
    return Scaling(kind="robust", center=known(middle), scale=known(scale), smooth_clip=smooth_clip)
