"""The population against an ordinary PyTorch loop over `torch.nn` networks with `torch.optim`."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoal.core.errors import InputError
from shoal.population import Member, Population
from shoal.population.plan import Plan
from tests.population.networks import pictures, table


def net_without_dropout() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),  # see `networks.convolutional`
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 16, 3),
    )


def ordinary(member: Member, network: nn.Module) -> torch.optim.Optimizer:
    decayed = [p for n, p in network.named_parameters() if p.dim() >= 2]
    exempt = [p for n, p in network.named_parameters() if p.dim() < 2]
    wd = member.weight_decay or 0.0
    groups = [{"params": decayed, "weight_decay": wd}, {"params": exempt, "weight_decay": 0.0}]
    match member.optimizer:
        case "sgd":
            return torch.optim.SGD(groups, lr=member.lr)
        case "momentum":
            return torch.optim.SGD(groups, lr=member.lr, momentum=member.momentum)
        case "nesterov":
            return torch.optim.SGD(groups, lr=member.lr, momentum=member.momentum, nesterov=True)
        case "adam":
            return torch.optim.Adam(groups, lr=member.lr)
    return torch.optim.AdamW(groups, lr=member.lr)


MEMBERS = [
    Member(seed=1, optimizer="sgd", lr=0.05, weight_decay=0.1),
    Member(seed=2, optimizer="momentum", lr=0.01, momentum=0.9, weight_decay=0.01),
    Member(seed=3, optimizer="nesterov", lr=0.01, momentum=0.9),
    Member(seed=4, optimizer="adam", lr=0.003, weight_decay=0.02, label_smoothing=0.2),
    Member(seed=5, optimizer="adamw", lr=0.003, weight_decay=0.3),
]


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_equals_a_loop_of_torch_networks(loss: str) -> None:
    """Full batches, 30 steps in float64, by displacement from the start; running statistics too."""
    x, labels = pictures(32)
    x = x.double()
    y: Tensor = labels if loss == "cross_entropy" else torch.randn(32, 3, dtype=torch.float64)
    population = Population(net_without_dropout, MEMBERS, loss=loss, dtype=torch.float64)
    start = [population.network(k) for k in range(len(MEMBERS))]
    for _ in population.train(x, y, epochs=30, batch_size=32):
        pass
    for k, member in enumerate(MEMBERS):
        network = copy.deepcopy(start[k]).train()
        optimizer = ordinary(member, network)
        for _ in range(30):
            optimizer.zero_grad()
            if loss == "cross_entropy":
                value = nn.functional.cross_entropy(network(x), y, label_smoothing=member.label_smoothing)
            else:
                value = nn.functional.mse_loss(network(x), y)
            value.backward()
            optimizer.step()
        mine = population.network(k)
        for (name, ours), (_, theirs), (_, first) in zip(
            mine.state_dict().items(), network.state_dict().items(), start[k].state_dict().items(), strict=True
        ):
            torch.testing.assert_close(ours - first, theirs - first, rtol=1e-8, atol=1e-11, msg=f"{k} {name}")


def test_make_net_draws_as_torch_does_after_manual_seed() -> None:
    population = Population(net_without_dropout, [Member(seed=7), Member(seed=8)])
    for row, seed in enumerate((7, 8)):
        torch.manual_seed(seed)
        for mine, theirs in zip(population.network(row).parameters(), net_without_dropout().parameters(), strict=True):
            assert torch.equal(mine, theirs)


def test_a_module_gives_every_row_its_weights() -> None:
    module = nn.Linear(5, 3)
    population = Population(module, [Member(seed=0), Member(seed=1)])
    given = copy.deepcopy(module.state_dict())
    assert torch.equal(population.network(1).weight, given["weight"])
    x, y = table()
    next(population.train(x, y, epochs=1))
    assert not torch.equal(population.network(1).weight, given["weight"])
    assert population.network(1) is not module
    torch.testing.assert_close(dict(module.state_dict()), dict(given), rtol=0, atol=0)  # the user's was not touched
    assert module.training and module.weight.grad is None


def test_short_last_batch_equals_a_loop_over_short_batches() -> None:
    """37 rows in batches of 8 end with one of 5, which batch normalization sees as it is."""
    x, y = table(37)
    x = x.double()

    def net() -> nn.Module:
        return nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))

    population = Population(net, [Member(seed=k, optimizer="sgd", lr=0.1) for k in (3, 4)], dtype=torch.float64)
    network = copy.deepcopy(population.network(0)).train()
    from shoal.population.batches import epoch_batches

    batches = epoch_batches(37, 8, 0, 0, torch.device("cpu"))
    seen = []
    record = next(population.train(x, y, epochs=1, batch_size=8))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    total = 0.0
    for step in range(batches.steps):
        rows = batches.at(step)
        seen += rows.tolist()
        optimizer.zero_grad()
        value = nn.functional.cross_entropy(network(x[rows]), y[rows])
        total += value.item() * len(rows)
        value.backward()
        optimizer.step()
    assert sorted(seen) == list(range(37))
    assert len(rows) == 5
    torch.testing.assert_close(population.network(0).state_dict(), network.state_dict(), rtol=1e-12, atol=1e-14)
    assert record.loss[0] == pytest.approx(total / 37, rel=1e-12)


def test_dropout_keeps_the_expectation_and_the_rate() -> None:
    """Inverted dropout: a layer's mean output is its input; the zeroed share is p, by row."""

    def drop() -> nn.Module:
        return nn.Sequential(nn.Dropout(0.5), nn.Linear(2000, 1, bias=False))

    population = Population(drop, [Member(seed=k, dropout=p) for k, p in enumerate((0.1, 0.6))], loss="squared_error")
    population.theta[:] = 1.0
    block = population.blocks(range(2), Plan(rows=2, workers=1))[0]
    keys = torch.tensor([[1, 2], [3, 4]], dtype=torch.int32)
    ones = torch.ones(4, 2000)
    outputs = torch.cat([each.forward(ones, {"0": keys[each.rows]}).detach() for each in block.pieces])
    for row, p in enumerate((0.1, 0.6)):
        kept = outputs[row] * (1 - p) / 2000
        assert kept.mean() == pytest.approx(1 - p, abs=0.02)


