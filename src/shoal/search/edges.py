"""The edge rule: a best value near its range's border says that the optimum may lie outside, so the range moves.

A range that the user gave is never left: its bounds are as fixed as the natural ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shoal.core.dimensions import DIMENSIONS
from shoal.core.events import Interval, Range
from shoal.search.narrow import LEAST_WIDTH
from shoal.search.space import Ranges, Values, position, value_at

Side = Literal["low", "high"]
Bounds = Mapping[str, Interval]

MARGIN = 0.1  # share of a range, on its own scale, that counts as its edge
STRETCH = 0.75  # how far beyond the bound the range then reaches, as a share of its width
MOST = 10.0  # and at most this many times beyond it, on a logarithmic scale: one lucky trial moves it no farther
NATURAL: Bounds = {name: of.useful for name, of in DIMENSIONS.items() if of.kind != "choice"}  # no rule moves these


def edge_of(name: str, range_: Range, value: float, bounds: Bounds = NATURAL) -> Side | None:
    """The bound that a value is near, or None; a bound that cannot move is no edge.

    >>> edge_of("lr", Range(low=1e-4, high=1e-3), 9.5e-4)
    'high'
    >>> edge_of("dropout", Range(low=0.0, high=0.5, log=False), 0.01) is None
    True
    """
    low, high = bounds[name]
    where = position(range_, value)
    if where <= MARGIN and range_.low > low * (1 + 1e-9):
        return "low"
    if where >= 1 - MARGIN and range_.high < high * (1 - 1e-9):
        return "high"
    return None


def moved(name: str, range_: Range, side: Side, round_: int, bounds: Bounds = NATURAL) -> Range:
    """The range with one bound moved outwards by `STRETCH` of its width; remembers where the bounds were."""
    low, high = bounds[name]
    if side == "low":
        bound = value_at(range_, -STRETCH)
        reach = max(low, bound, range_.low / MOST if range_.log else bound), range_.high
    else:
        bound = value_at(range_, 1 + STRETCH)
        reach = range_.low, min(high, bound, range_.high * MOST if range_.log else bound)
    moves = {"low": reach[0], "high": reach[1], "was": (range_.low, range_.high), "moved_in_round": round_}
    return range_.model_copy(update=moves)


def extend(
    ranges: Ranges, best: Mapping[str, float], round_: int, given: Bounds
) -> tuple[dict[str, Range], dict[str, Side]]:
    """Apply the edge rule to each range.

    Args:
        ranges: that were searched.
        best: values of the best trial.
        round_: number of the round, for the record.
        given: bounds that the user set, which stay.

    Returns:
        The ranges, and which bound of which moved.
    """
    bounds = {**NATURAL, **given}
    sides = {name: edge_of(name, range_, best[name], bounds) for name, range_ in ranges.items()}
    hit = {name: side for name, side in sides.items() if side is not None}
    return {n: moved(n, r, hit[n], round_, bounds) if n in hit else r for n, r in ranges.items()}, hit


def as_given(name: str, bounds: Interval) -> Range:
    """The whole range that the user gave for one hyperparameter."""
    of = DIMENSIONS[name]
    return Range(low=bounds[0], high=bounds[1], log=of.log, integer=of.kind == "integer")


def first(name: str, optimizer: str) -> Range:
    """The range in which a search with this optimizer looks first."""
    return as_given(name, DIMENSIONS[name].first_for(optimizer))


def held(given: Bounds, best: Mapping[str, float]) -> dict[str, Side]:
    """Which bounds that the user gave the best values are near, of those that could be set wider."""
    sides = {name: edge_of(name, as_given(name, bounds), best[name]) for name, bounds in given.items() if name in best}
    return {name: side for name, side in sides.items() if side is not None}


def beyond(given: Bounds) -> dict[str, Side]:
    """Which ranges that the user gave lie wholly outside of what has a meaning, and on which side.

    >>> beyond({"dropout": (0.95, 0.99), "label_smoothing": (0.4, 0.6)})
    {'dropout': 'high'}
    """
    sides: dict[str, Side] = {}
    for name, (low, high) in given.items():
        if low >= NATURAL[name][1]:
            sides[name] = "high"
        elif high <= NATURAL[name][0]:
            sides[name] = "low"
    return sides


def within(ranges: Ranges, given: Bounds) -> dict[str, Range]:
    """The ranges, cut where they leave the ones that the user gave; what is cut keeps a share of those, at that end."""
    return {
        name: _cut(range_, as_given(name, given[name])) if name in given else range_ for name, range_ in ranges.items()
    }


def _cut(range_: Range, given: Range) -> Range:
    if given.low <= range_.low and range_.high <= given.high:
        return range_
    low = min(max(range_.low, given.low), value_at(given, 1 - LEAST_WIDTH))
    high = max(min(range_.high, given.high), value_at(given, LEAST_WIDTH))
    return range_.model_copy(update={"low": low, "high": high})


def bounded(values: Mapping[str, float], given: Bounds) -> Values:
    """The values, moved onto the nearest bound where they lie outside the ranges that the user gave."""
    return {name: _bounded(value, *given[name]) if name in given else value for name, value in values.items()}


def _bounded(value: float, low: float, high: float) -> float:
    return value if low <= value <= high else type(value)(low if value < low else high)  # a whole number stays one
