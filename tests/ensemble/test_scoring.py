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
    assert ours.interval[0] <= ours.score <= ours.interval[1]


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 80), st.integers(0, 1000))
def test_number_scores_equal_scikit_learns(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = 100 + 20 * rng.normal(size=n)
    predicted = truth + 10 * rng.normal(size=n)
    ours = scoring.of_numbers(predicted, truth, seed=0)
    assert ours.score == pytest.approx(metrics.r2_score(truth, predicted))
    assert ours.further["rmse"] == pytest.approx(metrics.root_mean_squared_error(truth, predicted))
    assert ours.further["mae"] == pytest.approx(metrics.mean_absolute_error(truth, predicted))


def test_a_certain_wrong_answer_has_a_finite_log_loss() -> None:
    scores = scoring.of_classes(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1]))
    assert np.isfinite(scores.further["log_loss"]) and scores.further["log_loss"] > 10


def test_a_constant_truth_has_no_r2_and_does_not_fail() -> None:
    scores = scoring.of_numbers(np.array([1.0, 2.0, 3.0]), np.full(3, 2.0), seed=0)
    assert np.isnan(scores.score) and np.isnan(scores.interval).all()
    assert scores.further["mae"] == pytest.approx(2 / 3)


def test_the_interval_of_r2_holds_it_and_shrinks_with_rows() -> None:
    rng = np.random.default_rng(3)
    widths = []
    for n in (50, 5000):
        truth = rng.normal(size=n)
        scores = scoring.of_numbers(truth + 0.5 * rng.normal(size=n), truth, seed=0)
        low, high = scores.interval
        assert low < scores.score < high and low < 0.75 < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5
