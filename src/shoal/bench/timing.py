"""The clock of all benches: sides take turns in one process, and medians are compared."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from time import perf_counter

from shoal.bench.case import Case
from shoal.core.errors import InputError

Side = Callable[[], float]
"""Does its work once and returns the seconds that it took."""


def clocked(
    work: Callable[[], object],
    prepare: Callable[[], object] | None = None,
    finish: Callable[[], object] | None = None,
    calls: int = 1,
) -> Side:
    """A side that times a function.

    Args:
        work: what is measured.
        prepare: called before each turn, outside the clock; puts everything back where it was.
        finish: called inside the clock; waits for a device.
        calls: how often `work` is called in one turn; the seconds returned are those of one call.
    """

    def side() -> float:
        if prepare is not None:
            prepare()
        start = perf_counter()
        for _ in range(calls):
            work()
        if finish is not None:
            finish()
        return (perf_counter() - start) / calls

    return side


def in_turns(sides: Mapping[str, Side], repeats: int, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of each side, measured in turns: a slow minute of the machine then hits all alike.

    Args:
        sides: by name; each turn calls all of them, and begins with another one: the first finds the caches empty.
        repeats: turns that count, at least 1.
        warmup: turns before them that do not count.

    Returns:
        seconds by name, `repeats` each.

    Raises:
        InputError: there is no turn to count.

    What holds: Python's garbage collection does not run inside a side; it runs between turns.
    """
    if repeats < 1:
        raise InputError(f"A bench needs at least one repeat, not {repeats}.")
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    was_collecting = gc.isenabled()
    try:
        for turn in range(-warmup, repeats):
            gc.collect()
            gc.disable()
            order = list(sides)
            first = turn % len(order)
            for name in (*order[first:], *order[:first]):
                taken = sides[name]()
                if turn >= 0:
                    seconds[name].append(taken)
            if was_collecting:
                gc.enable()
    finally:
        if was_collecting:
            gc.enable()
    return seconds


def against(
    case: str,
    shoal: Side,
    peers: Mapping[str, Side],
    repeats: int,
    *,
    targets: Mapping[str, float] | None = None,
    notes: Mapping[str, str] | None = None,
    warmup: int = 1,
) -> Iterator[Case]:
    """Shoal and its peers in turns: a case for each peer.

    Args:
        case: the task, in words.
        shoal: Shoal's side.
        peers: the others, by name.
        repeats: turns that count.
        targets: ratios aimed at, by peer; peers without one are only shown.
        notes: remarks by peer.
        warmup: turns that do not count.
    """
    ours = "\0shoal"  # no peer is called so
    seconds = in_turns({ours: shoal, **peers}, repeats, warmup)
    for peer in peers:
        yield Case.measured(
            case, seconds[ours], peer, seconds[peer], (targets or {}).get(peer), (notes or {}).get(peer, "")
        )


def not_installed(package: str) -> str:
    """Why a peer's package cannot be used, or nothing when it is there.

    >>> not_installed("math"), not_installed("no_such_peer")
    ('', 'no_such_peer is not installed')
    """
    return "" if find_spec(package) is not None else f"{package} is not installed"
