"""Cells far from all others of their column: where they begin, what the rest spreads by, and which are wild.

One cell of 1000 among four hundred of about 1 takes the mean with it and most of the standard deviation: scaled by
these, the other cells are all alike. So what scales a column by itself asks here which cells are near.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FENCE = 32.0  # robust standard deviations from the median: cells beyond have no part in what scales their column
MOST_FAR = 0.25  # of the cells: where more lie far out, they are what the column is about
FAR = 8.0  # robust standard deviations: a normal cell lies beyond once in 10^15
NORMAL_QUARTILES = 1.349  # between the quartiles of a normal distribution, in standard deviations
GAP = 10.0  # times as far from the median as the next nearer cell, a cell has nothing to do with the others
MOST_WILD = 0.1  # of the cells: more are a second group
FEWEST = 5  # cells: with fewer nothing is usual


def distances(values: Floats) -> Floats:
    """How far each cell lies from the median, in robust standard deviations.

    One of these is the distance of the quartiles / 1.349. Where the quartiles coincide (a column that is mostly 0), and
    where more than a quarter of the cells would lie 8 away or more, it is the median distance of those that do.

    Args:
        values: [N], finite, at least one.

    Returns:
        [N]; 0 in a constant column.

    >>> distances(np.array([1.0, 2.0, 3.0, 4.0, 1000.0])).round(1).tolist()
    [1.3, 0.7, 0.0, 0.7, 672.5]
    """
    away = np.abs(values - np.median(values))
    low, high = np.quantile(values, [0.25, 0.75])
    unit = float(high - low) / NORMAL_QUARTILES
    far = away > FAR * unit
    if far.any() and (unit == 0 or far.mean() > MOST_FAR):
        unit = float(np.quantile(away[far], 0.5, method="lower"))
    return away / unit if unit > 0 else np.zeros_like(away)


@dataclass(frozen=True)
class Wild:
    """Cells that stand alone: a gap lies between them and all others."""

    rows: NDArray[np.int64]  # where they stand, the farthest first
    low: float  # the range of all the other cells
    high: float


def wild(values: Floats) -> Wild | None:
    """The cells that have nothing to do with the others, or None.

    They lie 8 robust standard deviations from the median or more, ten times as far as any nearer cell, and are a tenth
    of all (or two) at most. The long tail of a lognormal column reaches far too, but without a gap.

    Args:
        values: [N] of a column, NaN where a cell is missing.

    >>> found = wild(np.array([1.0, 2.0, 3.0, 4.0, 1000.0, np.nan]))
    >>> found.rows.tolist(), found.low, found.high
    ([4], 1.0, 4.0)
    """
    present = np.flatnonzero(~np.isnan(values))
    if len(present) < FEWEST:
        return None
    away = distances(values[present])
    order = np.argsort(away, kind="stable")
    ordered = away[order]
    first = len(ordered) - max(2, int(MOST_WILD * len(ordered)))  # no gap is looked for among the nearer ones
    gaps = np.flatnonzero(ordered[first:] > np.maximum(GAP * ordered[first - 1 : -1], FAR))
    if not len(gaps):
        return None
    alone = order[first + gaps[0] :]
    others = np.delete(values[present], alone)
    return Wild(present[alone[::-1]], float(others.min()), float(others.max()))
