"""Whether numbers that are to be predicted are quantities or names of classes, where the user does not say.

Two different numbers are classes, fractions are quantities. Whole numbers may be either: what tells them apart is how
many there are, whether they run without gaps, and how often each occurs. Counts and ratings rise to one hump and fall
off at its sides; codes are about equally common, or common without an order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.core.events import Finding, TaskType
from shoal.core.wording import setting
from shoal.data import codes

MOST_WHOLE_CLASSES = 20  # above, whole numbers are classes only where they look like codes
MOST_CODES = 100
MOST_CODED_CLASSES = 1000  # of an array that is no table
ROWS_PER_CLASS = 3  # on average
ROWS_PER_CODE = 20  # of the rarest, where there are more than 20
FEWEST_COUNTS = 7  # different numbers from which on a hump is more than chance
BALANCED = 3  # times the rarest, up to which the commonest makes no hump
STEEP = 10  # times the rarest, from which on it does


@dataclass(frozen=True)
class Guess:
    """A task, and why it was chosen where another one could be meant."""

    task: TaskType
    doubt: str = ""
    warn: bool = False

    def finding(self, distinct: NDArray[np.float64], rows: int) -> tuple[Finding, ...]:
        """What is to be said of it."""
        if not self.doubt:
            return ()
        chosen, other = (
            ("names of classes", "regression") if self.task == "classification" else ("quantities", "classification")
        )
        return (
            Finding(
                code=codes.TASK_GUESSED,
                level="warning" if self.warn else "note",
                sentence=f"The target holds {len(distinct)} different numbers, {distinct[0]:g} to {distinct[-1]:g}: "
                f"they were taken for {chosen} ({self.task}), because {self.doubt}.",
                evidence={"task": self.task, "values": len(distinct), "rows": rows},
                fix=f"if the target's numbers are no {chosen}, say so: {setting('task', other)}",
            ),
        )


def guess(distinct: NDArray[np.float64], often: NDArray[np.int64], *, coded: bool) -> Guess:
    """The task that a target of numbers sets.

    Args:
        distinct: its different values, rising, at least two.
        often: rows of each.
        coded: whole numbers that came as an array with data other than a table, where counts are rare.
    """
    count, rows = len(distinct), int(often.sum())
    if count == 2:
        return Guess("classification")
    enough = rows >= ROWS_PER_CLASS * count
    if not (distinct == np.round(distinct)).all():
        few = count <= MOST_WHOLE_CLASSES and enough
        return Guess("regression", "some of them are no whole numbers" if few else "")
    from_zero = bool(distinct[0] == 0 and distinct[-1] == count - 1)
    if coded and from_zero and count <= MOST_CODED_CLASSES and rows >= 5 * count:
        return Guess("classification")
    if count > MOST_CODES:
        return Guess("regression")
    if count > MOST_WHOLE_CLASSES:
        return _many(distinct, often)
    if not enough:
        return Guess("regression", f"there are only {rows} rows of them")
    return _few(distinct, often)


def _few(distinct: NDArray[np.float64], often: NDArray[np.int64]) -> Guess:
    count, rarest, commonest = len(distinct), int(often.min()), int(often.max())
    hump = _one_hump(often) and count > 3
    run = hump and (distinct[0] == 0 or distinct[-1] - distinct[0] == count - 1)
    steep = run and count >= FEWEST_COUNTS and commonest >= STEEP * rarest
    if steep or (hump and rarest == 1):
        reason = "they are rarer the further they are from the commonest, as counts are"
        return Guess("regression", reason, warn=True)
    if run and count > 4 and commonest > BALANCED * rarest:
        return Guess("classification", "there are few of them, though in an order, as ratings are")
    return Guess("classification")


def _many(distinct: NDArray[np.float64], often: NDArray[np.int64]) -> Guess:
    """More than 20 whole numbers: classes where each is well filled and nothing speaks of an order."""
    balanced = int(often.max()) <= BALANCED * int(often.min())
    shapeless = balanced or not _one_hump(often)
    if int(often.min()) >= ROWS_PER_CODE and shapeless:
        span = distinct[-1] - distinct[0]
        step = float(np.gcd.reduce(np.diff(distinct).astype(np.int64)))
        if distinct[0] in (0, 1) and span == len(distinct) - 1:
            reason = "each has 20 rows or more and none of the shape that quantities have, as codes from 0 or 1"
            return Guess("classification", reason, warn=True)
        if 2 * len(distinct) <= span / step + 1:
            reason = "each has 20 rows or more, with gaps between them, as codes have"
            return Guess("classification", reason, warn=True)
    thrice = int(often.sum()) >= ROWS_PER_CLASS * len(distinct)
    return Guess("regression", f"there are more than {MOST_WHOLE_CLASSES}" if thrice else "")


def _one_hump(often: NDArray[np.int64]) -> bool:
    """Whether the frequencies rise to one value and fall behind it, chance aside."""
    steps = np.diff(often)
    noise = 2 * np.sqrt(often[:-1] + often[1:])
    mode = int(often.argmax())
    return bool((steps[:mode] >= -noise[:mode]).all() and (steps[mode:] <= noise[mode:]).all())
