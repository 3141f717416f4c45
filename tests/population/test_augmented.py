"""Augmentation in the loop: keyed, different by row, alone or together the same; mixed targets."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from shoal.augment import Augmentation
from shoal.core import keyed
from shoal.core.errors import InputError
from shoal.core.keyed import Purpose
from shoal.population import Member, Population
from shoal.population.plan import Plan
from tests.population.networks import convolutional, dense, pictures, table
from tests.population.test_laws import difference

X, Y = pictures()
CHANGES = ["", "hflip,rotate=20", "mixup=0.4", "cutmix,translate=0.2", "hflip,rotate=20"]


def members(seeds: list[int]) -> list[Member]:
    return [
        Member(seed=seed, optimizer="sgd", lr=0.1, augment=change, cutout=0.3 if k == 3 else 0.0)
        for k, (seed, change) in enumerate(zip(seeds, CHANGES, strict=True))
    ]


@pytest.mark.parametrize("plan", [Plan(1, 2), Plan(2, 2), Plan(5, 2), Plan(3, 2, sequential=True)])
def test_augmented_rows_train_as_alone(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Population, "plan", lambda *_: plan)
    group = members([1, 1, 2, 3, 3])
    together = Population(convolutional, group, dtype=torch.float64)
    list(together.train(X.double(), Y, epochs=3, batch_size=8))
    for k, member in enumerate(group):
        alone = Population(convolutional, [member], dtype=torch.float64)
        list(alone.train(X.double(), Y, epochs=3, batch_size=8))
        assert difference(together, k, alone, 0) < 1e-10
    plain = Population(convolutional, [Member(seed=1, optimizer="sgd", lr=0.1)], dtype=torch.float64)
    list(plain.train(X.double(), Y, epochs=3, batch_size=8))
    assert difference(together, 0, plain, 0) < 1e-10  # without any change, beside those that change
    assert difference(together, 1, plain, 0) > 1e-3


@pytest.mark.parametrize("change", ["mixup=0.4", "cutmix=1", "hflip"])
def test_one_step_is_the_gradient_of_the_mixed_loss(change: str) -> None:
    """lam loss(y) + (1 - lam) loss(y of the partner), by torch's autograd on the changed batch."""

    def net() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(36, 3))

    member = Member(seed=4, optimizer="sgd", lr=0.1, augment=change)
    population = Population(net, [member], dtype=torch.float64)
    network = population.network(0).train()
    record = next(population.train(X.double(), Y, epochs=1, batch_size=37))
    order = keyed.permutation(keyed.key(0, Purpose.ORDER, 0), 37)
    plan = Augmentation([member.augment], "image", (1, 6, 6))
    batch = plan(X.double()[order], torch.tensor([4]), torch.tensor([0]))
    outputs, y = network(batch.inputs[0] if batch.by_row else batch.inputs), Y[order]

    def loss(target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, target, reduction="none")

    mean = loss(y).mean()
    if batch.lam is not None and batch.partner is not None:
        lam = batch.lam[0]
        assert (lam < 1).any()
        mean = (lam * loss(y) + (1 - lam) * loss(y[batch.partner[0]])).mean()
    mean.backward()
    assert record.loss[0] == pytest.approx(float(mean.detach()), rel=1e-12)
    for name, parameter in network.named_parameters():
        wanted = parameter.detach() - 0.1 * parameter.grad
        torch.testing.assert_close(population.network(0).get_parameter(name), wanted, rtol=1e-10, atol=1e-12)


def test_mixing_works_for_numbers_too() -> None:
    x, _ = table()
    y = torch.randn(37, 3, generator=torch.Generator().manual_seed(0))
    population = Population(dense, [Member(seed=k, mixup=0.5 * k) for k in range(3)], loss="squared_error")
    last = list(population.train(x, y, epochs=2, batch_size=8))[-1]
    assert population.status == ["ok"] * 3
    assert len(set(last.loss)) == 3


def test_changes_that_mean_nothing_for_the_data_are_refused_before_anything_is_trained() -> None:
    population = Population(dense, [Member(augment="hflip")])
    with pytest.raises(InputError, match="hflip needs neighbours"):
        population.train(*table(), epochs=1)
    with pytest.raises(InputError, match="Member 1: augment"):
        Population(dense, [Member(), {"augment": "hflipp"}])
