"""The budget: spent to the last trial, never beyond the clock."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.budget import Budget
from shoal.recipe.allocator import COARSE_SHARE, RESERVE_S, SAFETY, BudgetAllocator


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def never() -> float:
    raise AssertionError("a budget in trials must not depend on a clock")


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 300))
def test_trials_are_spent_to_the_last_one_and_no_further(trials: int, steps: int) -> None:
    reads: list[int] = []

    def now() -> float:
        reads.append(1)
        assert len(reads) == 1, "a budget in trials does not look at the clock again"
        return 0.0

    allocator = BudgetAllocator(Budget(trials=trials), now, steps)
    assert allocator.left_s() is None and not allocator.timed and not allocator.exhausted()
    allocator.learned(1e9, 1)  # costs do not matter
    coarse = allocator.coarse()
    allocator.spend(coarse.members)
    spent, rounds = coarse.members, 0
    assert 1 <= coarse.epochs <= 5
    while (allocation := allocator.next_round(1.0, None)) is not None:
        assert 1 <= allocation.members <= trials - spent
        allocator.spend(allocation.members)
        spent, rounds = spent + allocation.members, rounds + 1
    assert spent == trials and allocator.exhausted()
    assert coarse.members <= max(2, trials / 2) and rounds <= 4


@settings(deadline=None)
@given(
    st.floats(3, 4000),
    st.floats(1e-6, 10),
    st.integers(1, 300),
    st.floats(0.3, 1 / SAFETY),
    st.sampled_from([None, 5, 40]),
)
def test_no_round_is_started_that_does_not_fit(
    seconds: float, cost: float, steps: int, surprise: float, epochs: int | None
) -> None:
    clock = Clock()
    allocator = BudgetAllocator(Budget(seconds=seconds), clock, steps)
    allocator.learned(10 * cost, 10)
    allocator.read()
    epoch_s = max(cost * steps, 1e-6)
    left = allocator.left_s()
    assert left == pytest.approx(seconds - RESERVE_S)
    coarse = allocator.coarse()
    if coarse.members * coarse.epochs > 6:  # more than the least that it takes to go on at all
        assert coarse.members * coarse.epochs * epoch_s <= SAFETY * COARSE_SHARE * left * (1 + 1e-9)
    clock.time += coarse.members * coarse.epochs * epoch_s
    allocator.read()
    for factor in (1.0, 3.0, 1.0, 1.0):
        allocation = allocator.next_round(factor, epochs)
        if allocation is None:
            continue
        takes = allocation.members * allocation.epochs * epoch_s * factor
        assert takes <= SAFETY * allocator.left_s() * (1 + 1e-9)
        assert allocation.members >= 3 and 2 * allocation.epochs >= (epochs or 10)
        clock.time += takes * surprise  # up to as much dearer than measured as the safety allows
        assert allocator.read() == clock.time - 1000
        assert clock.time <= 1000 + seconds - RESERVE_S + 1e-6
    clock.time = 1000 + seconds
    allocator.read()
    assert allocator.exhausted() and allocator.next_round(1.0, epochs) is None


def test_a_dearer_network_gets_fewer_trainings() -> None:
    allocator = BudgetAllocator(Budget(seconds=100), Clock(), 10)
    allocator.learned(0.01 * 10, 10)
    cheap, dear = allocator.next_round(1.0, 20), allocator.next_round(3.0, 20)
    assert cheap is not None and dear is not None
    assert dear.members < cheap.members and dear.epochs == 20
    assert allocator.sweep_members(52, 8, 48) == 20  # a tenth of 98 s at 0.48 s each
    assert BudgetAllocator(Budget(seconds=3), Clock(), 10).sweep_members(52, 8, 48) == 52  # no cost known yet


def test_the_latest_cost_counts() -> None:
    allocator = BudgetAllocator(Budget(seconds=1000), Clock(), 10)
    allocator.learned(10.0, 10)
    few = allocator.coarse()
    allocator.learned(0.1, 10)
    allocator.learned(5.0, 0)  # nothing was trained: nothing is learned
    assert allocator.coarse().members > few.members
