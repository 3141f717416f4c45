"""How much of the budget each step may spend, in networks and epochs.

With a budget in trials nothing here reads a clock, so the same seed gives the same run. With a budget in time, the cost
of a network's epoch is measured as the run goes, and what comes next is cut to fit what is left. The clock is read by
`read` and nowhere else; the recipe tells each reading as an event before it decides anything from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from shoal.core.budget import Budget

COARSE_SHARE = 0.25  # of the time that is left after step 3
ROUND_SHARE = 0.6  # of the time that is left, for one refined round
RESERVE_S = 2.0  # for the ensemble, the test and the files
SAFETY = 0.85  # measured costs are short samples

COARSE_MEMBERS = (6, 128)
ROUND_MEMBERS = (3, 32)
ROUND_EPOCHS = (10, 20)
LEAST_OF_WANTED = 0.5  # a round that must be shorter than this share of the epochs wanted is not worth starting
COARSE_STEPS = 150  # gradient steps that a coarse trial should see, within 1 to 5 epochs
SWEEP_SHARE = 0.1
JUDGING_SHARE = 0.1  # of the time that is left after step 3, for asking which augmentations keep the labels
AUGMENTED = 1.3  # what a step costs with augmented samples, before that was measured


@dataclass(frozen=True)
class Allocation:
    """One population of the search: how many members, for how many epochs."""

    members: int
    epochs: int


class BudgetAllocator:
    """Spends one budget.

    Args:
        budget: in seconds or in trials.
        now: a clock in seconds; for a budget in trials it is read no further.
        steps_per_epoch: gradient steps of one pass over the training rows.
    """

    def __init__(self, budget: Budget, now: Callable[[], float], steps_per_epoch: int) -> None:
        self._budget, self._now, self._start = budget, now, now()
        self.elapsed_s = 0.0  # as last read
        self._steps_per_epoch = steps_per_epoch
        self._trials_left = budget.trials or 0
        self.step_s = 0.0  # of one gradient step of one member, its share of the evaluation included

    @property
    def timed(self) -> bool:
        """The budget is a time."""
        return self._budget.seconds is not None

    def read(self) -> float:
        """Read the clock: seconds since the start."""
        self.elapsed_s = self._now() - self._start
        return self.elapsed_s

    def left_s(self) -> float | None:
        """Seconds from the last reading until the search must end, or None for a budget in trials."""
        if self._budget.seconds is None:
            return None
        return self._budget.seconds - RESERVE_S - self.elapsed_s

    def exhausted(self) -> bool:
        """Nothing is left to search with."""
        left = self.left_s()
        return self._trials_left <= 0 if left is None else left <= 0

    def learned(self, seconds: float, member_steps: int) -> None:
        """Note what some gradient steps cost; the latest measurement counts."""
        if member_steps:
            self.step_s = seconds / member_steps

    def sweep_members(self, most: int, least: int, steps: int) -> int:
        """How many short trainings of step 3 the budget allows."""
        left = self.left_s()
        if left is None or self.step_s <= 0:
            return most
        return max(least, min(most, int(SWEEP_SHARE * left / (self.step_s * steps))))

    def judging_s(self) -> float | None:
        """Seconds for asking which augmentations keep the labels, or None for a budget in trials."""
        left = self.left_s()
        return None if left is None else JUDGING_SHARE * left

    def coarse(self, *, augmented: bool = False) -> Allocation:
        """The coarse search; with augmented samples, when only steps without them were measured."""
        epochs = max(1, min(5, ceil(COARSE_STEPS / self._steps_per_epoch)))
        left = self.left_s()
        if left is None:
            return Allocation(min(self._trials_left, max(2, self._trials_left // 2)), epochs)
        low, high = COARSE_MEMBERS
        affordable = int(SAFETY * COARSE_SHARE * left / (self._epoch_cost() * (AUGMENTED if augmented else 1.0)))
        return Allocation(max(low, min(high, affordable // epochs)), epochs if affordable >= low * epochs else 1)

    def next_round(self, factor: float, epochs: int | None) -> Allocation | None:
        """The next refined round, or None when too little is left for one.

        Args:
            factor: what a step costs against the last measurement (a network twice as wide costs more).
            epochs: as the user or the last verdict asks; None for the usual number.
        """
        wanted = epochs or ROUND_EPOCHS[0]
        left = self.left_s()
        if left is None:
            if self._trials_left < 1:
                return None
            return Allocation(min(self._trials_left, max(3, ceil((self._budget.trials or 0) / 4))), wanted)
        low, high = ROUND_MEMBERS
        affordable = int(SAFETY * ROUND_SHARE * left / (factor * self._epoch_cost()))
        if affordable < low * wanted:
            affordable = int(SAFETY * left / (factor * self._epoch_cost()))
        least = ceil(LEAST_OF_WANTED * wanted)
        if affordable < low * least:
            return None
        length = wanted if epochs else max(wanted, min(ROUND_EPOCHS[1], affordable // high))
        length = max(least, min(length, affordable // low))
        return Allocation(max(low, min(high, affordable // length)), length)

    def spend(self, trials: int) -> None:
        """Note trials that were started."""
        self._trials_left -= trials

    def _epoch_cost(self) -> float:
        return max(self.step_s * self._steps_per_epoch, 1e-6)
