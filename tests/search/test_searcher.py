"""Ask and tell: draws of every kind of dimension, and trials by structure."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from shoal.core.dimensions import DIMENSIONS, WITH_MOMENTUM, applies
from shoal.core.errors import InputError
from shoal.core.events import Range
from shoal.optim import RULES
from shoal.search.searcher import RandomSearch, Trial, by_structure
from shoal.search.space import Categorical, Space, position, value_at, whole_numbers

SPACE: Space = {
    "optimizer": Categorical(("nesterov", "adamw", "sgd")),
    "lr": Range(low=1e-4, high=1e-1),
    "momentum": Range(low=0.5, high=0.99, log=False),
    "width": Range(low=32, high=256, integer=True),
    "depth": Range(low=1, high=4, log=False, integer=True),
}


@settings(deadline=None)
@given(st.integers(0, 2**40), st.integers(1, 12), st.integers(1, 12))
def test_a_trial_is_the_same_however_many_are_asked_for_at_once(seed: int, one: int, other: int) -> None:
    whole = RandomSearch(SPACE, seed).ask(one + other)
    parts = RandomSearch(SPACE, seed)
    assert parts.ask(one) + parts.ask(other) == whole
    assert [trial.number for trial in whole] == list(range(one + other))


def test_every_value_is_as_likely_as_the_others() -> None:
    trials = RandomSearch(SPACE, 5).ask(2400)
    for name, values in (("optimizer", 3), ("width", 4), ("depth", 4)):
        counts = Counter(trial.values[name] for trial in trials)
        assert len(counts) == values and chisquare(list(counts.values())).pvalue > 0.001
    assert {trial.values["width"] for trial in trials} == {32, 64, 128, 256}
    assert {type(trial.values["depth"]) for trial in trials} == {int}


def test_a_dimension_without_a_meaning_is_left_out_and_moves_no_other() -> None:
    trials = RandomSearch(SPACE, 0).ask(60)
    assert {trial.values["optimizer"] for trial in trials if "momentum" in trial.values} == {"nesterov"}
    assert all("momentum" in trial.values for trial in trials if trial.values["optimizer"] == "nesterov")
    numbers = {name: of for name, of in SPACE.items() if name != "optimizer"}
    without, with_it = (
        RandomSearch(numbers, 0, fixed={"optimizer": name}).ask(20) for name in ("adamw", "rmsprop_momentum")
    )
    for one, other in zip(without, with_it, strict=True):
        assert "momentum" not in one.values and 0.5 <= float(other.values["momentum"]) < 0.99
        assert {**one.values, "momentum": other.values["momentum"]} == other.values


def test_momentum_has_a_meaning_for_the_rules_that_have_it() -> None:
    assert {name for name, rule in RULES.items() if "momentum" in rule.defaults} == set(WITH_MOMENTUM)
    assert all(applies("momentum", {"optimizer": name}) == (name in WITH_MOMENTUM) for name in RULES)
    assert all(set(of.needs) <= set(DIMENSIONS) for of in DIMENSIONS.values())


def test_given_settings_come_first_and_the_draws_stay_what_they_are() -> None:
    plain, begun = RandomSearch(SPACE, 1, start=7), RandomSearch(SPACE, 1, start=7, first=({"lr": 0.5},))
    drawn, given_first = plain.ask(4), begun.ask(4)
    assert given_first[0] == Trial(7, {"lr": 0.5}) and given_first[1:] == drawn[1:]
    begun.tell(given_first[0], [0.9, 0.7])
    assert begun.ask(2) == plain.ask(2)


def test_trials_of_one_structure_stand_together() -> None:
    trials = RandomSearch(SPACE, 2).ask(40)
    groups = by_structure(trials)
    assert sorted(trial.number for _, alike in groups for trial in alike) == list(range(40))
    for structure, alike in groups:
        assert set(structure) == {"width", "depth"}
        assert all(trial.structure() == structure for trial in alike)
        assert [trial.number for trial in alike] == sorted(trial.number for trial in alike)
    assert len({tuple(structure.items()) for structure, _ in groups}) == len(groups) <= 16
    assert len(by_structure(RandomSearch({"lr": SPACE["lr"]}, 0).ask(9))) == 1


def test_whole_numbers_and_their_places() -> None:
    assert list(whole_numbers(Range(low=2, high=5, log=False, integer=True))) == [2, 3, 4, 5]
    assert list(whole_numbers(Range(low=16, high=100, integer=True))) == [16, 29, 54, 100]
    only = Range(low=3, high=3, log=False, integer=True)
    assert list(whole_numbers(only)) == [3] and position(only, 3) == 0.5
    assert value_at(Range(low=1, high=4, log=False, integer=True), 0.4) == 2


def test_a_choice_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="at least one value"):
        Categorical(())
