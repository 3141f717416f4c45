"""Differences between settings that share seeds: their mean and a 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its interval, which is infinitely wide where fewer than two seeds count."""

    value: float
    low: float
    high: float
    n: int

    @property
    def clear(self) -> bool:
        """The interval does not hold 0."""
        return self.low > 0 or self.high < 0


def mean(values: Sequence[float] | Floats, confidence: float = 0.95) -> Estimate:
    """Mean of the finite values with Student's interval.

    mean +- t_{(1 + confidence) / 2, n-1} s / sqrt(n)

    Args:
        values: one for each seed.
        confidence: of the interval. Of m intervals that are to hold together with 0.95, each has 1 - 0.05 / m
            (Bonferroni).
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not len(known):
        return Estimate(float("nan"), float("-inf"), float("inf"), 0)
    centre = float(known.mean())
    if len(known) < 2:
        return Estimate(centre, float("-inf"), float("inf"), 1)
    half = float(stats.t.ppf((1 + confidence) / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return Estimate(centre, centre - half, centre + half, len(known))


def difference(
    values: Sequence[float] | Floats, others: Sequence[float] | Floats, confidence: float = 0.95
) -> Estimate:
    """Mean of values - others, seed by seed: what the seeds share cancels.

    >>> paired = difference([0.90, 0.80, 0.85], [0.88, 0.79, 0.83])
    >>> round(paired.value, 4), paired.clear
    (0.0167, True)
    """
    return mean(np.asarray(values, dtype=float) - np.asarray(others, dtype=float), confidence)


def score_said(value: float, metric: str) -> str:
    """A score in words: accuracy in percent."""
    return f"{100 * value:.1f} %" if metric == "accuracy" else f"{value:.3f}"


def gain_said(gain: Estimate, metric: str) -> str:
    """A difference of scores and its interval in words: accuracy in points."""
    if metric == "accuracy":
        return f"{100 * gain.value:+.1f} points ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
    return f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
