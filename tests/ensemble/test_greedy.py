"""Greedy selection and what it gains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shoal.ensemble.greedy import paired_gain, select

Floats = NDArray[np.float64]


def candidates(m: int, n: int, c: int, seed: int, skill: float) -> tuple[Floats, NDArray[np.int64]]:
    """Probabilities [M, N, C] of candidates of differing skill, and the truth [N]."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, c, n)
    logits = rng.normal(size=(m, n, c))
    logits[:, np.arange(n), truth] += skill * rng.random((m, 1))
    return np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True), truth


def classes(truth: NDArray[np.int64]):  # type: ignore[no-untyped-def]
    def score(mean: Floats) -> Floats:
        given_ = np.clip(mean[np.arange(len(truth)), truth], 1e-12, None)
        return np.stack([(mean.argmax(axis=1) == truth).astype(float), np.log(given_)])

    return score


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 6), st.integers(1, 20), st.integers(2, 4), st.integers(0, 500), st.floats(0, 4), st.integers(1, 8)
)
def test_a_selection_is_not_worse_than_the_best_single_candidate_beyond_a_standard_error(
    m: int, n: int, c: int, seed: int, skill: float, most: int
) -> None:
    predictions, truth = candidates(m, n, c, seed, skill)
    score = classes(truth)
    chosen = select(predictions, score, most)
    assert sum(chosen.counts) == len(chosen.path) <= most
    assert len(chosen.members) == len(chosen.counts) == len(set(chosen.members))
    assert set(chosen.members) <= set(range(m)) and min(chosen.counts) >= 1
    together = np.average(predictions[list(chosen.members)], axis=0, weights=chosen.counts)
    assert chosen.path[-1] == pytest.approx(score(together)[0].mean())
    lost = max((score(each)[1] for each in predictions), key=lambda rows: rows.mean()) - score(together)[1]
    assert lost.mean() <= lost.std() / np.sqrt(n) + 1e-9


def test_two_candidates_that_err_on_different_rows_are_joined_and_a_useless_one_is_not() -> None:
    truth = np.array([0, 1, 0, 1])
    sure, unsure = [0.9, 0.1], [0.45, 0.55]
    first = np.array([sure, sure[::-1], unsure, unsure[::-1]])
    second = np.array([unsure, unsure[::-1], sure, sure[::-1]])
    noise = np.array([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1]])
    chosen = select(np.stack([noise, first, second]), classes(truth))
    assert chosen.members == (1, 2) and chosen.counts == (1, 1)
    assert chosen.path[-1] == 1.0


def test_several_equally_good_candidates_answer_together_and_bad_ones_do_not() -> None:
    """Where nothing tells them apart, luck must not: the five good ones are all in, the noise is not."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 400)
    good = rng.normal(size=(5, 400, 3))
    good[:, np.arange(400), truth] += 2.0
    bad = rng.normal(size=(3, 400, 3))
    logits = np.concatenate([bad, good])
    chosen = select(np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True), classes(truth))
    assert chosen.members == (3, 4, 5, 6, 7)


def test_a_candidate_far_ahead_answers_alone() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 400)
    logits = 0.1 * rng.normal(size=(6, 400, 3))
    logits[4, np.arange(400), truth] += 6.0
    chosen = select(np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True), classes(truth))
    assert chosen.members == (4,)


def test_one_of_many_equals_stays_alone() -> None:
    predictions, truth = candidates(1, 30, 3, 0, 2.0)
    chosen = select(np.repeat(predictions, 4, axis=0), classes(truth))
    assert (chosen.members, chosen.counts) == ((0,), (1,))


def test_numbers_are_averaged_too() -> None:
    truth = np.linspace(-1, 1, 20)[:, None]

    def score(mean: Floats) -> Floats:
        return np.stack([-((mean - truth) ** 2).mean(axis=1)] * 2)

    chosen = select(np.stack([truth + 1, truth - 1, truth + 5]), score)
    assert (chosen.members, chosen.counts) == ((0, 1), (1, 1))
    assert chosen.path[-1] == pytest.approx(0)


def test_the_gain_is_paired_and_in_the_metrics_unit() -> None:
    rng = np.random.default_rng(0)
    first = rng.random(400)
    better = first + 0.1
    gain, (low, high) = paired_gain(first, better, lambda mean: 1 + 2 * mean, seed=0)
    assert gain == pytest.approx(0.2) and low == pytest.approx(0.2) and high == pytest.approx(0.2)
    gain, (low, high) = paired_gain(first, first[rng.permutation(400)], lambda mean: mean, seed=0)
    assert gain == pytest.approx(0, abs=1e-12) and low < 0 < high
    assert paired_gain(first, better, lambda mean: mean, seed=1) == paired_gain(
        first, better, lambda mean: mean, seed=1
    )


def test_the_interval_holds_the_true_gain_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for seed in range(200):
        difference = rng.normal(0.3, 1.0, 80)
        _, (low, high) = paired_gain(np.zeros(80), difference, lambda mean: mean, seed, resamples=400)
        held += low <= 0.3 <= high
    assert 0.89 <= held / 200 <= 0.99
