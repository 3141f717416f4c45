"""The convolution layers: torch's in everything but who computes them."""

from __future__ import annotations

import copy
import inspect
import warnings

import pytest
import torch
from torch import Tensor, nn

import shoal
from shoal.core.errors import InputError
from shoal.nn import initializers
from shoal.population import template

RANKS = [1, 2, 3]
LAYERS = {1: (shoal.nn.Conv1d, nn.Conv1d), 2: (shoal.nn.Conv2d, nn.Conv2d), 3: (shoal.nn.Conv3d, nn.Conv3d)}
SETTINGS = [
    {},
    {"stride": 2, "padding": 1, "bias": False},
    {"padding": "same", "dilation": 2},
    {"groups": 2, "padding": "valid"},
]


def pair(rank: int, **setting: object) -> tuple[nn.Module, nn.Module]:
    """Ours and torch's, made from the same seed."""
    made = []
    for layer in LAYERS[rank]:
        torch.manual_seed(3)
        made.append(layer(4, 6, 3, dtype=torch.float64, **setting))
    return made[0], made[1]


@pytest.mark.parametrize("rank", RANKS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_same_weights_same_output_same_gradients_same_state(rank: int, setting: dict[str, object]) -> None:
    ours, theirs = pair(rank, **setting)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value)
    x = torch.randn(2, 4, *(7,) * rank, dtype=torch.float64)
    for batch in (x, x[0]):  # torch takes one sample without a batch
        found = []
        for layer in (ours, theirs):
            leaf = batch.clone().requires_grad_()
            y: Tensor = layer(leaf)
            found.append([y, *torch.autograd.grad(y.square().sum(), (leaf, *layer.parameters()))])
        for mine, its in zip(*found, strict=True):
            torch.testing.assert_close(mine, its, rtol=0, atol=1e-10)
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())


@pytest.mark.parametrize("rank", RANKS)
def test_parameters_names_and_defaults_are_torchs(rank: int) -> None:
    ours, theirs = LAYERS[rank]
    assert inspect.signature(ours) == inspect.signature(theirs)
    assert issubclass(ours, theirs)


@pytest.mark.parametrize("rank", RANKS)
def test_whoever_knows_torchs_layers_knows_ours(rank: int) -> None:
    """Initializers, weight decay, and whoever asks whether a network is convolutional."""
    ours, theirs = (nn.Sequential(layer, nn.Flatten()) for layer in pair(rank))
    for network in (ours, theirs):
        initializers.initialize(network, "kaiming", seed=5)
    assert torch.equal(ours[0].weight, theirs[0].weight)
    assert ours[0].bias.abs().max() == 0
    adopted = [template.adopt(network, torch.float64, torch.device("cpu")) for network in (ours, theirs)]
    assert isinstance(ours[0], nn.modules.conv._ConvNd)
    assert torch.equal(adopted[0].connections, adopted[1].connections)


def network(layer: type[nn.Module]) -> nn.Module:
    return nn.Sequential(
        layer(1, 4, 3, padding=1), nn.MaxPool2d(2), nn.ReLU(), layer(4, 6, 3), nn.Flatten(), nn.Linear(24, 3)
    )


def test_a_population_trains_as_with_torchs_layers() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(48, 1, 8, 8, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (48,), generator=generator)
    members = [shoal.Member(seed=seed, lr=lr, optimizer="adam") for seed, lr in ((0, 1e-2), (1, 3e-3), (2, 1e-3))]
    thetas = []
    for layer in (shoal.nn.Conv2d, nn.Conv2d):
        population = shoal.Population(lambda layer=layer: network(layer), members, dtype=torch.float64)
        for _ in population.train(x, y, epochs=3, batch_size=16):
            pass
        thetas.append(population.theta)
    torch.testing.assert_close(thetas[0], thetas[1], rtol=0, atol=1e-10)


def test_a_users_own_layers_stay_what_they_are() -> None:
    adopted = template.adopt(network(nn.Conv2d), torch.float32, torch.device("cpu"))
    assert [type(m) for m in adopted.skeleton.modules() if isinstance(m, nn.Conv2d)] == [nn.Conv2d, nn.Conv2d]


