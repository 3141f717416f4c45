"""Who computes: threads that share blocks, and the race between plans when it repays itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import torch

from shoal.population.plan import Plan

Todo = TypeVar("Todo")
Result = TypeVar("Result")

CLEARLY = 0.95  # another plan than the rule's must take less than this share of its time


@contextmanager
def pool(workers: int) -> Iterator[Callable[[Callable[[Todo], Result], Sequence[Todo]], list[Result]]]:
    """A function that applies another to each piece of work, on `workers` threads.

    With several workers each one computes with a single intra-op thread; with one, torch's own threads are left alone.
    """
    if workers == 1:
        yield lambda function, work: [function(piece) for piece in work]
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers) as executor:
            yield lambda function, work: list(executor.map(function, work))
    finally:
        torch.set_num_threads(threads)


def quickest(plans: Sequence[Plan], seconds: Callable[[Plan], float]) -> Plan:
    """The plan that takes least time for a step of a row.

    Args:
        plans: at least one; the first is kept unless another is clearly quicker.
        seconds: measures one.
    """
    if len(plans) == 1:
        return plans[0]
    times = [seconds(plan) for plan in plans]
    fastest = min(range(len(plans)), key=lambda number: times[number])
    chosen = fastest if times[fastest] < CLEARLY * times[0] else 0
    return replace(plans[chosen], why=f"{times[chosen] * 1e3:.3g} ms a row and step, quickest of {len(plans)}")
