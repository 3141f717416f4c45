"""A number column to its inputs: value, rank, and a flag of missing cells."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from shoal.core.events import Record
from shoal.data.outliers import FENCE, distances
from shoal.prepare.scaling import soft_clip

MOST_KNOTS = 128
FEWEST_ROWS_FOR_RANK = 1000  # training rows: on four tables of 178 to 891 rows the rank did not help
TAIL, FEWEST_IN_TAIL = 5.0, 5  # with so many cells beyond so many robust deviations, ranks are used for fewer rows too
FEWEST_VALUES_FOR_RANK = 10  # distinct values: below, there is no tail to spread


class NumberColumn(Record):
    """Value z = (x - mean) / std and normal score r = Phi^-1(F(x)), each clipped softly: s / sqrt(1 + (s/3)^2).

    Mean and std leave out cells that are far from all others (`data.outliers`), such as one of 1000 among four hundred
    of about 1. Such a cell keeps its sign and, by the rank, its order.

    F is the distribution of the training rows at `knots`, a tie counting half. The value keeps distances, the rank
    spreads the values of a long tail. An MLP that got both did better than with either alone: R2 0.807 against
    0.788 and 0.803 on california_housing, accuracy 0.834 against 0.818 and 0.826 on covertype (means of two splits).
    Missing cells become the training median.

    Source: soft clipping as in RealMLP (Holzmueller et al. 2024), there after robust scaling of the value alone.
    """

    kind: Literal["number"] = "number"
    name: str
    fill: float  # median of the training rows
    mean: float  # of the training cells that are no outliers
    std: float  # of the same; 0 where the training rows are constant: the input is then 0
    knots: tuple[float, ...] = ()  # ascending values; none where there is no rank input
    scores: tuple[float, ...] = ()  # Phi^-1(F) at the knots, linear between them
    indicator: bool  # cells were missing in training: one more input says where
    rows: int = 0  # training rows in which the cell was filled

    def names(self) -> list[str]:
        """Names of the inputs that it makes."""
        return [self.name] + [f"{self.name} rank"] * bool(self.knots) + [f"{self.name} missing"] * self.indicator

    def transform(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """[N] with NaN for missing cells to [N, 1 to 3]."""
        missing = np.isnan(values)
        filled = np.where(missing, self.fill, values)
        with np.errstate(over="ignore"):  # an infinite score is the limit all the same
            columns = [soft_clip((filled - self.mean) / self.std if self.std > 0 else np.zeros(len(values)))]
        if self.knots:
            columns.append(soft_clip(np.interp(filled, self.knots, self.scores)))
        if self.indicator:
            columns.append(missing.astype(np.float64))
        return np.stack(columns, axis=1).astype(np.float32)


def fit_number(name: str, values: NDArray[np.float64]) -> NumberColumn:
    """The statistics of one column; NaN is missing."""
    present = values[~np.isnan(values)]
    missing = len(present) < len(values)
    if not len(present):
        return NumberColumn(name=name, fill=0.0, mean=0.0, std=0.0, indicator=missing)
    away = distances(present)
    usual = away <= FENCE
    center = float(present[usual].mean())
    spread = float(present[usual].std())
    if not spread > 1e-12 * abs(center):  # rounding of the mean, not spread
        spread = 0.0
    ranked = len(present) >= FEWEST_ROWS_FOR_RANK or np.count_nonzero(away > TAIL) >= FEWEST_IN_TAIL
    knots, scores = _distribution(present) if ranked else ((), ())
    return NumberColumn(
        name=name,
        fill=float(np.median(present)),
        mean=center,
        std=spread,
        knots=knots,
        scores=scores,
        indicator=missing,
        rows=len(present),
    )


def _distribution(present: NDArray[np.float64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots and their normal scores, evenly spaced in score to resolve the tails; none where a rank says little."""
    ordered = np.sort(present)
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    if len(starts) <= FEWEST_VALUES_FOR_RANK:
        return (), ()
    distinct = ordered[starts]
    scores = ndtri((starts + np.append(starts[1:], len(ordered))) / (2 * len(ordered)))  # of the middle of each tie
    kept = np.unique(np.searchsorted(scores[:-1], np.linspace(scores[0], scores[-1], MOST_KNOTS)))
    return tuple(distinct[kept].tolist()), tuple(scores[kept].tolist())
