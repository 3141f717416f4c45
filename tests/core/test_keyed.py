"""Keyed draws: the same everywhere, and random enough."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from shoal.core import keyed

SEEDS = st.integers(0, 2**62)


@settings(deadline=None)
@given(seeds=st.lists(SEEDS, min_size=1, max_size=5), step=st.integers(0, 2**40), n=st.integers(1, 50))
def test_a_draw_depends_on_its_own_key_and_element_alone(seeds: list[int], step: int, n: int) -> None:
    together = keyed.bits(keyed.key(seeds, keyed.Purpose.DROPOUT, step), n + 7)
    for row, seed in enumerate(seeds):
        assert torch.equal(keyed.bits(keyed.key(seed, keyed.Purpose.DROPOUT, step), n), together[row, :n])
    normal = keyed.normal(keyed.key(seeds, step), (n + 3,))
    assert torch.equal(keyed.normal(keyed.key(seeds[0], step), (n,)), normal[0, :n])


@settings(deadline=None)
@given(seed=SEEDS, n=st.integers(1, 300))
def test_a_permutation_is_one(seed: int, n: int) -> None:
    assert sorted(keyed.permutation(keyed.key(seed, 1), n).tolist()) == list(range(n))


def test_keys_of_different_purpose_step_layer_and_seed_differ() -> None:
    seen = set()
    for seed in range(20):
        for purpose in keyed.Purpose:
            for step in range(20):
                seen.add(tuple(keyed.key(seed, purpose, step).tolist()))
    assert len(seen) == 20 * len(keyed.Purpose) * 20


def test_draws_are_uniform_and_uncorrelated() -> None:
    keys = keyed.key(list(range(200)), keyed.Purpose.DROPOUT, 7)
    u = keyed.uniform(keys, (5000,), torch.float64).numpy()
    counts, _ = np.histogram(u, bins=256, range=(0, 1))
    assert stats.chisquare(counts).pvalue > 1e-4
    between = np.corrcoef(u)[~np.eye(200, dtype=bool)] * np.sqrt(5000)
    assert between.std() == pytest.approx(1.0, abs=0.05)  # as independent draws of that length would have
    neighbours = [np.corrcoef(row[:-1], row[1:])[0, 1] for row in u]
    assert abs(np.mean(neighbours)) < 4 / np.sqrt(200 * 5000)
    words = keyed.bits(keys, 5000)
    for bit in range(32):
        assert float(((words >> bit) & 1).double().mean()) == pytest.approx(0.5, abs=4 * 0.5 / 1000)


def test_consecutive_steps_give_unrelated_masks() -> None:
    p = torch.full((500,), 0.5)
    keys = keyed.key([3] * 500, keyed.Purpose.DROPOUT, torch.arange(500))
    masks = keyed.bernoulli(keys, p, (400,)).double().numpy()
    between = np.corrcoef(masks)[~np.eye(500, dtype=bool)] * np.sqrt(400)
    assert between.std() == pytest.approx(1.0, abs=0.05)


def test_bernoulli_has_its_rate_by_key() -> None:
    p = torch.tensor([0.0, 0.01, 0.3, 0.9])
    share = keyed.bernoulli(keyed.key([1, 2, 3, 4], 5), p, (100_000,)).double().mean(dim=1)
    assert float(share[0]) == 0.0
    for measured, wanted in zip(share.tolist(), p.tolist(), strict=True):
        assert measured == pytest.approx(wanted, abs=5 * np.sqrt(0.25 / 100_000))


def test_normal_draws_pass_a_normality_test() -> None:
    draws = keyed.normal(keyed.key(3, keyed.Purpose.INIT, 0), (20_000,)).numpy()
    assert stats.kstest(draws, "norm").pvalue > 1e-3


def test_vmap_draws_what_the_batch_does() -> None:
    keys = keyed.key([1, 2, 3], 9)
    p = torch.tensor([0.1, 0.5, 0.7])
    mapped = torch.func.vmap(lambda key, rate: keyed.bernoulli(key, rate, (4, 5)))(keys, p)
    assert torch.equal(mapped, keyed.bernoulli(keys, p, (4, 5)))