def test_early_stopping_puts_back_the_weights_of_each_rows_best_epoch() -> None:
    x, y = table(60)
    xv, yv = table(40, seed=9)
    members = [Member(seed=k, optimizer="adam", lr=0.05) for k in range(5)]
    population = Population(lambda: nn.Linear(5, 3), members)
    kept: dict[int, Tensor] = {}
    records = []
    for record in population.train(x, y, epochs=40, batch_size=16, validation=(xv, yv), patience=3):
        records.append(record)
        for k in record.trained:
            if record.best_epoch[k] == record.epoch:
                kept[int(k)] = population.theta[k].clone()
    last = records[-1]
    assert set(population.status) == {"stopped"}
    for k in range(5):
        mine = [r for r in records if k in r.trained]
        assert len(mine) == last.best_epoch[k] + 3  # trained for `patience` epochs beyond its best
        assert last.best_score[k] == max(r.validation_score[k] for r in mine)
        assert torch.equal(population.theta[k], kept[k])
    _, score = population.evaluate(xv, yv)
    np.testing.assert_allclose(score, last.best_score)
    assert len({int(e) for e in last.best_epoch}) > 1  # rows stopped at their own time


def test_rows_stopped_by_the_caller_stand_still() -> None:
    x, y = table()
    population = Population(lambda: nn.Linear(5, 3), [Member(seed=k) for k in range(3)])
    loop = population.train(x, y, epochs=5, batch_size=8)
    next(loop)
    population.stop([1])
    frozen = population.theta[1].clone()
    record = next(loop)
    assert record.trained.tolist() == [0, 2]
    assert torch.equal(population.theta[1], frozen)
    assert record.status == ("ok", "pruned", "ok")


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "no members"),
        ([{"seed": 0}, {"lr": -1.0}], "Member 1: lr=-1.0"),
        ([{"optimizer": "adamm"}], "adam"),
        ([{"optimizer": "adamw", "momentum": 0.9}], "no momentum"),
        ([{"dropout": 1.0}], "dropout=1.0"),
        ([{"init": "kaming"}], "kaiming"),
        ([{"learning_rate": 1.0}], "learning_rate"),
    ],
)
def test_members_that_cannot_be_are_refused(members: list[dict[str, object]], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Population(lambda: nn.Linear(5, 3), members)


def test_data_that_do_not_fit_are_refused() -> None:
    population = Population(lambda: nn.Linear(5, 3), [Member()])
    x, y = table()
    with pytest.raises(InputError, match="37 rows and y has 36"):
        population.train(x, y[:-1], epochs=1)
    with pytest.raises(InputError, match="class numbers"):
        population.train(x, y.float(), epochs=1)
    with pytest.raises(InputError, match="patience needs validation"):
        population.train(x, y, epochs=1, patience=2)
    with pytest.raises(InputError, match="no trainable parameters"):
        Population(nn.ReLU, [Member()])
