"""What a row's settings do to one step, each against its formula written out with torch's autograd."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoal.core import keyed
from shoal.core.keyed import Purpose
from shoal.population import Member, Population
from shoal.population.batches import epoch_batches
from tests.population.networks import table

LR = 0.1


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def plain(**settings: object) -> Member:
    return Member.model_validate({"optimizer": "sgd", "lr": LR, **settings})


def one_step(members: list[Member]) -> tuple[Population, list[nn.Module], Tensor, Tensor]:
    """A population after one step of batch gradient descent, its networks before it, and the data."""
    x, y = table(16)
    x = x.double()
    population = Population(net, members, dtype=torch.float64)
    before = [copy.deepcopy(population.network(k)).train() for k in range(len(members))]
    rows = torch.arange(16)
    order = keyed.permutation(keyed.key(0, Purpose.ORDER, 0), 16)
    for _ in population.train(x, y, epochs=1, batch_size=16):
        pass
    assert sorted(order.tolist()) == rows.tolist()
    return population, before, x[order], y[order]


def flat(network: nn.Module, gradient: bool = False) -> Tensor:
    return torch.cat([(p.grad if gradient else p.detach()).reshape(-1) for p in network.parameters()])


def moved(population: Population, row: int, network: nn.Module) -> Tensor:
    """The gradient that the row's step followed."""
    return (flat(network) - population.theta[row]) / LR


def backward(network: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    network.zero_grad()
    nn.functional.cross_entropy(network(x), y).backward()
    return flat(network, gradient=True)


def is_weight(network: nn.Module) -> Tensor:
    return torch.cat([torch.full((p.numel(),), float(p.dim() >= 2)) for p in network.parameters()]).double()


def test_l1_pulls_weights_and_leaves_biases() -> None:
    population, before, x, y = one_step([plain(seed=1, l1=0.05), plain(seed=1)])
    for row, l1 in enumerate((0.05, 0.0)):
        wanted = backward(before[row], x, y) + l1 * torch.sign(flat(before[row])) * is_weight(before[row])
        torch.testing.assert_close(moved(population, row, before[row]), wanted, rtol=1e-9, atol=1e-12)


def test_clipping_equals_torchs() -> None:
    members = [plain(seed=1, clip=0.01), plain(seed=2, clip=1e6), plain(seed=3, clip_value=0.02), plain(seed=4)]
    population, before, x, y = one_step(members)
    for row, member in enumerate(members):
        backward(before[row], x, y)
        if member.clip:
            nn.utils.clip_grad_norm_(before[row].parameters(), member.clip)
        if member.clip_value:
            nn.utils.clip_grad_value_(before[row].parameters(), member.clip_value)
        wanted = flat(before[row], gradient=True)
        torch.testing.assert_close(moved(population, row, before[row]), wanted, rtol=1e-9, atol=1e-12)
    assert float(moved(population, 0, before[0]).norm()) == pytest.approx(0.01, rel=1e-3)


def test_weight_noise_takes_the_gradient_beside_theta_and_moves_theta() -> None:
    population, before, x, y = one_step([plain(seed=7, weight_noise=0.3), plain(seed=7)])
    start = flat(before[0])
    draws = keyed.gaussian(keyed.key(7, Purpose.WEIGHT_NOISE, 0), start.shape, torch.float64)
    nn.utils.vector_to_parameters(start + 0.3 * draws, before[0].parameters())
    wanted = backward(before[0], x, y)
    torch.testing.assert_close((start - population.theta[0]) / LR, wanted, rtol=1e-9, atol=1e-12)
    quiet = backward(before[1], x, y)
    torch.testing.assert_close(moved(population, 1, before[1]), quiet, rtol=1e-9, atol=1e-12)
    assert not torch.allclose(wanted, quiet, rtol=1e-2)


def test_dropconnect_leaves_out_weights_and_scales_the_rest() -> None:
    population, before, x, y = one_step([plain(seed=7, dropconnect=0.4), plain(seed=8)])
    start, weights = flat(before[0]), is_weight(before[0])
    dropped = keyed.bernoulli(keyed.key(7, Purpose.DROPCONNECT, 0), torch.tensor(0.4).double(), start.shape)
    scale = torch.where(weights > 0, (~dropped).double() / 0.6, 1.0)
    nn.utils.vector_to_parameters(start * scale, before[0].parameters())
    wanted = backward(before[0], x, y) * scale
    torch.testing.assert_close((start - population.theta[0]) / LR, wanted, rtol=1e-9, atol=1e-12)
    assert 0.2 < float(dropped[weights > 0].double().mean()) < 0.6


def test_input_noise_moves_the_batch_of_its_row_alone() -> None:
    population, before, x, y = one_step([plain(seed=7, input_noise=0.5), plain(seed=7)])
    draws = keyed.gaussian(keyed.key(7, Purpose.INPUT_NOISE, 0), x.shape, torch.float64)
    for row, sigma in enumerate((0.5, 0.0)):
        wanted = backward(before[row], x + sigma * draws, y)
        torch.testing.assert_close(moved(population, row, before[row]), wanted, rtol=1e-9, atol=1e-12)


def test_answers_are_given_without_any_noise() -> None:
    noisy = plain(seed=3, weight_noise=0.5, dropconnect=0.5, input_noise=0.5)
    x, y = table(16)
    population = Population(net, [noisy, plain(seed=3)], dtype=torch.float64)
    records = list(population.train(x.double(), y, epochs=2, batch_size=8, validation=(x.double(), y)))
    with torch.no_grad():
        wanted = nn.functional.cross_entropy(population.network(0)(x.double()), y)
    assert records[-1].validation_loss[0] == pytest.approx(float(wanted), rel=1e-12)
    assert torch.allclose(population.predict(x.double())[0], population.network(0)(x.double()))


def test_gaussian_noise_is_normal() -> None:
    from scipy import stats

    for dtype in (torch.float32, torch.float64):
        draws = keyed.gaussian(keyed.key(3, Purpose.INPUT_NOISE, 1), (20_000,), dtype)
        assert draws.dtype == dtype
        assert stats.kstest(draws.double().numpy(), "norm").pvalue > 1e-3


def loop(network: nn.Module, make: Callable[..., torch.optim.Optimizer], epochs: int) -> Iterator[nn.Module]:
    """Plain torch on the population's batches: the network after each step."""
    x, y = table(30)
    optimizer = make(network.parameters())
    for epoch in range(epochs):
        batches = epoch_batches(30, 8, 0, epoch, torch.device("cpu"))
        for step in range(batches.steps):
            rows = batches.at(step)
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x.double()[rows]), y[rows]).backward()
            optimizer.step()
            yield network


