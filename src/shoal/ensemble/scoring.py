"""How good answers are on rows whose truth is known: the score with its interval, and what goes with it."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from shoal.core.events import Interval

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
RESAMPLES = 1000


@dataclass(frozen=True)
class Scores:
    """The metric (it goes up), its 95 % interval, and further figures by name."""

    metric: str
    score: float
    interval: Interval
    further: dict[str, float]
    rows: int


def wilson(successes: int, n: int) -> Interval:
    """Wilson's score interval for a share (1927), 95 %.

    >>> tuple(round(end, 3) for end in wilson(8, 10))
    (0.49, 0.943)
    """
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # at the ends the formula gives 0 and 1, but for rounding
    return (centre - half if successes else 0.0), (centre + half if successes < n else 1.0)


def confusion(answer: NDArray[np.int64], truth: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Counts [truth, answer], both [N] class numbers."""
    table = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(table, (truth, answer), 1)
    return table


def of_classes(probabilities: Floats, truth: NDArray[np.int64]) -> Scores:
    """Accuracy with Wilson's interval; balanced accuracy (mean recall of the classes present) and log loss.

    Args:
        probabilities: [N, C].
        truth: class numbers [N].
    """
    answer = probabilities.argmax(axis=1)
    table = confusion(answer, truth, probabilities.shape[1])
    present = table.sum(axis=1) > 0
    recall = np.diag(table)[present] / table.sum(axis=1)[present]
    given = np.clip(probabilities[np.arange(len(truth)), truth], 1e-12, None)
    right = int((answer == truth).sum())
    return Scores(
        "accuracy",
        right / len(truth),
        wilson(right, len(truth)),
        {"balanced_accuracy": float(recall.mean()), "log_loss": float(-np.log(given).mean())},
        len(truth),
    )


def of_numbers(predicted: Floats, truth: Floats, seed: int) -> Scores:
    """R^2 with a bootstrap interval over rows (Efron 1979); root mean squared and mean absolute error.

    Args:
        predicted: [N], in the user's unit.
        truth: [N].
        seed: of the resampling.
    """
    n, rng = len(truth), np.random.default_rng(seed)
    squared = (predicted - truth) ** 2
    replicas = np.full(RESAMPLES, np.nan)
    for number in range(RESAMPLES):
        rows = rng.integers(0, n, n)
        if (variance := truth[rows].var()) > 0:
            replicas[number] = 1 - squared[rows].mean() / variance
    low, high = np.nanquantile(replicas, [0.025, 0.975]) if np.isfinite(replicas).any() else (np.nan, np.nan)
    variance = truth.var()
    return Scores(
        "r2",
        float(1 - squared.mean() / variance) if variance > 0 else float("nan"),
        (float(low), float(high)),
        {"rmse": float(np.sqrt(squared.mean())), "mae": float(np.abs(predicted - truth).mean())},
        n,
    )


def baseline(train_y: NDArray[np.generic], y: NDArray[np.generic], categorical: bool) -> float:
    """The score on `y` of always answering the training rows' most frequent class, or their mean."""
    if categorical:
        return float((y == np.bincount(train_y.astype(np.int64)).argmax()).mean())
    values = y.astype(np.float64)
    return float(1 - ((values - train_y.astype(np.float64).mean(axis=0)) ** 2).mean() / values.var())
