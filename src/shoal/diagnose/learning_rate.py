"""Step 3: which learning rates make the loss go down?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from shoal.core.events import Record

Outcome = Literal["found", "too_low", "too_high", "no_signal"]

USEFUL = 0.5  # share of the best improvement that a learning rate inside the range must reach
LEAST_IMPROVEMENT = 0.02  # of the initial loss: less is not "going down"


class Sweep(Record):
    """What a sweep says: medians over the seeds, by learning rate, of (start - end) / start."""

    outcome: Outcome
    best: float  # learning rate
    low: float
    high: float
    improvement: float  # at the best
    at_top: bool  # the best is the highest that was tried


def judge(lr: Sequence[float], start: Sequence[float], end: Sequence[float]) -> Sweep:
    """Read a sweep of real short trainings with one optimizer.

    The range is every learning rate around the best that reaches half of its improvement. Where nothing improves, the
    ends of the sweep tell why: if the loss stands still even at the top, the rates are too low; if it rises or diverges
    even at the bottom, they are too high; if it stands still there and rises at the top, the rates are as they should
    be and the rows hold nothing that these steps can learn.

    Args:
        lr: of each training, [K].
        start: loss before it, on rows that no batch holds, [K].
        end: loss after it, NaN where it diverged, [K].
    """
    rates = sorted(set(lr))
    ends = np.nan_to_num(np.asarray(end, dtype=float), nan=np.inf)
    gain = np.nan_to_num((np.asarray(start) - ends) / np.asarray(start), nan=-np.inf, neginf=-np.inf)
    gains = np.array([np.median(gain[np.asarray(lr) == rate]) for rate in rates])
    top = int(np.argmax(gains))
    useful = [i for i in range(len(rates)) if gains[i] >= USEFUL * gains[top]]
    low = high = top
    while low - 1 in useful:
        low -= 1
    while high + 1 in useful:
        high += 1
    improved = gains[top] >= LEAST_IMPROVEMENT
    rose = gains < -LEAST_IMPROVEMENT
    outcome: Outcome = "too_low"
    if improved:
        outcome = "found"
    elif rose[0]:
        outcome = "too_high"
    elif rose[-1]:
        outcome = "no_signal"
    return Sweep(
        outcome=outcome,
        best=rates[top],
        low=rates[low],
        high=rates[high],
        improvement=float(gains[top]),
        at_top=top == len(rates) - 1,
    )