def train(members: list[Member], epochs: int = 5, **more: object) -> tuple[Population, list[nn.Module]]:
    x, y = table(30)
    population = Population(net, members, dtype=torch.float64)
    before = [copy.deepcopy(population.network(k)).train() for k in range(len(members))]
    list(population.train(x.double(), y, epochs=epochs, batch_size=8, **more))  # type: ignore[arg-type]
    return population, before


HYPERPARAMETERS = {
    "rmsprop": ({"alpha": 0.8}, lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.8)),
    "adadelta": ({"rho": 0.7}, lambda p: torch.optim.Adadelta(p, lr=0.01, rho=0.7)),
    "adagrad": ({"lr_decay": 0.1}, lambda p: torch.optim.Adagrad(p, lr=0.01, lr_decay=0.1)),
    "nadam": ({"momentum_decay": 0.1}, lambda p: torch.optim.NAdam(p, lr=0.01, momentum_decay=0.1)),
    "momentum": ({"momentum": 0.8, "dampening": 0.2}, lambda p: torch.optim.SGD(p, 0.01, 0.8, 0.2)),
}


@pytest.mark.parametrize("optimizer", HYPERPARAMETERS)
def test_every_rules_own_hyperparameters_differ_by_row(optimizer: str) -> None:
    values, make = HYPERPARAMETERS[optimizer]
    population, before = train([Member(seed=k, optimizer=optimizer, lr=0.01, **(values if k else {})) for k in (0, 1)])
    *_, trained = loop(before[1], make, 5)
    rtol = 1e-6 if optimizer == "nadam" else 1e-9  # torch keeps NAdam's product of momenta in float32
    torch.testing.assert_close(population.theta[1], flat(trained), rtol=rtol, atol=1e-12)


