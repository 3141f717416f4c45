"""Step 6: what learning curves say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal

import numpy as np

from shoal.core.events import Record

Answer = Literal["good", "more_training", "overfitting", "underfitting", "diverged"]

SLOPE = -0.005  # validation loss per epoch, as a share of the loss of chance: falling faster needs more training
READ = 1 / 3  # share of the epochs, from the last, that the slope is read from
GAP = 0.05  # training score - validation score: more is overfitting, if it is beyond the noise too
NOISES = 2.0  # standard errors of the validation score that count as beyond the noise
RISE = 0.1  # of the loss of chance by which the validation loss ends above its lowest: more is overfitting
WEAK = 0.6  # share of the way from the baseline to a perfect score, on training rows: less is underfitting
DIVERGED = 0.5  # share of the members


@dataclass(frozen=True)
class Curves:
    """One member's curves, and the numbers that they are compared with."""

    train_loss: Sequence[float]  # by epoch, in training mode
    last_train_score: float  # of the last epoch, likewise
    validation_loss: Sequence[float]
    validation_score: float  # at the best epoch
    train_score: float  # at the best epoch too, in evaluation mode
    best_epoch: int
    noise: float  # standard error of the validation score
    baseline: float  # score without a network
    chance_loss: float
    diverged_share: float  # of the members that were trained together with this one


class CurveReading(Record):
    """The verdict on one member's curves, with the numbers and the thresholds."""

    code: str
    verdict: Answer
    sentence: str
    epochs_read: tuple[int, int]
    slope: float
    gap: float
    gap_threshold: float
    slope_threshold: float = SLOPE
    rise: float  # of the validation loss from its lowest epoch to the last, as a share of the loss of chance
    rise_threshold: float = RISE


def slope(validation_loss: Sequence[float], chance_loss: float) -> tuple[float, int]:
    """Change of the validation loss per epoch as a share of the loss of chance, and the first epoch it was read from.

    A straight line through the last third of the epochs, three at least.

    >>> slope([1.0, 0.9, 0.8, 0.7], chance_loss=1.0)
    (-0.1, 2)
    """
    epochs = len(validation_loss)
    read = min(epochs, max(3, round(READ * epochs)))
    tail = np.asarray(validation_loss[-read:], dtype=float)
    if read < 2 or not np.isfinite(tail).all():
        return 0.0, epochs
    return round(float(np.polyfit(np.arange(read), tail, 1)[0]) / chance_loss, 6), epochs - read + 1


def judge(curves: Curves, larger_was_no_better: bool = False) -> CurveReading:
    """Name what the curves show: diverged, needs more training, overfitting, underfitting, or good.

    Args:
        curves: of the best member.
        larger_was_no_better: a larger network has been tried, so a weak score is not the network's size.
    """
    epochs = len(curves.validation_loss)
    steepness, first = slope(curves.validation_loss, curves.chance_loss)
    gap = curves.train_score - curves.validation_score
    threshold = max(GAP, NOISES * curves.noise)
    lowest, rise = _rise(curves.validation_loss, curves.chance_loss)
    reached = max(curves.train_score, curves.last_train_score)  # the best epoch may have come before it could fit
    skill = (reached - curves.baseline) / (1.0 - curves.baseline) if curves.baseline < 1 else 1.0
    room = 1.0 - curves.validation_score > NOISES * curves.noise  # a better score could show on these rows
    code: str
    verdict: Answer
    if curves.diverged_share > DIVERGED or not isfinite(curves.validation_loss[-1]):
        code, verdict = "SHL164", "diverged"
        sentence = f"{curves.diverged_share:.0%} of the networks diverged: the learning rates are too high."
    elif steepness < SLOPE and room:
        code, verdict = "SHL161", "more_training"
        sentence = (
            f"The validation loss still falls by {-steepness:.1%} of chance's loss per epoch at the last of {epochs} "
            f"epochs (more than {-SLOPE:.1%}): training was too short."
        )
    elif gap > threshold:
        code, verdict = "SHL162", "overfitting"
        sentence = (
            f"The score on training rows is {gap:.3f} above the one on validation rows (threshold {threshold:.3f}): "
            "regularize more, or get more data."
        )
    elif rise > RISE and curves.train_loss[-1] < curves.train_loss[lowest - 1]:
        # the same rows at two epochs: this shows where too few rows blur the gap of the scores
        code, verdict = "SHL162", "overfitting"
        sentence = (
            f"The validation loss was lowest after epoch {lowest} and has risen by {rise:.0%} of chance's loss since "
            f"(more than {RISE:.0%}), while the training loss fell on: regularize more, or get more data."
        )
    elif skill < WEAK and not larger_was_no_better:
        code, verdict = "SHL163", "underfitting"
        sentence = (
            f"Even on training rows the network gets only {max(skill, 0.0):.0%} of the way from the baseline to a "
            f"perfect score (less than {WEAK:.0%}), and hardly better than on new rows (gap {gap:.3f}): "
            "a larger network may help."
        )
    else:
        code, verdict = "SHL160", "good"
        weak = "; a network twice as wide was no better within this budget" if skill < WEAK else ""
        sentence = (
            f"The validation loss {_end(steepness)}, and the score on training rows is within {threshold:.3f} of the "
            f"one on validation rows (gap {gap:+.3f}){weak}."
        )
    return CurveReading(
        code=code,
        verdict=verdict,
        sentence=sentence,
        epochs_read=(first, epochs),
        slope=steepness,
        gap=gap,
        gap_threshold=threshold,
        rise=rise,
    )


def _end(steepness: float) -> str:
    """What the validation loss does in its last epochs."""
    moves = f"{steepness:+.2%} of chance's loss per epoch"
    if steepness < SLOPE:
        return f"still falls ({moves}), but these rows are too few to show a better score"
    if steepness > -SLOPE:
        return f"rises at the end ({moves}), after its best epoch"
    return f"has settled ({moves})"


def _rise(validation_loss: Sequence[float], chance_loss: float) -> tuple[int, float]:
    """The epoch with the lowest validation loss, and how far above it the last one is."""
    losses = np.asarray(validation_loss, dtype=float)
    if not len(losses) or not np.isfinite(losses).all():
        return len(losses), 0.0
    return int(losses.argmin()) + 1, round(float(losses[-1] - losses.min()) / chance_loss, 6)
