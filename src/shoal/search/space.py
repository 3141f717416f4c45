"""Where hyperparameters are searched, and random draws from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, log2

from shoal.core import keyed
from shoal.core.dimensions import Value, applies
from shoal.core.errors import InputError
from shoal.core.events import Range

Ranges = Mapping[str, Range]
Values = dict[str, float]


@dataclass(frozen=True)
class Categorical:
    """Values without an order; each is as likely as the others.

    Raises:
        InputError: there is nothing to choose from.
    """

    options: tuple[Value, ...]

    def __post_init__(self) -> None:
        if not self.options:
            raise InputError("A choice needs at least one value.")


Space = Mapping[str, Range | Categorical]


def position(range_: Range, value: float) -> float:
    """Where a value lies in its range, on the range's own scale: 0 at the low bound, 1 at the high one.

    In a range of a single whole number everything lies in the middle.

    >>> round(position(Range(low=1e-4, high=1e-2), 1e-3), 9)
    0.5
    """
    if range_.low == range_.high:
        return 0.5
    if range_.log:
        return (log(value) - log(range_.low)) / (log(range_.high) - log(range_.low))
    return (value - range_.low) / (range_.high - range_.low)


def value_at(range_: Range, position: float) -> float:
    """The value at a position, of an integer range the nearest whole one; defined outside the bounds too.

    >>> value_at(Range(low=16, high=256, integer=True), 0.5)
    64
    """
    value = _value_at(range_.low, range_.high, position, logarithmic=range_.log)
    return max(1, round(value)) if range_.integer else value


def _value_at(low: float, high: float, position: float, *, logarithmic: bool) -> float:
    if logarithmic:
        return exp(log(low) + position * (log(high) - log(low)))
    return low + position * (high - low)


def draw(space: Space, seed: int, trial: int, fixed: Mapping[str, Value] | None = None) -> dict[str, Value]:
    """Random search (Bergstra & Bengio 2012): one independent draw per dimension, uniform on its own scale.

    A dimension that has no meaning beside the others' values, by the table of dimensions, is left out; the draws of the
    others are what they are with it.

    Args:
        space: by name.
        seed: of the search.
        trial: number of the trial; its draw does not depend on how many others there are.
        fixed: values of dimensions that are not searched; they decide which others have a meaning.
    """
    u = keyed.uniform(keyed.key(seed, keyed.Purpose.SEARCH, trial), (len(space),)).tolist()
    drawn = {name: _drawn(of, p) for (name, of), p in zip(space.items(), u, strict=True)}
    beside = {**(fixed or {}), **drawn}
    return {name: value for name, value in drawn.items() if applies(name, beside)}


def _drawn(of: Range | Categorical, u: float) -> Value:
    if isinstance(of, Categorical):
        return of.options[min(int(u * len(of.options)), len(of.options) - 1)]
    if not of.integer:
        return value_at(of, u)
    values = whole_numbers(of)
    return values[min(int(u * len(values)), len(values) - 1)]


def whole_numbers(range_: Range) -> Sequence[int]:
    """What an integer range is drawn from: every number, or about doublings where it is logarithmic, with both bounds.

    Few sizes make few populations: trials that differ in a network's width cannot stand in one.

    >>> whole_numbers(Range(low=48, high=400, integer=True))
    [48, 97, 197, 400]
    """
    low, high = int(range_.low), int(range_.high)
    if not range_.log:
        return range(low, high + 1)
    steps = max(1, round(log2(high / low)))
    return sorted({round(low * (high / low) ** (k / steps)) for k in range(steps + 1)})