def test_weight_decay_in_the_gradient_or_beside_it_by_row() -> None:
    """Adam's, coupled, beside AdamW's, decoupled, in one population of one rule; biases are exempt from both."""
    settings = {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.3, "seed": 4}
    population, before = train([Member(**settings), Member(**settings, decoupled_weight_decay=True)])
    for row, make in enumerate((torch.optim.Adam, torch.optim.AdamW)):
        weights = [p for p in before[row].parameters() if p.dim() > 1]
        biases = [p for p in before[row].parameters() if p.dim() == 1]
        groups = [{"params": weights, "weight_decay": 0.3}, {"params": biases, "weight_decay": 0.0}]
        *_, trained = loop(before[row], lambda _, g=groups, m=make: m(g, lr=0.01), 5)
        torch.testing.assert_close(population.theta[row], flat(trained), rtol=1e-9, atol=1e-12)
    assert not torch.allclose(population.theta[0], population.theta[1], rtol=1e-3)


def test_decoupled_l1_makes_weights_exactly_zero_and_spares_biases() -> None:
    population, before = train([plain(seed=1, l1=0.3, decoupled_l1=True), plain(seed=1, l1=0.3), plain(seed=1)])
    weights = is_weight(before[0]) > 0
    zeros = [(population.theta[row] == 0)[weights].sum().item() for row in range(3)]
    assert zeros[0] > 5 and zeros[1:] == [0, 0]
    assert not (population.theta[0] == 0)[~weights].any()


def test_averages_are_those_of_torch_and_what_is_scored_and_returned() -> None:
    """EMA and SWA beside a row without; the average begins after a share of the steps (20 in all)."""
    settings = {"optimizer": "sgd", "lr": 0.2, "seed": 3}
    members = [
        Member(**settings),
        Member(**settings, average="ema", average_decay=0.9),
        Member(**settings, average="swa", average_from=0.5),
    ]
    x, y = table(30)
    population = Population(net, members, dtype=torch.float64)
    networks = [copy.deepcopy(population.network(k)).train() for k in range(3)]
    last = list(population.train(x.double(), y, epochs=5, batch_size=8, validation=(x.double(), y)))[-1]
    path = [flat(trained).clone() for trained in loop(networks[0], lambda p: torch.optim.SGD(p, lr=0.2), 5)]
    ema = path[0]
    for point in path[1:]:
        ema = 0.9 * ema + 0.1 * point
    for row, wanted in enumerate((path[-1], ema, torch.stack(path[10:]).mean(dim=0))):
        torch.testing.assert_close(population.theta[row], wanted, rtol=1e-9, atol=1e-12)
        loss = nn.functional.cross_entropy(population.network(row)(x.double()), y)
        assert last.validation_loss[row] == pytest.approx(float(loss), rel=1e-12)


def test_early_stopping_keeps_the_average_of_the_best_epoch() -> None:
    x, y = table(60)
    held_out = table(40, seed=9)
    members = [Member(seed=k, optimizer="adam", lr=0.05, average=a) for k, a in enumerate(("ema", "none", "swa"))]
    population = Population(net, members)
    records = list(population.train(x, y, epochs=40, batch_size=16, validation=held_out, patience=3))
    _, score = population.evaluate(*held_out)
    np.testing.assert_allclose(score, records[-1].best_score)


def test_reduce_on_plateau_lowers_the_rate_of_its_row_alone() -> None:
    x, y = table(30)
    held_out = table(20, seed=4)
    settings = {"optimizer": "sgd", "lr": 0.5}
    members = [
        Member(**settings, schedule="plateau", gamma=0.5, plateau_patience=1),
        Member(**settings, schedule="plateau", gamma=0.1, plateau_patience=3),
        Member(**settings),
    ]
    population = Population(net, members)
    records = list(population.train(x, y, epochs=25, batch_size=8, validation=held_out))
    for row, member in enumerate(members[:2]):
        layer = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([layer], lr=0.5)
        torchs = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=member.gamma, patience=member.plateau_patience, eps=0
        )
        for record in records:
            assert record.lr[row] == pytest.approx(optimizer.param_groups[0]["lr"])
            torchs.step(float(record.validation_loss[row]))
        assert record.lr[row] < 0.5
    assert {float(record.lr[2]) for record in records} == {0.5}
