"""How good answers are on rows whose truth is known: the score with its interval, and further metrics."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from shoal.core.events import Finding, Interval

Floats = NDArray[np.float64]
CONFIDENCE = 0.95
FEWEST_FOR_R2 = 5  # rows: from four, simulated intervals of R^2 are wider than a hundred
FEW_ROWS = 20  # fewer say little: all of 19 rows right may be a share of 0.83, and an R^2 of 0.8 is one of 0.5 as well
FEW_TEST_ROWS, ONE_ANSWER = "SHL192", "SHL193"
WIDEST = 7.0  # half of an interval of log(1 - R^2): e^7 is a thousand times as much unexplained, or as little


@dataclass(frozen=True)
class Scores:
    """The metric (it goes up), its 95 % interval where the rows allow one, and further figures by name."""

    metric: str
    score: float
    interval: Interval | None
    further: dict[str, float]
    rows: int


def wilson(successes: int, n: int) -> Interval:
    """Wilson's score interval for a share (1927), 95 %.

    It can be had from any number of rows: over all true shares it covers 0.95 to 0.96 of them on average from 1 row on,
    and never less than 0.79 from 1, 0.86 from 10 and 0.90 from 20.

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


def of_numbers(predicted: Floats, truth: Floats, train_std: float) -> Scores:
    """R^2 with its interval (see `r2_interval`); root mean squared and mean absolute error.

    Where all true values are equal R^2 has no meaning: then 1 - (mean squared error) / train_std^2 stands for it, which
    has no interval. See `findings`.

    Args:
        predicted: [N], in the user's unit.
        truth: [N].
        train_std: standard deviation of the targets that were trained on.
    """
    squared = (predicted - truth) ** 2
    variance = float(truth.var()) if _vary(truth) else train_std**2
    return Scores(
        "r2",
        float(1 - squared.mean() / variance),
        r2_interval(squared, truth),
        {"rmse": float(np.sqrt(squared.mean())), "mae": float(np.abs(predicted - truth).mean())},
        len(truth),
    )


def r2_interval(squared: Floats, truth: Floats) -> Interval | None:
    """A 95 % interval for R^2, or None where none can be had: below five rows, or where single rows decide everything.

    With L = log(1 - R^2) and L_-n the same without row n: L +- t se, se^2 = (N - 1) / N sum_n (L_-n - mean)^2, t the
    quantile of Student's distribution with N - 1 degrees. In the logarithm the two sides are alike.

    In simulations with normal errors it covers 0.92 to 0.96 of the true values from 5 rows on (the percentile bootstrap
    0.81 of 5, 0.86 of 10 and 0.91 of 30), with errors of Student's t of 4 degrees 0.90 to 0.95; with a lognormal target
    0.75 to 0.83, where 200 rows hardly help.

    Args:
        squared: errors of the rows, [N].
        truth: [N].

    Source: Tukey's jackknife, as in Efron & Tibshirani 1993, "An introduction to the bootstrap", chapter 11.
    """
    n = len(truth)
    if n < FEWEST_FOR_R2 or not _vary(truth):
        return None
    away = truth - truth.mean()
    total, scatter = squared.sum(), (away**2).sum()
    unexplained = (total - squared) / (n - 1)  # without each row
    variance = (scatter - away**2) / (n - 1) - (away / (n - 1)) ** 2
    if not (unexplained > 1e-12 * total / n).all() or not (variance > 1e-12 * scatter / n).all():
        return None
    logs = np.log(unexplained) - np.log(variance)
    half = float(stdtrit(n - 1, 0.5 + CONFIDENCE / 2) * np.sqrt((n - 1) / n * ((logs - logs.mean()) ** 2).sum()))
    centre = log(total / scatter)
    return (1 - exp(centre + half), 1 - exp(centre - half)) if half < WIDEST else None


def findings(scores: Scores, truth: NDArray[np.generic]) -> list[Finding]:
    """Warn where the rows are too few, or too much alike, for a reliable score.

    Args:
        scores: of these rows.
        truth: [N].
    """
    rows, alike = scores.rows, scores.metric == "r2" and not _vary(truth)
    if rows >= FEW_ROWS and not alike:
        return []
    code = ONE_ANSWER if alike else FEW_TEST_ROWS
    named = f"{rows} test row{'s' if rows > 1 else ''}"
    if alike:
        sentence = (
            f"The score comes from {named} with one target value, {truth[0]:.6g}: R2 cannot be had from them. "
            "In its place stands 1 - (mean squared error) / (variance of the training targets)."
        )
    elif rows < FEWEST_FOR_R2:
        sentence = f"The score comes from {named}: {worth(rows)}."
    elif scores.metric == "r2":
        sentence = f"The score comes from {named}: {worth(rows)}, for single rows decide it."
    else:
        sentence = f"The score comes from {named}: {worth(rows)}, for each of them is {100 / rows:.2g} points of it."
    return [
        Finding(
            code=code,
            level="warning",
            sentence=sentence,
            evidence={"rows": rows, "few": FEW_ROWS, "interval": list(scores.interval) if scores.interval else None},
            fix="score the model on more rows whose answer is known: `shoal evaluate RUN DATA`",
        )
    ]


def worth(rows: int) -> str:
    """How much a score from so many rows says, in words."""
    if rows >= FEW_ROWS:
        return "no interval can be given"
    return "it says next to nothing" if rows < FEWEST_FOR_R2 else "it says little"


def _vary(values: NDArray[np.generic]) -> bool:
    return bool((values != values[0]).any())
