"""The budget: spent to the last trial, never beyond the clock."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.budget import Budget
from shoal.recipe.pace import COARSE_SHARE, RESERVE_S, SAFETY, Pace


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

    pace = Pace(Budget(trials=trials), now, steps)
    assert pace.left_s() is None and not pace.timed and not pace.exhausted()
    pace.learned(1e9, 1)  # costs do not matter
    coarse = pace.coarse()
    pace.spend(coarse.members)
    spent, rounds = coarse.members, 0
    assert 1 <= coarse.epochs <= 5
    while (allotment := pace.next_round(1.0, None)) is not None:
        assert 1 <= allotment.members <= trials - spent
        pace.spend(allotment.members)
        spent, rounds = spent + allotment.members, rounds + 1
    assert spent == trials and pace.exhausted()
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
    pace = Pace(Budget(seconds=seconds), clock, steps)
    pace.learned(10 * cost, 10)
    pace.read()
    epoch_s = max(cost * steps, 1e-6)
    left = pace.left_s()
    assert left == pytest.approx(seconds - RESERVE_S)
    coarse = pace.coarse()
    if coarse.members * coarse.epochs > 6:  # more than the least that it takes to go on at all
        assert coarse.members * coarse.epochs * epoch_s <= SAFETY * COARSE_SHARE * left * (1 + 1e-9)
    clock.time += coarse.members * coarse.epochs * epoch_s
    pace.read()
    for factor in (1.0, 3.0, 1.0, 1.0):
        allotment = pace.next_round(factor, epochs)
        if allotment is None:
            continue
        takes = allotment.members * allotment.epochs * epoch_s * factor
        assert takes <= SAFETY * pace.left_s() * (1 + 1e-9)
        assert allotment.members >= 3 and 2 * allotment.epochs >= (epochs or 10)
        clock.time += takes * surprise  # up to as much dearer than measured as the safety allows
        assert pace.read() == clock.time - 1000
        assert clock.time <= 1000 + seconds - RESERVE_S + 1e-6
    clock.time = 1000 + seconds
    pace.read()
    assert pace.exhausted() and pace.next_round(1.0, epochs) is None


def test_a_dearer_network_gets_fewer_trainings() -> None:
    pace = Pace(Budget(seconds=100), Clock(), 10)
    pace.learned(0.01 * 10, 10)
    cheap, dear = pace.next_round(1.0, 20), pace.next_round(3.0, 20)
    assert cheap is not None and dear is not None
    assert dear.members < cheap.members and dear.epochs == 20
    assert pace.sweep_members(52, 8, 48) == 20  # a tenth of 98 s at 0.48 s each
    assert Pace(Budget(seconds=3), Clock(), 10).sweep_members(52, 8, 48) == 52  # no cost known yet


def test_the_latest_cost_counts() -> None:
    pace = Pace(Budget(seconds=1000), Clock(), 10)
    pace.learned(10.0, 10)
    few = pace.coarse()
    pace.learned(0.1, 10)
    pace.learned(5.0, 0)  # nothing was trained: nothing is learned
    assert pace.coarse().members > few.members
