"""The edge rule: a best value near its range's border says that the optimum may lie outside, so the range moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from shoal.core.events import Range
from shoal.search.space import Ranges, position, value_at

Side = Literal["low", "high"]

MARGIN = 0.1  # share of a range, on its own scale, that counts as its edge
STRETCH = 0.75  # how far beyond the wall the range then reaches, as a share of its width
MOST = 10.0  # and at most this many times beyond it, on a logarithmic scale: one lucky trial moves it no farther
NATURAL: Mapping[str, tuple[float, float]] = {  # walls that no rule moves: outside them a value has no meaning
    "lr": (1e-10, 1e2),
    "weight_decay": (1e-10, 1e2),
    "momentum": (0.0, 0.999),
    "dropout": (0.0, 0.9),
    "label_smoothing": (0.0, 0.5),
    "augment": (0.0, 1.0),
}


def edge_of(name: str, range_: Range, value: float) -> Side | None:
    """The wall that a value is near, or None; a wall that cannot move is no edge.

    >>> edge_of("lr", Range(low=1e-4, high=1e-3), 9.5e-4)
    'high'
    >>> edge_of("dropout", Range(low=0.0, high=0.5, log=False), 0.01) is None
    True
    """
    low, high = NATURAL[name]
    where = position(range_, value)
    if where <= MARGIN and range_.low > low * (1 + 1e-9):
        return "low"
    if where >= 1 - MARGIN and range_.high < high * (1 - 1e-9):
        return "high"
    return None


def moved(name: str, range_: Range, side: Side, round_: int) -> Range:
    """The range with one wall moved outwards by `STRETCH` of its width; remembers where the walls were."""
    low, high = NATURAL[name]
    if side == "low":
        wall = value_at(range_, -STRETCH)
        walls = max(low, wall, range_.low / MOST if range_.log else wall), range_.high
    else:
        wall = value_at(range_, 1 + STRETCH)
        walls = range_.low, min(high, wall, range_.high * MOST if range_.log else wall)
    return Range(low=walls[0], high=walls[1], log=range_.log, was=(range_.low, range_.high), moved_in_round=round_)


def extend(ranges: Ranges, best: Mapping[str, float], round_: int) -> tuple[dict[str, Range], dict[str, Side]]:
    """Apply the edge rule to each range.

    Args:
        ranges: that were searched.
        best: values of the best trial.
        round_: number of the round, for the record.

    Returns:
        The ranges, and which wall of which moved.
    """
    sides = {name: edge_of(name, range_, best[name]) for name, range_ in ranges.items()}
    hit = {name: side for name, side in sides.items() if side is not None}
    return {n: moved(n, r, hit[n], round_) if n in hit else r for n, r in ranges.items()}, hit
