"""Greedy selection of an ensemble on validation rows, and what it gains.

Source: Caruana et al. 2004, "Ensemble selection from libraries of models": start from the top k members, then
add whichever helps the mean prediction most, with replacement. Here k follows from a paired difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RowScores = Callable[[Floats], Floats]  # mean predictions [N, C] to (score, -loss) of each row, [2, N]

TOP_K = 5  # members that the selection starts from, at most
ROUNDED = 9  # decimals of a loss: a longer ensemble must be better by more than rounding


@dataclass(frozen=True)
class Selection:
    """Members with repetition counts, and the validation score after each addition."""

    members: tuple[int, ...]
    counts: tuple[int, ...]
    path: tuple[float, ...]


def select(predictions: Floats, row_scores: RowScores, most: int = 20) -> Selection:
    """Choose an ensemble by its loss on the validation rows.

    The loss decides and not the score, because accuracy depends on the few rows that flip. One of many candidates is
    always the luckiest on these rows, so the selection starts from the mean of the `TOP_K` best by loss, or of fewer,
    if that mean is worse than the best one by more than a standard error of the paired difference. It then adds
    whichever candidate lowers the loss most, and ends at the shortest prefix with the lowest loss.

    Args:
        predictions: probabilities or values [M, N, C] of M candidates on the validation rows.
        row_scores: score and negative loss by row.
        most: additions at most.
    """
    chosen = _start(predictions, row_scores, most)
    least = len(chosen)
    total = predictions[chosen].sum(axis=0)
    path = [row_scores(predictions[chosen[:n]].mean(axis=0)).mean(axis=1) for n in range(1, len(chosen) + 1)]
    for size in range(len(chosen) + 1, most + 1):
        merits = [row_scores((total + each) / size).mean(axis=1)[::-1].tolist() for each in predictions]
        best = max(range(len(merits)), key=lambda i: (merits[i], -i))
        chosen.append(best)
        total = total + predictions[best]
        path.append(np.array(merits[best][::-1]))
    length = max(range(least, len(chosen) + 1), key=lambda n: (round(float(path[n - 1][1]), ROUNDED), -n))
    members = sorted(set(chosen[:length]))
    return Selection(
        members=tuple(members),
        counts=tuple(chosen[:length].count(member) for member in members),
        path=tuple(float(score) for score, _ in path[:length]),
    )


def _start(predictions: Floats, row_scores: RowScores, most: int) -> list[int]:
    """The top k candidates that the selection starts from, the best by loss first."""
    losses = [-float(row_scores(each)[1].mean()) for each in predictions]
    order = sorted(range(len(losses)), key=lambda i: (losses[i], i))
    alone = row_scores(predictions[order[0]])[1]
    for n in range(min(TOP_K, len(order), most), 1, -1):
        lost = alone - row_scores(predictions[order[:n]].mean(axis=0))[1]
        if round(float(lost.mean()), ROUNDED) < round(float(lost.std() / np.sqrt(len(lost))), ROUNDED):
            return order[:n]
    return order[:1]


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
