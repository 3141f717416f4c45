"""From a coarse round to finer ranges, and which hyperparameter mattered."""

from __future__ import annotations

from math import log10, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.events import Range
from shoal.search.importance import LEAST_TRIALS, importance
from shoal.search.narrow import KEPT, LEAST_WIDTH, narrow
from shoal.search.space import draw, position

RANGES = {"lr": Range(low=1e-5, high=1e-1), "dropout": Range(low=0.0, high=0.5, log=False)}


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.data())
def test_finer_ranges_stay_inside_hold_the_best_trials_and_are_wide_enough(
    seed: int, n: int, data: st.DataObject
) -> None:
    trials = [draw(RANGES, seed, number) for number in range(n)]
    scores = data.draw(st.lists(st.floats(-1, 1) | st.just(nan), min_size=n, max_size=n))
    finer = narrow(RANGES, trials, scores)
    ranked = sorted(range(n), key=lambda i: -np.nan_to_num(scores[i], nan=-np.inf))
    for name, range_ in RANGES.items():
        low, high = position(range_, finer[name].low), position(range_, finer[name].high)
        assert -1e-9 <= low < high <= 1 + 1e-9
        assert high - low >= LEAST_WIDTH / 2 - 1e-9
        for best in ranked[: max(3, round(KEPT * n))]:
            assert low - 1e-9 <= position(range_, trials[best][name]) <= high + 1e-9


def at(*places: float) -> list[dict[str, float]]:
    return [{"lr": 10 ** (-5 + 4 * place)} for place in places]


@pytest.mark.parametrize(
    ("places", "scores", "low", "high"),
    [
        # three best in the middle, worse ones on both sides: up to those
        ((0.05, 0.4, 0.5, 0.6, 0.9), (0, 3, 4, 3, 0), 0.05, 0.9),
        # the best lie outermost: nothing was seen beyond, so the bound stays in the range
        ((0.1, 0.2, 0.7, 0.8, 0.85), (0, 1, 3, 4, 5), 0.2, 1.0),
        # close neighbours do not pinch the range: at least a quarter of it is kept
        ((0.44, 0.48, 0.5, 0.52, 0.56), (0, 3, 4, 3, 0), 0.375, 0.625),
        # a diverged trial is a worse one
        ((0.1, 0.2, 0.3, 0.95), (3, 4, 3, nan), 0.0, 0.95),
    ],
)
def test_cases(places: tuple[float, ...], scores: tuple[float, ...], low: float, high: float) -> None:
    range_ = {"lr": RANGES["lr"]}
    finer = narrow(range_, at(*places), scores)["lr"]
    assert (log10(finer.low) + 5) / 4 == pytest.approx(low, abs=1e-6)
    assert (log10(finer.high) + 5) / 4 == pytest.approx(high, abs=1e-6)


def test_importance_names_what_the_score_depends_on() -> None:
    trials = [draw(RANGES, 1, number) for number in range(60)]
    scores = [-((log10(each["lr"]) + 3) ** 2) for each in trials]
    shares = importance(RANGES, trials, scores)
    assert shares["lr"] > 0.9 and shares["dropout"] < 0.2
    assert importance(RANGES, trials, [nan, *scores[1:]])["lr"] > 0.8  # one diverged trial does not decide
    worst = sorted(scores)[15]
    assert importance(RANGES, trials, [nan if s <= worst else s for s in scores])["lr"] > 0.8  # diverged ones rank last
    assert importance(RANGES, trials, [1.0] * 60) == {"lr": 0.0, "dropout": 0.0}
    assert importance(RANGES, trials[: LEAST_TRIALS - 1], scores[: LEAST_TRIALS - 1]) == {}
