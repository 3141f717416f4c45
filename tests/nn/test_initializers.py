"""Initializers against their formulas; keyed, and only for weights."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import pytest
import torch
from torch import nn

from shoal.core.errors import InputError
from shoal.nn import initializers
from shoal.population import Member, Population

WIDTH, OUT = 512, 512


@pytest.mark.parametrize(
    ("make", "shape", "fan_in", "fan_out"),
    [
        (lambda: nn.Linear(7, 3), (3, 7), 7, 3),
        (lambda: nn.Conv1d(2, 4, 5), (4, 2, 5), 10, 20),
        (lambda: nn.Conv2d(3, 16, 5), (16, 3, 5, 5), 75, 400),
        (lambda: nn.Conv3d(2, 3, (1, 2, 3)), (3, 2, 1, 2, 3), 12, 18),
    ],
)
def test_fans_equal_torchs(make: Callable[[], nn.Module], shape: tuple[int, ...], fan_in: int, fan_out: int) -> None:
    weight = make().weight
    assert tuple(weight.shape) == shape
    assert initializers.fans(shape) == (fan_in, fan_out)
    assert initializers.fans(shape) == nn.init._calculate_fan_in_and_fan_out(weight)


@pytest.mark.parametrize("shape", [(512, 512), (256, 1024), (1024, 256), (64, 64, 8, 8)])
@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("xavier", lambda i, o: sqrt(1 / i)),
        ("glorot", lambda i, o: sqrt(2 / (i + o))),
        ("kaiming", lambda i, o: sqrt(2 / i)),
        ("normal(0.01)", lambda i, o: 0.01),
        ("normal(3)", lambda i, o: 3.0),
    ],
)
def test_the_spread_is_the_formulas(name: str, std: Callable[[int, int], float], shape: tuple[int, ...]) -> None:
    layer = nn.Linear(shape[1], shape[0]) if len(shape) == 2 else nn.Conv2d(shape[1], shape[0], shape[2:])
    initializers.initialize(layer, name, seed=1)
    wanted = std(*initializers.fans(shape))
    weight = layer.weight.detach().double()
    n = weight.numel()
    assert abs(float(weight.std()) / wanted - 1) < 4 / sqrt(2 * n)  # four standard errors
    assert abs(float(weight.mean())) < 4 * wanted / sqrt(n)
    kurtosis = float(((weight - weight.mean()) / weight.std()).pow(4).mean())
    assert abs(kurtosis - 3) < 4 * sqrt(24 / n)  # normal, not uniform (1.8)
    assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


@pytest.mark.parametrize("shape", [(64, 64), (32, 100), (100, 32), (8, 3, 3, 3)])
def test_orthogonal_weights_are(shape: tuple[int, ...]) -> None:
    layer = nn.Linear(shape[1], shape[0]) if len(shape) == 2 else nn.Conv2d(shape[1], shape[0], shape[2:])
    initializers.initialize(layer, "orthogonal", seed=2)
    flat = layer.weight.detach().double().flatten(1)
    gram = flat @ flat.T if flat.shape[0] <= flat.shape[1] else flat.T @ flat
    torch.testing.assert_close(gram, torch.eye(len(gram), dtype=torch.float64), atol=1e-5, rtol=0)


def test_normalization_layers_keep_their_ones_and_zeros() -> None:
    network = nn.Sequential(
        nn.Linear(6, 6), nn.BatchNorm1d(6), nn.LayerNorm(6), nn.GroupNorm(2, 6), nn.LayerNorm([2, 3])
    )
    initializers.initialize(network, "kaiming", seed=0)
    for layer in list(network)[1:]:
        assert torch.equal(layer.weight, torch.ones_like(layer.weight))
        assert torch.equal(layer.bias, torch.zeros_like(layer.bias))


def test_torch_keeps_what_the_constructor_drew() -> None:
    network = nn.Linear(4, 3)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    initializers.initialize(network, "torch", seed=9)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


@pytest.mark.parametrize("name", ["xavier", "glorot", "kaiming", "orthogonal", "normal(0.1)"])
def test_weights_follow_from_the_seed_alone(name: str) -> None:
    members = [Member(seed=seed, init=name) for seed in (3, 1, 4, 1, 5)]
    together = Population(mlp, members).theta
    torch.manual_seed(77)  # the global generator has no say
    for row in (4, 0, 2):
        assert torch.equal(Population(mlp, [members[row]]).theta[0], together[row])
    assert torch.equal(together[1], together[3])
    assert not torch.equal(together[0], together[1])


def test_each_weight_has_its_own_draws() -> None:
    network = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    initializers.initialize(network, "kaiming", seed=0)
    assert not torch.equal(network[0].weight, network[1].weight)


@pytest.mark.parametrize(
    ("name", "words"), [("kaimin", "kaiming"), ("normal(-1)", "normal"), ("normal(x)", "normal"), ("zzz", "torch")]
)
def test_an_unknown_name_is_refused_with_the_closest(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        initializers.check(name)
    for known in ("torch", "normal(0.5)", *initializers.INITIALIZERS):
        initializers.check(known)
