"""Ranges and draws from them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx
from scipy.stats import kstest

from shoal.core.events import Range
from shoal.search.space import draw, position, value_at

positive = st.floats(1e-8, 1e3)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    low = draw(positive)
    return Range(low=low, high=low * draw(st.floats(1.01, 1e6)), log=draw(st.booleans()))


@settings(deadline=None)
@given(ranges(), st.floats(-1, 2))
def test_position_and_value_at_are_inverses(range_: Range, where: float) -> None:
    value = value_at(range_, where)
    if not range_.log or value > 0:
        assert abs(position(range_, value) - where) < 1e-6


@settings(deadline=None)
@given(ranges())
def test_the_bounds_are_at_0_and_1(range_: Range) -> None:
    assert value_at(range_, 0.0) == approx(range_.low) and value_at(range_, 1.0) == approx(range_.high)
    assert value_at(range_, 0.5) == approx(
        (range_.low * range_.high) ** 0.5 if range_.log else (range_.low + range_.high) / 2
    )


RANGES = {"lr": Range(low=1e-4, high=1e-1), "dropout": Range(low=0.0, high=0.5, log=False)}


@settings(deadline=None)
@given(st.integers(0, 2**40), st.integers(0, 10_000), st.integers(1, 20))
def test_a_draw_depends_on_seed_and_number_alone(seed: int, trial: int, others: int) -> None:
    many = [draw(RANGES, seed, number) for number in range(trial, trial + others)]
    assert many[0] == draw(RANGES, seed, trial)
    assert all(1e-4 <= values["lr"] <= 1e-1 and 0 <= values["dropout"] < 0.5 for values in many)


def test_draws_are_uniform_on_the_scale_of_their_range_and_independent_of_each_other() -> None:
    trials = [draw(RANGES, 3, number) for number in range(2000)]
    places = np.array([[position(RANGES[name], values[name]) for name in RANGES] for values in trials])
    for column in places.T:
        assert kstest(column, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.08
    assert draw(RANGES, 4, 0) != trials[0]
