"""What learning curves say, on curves drawn for it."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.diagnose.curves import GAP, Curves, judge, slope

SETTLED = Curves(
    train_loss=[1.0, 0.5, 0.31, 0.3, 0.3, 0.3],
    last_train_score=0.9,
    validation_loss=[1.0, 0.5, 0.33, 0.32, 0.32, 0.32],
    validation_score=0.88,
    train_score=0.9,
    best_epoch=5,
    noise=0.01,
    baseline=0.5,
    chance_loss=0.693,
    diverged_share=0.0,
)
FALLING: dict[str, Any] = {"validation_loss": [1.0, 0.9, 0.8, 0.7, 0.6, 0.5], "best_epoch": 6}
RISING: dict[str, Any] = {"validation_loss": [1.0, 0.5, 0.33, 0.4, 0.5, 0.6], "best_epoch": 3}


@pytest.mark.parametrize(
    ("changes", "verdict", "code"),
    [
        ({}, "good", "SHL160"),
        (FALLING, "more_training", "SHL161"),
        ({**FALLING, "best_epoch": 4}, "more_training", "SHL161"),  # a loss that falls has not settled
        ({**FALLING, "validation_score": 1.0, "train_score": 1.0, "noise": 0.0}, "good", "SHL160"),  # nothing to gain
        ({"train_score": 0.88 + GAP + 0.01}, "overfitting", "SHL162"),
        ({"train_score": 0.88 + GAP - 0.01}, "good", "SHL160"),
        ({"train_score": 0.97, "noise": 0.05}, "good", "SHL160"),  # within two standard errors
        ({"train_score": 1.0, "noise": 0.05}, "overfitting", "SHL162"),
        ({**RISING, "train_loss": [1, 0.5, 0.3, 0.2, 0.1, 0.0]}, "overfitting", "SHL162"),
        ({**RISING, "train_loss": [1, 0.5, 0.3, 0.4, 0.5, 0.6]}, "good", "SHL160"),  # unstable, not overfitted
        ({"train_score": 0.6, "last_train_score": 0.6, "validation_score": 0.6}, "underfitting", "SHL163"),
        ({"train_score": 0.6, "last_train_score": 0.99, "validation_score": 0.6}, "good", "SHL160"),
        ({"diverged_share": 0.6}, "diverged", "SHL164"),
        ({"diverged_share": 0.4}, "good", "SHL160"),
        ({"validation_loss": [1.0, 0.5, nan]}, "diverged", "SHL164"),
    ],
)
def test_curves(changes: dict[str, Any], verdict: str, code: str) -> None:
    reading = judge(replace(SETTLED, **changes))
    assert (reading.verdict, reading.code) == (verdict, code)


def test_a_larger_network_that_was_no_better_ends_the_talk_of_underfitting() -> None:
    weak = replace(SETTLED, train_score=0.6, last_train_score=0.6, validation_score=0.6)
    assert judge(weak).verdict == "underfitting"
    reading = judge(weak, larger_was_no_better=True)
    assert reading.verdict == "good" and "twice as wide was no better" in reading.sentence


def test_a_good_verdict_never_calls_a_moving_loss_settled() -> None:
    assert "has settled" in judge(SETTLED).sentence
    unstable = judge(replace(SETTLED, **RISING, train_loss=[1, 0.5, 0.3, 0.4, 0.5, 0.6]))
    assert unstable.verdict == "good" and "settled" not in unstable.sentence and "rises" in unstable.sentence


def test_a_verdict_cites_its_numbers() -> None:
    reading = judge(replace(SETTLED, train_score=0.98))
    assert reading.gap == pytest.approx(0.10) and reading.gap_threshold == GAP
    assert "0.100" in reading.sentence and "0.050" in reading.sentence
    reading = judge(replace(SETTLED, **RISING, train_loss=[1, 0.5, 0.3, 0.2, 0.1, 0.0]))
    assert reading.rise == pytest.approx((0.6 - 0.33) / 0.693, abs=1e-5) and "epoch 3" in reading.sentence
    assert f"{reading.rise:.0%}" in reading.sentence


@settings(deadline=None)
@given(st.floats(-5, 5), st.floats(-1, 1), st.integers(2, 60), st.floats(0.1, 5))
def test_the_slope_of_a_line_is_its_slope(start: float, step: float, epochs: int, chance: float) -> None:
    found, first = slope([start + step * epoch for epoch in range(epochs)], chance)
    assert found == pytest.approx(step / chance, abs=1e-5)
    assert epochs - first + 1 == min(epochs, max(3, round(epochs / 3)))


def test_the_slope_is_of_the_last_third_alone_and_none_where_there_is_none() -> None:
    early = [10.0 - epoch for epoch in range(8)]
    assert slope(early + [2.0] * 4, 1.0) == (0.0, 9)
    assert slope([1.0], 1.0) == (0.0, 1)
    assert slope([1.0, 0.5, nan], 1.0)[0] == 0.0
    noisy = 1 + 0.001 * np.random.default_rng(0).normal(size=30)
    assert abs(slope(noisy.tolist(), 1.0)[0]) < 0.001
