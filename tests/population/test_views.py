"""A member that sees a view of the data is the member trained on that subset alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shoal.core.errors import InputError
from shoal.population import Member, Population
from shoal.population.plan import Plan
from tests.population.networks import convolutional, dense, pictures, table
from tests.population.test_laws import CASES, difference, member


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows_to_a_block", [1, 2, 7])
def test_each_member_trains_as_alone_on_its_subset(
    case: str, rows_to_a_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folds, bootstrap samples with repetitions, shared views and views of different lengths in one population."""
    make_net, (x, y) = CASES[case]
    x = x.double()
    rng = np.random.default_rng(0)
    shared = np.arange(0, 37, 2)
    views = [rng.integers(0, 37, 30), shared, rng.permutation(37)[:30], shared, np.arange(37), rng.integers(0, 37, 30)]
    members = [member(k, optimizer="adamw") for k in range(6)]
    monkeypatch.setattr(Population, "plan", lambda *_: Plan(rows_to_a_block, 2))
    together = Population(make_net, members, dtype=torch.float64)
    records = list(together.train(x, y, epochs=3, batch_size=8, views=views))
    for k, view in enumerate(views):
        alone = Population(make_net, [members[k]], dtype=torch.float64)
        rows = torch.as_tensor(view)
        single = list(alone.train(x[rows], y[rows], epochs=3, batch_size=8))
        assert difference(together, k, alone, 0) < 1e-11
        assert records[-1].loss[k] == pytest.approx(single[-1].loss[0], rel=1e-9)
        assert int(together.steps[k]) == 3 * -(-len(view) // 8)


def test_rows_outside_a_view_are_never_read() -> None:
    x, y = table()
    views = [np.arange(20), np.arange(10, 30)]
    spoilt = x.clone()
    spoilt[30:] = float("nan")
    clean, poisoned = (Population(dense, [Member(seed=k) for k in range(2)]) for _ in range(2))
    list(clean.train(x, y, epochs=2, batch_size=8, views=views))
    list(poisoned.train(spoilt, y, epochs=2, batch_size=8, views=views))
    assert torch.equal(clean.theta, poisoned.theta)


def test_a_view_may_be_a_mask() -> None:
    x, y = table()
    odd = np.arange(37) % 2 == 1
    by_mask, by_number = (Population(dense, [Member(seed=k) for k in range(2)]) for _ in range(2))
    list(by_mask.train(x, y, epochs=2, batch_size=8, views=[odd, torch.from_numpy(~odd)]))
    list(by_number.train(x, y, epochs=2, batch_size=8, views=[np.flatnonzero(odd), np.flatnonzero(~odd)]))
    assert torch.equal(by_mask.theta, by_number.theta)


@pytest.mark.parametrize(
    ("views", "words"),
    [
        ([[0, 1]], "1 views for 2 members"),
        ([[0, 1], []], "view of member 1"),
        ([[0, 1], [0, 37]], "view of member 1: There is no row 37: x has the rows 0 to 36"),
        ([[0, 1], [-1]], "no row -1"),
        ([[True] * 36, [0]], "view of member 0: A mask"),
        ([[0, 1], [0.0, 1.0]], "view of member 1: .* names no rows of x"),
        ([[False] * 37, [0]], "view of member 0 has no rows"),
    ],
)
def test_views_that_cannot_be_are_refused(views: list[list[int]], words: str) -> None:
    x, y = pictures()
    population = Population(convolutional, [Member(seed=k) for k in range(2)])
    with pytest.raises(InputError, match=words):
        population.train(x, y, epochs=1, views=views)  # type: ignore[arg-type]
