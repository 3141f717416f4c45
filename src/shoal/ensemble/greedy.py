"""Greedy selection of an ensemble on validation rows, and what it gains.

Source: Caruana et al. 2004, "Ensemble selection from libraries of models": start from nothing, add whichever member
helps the mean prediction most, with replacement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RowScores = Callable[[Floats], Floats]  # mean predictions [N, C] to (score, -loss) of each row, [2, N]

ROUNDED = 9  # decimals of a loss: a longer ensemble must be better by more than rounding


@dataclass(frozen=True)
class Selection:
    """Members with repetition counts, and the validation score after each addition."""

    members: tuple[int, ...]
    counts: tuple[int, ...]
    path: tuple[float, ...]

    def combine(self, predictions: Floats) -> Floats:
        """The weighted mean [N, C] of predictions [M, N, C]."""
        weights = np.asarray(self.counts, dtype=float)
        return np.tensordot(weights / weights.sum(), predictions[list(self.members)], axes=1)


def select(predictions: Floats, row_scores: RowScores, most: int = 20) -> Selection:
    """Choose an ensemble by its loss on the validation rows.

    By the loss and not by the score: accuracy counts few rows that flip, so a single network that was the luckiest of
    many on these rows would often hide what averaging gains on new ones. The ensemble is the shortest prefix with the
    lowest loss; its loss is never above that of any single candidate.

    Args:
        predictions: probabilities or values [M, N, C] of M candidates on the validation rows.
        row_scores: score and negative loss by row.
        most: additions at most.
    """
    chosen: list[int] = []
    total = np.zeros_like(predictions[0])
    path: list[tuple[float, float]] = []  # (-loss, score) after each addition
    for size in range(1, most + 1):
        merits = [row_scores((total + each) / size).mean(axis=1)[::-1].tolist() for each in predictions]
        best = max(range(len(merits)), key=lambda i: (merits[i], -i))
        chosen.append(best)
        total = total + predictions[best]
        path.append((merits[best][0], merits[best][1]))
    length = max(range(most), key=lambda i: (round(path[i][0], ROUNDED), -i)) + 1
    members = sorted(set(chosen[:length]))
    return Selection(
        members=tuple(members),
        counts=tuple(chosen[:length].count(member) for member in members),
        path=tuple(score for _, score in path[:length]),
    )


def paired_gain(
    first: Floats, second: Floats, metric: Callable[[Floats], Floats], seed: int, resamples: int = 1000
) -> tuple[float, tuple[float, float]]:
    """How much the second predictor gains over the first on the same rows, with a 95 % bootstrap interval.

    Args:
        first: score of each row, [N].
        second: score of each row, [N].
        metric: mean scores to the reported metric, monotone and affine.
        seed: of the resampling.
        resamples: bootstrap replicas (Efron 1979).

    Returns:
        The gain, and the interval.
    """
    difference = second - first
    n, rng = len(difference), np.random.default_rng(seed)
    means = np.array([difference.mean(), 0.0, *(difference[rng.integers(0, n, n)].mean() for _ in range(resamples))])
    measured = metric(means)
    gains = measured - measured[1]
    low, high = np.quantile(gains[2:], [0.025, 0.975])
    return float(gains[0]), (float(low), float(high))
