"""The edge rule: bounds move outwards, and never through what a value can mean."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.dimensions import DIMENSIONS
from shoal.core.events import Range
from shoal.search import edges
from shoal.search.space import position, value_at


@st.composite
def searched(draw: st.DrawFn) -> tuple[str, Range]:
    name = draw(st.sampled_from([name for name in sorted(edges.NATURAL) if DIMENSIONS[name].kind == "float"]))
    least, most = edges.NATURAL[name]
    log = least > 0
    whole = Range(low=least, high=most, log=log)
    low = draw(st.floats(0, 0.95))
    high = draw(st.floats(low + 0.02, 1))
    return name, Range(low=max(least, value_at(whole, low)), high=min(most, value_at(whole, high)), log=log)


@settings(deadline=None)
@given(searched(), st.floats(0, 1))
def test_a_bound_moves_exactly_when_the_best_value_is_near_it(case: tuple[str, Range], where: float) -> None:
    name, range_ = case
    least, most = edges.NATURAL[name]
    moved, sides = edges.extend({name: range_}, {name: value_at(range_, where)}, 4, {})
    after, near = moved[name], sides.get(name)
    assert least <= after.low <= range_.low and range_.high <= after.high <= most
    if 0.101 < where < 0.899:
        assert near is None and after is range_
    if where < 0.099 and range_.low > least * 1.01 and range_.low > least:
        assert near == "low"
    if where > 0.901 and range_.high < most * 0.99:
        assert near == "high"
    if near is not None:
        assert (after.was, after.moved_in_round) == ((range_.low, range_.high), 4)
        assert (after.low < range_.low) == (near == "low") and (after.high > range_.high) == (near == "high")


@pytest.mark.parametrize(
    ("name", "low", "high", "log", "best", "side"),
    [
        ("lr", 1e-4, 1e-3, True, 9.5e-4, "high"),  # the published fine search ends here
        ("lr", 1e-6, 1e-3, True, 9.5e-4, "high"),
        ("lr", 1e-6, 1e-3, True, 3e-5, None),
        ("weight_decay", 1e-4, 1.0, True, 1.1e-4, "low"),
        ("weight_decay", 1e-4, 100.0, True, 99.0, None),  # the natural bound
        ("dropout", 0.0, 0.5, False, 0.0, None),
        ("dropout", 0.0, 0.5, False, 0.48, "high"),
        ("dropout", 0.2, 0.5, False, 0.2, "low"),
        ("momentum", 0.8, 0.999, False, 0.998, None),
    ],
)
def test_cases(name: str, low: float, high: float, log: bool, best: float, side: str | None) -> None:
    assert edges.edge_of(name, Range(low=low, high=high, log=log), best) == side


def test_a_moved_bound_reaches_three_quarters_of_the_width_further() -> None:
    moved = edges.moved("lr", Range(low=1e-3, high=1e-2), "high", 1)
    assert position(Range(low=1e-3, high=1e-2), moved.high) == pytest.approx(1.75)
    assert moved.low == 1e-3


def test_one_lucky_trial_moves_a_bound_tenfold_at_most() -> None:
    wide = Range(low=1e-6, high=1.0)
    assert edges.moved("weight_decay", wide, "high", 1).high == pytest.approx(10.0)
    assert edges.moved("weight_decay", wide, "low", 1).low == pytest.approx(1e-7)


@settings(deadline=None)
@given(searched(), searched(), st.floats(0, 1))
def test_no_rule_leaves_a_range_that_the_user_gave(
    case: tuple[str, Range], other: tuple[str, Range], where: float
) -> None:
    name, given_range = case
    given_bounds = {name: (given_range.low, given_range.high)}
    asked = {name: value_at(given_range, 3 * where - 1)}  # also outside
    kept = edges.bounded(asked, given_bounds)
    assert given_range.low <= kept[name] <= given_range.high
    moved, sides = edges.extend({name: given_range}, kept, 1, given_bounds)
    assert moved == {name: given_range} and sides == {}
    low, high = sorted((value_at(given_range, 4 * where - 1.5), value_at(given_range, 1.2 - 2 * where)))
    log = given_range.log
    wanted = Range(low=low, high=high + (high if log else 0.01), log=log)
    cut = edges.within({name: wanted, "another": other[1]}, given_bounds)
    assert given_range.low <= cut[name].low < cut[name].high <= given_range.high
    assert cut["another"] is other[1]
    if cut[name] != wanted:
        assert position(given_range, cut[name].high) - position(given_range, cut[name].low) >= 0.25 - 1e-6


def test_a_narrowed_range_may_grow_back_to_the_bound_that_the_user_gave_and_no_further() -> None:
    narrowed, bounds = Range(low=1e-3, high=8e-3), {"lr": (1e-4, 1e-2)}
    moved, sides = edges.extend({"lr": narrowed}, {"lr": 7.9e-3}, 2, bounds)
    assert (moved["lr"].low, moved["lr"].high, sides) == (1e-3, 1e-2, {"lr": "high"})
    assert edges.extend({"lr": narrowed}, {"lr": 7.9e-3}, 2, {})[0]["lr"].high > 1e-2


def test_only_a_given_bound_that_could_be_wider_holds_the_search() -> None:
    bounds = {"lr": (1e-4, 1e-2), "dropout": (0.0, 0.5), "momentum": (0.5, 0.9)}
    assert edges.held(bounds, {"lr": 9.9e-3, "dropout": 0.01, "weight_decay": 1e-4}) == {"lr": "high"}
    assert edges.held(bounds, {"lr": 1e-3, "dropout": 0.49}) == {"dropout": "high"}


def test_ranges_of_whole_numbers_keep_whole_bounds_and_values() -> None:
    width = edges.as_given("width", (32, 256))
    assert width.integer and width.log
    moved = edges.moved("width", width, "high", 1)
    assert moved.integer and moved.high == 1218 and moved.low == 32  # 256 * 8 ** 0.75
    assert edges.moved("depth", edges.as_given("depth", (1, 3)), "high", 1).high == 4
    assert edges.edge_of("depth", edges.as_given("depth", (1, 3)), 1) is None  # nothing lies below
    kept = edges.bounded({"width": 20, "depth": 9}, {"width": (32, 256), "depth": (1, 3)})
    assert kept == {"width": 32, "depth": 3} and all(type(value) is int for value in kept.values())
    cut = edges.within({"width": edges.as_given("width", (8, 64))}, {"width": (32, 256)})["width"]
    assert (cut.low, cut.high, cut.integer) == (32, 64, True)
