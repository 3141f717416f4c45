"""Initial loss, small sample, learning rate: the judgements as tables of cases."""

from __future__ import annotations

from math import inf, log, nan

import pytest
import torch

from shoal.diagnose import initial_loss, learning_rate, small_sample

CHANCE = log(10)


def test_the_loss_of_chance() -> None:
    assert initial_loss.expected(["a", "b", "c"], torch.tensor([0, 1, 2])) == pytest.approx(log(3))
    y = torch.randn(1000, 1)
    assert initial_loss.expected(None, y) == pytest.approx(float((y**2).mean()))


@pytest.mark.parametrize(
    ("losses", "code", "level", "chosen"),
    [
        ({"torch": [2.2, 2.4], "kaiming": [2.3, 2.3]}, "SHL100", "fine", "torch"),
        ({"torch": [2.3 * 1.2, 2.3 * 1.2], "kaiming": [2.3, 2.3]}, "SHL100", "fine", "torch"),  # within tolerance
        ({"torch": [30.0, 40.0], "kaiming": [2.9, 3.1], "xavier": [2.4, 2.5]}, "SHL101", "warning", "xavier"),
        ({"torch": [30.0, 40.0], "kaiming": [20.0, 20.0]}, "SHL101", "problem", "kaiming"),
        ({"torch": [0.1, 0.1], "kaiming": [0.1, 0.1]}, "SHL101", "problem", "torch"),
        ({"torch": [nan, 2.3], "kaiming": [nan, nan]}, "SHL101", "problem", "torch"),
        ({"torch": [inf, inf], "kaiming": [nan, nan]}, "SHL101", "problem", "torch"),
    ],
)
def test_initial_losses(losses: dict[str, list[float]], code: str, level: str, chosen: str) -> None:
    verdict = initial_loss.judge(losses, CHANCE, initial_loss.candidates(losses, CHANCE)[0])
    assert (verdict.code, verdict.level) == (code, level)
    assert verdict.evidence["chosen"] == chosen
    assert bool(verdict.fix) == (level != "fine")


def test_a_network_of_nan_falls_to_an_initializer_that_gives_numbers() -> None:
    assert initial_loss.candidates({"torch": [nan, nan], "kaiming": [50.0, 50.0]}, CHANCE) == ["kaiming"]


@pytest.mark.parametrize(
    ("x", "y", "conflicting"),
    [
        ([[0.0], [1.0], [2.0]], [0, 1, 0], 0),
        ([[0.0], [0.0], [2.0]], [0, 0, 1], 0),  # equal rows that agree
        ([[0.0], [0.0], [2.0]], [0, 1, 1], 2),
        ([[0.0], [0.0], [0.0], [5.0], [5.0]], [0, 0, 1, 1, 1], 3),
        ([[0.0, 1.0], [0.0, 2.0]], [0, 1], 0),  # differ in one column
        ([[1.0], [1.0]], [[0.5], [0.5]], 0),  # numbers
        ([[1.0], [1.0], [2.0]], [[0.5], [0.6], [0.5]], 2),
    ],
)
def test_conflicts(x: list[list[float]], y: list[int] | list[list[float]], conflicting: int) -> None:
    assert small_sample.conflicts(torch.tensor(x), torch.tensor(y)) == conflicting


@pytest.mark.parametrize(("classes", "rows"), [(2, 48), (3, 48), (10, 40), (30, 60)])
def test_the_small_sample_holds_every_class(classes: int, rows: int) -> None:
    y = torch.arange(3000) % classes
    y[:1500] = 0  # unequal
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(0))
    chosen = small_sample.choose_rows(y, order)
    counts = torch.bincount(y[chosen], minlength=classes)
    assert len(chosen) == rows == len(set(chosen.tolist()))
    assert int(counts.min()) == int(counts.max()) == rows // classes


def test_a_rare_class_is_taken_whole_and_numbers_in_their_order() -> None:
    y = torch.zeros(100, dtype=torch.int64)
    y[[7, 50]] = 1
    assert {7, 50} <= set(small_sample.choose_rows(y, torch.arange(100)).tolist())
    assert small_sample.choose_rows(torch.randn(100, 1), torch.arange(99, -1, -1)).tolist() == list(range(99, 51, -1))


