"""Multipliers by pattern of names are parameter groups of torch.optim."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from shoal.core.errors import InputError
from shoal.population import Member, Population
from tests.population.networks import dense, table

MULTIPLIERS = {"0.*": {"lr": 0.25, "weight_decay": 0.5}, "*.bias": {"weight_decay": 1.0}}
# by parameter of `network`: what stands above, and what holds without it
LR = {"0.weight": 0.25, "0.bias": 0.25, "2.weight": 1.0, "2.bias": 1.0}
DECAY = {"0.weight": 0.5, "0.bias": 1.0, "2.weight": 1.0, "2.bias": 1.0}
TORCH: dict[str, tuple[Any, dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {}),
    "momentum": (torch.optim.SGD, {"momentum": 0.9}),
    "nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    "adagrad": (torch.optim.Adagrad, {}),
    "adadelta": (torch.optim.Adadelta, {}),
    "rmsprop": (torch.optim.RMSprop, {}),
    "adam": (torch.optim.Adam, {}),
    "adamw": (torch.optim.AdamW, {}),
    "nadam": (torch.optim.NAdam, {}),
    "radam": (torch.optim.RAdam, {}),
}


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))


@pytest.mark.parametrize("optimizer", TORCH)
def test_they_equal_torchs_parameter_groups(optimizer: str) -> None:
    x, y = table()
    lr, decay = (0.5 if optimizer == "adadelta" else 0.02), 0.3
    member = Member(seed=3, optimizer=optimizer, lr=lr, weight_decay=decay)
    population = Population(network, [member], dtype=torch.float64, multipliers=MULTIPLIERS)
    ordinary = population.network(0).train()
    start = population.theta[0].clone()
    kind, settings = TORCH[optimizer]
    groups = [
        {"params": [p], "lr": lr * LR[name], "weight_decay": decay * DECAY[name]}
        for name, p in ordinary.named_parameters()
    ]
    steps = kind(groups, lr=lr, **settings)
    for _ in range(20):
        steps.zero_grad()
        nn.functional.cross_entropy(ordinary(x.double()), y).backward()
        steps.step()
    list(population.train(x, y, epochs=20, batch_size=len(x)))
    theirs = torch.cat([p.detach().flatten() for p in ordinary.parameters()]) - start
    moved = population.theta[0] - start
    assert theirs.abs().max() > 1e-2
    assert (moved - theirs).abs().max() < 1e-9 * theirs.abs().max()
    plain = Population(network, [member], dtype=torch.float64)
    list(plain.train(x, y, epochs=20, batch_size=len(x)))
    assert (plain.theta[0] - population.theta[0]).abs().max() > 1e-3  # the multipliers have something to do


def test_decoupled_penalties_go_by_the_rate_of_each_weight() -> None:
    """Without a gradient, decoupled decay and the soft threshold alone move the weights."""
    x, y = torch.zeros(8, 5), torch.zeros(8, 3)
    member = Member(
        seed=1, optimizer="sgd", lr=0.1, weight_decay=0.5, decoupled_weight_decay=True, l1=0.01, decoupled_l1=True
    )
    population = Population(
        lambda: nn.Linear(5, 3, bias=False),
        [member],
        loss="squared_error",
        dtype=torch.float64,
        multipliers={"weight": {"lr": 0.2, "weight_decay": 3.0}},
    )
    start = population.theta.clone()
    list(population.train(x, y, epochs=1, batch_size=8))
    shrunk = start * (1 - 0.1 * 0.2 * 0.5 * 3)
    right = shrunk.sign() * (shrunk.abs() - 0.1 * 0.2 * 0.01 * 3).clamp(min=0)
    assert torch.allclose(population.theta, right, rtol=0, atol=1e-15)


def test_a_rate_of_0_freezes_and_leaves_the_other_rows_alone() -> None:
    x, y = table()
    members = [Member(seed=k, optimizer="adamw", lr=0.01, dropconnect=0.2 * k) for k in range(3)]
    population = Population(dense, members, multipliers={"0.*": {"lr": 0.0}})
    before = [population.network(k).state_dict() for k in range(3)]
    list(population.train(x, y, epochs=2, batch_size=8))
    for k in range(3):
        after = population.network(k).state_dict()
        assert all(torch.equal(after[name], before[k][name]) for name in ("0.weight", "0.bias"))
        assert not torch.equal(after["3.weight"], before[k]["3.weight"])
    alone = Population(dense, [members[1]], multipliers={"0.*": {"lr": 0.0}})
    list(alone.train(x, y, epochs=2, batch_size=8))
    assert torch.allclose(alone.theta[0], population.theta[1], atol=1e-6)


def test_what_decays_has_no_part_in_what_dropconnect_leaves_out() -> None:
    """Connections are dropped, decayed or not; biases are not, decayed or not."""
    x, y = table()
    results = []
    for multipliers in (None, {"*": {"weight_decay": 0.7}}, {"*": {"weight_decay": 0.0}}):
        member = Member(seed=5, optimizer="sgd", lr=0.1, dropconnect=0.5, weight_decay=0.0)
        population = Population(dense, [member], multipliers=multipliers)
        list(population.train(x, y, epochs=2, batch_size=8))
        results.append(population.theta)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_a_saved_population_goes_on_with_them(tmp_path: Path) -> None:
    x, y = table()
    members = [Member(seed=k, optimizer="adamw", lr=0.01, weight_decay=0.1) for k in range(3)]
    whole, halved = (Population(network, members, multipliers=MULTIPLIERS) for _ in range(2))
    list(whole.train(x, y, epochs=4, batch_size=8))
    records = halved.train(x, y, epochs=4, batch_size=8)
    next(records), next(records)
    halved.save(tmp_path / "half.safetensors")
    records.close()
    resumed = Population.load(tmp_path / "half.safetensors", network)
    list(resumed.resume(x, y))
    assert torch.equal(resumed.theta, whole.theta)


@pytest.mark.parametrize(
    ("multipliers", "words"),
    [
        ({"head.*": {"lr": 0.1}}, "no trainable parameter is called 'head.*'; there are `0.weight`"),
        ({"0.*": {"lr": -1.0}}, "'0.*': {'lr': -1.0} must be lr or weight_decay"),
        ({"0.*": {"rate": 1.0}}, "must be lr or weight_decay"),
        ({"0.*": 3}, "must be lr or weight_decay"),
        ({"0.*": {"lr": float("nan")}}, "must be lr or weight_decay"),
        ([("0.*", 1)], "give a mapping"),
        ([], "give a mapping"),
        (0, "give a mapping"),
        ("", "give a mapping"),
    ],
)
def test_what_cannot_be_is_refused(multipliers: Any, words: str) -> None:
    with pytest.raises(InputError, match="multipliers") as refused:
        Population(network, [Member()], multipliers=multipliers)
    assert words in str(refused.value)
