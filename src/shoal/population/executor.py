"""Who computes: threads that share blocks, and the race between plans when it repays itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf
from typing import TypeVar

from shoal.core import process
from shoal.core.errors import RunError
from shoal.population.plan import Plan

Todo = TypeVar("Todo")
Result = TypeVar("Result")

CLEARLY = 0.95  # another plan than the rule's must take less than this share of its time


class Workers:
    """Threads that each take pieces of work; a context manager that ends them.

    With several workers each one computes with a single intra-op thread; with one, the caller computes by itself and
    torch's own threads are left alone. They stay alive between calls: what a thread's allocator holds is used again.
    """

    def __init__(self, count: int) -> None:
        process.computing()
        self._threads = process.lone_threads(count) if count > 1 else None
        self._process = os.getpid()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the threads, once they have finished."""
        if self._threads is not None and self._process == os.getpid():
            self._threads.shutdown()

    def map(self, function: Callable[[Todo], Result], work: Sequence[Todo]) -> list[Result]:
        """The function's results, in the order of the work.

        Raises:
            RunError: the process was forked from the one whose threads these are.
        """
        if self._threads is None:
            return [function(piece) for piece in work]
        if self._process != os.getpid():
            raise RunError(
                "This work was begun in the process that this one was forked from, and its threads are there: begin it "
                "here anew."
            )
        return list(self._threads.map(function, work))


def quickest(plans: Sequence[Plan], seconds: Callable[[Plan, float], float]) -> Plan:
    """The plan that takes least time for a step of a row.

    Args:
        plans: at least one; the first is kept unless another is clearly quicker.
        seconds: measures one, given the least that any has taken so far: it may give up on one that takes far longer.
    """
    if len(plans) == 1:
        return plans[0]
    times: list[float] = []
    for plan in plans:
        times.append(seconds(plan, min(times, default=inf)))
    fastest = min(range(len(plans)), key=lambda number: times[number])
    chosen = fastest if times[fastest] < CLEARLY * times[0] else 0
    measured = f"{times[chosen] * 1e3:.3g} ms a row and step, quickest of {len(plans)}"
    return replace(plans[chosen], why=f"{plans[chosen].why}; {measured}" if plans[chosen].why else measured)
