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


def spread(layer: nn.Module, x: torch.Tensor) -> float:
    """The standard deviation of what comes out of a layer without its edges."""
    with torch.no_grad():
        y = layer(x)
        y = y[0] if isinstance(y, tuple) else y
        middle = tuple(slice(n // 4, n - n // 4) for n in y.shape[2:])
        return float(y[(slice(None), slice(None), *middle)].std())


@pytest.mark.parametrize(
    "make",
    [
        lambda: (nn.Linear(300, 200), (200, 300)),
        lambda: (nn.Conv1d(32, 64, 5), (16, 32, 64)),
        lambda: (nn.Conv2d(32, 64, 3, groups=4), (8, 32, 20, 20)),
        lambda: (nn.Conv2d(64, 64, 5, groups=64), (8, 64, 24, 24)),
        lambda: (nn.Conv3d(8, 24, 3), (4, 8, 10, 10, 10)),
        lambda: (nn.ConvTranspose1d(48, 32, 4, stride=2), (16, 48, 40)),
        lambda: (nn.ConvTranspose2d(32, 64, 4, stride=2, groups=2), (8, 32, 16, 16)),
        lambda: (nn.ConvTranspose2d(64, 8, 3), (8, 64, 16, 16)),
        lambda: (nn.ConvTranspose3d(16, 12, 2, stride=2), (4, 16, 8, 8, 8)),
    ],
)
def test_xavier_keeps_the_variance_and_kaiming_doubles_it(
    make: Callable[[], tuple[nn.Module, tuple[int, ...]]],
) -> None:
    """What fan_in is for, whatever the rank, the groups and the way the weight is laid out."""
    layer, shape = make()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = {"xavier": [], "kaiming": []}
    for name, values in found.items():
        for seed in range(8):
            initializers.initialize(layer, name, seed)
            values.append(spread(layer, x))
    assert sum(found["xavier"]) / 8 == pytest.approx(1.0, abs=0.06)
    assert sum(found["kaiming"]) / 8 == pytest.approx(sqrt(2.0), abs=0.085)


def test_an_embedding_is_looked_up_so_one_input_is_on() -> None:
    layer = nn.Embedding(500, 64, padding_idx=3)
    for name, std in (("xavier", 1.0), ("kaiming", sqrt(2)), ("glorot", sqrt(2 / 65)), ("normal(0.1)", 0.1)):
        initializers.initialize(layer, name, seed=1)
        rows = torch.cat([layer.weight[:3], layer.weight[4:]])
        assert float(rows.detach().std()) == pytest.approx(std, rel=0.03)
        assert torch.equal(layer.weight[3], torch.zeros(64))  # padding stays nothing


@pytest.mark.parametrize("make", [nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell])
def test_gates_of_a_recurrent_layer_are_drawn_one_by_one(make: Callable[[int, int], nn.Module]) -> None:
    layer = make(24, 32)
    initializers.initialize(layer, "orthogonal", seed=1)
    weights = {name: p.detach() for name, p in layer.named_parameters()}
    hidden = next(p for name, p in weights.items() if name.startswith("weight_hh"))
    blocks = hidden.split(32)
    for block in blocks:
        torch.testing.assert_close(block @ block.T, torch.eye(32), atol=1e-5, rtol=0)
    assert all(not torch.equal(blocks[0], block) for block in blocks[1:])
    initializers.initialize(layer, "glorot", seed=1)
    outer = next(p for name, p in layer.named_parameters() if name.startswith("weight_ih")).detach()
    assert float(outer.std()) == pytest.approx(sqrt(2 / (24 + 32)), rel=0.08)
    assert all(not p.any() for name, p in layer.named_parameters() if "bias" in name)


def test_query_key_and_value_are_drawn_one_by_one() -> None:
    layer = nn.MultiheadAttention(32, 4)
    initializers.initialize(layer, "orthogonal", seed=1)
    for block in layer.in_proj_weight.detach().split(32):
        torch.testing.assert_close(block @ block.T, torch.eye(32), atol=1e-5, rtol=0)


def test_scales_and_slopes_keep_what_their_constructor_drew() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.full((1, 6, 1), 0.5))
            self.gamma = nn.Parameter(torch.ones(6))
            self.slope = nn.PReLU(6)
            self.one = nn.Linear(1, 1)
            self.last = nn.Linear(6, 1)
            nn.init.zeros_(self.last.weight)

    network = Scaled()
    initializers.initialize(network, "kaiming", seed=0)
    assert torch.equal(network.scale, torch.full((1, 6, 1), 0.5)) and torch.equal(network.gamma, torch.ones(6))
    assert torch.equal(network.slope.weight, torch.full((6,), 0.25))
    assert network.last.weight.any() and not network.one.bias.any()


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