def test_it_leaves_as_an_ordinary_convolution() -> None:
    made, x = network(shoal.nn.Conv2d).eval(), torch.randn(2, 1, 8, 8)
    program = torch.export.export(made, (x,))
    operations = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert sum("convolution" in name or "conv2d" in name for name in operations) == 2
    assert not any("shoal" in name for name in operations)
    torch.testing.assert_close(program.module()(x), made(x))


def test_tracing_it_gives_torchs_operation_and_no_warning() -> None:
    made = network(shoal.nn.Conv2d).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(made, torch.randn(2, 1, 8, 8))
    x = torch.randn(5, 1, 8, 8)
    torch.testing.assert_close(traced(x), made(x))


@pytest.mark.parametrize("size", [(9,), (8, 7), (6, 5, 8)])
def test_the_built_in_networks_use_it_and_take_the_weights_of_torchs(size: tuple[int, ...]) -> None:
    made = shoal.nn.Resnet(channels=2, size=size, outputs=3, width=4).build().eval()
    ours, theirs = LAYERS[len(size)]
    convolutions = [name for name, layer in made.named_modules() if type(layer) is ours]
    assert len(convolutions) == 6
    plain = copy.deepcopy(made)
    for name in convolutions:
        owner, _, own = name.rpartition(".")
        old = made.get_submodule(name)
        stride, padding, biased = old.stride, old.padding, old.bias is not None
        kernel = old.kernel_size
        layer = theirs(old.in_channels, old.out_channels, kernel, stride=stride, padding=padding, bias=biased)
        setattr(plain.get_submodule(owner), own, layer)
    assert list(plain.state_dict()) == list(made.state_dict())
    plain.eval().load_state_dict(made.state_dict())
    made.load_state_dict(plain.state_dict())
    x = torch.randn(3, 2, *size)
    torch.testing.assert_close(made(x), plain(x))


def test_a_formulation_can_be_set_on_a_layer() -> None:
    layer, x = shoal.nn.Conv2d(4, 4, 3), torch.randn(2, 4, 6, 6)
    expected = layer(x)
    layer.formulation = "taps"
    torch.testing.assert_close(layer(x), expected)
    assert set(layer.state_dict()) == {"weight", "bias"}
    layer.formulation = "quick"
    with pytest.raises(InputError, match="formulation='quick' is unknown"):
        layer(x)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"padding_mode": "reflect"}, "pads with zeros, not padding_mode='reflect'"),
        ({"groups": 3}, "Conv2d: in_channels must be divisible by groups"),
        ({"stride": -1}, r"stride=\(-1, -1\) must be at least 1 along each of 2 axes"),
        ({"dilation": 0}, r"dilation=\(0, 0\) must be at least 1"),
        ({"padding": -1}, r"padding=\(-1, -1\) must be at least 0"),
        ({"padding": "same", "stride": 2}, "Conv2d: padding='same'"),
        ({"stride": (1, 1, 1)}, r"stride=\(1, 1, 1\) must be .* along each of 2 axes"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_once(setting: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        shoal.nn.Conv2d(4, 6, 3, **setting)


def test_what_does_not_fit_is_refused_with_the_shapes() -> None:
    layer = shoal.nn.Conv2d(4, 6, 3)
    with pytest.raises(InputError, match=r"input \[2, 3, 8, 8\], kernel \[6, 4, 3, 3\].*channels \(3\)"):
        layer(torch.ones(2, 3, 8, 8))
    with pytest.raises(InputError, match=r"input \[2, 4, 2, 8\].*spans 3 does not fit into a padded input of 2"):
        layer(torch.ones(2, 4, 2, 8))
    for shape in ((4, 8), (3, 8, 8), (8,), (1, 4, 8, 8, 8)):
        with pytest.raises(
            InputError, match=r"input .*, kernel \[6, 4, 3, 3\]: Conv2d takes \[B, 4, .* 2 spatial axes"
        ):
            layer(torch.ones(shape))
