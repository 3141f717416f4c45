"""Scores against scikit-learn, intervals against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn import metrics

from shoal.ensemble import scoring


@settings(deadline=None)
@given(st.integers(1, 5000), st.data())
def test_wilsons_interval_equals_scipys(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    theirs = binomtest(successes, n).proportion_ci(method="wilson")
    assert scoring.wilson(successes, n) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 5), st.integers(1, 60), st.integers(0, 1000))
def test_class_scores_equal_scikit_learns(classes: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities, truth = rng.dirichlet(np.ones(classes), n), rng.integers(0, classes, n)
    answer = probabilities.argmax(axis=1)
    ours = scoring.of_classes(probabilities, truth)
    assert (ours.metric, ours.rows) == ("accuracy", n)
    assert ours.score == pytest.approx(metrics.accuracy_score(truth, answer))
    recalls = metrics.recall_score(truth, answer, labels=np.unique(truth), average="macro", zero_division=0)
    assert ours.further["balanced_accuracy"] == pytest.approx(recalls)
    assert ours.further["log_loss"] == pytest.approx(metrics.log_loss(truth, probabilities, labels=range(classes)))
    table = scoring.confusion(answer, truth, classes)
    assert table.tolist() == metrics.confusion_matrix(truth, answer, labels=range(classes)).tolist()
    assert ours.interval is not None and ours.interval[0] <= ours.score <= ours.interval[1]


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 80), st.integers(0, 1000))
def test_number_scores_equal_scikit_learns(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = 100 + 20 * rng.normal(size=n)
    predicted = truth + 10 * rng.normal(size=n)
    ours = scoring.of_numbers(predicted, truth, train_std=20.0)
    assert ours.score == pytest.approx(metrics.r2_score(truth, predicted))
    assert ours.further["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, predicted))
    assert ours.further["mae"] == pytest.approx(metrics.mean_absolute_error(truth, predicted))


def test_a_certain_wrong_answer_has_a_finite_log_loss() -> None:
    scores = scoring.of_classes(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1]))
    assert np.isfinite(scores.further["log_loss"]) and scores.further["log_loss"] > 10


def test_a_constant_truth_has_no_r2_and_what_stands_for_it_is_said() -> None:
    predicted, truth = np.array([1.0, 2.0, 3.0]), np.full(3, 2.0)
    scores = scoring.of_numbers(predicted, truth, train_std=4.0)
    assert scores.score == pytest.approx(1 - (2 / 3) / 16)  # against the variance of what was trained on
    assert scores.interval is None
    assert scores.further["mae"] == pytest.approx(2 / 3)
    (said,) = scoring.findings(scores, truth)
    assert said.code == "SHL193" and "one target value, 2" in said.sentence


def simulated(n: int, r2: float, tables: int, errors: str = "normal") -> float:
    """The share of the intervals, of tables of n rows, that hold the true R^2; nearly all tables must have one."""
    rng = np.random.default_rng(n)
    held = shown = 0
    for _ in range(tables):
        truth = rng.normal(size=n)
        error = rng.normal(size=n) if errors == "normal" else rng.standard_t(4, n) / np.sqrt(2)
        interval = scoring.of_numbers(truth + np.sqrt(1 - r2) * error, truth, 1.0).interval
        if interval is not None:
            shown += 1
            held += interval[0] <= r2 <= interval[1]
    assert shown > 0.95 * tables
    return held / shown


@pytest.mark.parametrize(("n", "r2", "errors"), [(5, 0.8, "normal"), (12, 0.0, "normal"), (40, 0.98, "t")])
def test_the_interval_of_r2_covers_the_truth(n: int, r2: float, errors: str) -> None:
    """0.93 of those from 5 rows do and 0.945 from 12; three standard errors of 800 tables are 0.026. The percentile
    bootstrap covers 0.81 of 5 rows and 0.87 of 12."""
    assert 0.9 <= simulated(n, r2, 800, errors) <= 0.975


def test_the_interval_of_r2_shrinks_with_rows() -> None:
    rng = np.random.default_rng(3)
    widths = []
    for n in (50, 5000):
        truth = rng.normal(size=n)
        scores = scoring.of_numbers(truth + 0.5 * rng.normal(size=n), truth, 1.0)
        assert scores.interval is not None
        low, high = scores.interval
        assert low < scores.score < high and low < 0.75 < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


@pytest.mark.parametrize("n", [1, 4])
def test_too_few_rows_have_no_interval_of_r2_and_say_so(n: int) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=n)
    scores = scoring.of_numbers(truth + 0.1 * rng.normal(size=n), truth, 1.0)
    assert scores.interval is None and np.isfinite(scores.score)
    (said,) = scoring.findings(scores, truth)
    assert said.level == "warning" and f"from {n} test row" in said.sentence


def test_one_row_that_decides_everything_gives_no_interval() -> None:
    truth = np.arange(30.0)
    squared = np.where(np.arange(30) == 7, 1.0, 0.0)
    assert scoring.r2_interval(squared, truth) is None
    assert scoring.r2_interval(np.ones(30), np.where(np.arange(30) == 7, 1.0, 0.0)) is None


@pytest.mark.parametrize(("rows", "said"), [(2, "next to nothing"), (19, "5.3 points"), (20, None)])
def test_few_rows_of_classes_are_called_few(rows: int, said: str | None) -> None:
    truth = np.arange(rows) % 2
    scores = scoring.of_classes(np.eye(2)[truth], truth)
    assert scores.interval is not None  # Wilson's is honest for any number of rows
    found = scoring.findings(scores, truth)
    assert (said is None and not found) or (said is not None and said in found[0].sentence)