@pytest.mark.parametrize(
    ("reached", "conflicting", "diverged", "code"),
    [
        (12, 0, 0, "SHL110"),
        (12, 4, 7, "SHL110"),
        (None, 4, 0, "SHL111"),
        (None, 0, 8, "SHL112"),
        (None, 0, 7, "SHL113"),
    ],
)
def test_small_samples(reached: int | None, conflicting: int, diverged: int, code: str) -> None:
    verdict = small_sample.judge(0.9, reached, 300, 48, conflicting, 1.0, diverged, 8)
    assert verdict.code == code
    assert (verdict.level == "fine") == (reached is not None) == (verdict.fix == "")


RATES = [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
START = [2.0] * 5


@pytest.mark.parametrize(
    ("end", "train", "outcome", "best", "low", "high"),
    [
        ([1.9, 1.2, 1.0, 1.4, nan], [1.9, 1.2, 1.0, 1.4, nan], "found", 1e-2, 1e-3, 1e-1),
        ([1.0, 1.0, 1.9, 1.9, 0.9], [1.0, 1.0, 1.9, 1.9, 0.9], "found", 1.0, 1.0, 1.0),  # a gap ends the range
        ([2.0, 2.0, 2.0, 1.99, 1.98], [2.0, 2.0, 2.0, 1.99, 1.98], "too_low", 1.0, 1.0, 1.0),
        ([2.0, 2.0, 2.1, 3.0, nan], [2.0, 1.9, 1.2, 0.3, nan], "no_signal", 1e-4, 1e-4, 1e-3),  # learned by heart
        ([2.3, 2.5, 3.0, 9.0, nan], [1.2, 1.0, 0.5, 0.4, 0.1], "no_signal", 1e-4, 1e-4, 1e-4),
        ([9.0, nan, nan, nan, nan], [9.0, nan, nan, nan, nan], "too_high", 1e-4, 1e-4, 1e-4),
        ([nan] * 5, [nan] * 5, "too_high", 1e-4, 1e-4, 1.0),
    ],
)
def test_sweeps(end: list[float], train: list[float], outcome: str, best: float, low: float, high: float) -> None:
    sweep = learning_rate.judge(RATES, START, end, train, prior_loss=2.0)
    assert (sweep.outcome, sweep.best) == (outcome, best)
    if outcome == "found":
        assert (sweep.low, sweep.high) == (low, high)
        assert sweep.improvement == pytest.approx((2.0 - min(e for e in end if e == e)) / 2.0)
        assert sweep.at_top == (best == 1.0)


def test_seeds_are_joined_by_their_median() -> None:
    rates = [1e-3] * 3 + [1e-2] * 3
    end = [1.0, 1.1, 1.2, 0.1, nan, nan]  # the second rate was lucky once and diverged twice
    sweep = learning_rate.judge(rates, [2.0] * 6, end, end, prior_loss=2.0)
    assert sweep.best == 1e-3 and sweep.improvement == pytest.approx(0.45)


def test_a_lone_bad_training_does_not_end_the_range_and_two_do() -> None:
    """A sweep of a 3-D network with one seed: 1e-3 was unlucky, from 1e-2 on nothing is learned."""
    rates = [10.0**power for power in (-6.0, -5.5, -5.0, -4.5, -4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0)]
    end = [0.60, 0.60, 0.40, 0.50, 0.47, 0.45, 0.56, 0.51, 0.55, 0.63, 0.50]
    sweep = learning_rate.judge(rates, [0.63] * len(rates), end, end, prior_loss=0.6)
    assert (sweep.best, sweep.low, sweep.high) == (1e-5, 1e-5, 10**-2.5)


def test_falling_to_the_prior_loss_is_no_use_of_the_inputs() -> None:
    end = [1.9, 1.5, 1.0, 1.6, nan]
    assert learning_rate.judge(RATES, START, end, end, prior_loss=1.0).beyond == pytest.approx(0)
    assert learning_rate.judge(RATES, START, end, end, prior_loss=1.25).beyond == pytest.approx(0.2)
