"""Each member's own examples: folds with their validation rows, weights, targets of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score
from torch import Tensor, nn

from shoal.core.errors import InputError
from shoal.population import EpochRecord, Member, Population
from shoal.population.plan import Plan
from tests.population.networks import dense, pictures, table
from tests.population.test_laws import CASES, difference, member

FIELDS = ("loss", "score", "validation_loss", "validation_score", "best_epoch", "best_score")


def plain() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))


def to_number() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))


def folds(rows: int, number: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and validation rows of each fold; their lengths differ where `rows` does not divide."""
    order = np.random.default_rng(3).permutation(rows)
    validation = np.array_split(order, number)
    return [(np.setdiff1d(order, part), part) for part in validation]


def same(together: EpochRecord, k: int, alone: EpochRecord) -> None:
    for name in FIELDS:
        assert getattr(together, name)[k] == pytest.approx(getattr(alone, name)[0], rel=1e-9, nan_ok=True), name
    assert together.status[k] == alone.status[0]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows_to_a_block", [1, 3, 20])
def test_a_fold_is_trained_scored_and_stopped_as_alone(
    case: str, rows_to_a_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Folds of five, two seen by many members (which then share batches) and others by few, with early stopping."""
    make_net, (x, y) = CASES[case]
    x = x.double()
    split = folds(len(x), 5)
    of = [0, 0, 0, 0, 1, 1, 1, 1, 2, 4, 4]
    members = [member(k, optimizer="adam", lr=0.03) for k in range(len(of))]
    monkeypatch.setattr(Population, "plan", lambda *_: Plan(rows_to_a_block, 2, evaluation_batch=5))
    together = Population(make_net, members, dtype=torch.float64)
    views, validation = [split[f][0] for f in of], [split[f][1] for f in of]
    records = list(together.train(x, y, epochs=8, batch_size=8, patience=2, views=views, validation_views=validation))
    for k, f in enumerate(of):
        seen, scored = split[f]
        alone = Population(make_net, [members[k]], dtype=torch.float64)
        pair = x[scored], y[scored]
        single = list(alone.train(x[seen], y[seen], epochs=8, batch_size=8, patience=2, validation=pair))
        assert difference(together, k, alone, 0) < 1e-11
        same(records[-1] if len(single) == len(records) else records[len(single) - 1], k, single[-1])


@pytest.mark.parametrize("alone_in_its_fold", [False, True])
def test_a_row_that_diverges_changes_no_bit_of_its_fold_or_of_others(alone_in_its_fold: bool) -> None:
    x, y = table()
    split = folds(37, 3)
    of = [0, 0, 0, 0, 1, 1, 2] if alone_in_its_fold else [0, 0, 0, 0, 0, 1, 1]
    bad = 6 if alone_in_its_fold else 4

    def trained(lr: float) -> Population:
        members = [Member(seed=k, lr=lr if k == bad else 1e-2, optimizer="sgd") for k in range(7)]
        population = Population(dense, members)
        views, validation = [split[f][0] for f in of], [split[f][1] for f in of]
        list(population.train(x, y, epochs=4, batch_size=8, patience=3, views=views, validation_views=validation))
        return population

    sound, broken = trained(1e-2), trained(1e38)
    assert broken.status[bad] == "diverged"
    others = [k for k in range(7) if k != bad]
    assert torch.equal(sound.theta[others], broken.theta[others])


def weighted_by_hand(network: nn.Module, x: Tensor, y: Tensor, w: Tensor, steps: int) -> nn.Module:
    """Batch gradient descent on the weighted mean loss, by torch alone."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.2)
    for _ in range(steps):
        optimizer.zero_grad()
        losses = nn.functional.cross_entropy(network(x), y, reduction="none")
        ((w * losses).sum() / w.sum()).backward()
        optimizer.step()
    return network


def test_weights_are_those_of_the_weighted_mean_loss_by_member() -> None:
    x, y = table()
    x = x.double()
    w = torch.rand(3, 37, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    population = Population(plain, [Member(seed=k, optimizer="sgd", lr=0.2) for k in range(3)], dtype=torch.float64)
    before = [population.network(k) for k in range(3)]
    records = list(population.train(x, y, epochs=6, batch_size=37, sample_weight=w))
    for k, network in enumerate(before):
        losses = nn.functional.cross_entropy(network(x), y, reduction="none")
        assert records[0].loss[k] == pytest.approx(float((w[k] * losses.detach()).sum() / w[k].sum()), rel=1e-12)
        by_hand = weighted_by_hand(network.train(), x, y, w[k], 6)
        flat = torch.cat([p.detach().reshape(-1) for p in by_hand.parameters()])
        torch.testing.assert_close(population.theta[k], flat, rtol=0, atol=1e-12)


def test_a_weight_of_two_is_the_row_twice_and_of_zero_the_row_left_out() -> None:
    """With full batches; the inputs of what has no weight are never computed with."""
    x, y = table()
    counts = torch.arange(37) % 3
    spoilt = x.clone()
    spoilt[counts == 0] = torch.nan
    repeated = torch.repeat_interleave(torch.arange(37), counts)
    weighted, twice = (Population(plain, [Member(seed=1), Member(seed=2)], dtype=torch.float64) for _ in range(2))
    first = list(weighted.train(spoilt.double(), y, epochs=5, batch_size=99, sample_weight=counts.float() * 7))
    second = list(twice.train(x[repeated].double(), y[repeated], epochs=5, batch_size=99))
    torch.testing.assert_close(weighted.theta, twice.theta, rtol=0, atol=1e-12)
    assert first[-1].loss == pytest.approx(second[-1].loss, rel=1e-12)


def test_weighted_scores_are_scikit_learns() -> None:
    x, y = table()
    numbers = x[:, 0] * 2 + 1
    w = torch.rand(37, generator=torch.Generator().manual_seed(2)) + 0.1
    parts = [np.arange(0, 30), np.arange(5, 37)]
    views = [np.arange(37), np.arange(37)]
    options = {"epochs": 1, "batch_size": 8, "views": views, "validation_views": parts, "sample_weight": w}
    classes = Population(plain, [Member(seed=k) for k in range(2)])
    record = list(classes.train(x, y, **options))[-1]  # type: ignore[arg-type]
    values = Population(to_number, [Member(seed=k) for k in range(2)], loss="squared_error")
    fitted = list(values.train(x, numbers, **options))[-1]  # type: ignore[arg-type]
    for k, part in enumerate(parts):
        answer = classes.predict(x)[k].argmax(dim=1)[part]
        assert record.validation_score[k] == pytest.approx(accuracy_score(y[part], answer, sample_weight=w[part]))
        guess = values.predict(x)[k, :, 0][part]
        assert fitted.validation_score[k] == pytest.approx(r2_score(numbers[part], guess, sample_weight=w[part]), 1e-5)


def test_targets_of_ones_own_are_as_alone() -> None:
    """A boosting round, a shuffled target, a target with noise: the inputs are shared."""
    x, y = table()
    own = torch.stack([y, y.flip(0), (y + 1) % 3])
    members = [Member(seed=k, dropout=0.2) for k in range(3)]
    together = Population(dense, members, dtype=torch.float64)
    views = [np.arange(37), np.arange(30), np.arange(7, 37)]
    records = list(together.train(x.double(), own, epochs=3, batch_size=8, views=views, validation_views=views))
    for k, view in enumerate(views):
        alone = Population(dense, [members[k]], dtype=torch.float64)
        given = x.double()[view], own[k][view]
        single = list(alone.train(*given, epochs=3, batch_size=8, validation=given))
        assert difference(together, k, alone, 0) < 1e-11
        same(records[-1], k, single[-1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"validation_views": [[0, 1], []]}, "validation view of member 1 has no rows"),
        ({"validation_views": [[0, 1], [37]]}, "validation view of member 1: There is no row 37"),
        ({"validation_views": [[0, 1]]}, "1 validation views for 2 members"),
        ({"sample_weight": np.ones(36)}, r"sample_weight: of shape \[36\]"),
        ({"sample_weight": -np.ones(37)}, "at least 0"),
        ({"sample_weight": np.full(37, np.nan)}, "at least 0"),
        ({"sample_weight": np.zeros(37)}, "sample_weight of member 0: 0 for every row"),
        (
            {"sample_weight": np.arange(37) > 20, "views": [np.arange(20), np.arange(37)]},
            "sample_weight of member 0: 0 for every row",
        ),
        (
            {"sample_weight": np.arange(37) > 20, "validation_views": [np.arange(20), np.arange(37)]},
            "sample_weight on the validation rows of member 0: 0 for every row",
        ),
        ({"sample_weight": ["a"] * 37}, "no array of numbers"),
        ({"validation": (np.zeros((3, 5)),)}, "pair"),
        ({"patience": 2}, "validation"),
    ],
)
def test_examples_that_cannot_be_are_refused(options: dict[str, object], words: str) -> None:
    x, y = table()
    population = Population(dense, [Member(seed=k) for k in range(2)])
    with pytest.raises(InputError, match=words):
        population.train(x, y, epochs=1, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"mixup": 0.7}, {"cutmix": 1.0}])
def test_the_parts_of_a_mixed_example_count_by_their_own_weights(change: dict[str, float]) -> None:
    """A network that answers 0 has the loss y^2 whatever it is shown. Where weight times y^2 is 1 for each example, it
    is 1 for each mixture too, whatever the shares."""

    class Silent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 6, bias=False)
            nn.init.zeros_(self.layer.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x).flatten(1)

    x, _ = pictures(32)
    generator = torch.Generator().manual_seed(3)
    w = torch.rand(32, generator=generator) + 0.01
    members = [Member(seed=k, optimizer="sgd", lr=1e-30, **change) for k in range(2)]
    population = Population(Silent, members, loss="squared_error", dtype=torch.float64)
    (record,) = population.train(x, w.rsqrt(), epochs=1, batch_size=32, sample_weight=w)
    assert record.loss == pytest.approx(1 / float(w.mean()), rel=1e-5)
