"""What a row's settings do to one step, each against its formula written out with torch's autograd."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from shoal.core import keyed
from shoal.core.keyed import Purpose
from shoal.population import Member, Population
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
