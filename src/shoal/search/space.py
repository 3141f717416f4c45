"""Ranges of hyperparameters and random draws from them."""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log

from shoal.core import keyed
from shoal.core.events import Range

Ranges = Mapping[str, Range]
Values = dict[str, float]


def position(range_: Range, value: float) -> float:
    """Where a value lies in its range, on the range's own scale: 0 at the low bound, 1 at the high one.

    >>> round(position(Range(low=1e-4, high=1e-2), 1e-3), 9)
    0.5
    """
    if range_.log:
        return (log(value) - log(range_.low)) / (log(range_.high) - log(range_.low))
    return (value - range_.low) / (range_.high - range_.low)


def value_at(range_: Range, position: float) -> float:
    """The value at a position; the inverse of `position`, and defined outside the bounds too."""
    if range_.log:
        return exp(log(range_.low) + position * (log(range_.high) - log(range_.low)))
    return range_.low + position * (range_.high - range_.low)


def draw(ranges: Ranges, seed: int, trial: int) -> Values:
    """Random search (Bergstra & Bengio 2012): one independent draw per hyperparameter, uniform on its range's scale.

    Args:
        ranges: by name.
        seed: of the search.
        trial: number of the trial; its draw does not depend on how many others there are.
    """
    u = keyed.uniform(keyed.key(seed, keyed.Purpose.SEARCH, trial), (len(ranges),)).tolist()
    return {name: value_at(range_, p) for (name, range_), p in zip(ranges.items(), u, strict=True)}
