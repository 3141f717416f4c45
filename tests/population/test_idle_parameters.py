"""Parameters that the loss does not depend on stay put bit for bit, whatever the optimizer and the penalties."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoal import prepare
from shoal.data import read
from shoal.optim import RULES
from shoal.population import Member, Population
from shoal.population.plan import Plan
from shoal.recipe import networks
from tests.population.networks import table


class Forgetful(nn.Module):
    """Two layers are made and not used: one before, one after what is used."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)
        self.used = nn.Linear(5, 3)
        self.tail = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)  # type: ignore[no-any-return]


IDLE = ("head.weight", "head.bias", "tail.weight", "tail.bias")


@pytest.mark.parametrize("sequential", [False, True], ids=["stacked", "row by row"])
@pytest.mark.parametrize("optimizer", sorted(RULES))
def test_they_stay_put_under_every_rule_and_penalty(
    optimizer: str, sequential: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = table()
    penalties = [
        {},
        {"l1": 0.1},
        {"l1": 0.1, "decoupled_l1": True, "clip": 0.5},
        {"decoupled_weight_decay": True, "average": "swa"},
    ]
    members = [
        Member(seed=k, optimizer=optimizer, weight_decay=0.2, lr=0.05, **each) for k, each in enumerate(penalties)
    ]
    monkeypatch.setattr(Population, "plan", lambda *_: Plan(rows=3, workers=1, sequential=sequential))
    population = Population(Forgetful, members, dtype=torch.float64)
    before = [copy.deepcopy(population.network(k).state_dict()) for k in range(len(members))]
    list(population.train(x.double(), y, epochs=3, batch_size=8))
    for k in range(len(members)):
        after = population.network(k).state_dict()
        assert all(torch.equal(after[name], before[k][name]) for name in IDLE)
        assert not torch.equal(after["used.weight"], before[k]["used.weight"])
        columns = population.template.layout.offsets
        slots = {name: value for name, value in population.state[k].items() if value.shape == population.theta[k].shape}
        for name, value in slots.items():
            assert name == "average" or not value[: columns[2]].any()  # head's: no moment, no momentum


def test_a_population_with_them_equals_torchs_loop() -> None:
    """Of parameters without a gradient torch moves none; the norm that clips leaves them out."""
    x, y = table()
    x = x.double()
    member = Member(seed=4, optimizer="adamw", lr=0.05, weight_decay=0.3, clip=0.7)
    population = Population(Forgetful, [member, Member(seed=5)], dtype=torch.float64)
    network = copy.deepcopy(population.network(0)).train()
    biases = [p for p in network.parameters() if p.dim() < 2]
    weights = [p for p in network.parameters() if p.dim() == 2]
    groups = [{"params": weights, "weight_decay": 0.3}, {"params": biases, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.05)
    list(population.train(x, y, epochs=10, batch_size=37))
    for _ in range(10):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 0.7)
        optimizer.step()
    torch.testing.assert_close(population.network(0).state_dict(), network.state_dict(), rtol=1e-9, atol=1e-12)


def test_a_parameter_that_is_used_only_now_and_then_moves_only_then() -> None:
    """A branch on the data: momentum does not carry the layer through steps that leave it out."""
    x, y = table(40)
    x = x.double()
    x[:20, 0], x[20:, 0] = 1.0, -1.0

    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.always, self.sometimes = nn.Linear(5, 3), nn.Linear(5, 3)

        def forward(self, batch: Tensor) -> Tensor:
            out = self.always(batch)
            return out + self.sometimes(batch) if batch[0, 0] > 0 else out

    member = Member(seed=1, optimizer="momentum", momentum=0.9, lr=0.1, weight_decay=0.1)
    population = Population(Branching, [member], dtype=torch.float64)
    network = copy.deepcopy(population.network(0)).train()
    weights, biases = ([p for p in network.parameters() if (p.dim() == 2) == wide] for wide in (True, False))
    groups = [{"params": weights, "weight_decay": 0.1}, {"params": biases}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    for rows in (slice(0, 20), slice(20, 40), slice(0, 20), slice(20, 40)):
        list(population.train(x[rows], y[rows], epochs=1, batch_size=20))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        optimizer.step()
    torch.testing.assert_close(population.network(0).state_dict(), network.state_dict(), rtol=1e-9, atol=1e-12)


def test_a_fit_says_which_they_are() -> None:
    rng = np.random.default_rng(0)
    dataset = read((rng.normal(size=(60, 5)), rng.integers(0, 3, 60)))
    preparation = prepare.fit(dataset, np.arange(60), "none")
    architecture = networks.given(Forgetful, "", preparation.shape, 3)
    (finding,) = [each for each in networks.adopted(architecture) if each.code == "SHL106"]
    assert finding.evidence == {"parameters": list(IDLE)}
    assert "head.weight, head.bias, tail.weight, tail.bias" in finding.sentence
    whole = networks.given(lambda: nn.Linear(5, 3), "", preparation.shape, 3)
    assert [each.code for each in networks.adopted(whole)] == []
