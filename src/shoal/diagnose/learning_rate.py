"""Step 3: which learning rates make the loss go down?"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.core.events import Record

Outcome = Literal["found", "too_low", "too_high", "no_signal"]

USEFUL = 0.5  # share of the best improvement that a learning rate inside the range must reach
LEAST_IMPROVEMENT = 0.02  # of the initial loss: less is not "going down"


class Sweep(Record):
    """The result of a sweep, read from the median over the seeds of (start - end) / start at each learning rate."""

    outcome: Outcome
    best: float  # learning rate
    low: float
    high: float
    improvement: float  # at the best
    beyond: float  # (prior_loss - end) / prior_loss at the best: what was learned from the inputs
    at_top: bool  # the best is the highest that was tried


def judge(
    lr: Sequence[float], start: Sequence[float], end: Sequence[float], train: Sequence[float], prior_loss: float
) -> Sweep:
    """Read a sweep of real short trainings with one optimizer.

    The range is every learning rate around the best that reaches half of its improvement; a lone one between two that
    do is taken for noise and does not end it. Where nothing improves, the loss on the training rows tells why: if it
    rises or diverges even at the bottom of the sweep, the rates are too high; if it moves at the top, they are as they
    should be, but what is learned holds for the training rows alone; if it stands still even there, they are too low.

    Args:
        lr: of each training, [K].
        start: loss before it, on rows that no batch holds, [K].
        end: loss after it, NaN where it diverged, [K].
        train: loss on the batches of its last part, likewise, [K].
        prior_loss: loss of the best constant answer (the class frequencies, or the mean) on the rows of `end`. A loss
            can fall this far without any use of the inputs.
    """
    rates = sorted(set(lr))
    gains, gains_train = _gains(rates, lr, start, end), _gains(rates, lr, start, train)
    top = int(np.argmax(gains))
    useful = {i for i in range(len(rates)) if gains[i] >= USEFUL * gains[top]}
    low, high = _reach(useful, top, -1), _reach(useful, top, +1)
    improved = gains[top] >= LEAST_IMPROVEMENT
    outcome: Outcome = "too_low"
    if improved:
        outcome = "found"
    elif gains_train[0] < -LEAST_IMPROVEMENT:
        outcome = "too_high"
    elif abs(gains_train[-1]) > LEAST_IMPROVEMENT:
        outcome = "no_signal"
    return Sweep(
        outcome=outcome,
        best=rates[top],
        low=rates[low],
        high=rates[high],
        improvement=float(gains[top]),
        beyond=float(_gains(rates, lr, [prior_loss] * len(lr), end)[top]),
        at_top=top == len(rates) - 1,
    )


def _reach(useful: Set[int], start: int, step: Literal[-1, 1]) -> int:
    """How far useful rates go in one direction."""
    while start + step in useful or start + 2 * step in useful:
        start += step if start + step in useful else 2 * step
    return start


def _gains(
    rates: Sequence[float], lr: Sequence[float], start: Sequence[float], end: Sequence[float]
) -> NDArray[np.float64]:
    """Median over the seeds of (start - end) / start at each rate; -inf where it diverged."""
    before, after = np.asarray(start, dtype=float), np.nan_to_num(np.asarray(end, dtype=float), nan=np.inf)
    gain = np.nan_to_num((before - after) / before, nan=-np.inf, neginf=-np.inf)
    return np.array([np.median(gain[np.asarray(lr) == rate]) for rate in rates])
