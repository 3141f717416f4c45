"""The built-in networks and the keyed dropout layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from shoal.core import keyed
from shoal.core.errors import InputError
from shoal.nn import Cnn, Dropout, Mlp, Resnet
from shoal.nn.adoption import adopt_layers
from shoal.nn.networks import Network, PeriodicEmbedding, from_document
from shoal.nn.networks.layers import Normalization, normalization
from shoal.population import Member, Population
from shoal.store.model_folder import load_model, save_model

SPECS: list[tuple[Network, tuple[int, ...]]] = [
    (Mlp(inputs=5, outputs=3, width=7, depth=3), (5,)),
    (Mlp(inputs=12, outputs=1, depth=0), (3, 4)),
    (Mlp(inputs=6, outputs=2, width=8, periodic=(0, 4, 1), normalization="batch", activation="silu"), (6,)),
    (Mlp(inputs=6, outputs=2, width=9, normalization="layer", dropout=0.5), (6,)),
    (Cnn(channels=2, size=(30,), outputs=4, width=4, blocks=3), (2, 30)),
    (Cnn(channels=1, size=(28, 28), outputs=10, width=4, normalization="group"), (1, 28, 28)),
    (Cnn(channels=3, size=(9, 2), outputs=2, width=4, blocks=4, activation="gelu"), (3, 9, 2)),
    (Cnn(channels=1, size=(8, 9, 10), outputs=2, width=2), (1, 8, 9, 10)),
    (Cnn(channels=1, size=(3, 3), outputs=2, width=2, normalization="none"), (1, 3, 3)),
    (Resnet(channels=2, size=(50,), outputs=4, width=4, stages=3), (2, 50)),
    (Resnet(channels=3, size=(9, 2), outputs=2, width=4, blocks=2, normalization="layer"), (3, 9, 2)),
    (Resnet(channels=1, size=(6, 7, 8), outputs=2, width=2, normalization="instance", dropout=0.2), (1, 6, 7, 8)),
    (Resnet(channels=1, size=(1,), outputs=1, width=2, stages=4, normalization="none"), (1, 1)),
]
NAMES = [f"{spec.network}-{'x'.join(map(str, shape))}" for spec, shape in SPECS]


@pytest.mark.parametrize(("spec", "shape"), SPECS, ids=NAMES)
def test_a_network_is_what_its_record_says(spec: Network, shape: tuple[int, ...]) -> None:
    network = spec.build()
    assert network(torch.randn(4, *shape)).shape == (4, spec.outputs)
    again = from_document(spec.model_dump(mode="json"))
    assert again == spec
    assert [p.shape for p in again.build().parameters()] == [p.shape for p in network.parameters()]


@pytest.mark.parametrize(("spec", "shape"), SPECS, ids=NAMES)
def test_a_saved_network_answers_bit_for_bit_as_before(spec: Network, shape: tuple[int, ...], tmp_path: Path) -> None:
    network, x = spec.build(), torch.randn(6, *shape)
    network.train()(x)  # running statistics are no longer those of a fresh network
    save_model(tmp_path, network.state_dict(), {"architecture": spec.model_dump(mode="json")})
    tensors, document = load_model(tmp_path)
    again = from_document(document["architecture"]).build()
    again.load_state_dict(tensors)
    assert torch.equal(again.eval()(x), network.eval()(x))


@pytest.mark.parametrize(("spec", "shape"), SPECS, ids=NAMES)
def test_stacked_rows_answer_and_learn_as_each_alone(spec: Network, shape: tuple[int, ...]) -> None:
    networks = [spec.build().double().eval() for _ in range(3)]
    for network in networks:  # a fresh residual branch is 0: no weight before its last scale would have a gradient
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.3)
    x = torch.randn(5, *shape, dtype=torch.float64)
    weights, buffers = stack_module_state(networks)  # type: ignore[arg-type]

    def loss(row: dict[str, Tensor], constants: dict[str, Tensor]) -> Tensor:
        return functional_call(networks[0], {**row, **constants}, (x,)).square().sum()  # type: ignore[no-any-return]

    gradients = vmap(grad(loss))(weights, buffers)
    for number, network in enumerate(networks):
        network(x).square().sum().backward()
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(gradients[name][number], parameter.grad, rtol=1e-9, atol=1e-9)


def test_an_mlp_has_the_weights_that_it_should() -> None:
    count = sum(p.numel() for p in Mlp(inputs=64, outputs=10, width=50, depth=1).build().parameters())
    assert count == 64 * 50 + 50 + 50 * 10 + 10


def test_channels_double_and_pooling_stops_at_four() -> None:
    network = Cnn(channels=1, size=(28, 28), outputs=10, width=4, blocks=4).build()
    widths = [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d)]
    assert widths == [4, 8, 16, 32]
    assert network[-1].in_features == 32 * 3 * 3  # 28, 14, 7, 3, 3


def test_a_fresh_residual_block_is_its_shortcut_and_weights_do_not_depend_on_the_size() -> None:
    spec = Resnet(channels=1, size=(20, 20), outputs=3, width=4, stages=2, blocks=2)
    network = spec.build().eval()
    x = torch.randn(2, 4, 10, 10)
    first, halving = network[4], network[6]  # after the stem's convolution, pooling, normalization, activation
    assert torch.equal(first(x), torch.relu(x))
    assert torch.equal(halving(x), torch.relu(halving.shortcut(x)))
    assert halving(x).shape == (2, 8, 5, 5)
    shapes = [p.shape for p in spec.model_copy(update={"size": (7, 40)}).build().parameters()]
    assert shapes == [p.shape for p in network.parameters()]


def test_a_periodic_embedding_is_its_formula() -> None:
    layer = PeriodicEmbedding((3, 0), 4).double()
    with torch.no_grad():
        layer.bias.normal_()
    x = torch.randn(5, 4, dtype=torch.float64)
    expected = [x]
    for number, column in enumerate((0, 3)):
        waves = torch.cos(2 * torch.pi * x[:, [column]] * layer.frequency[number] + layer.phase[number])
        of = slice(4 * number, 4 * number + 4)
        expected.append(waves @ layer.weight[of].T + layer.bias[of])
    torch.testing.assert_close(layer(x), torch.cat(expected, dim=1))
    assert layer.outputs == layer(x).shape[1]


def test_frequencies_are_a_members_own_and_stay_as_they_were_drawn() -> None:
    spec = Mlp(inputs=2, outputs=1, width=4, depth=1, periodic=(0, 1))
    members = [Member(seed=seed, init="kaiming", weight_decay=1.0, lr=0.1) for seed in (1, 2)]
    population = Population(spec.build, members, loss="squared_error")
    before = population.buffers["1.frequency"].clone()
    assert not torch.equal(before[0], before[1])
    for _ in population.train(torch.randn(40, 2), torch.randn(40, 1), epochs=2, batch_size=8):
        pass
    assert torch.equal(population.buffers["1.frequency"], before)


@pytest.mark.parametrize("columns", [(0, 0), (5,), (-1, 2)])
def test_embedded_inputs_that_there_are_not_are_named(columns: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"different ones of 0 to 4; got \["):
        Mlp(inputs=5, outputs=1, periodic=columns).build()


@pytest.mark.parametrize("size", [(), (3, 3, 3, 3), (4, 0)])
@pytest.mark.parametrize("network", [Cnn, Resnet])
def test_a_size_that_no_convolution_runs_over_is_named(network: type[Cnn | Resnet], size: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"none of these") as error:
        network(channels=1, size=size, outputs=2).build()
    assert str(list(size)) in str(error.value)


def test_instance_normalization_needs_positions() -> None:
    with pytest.raises(InputError, match="needs positions"):
        Mlp(inputs=5, outputs=1, normalization="instance").build()


@pytest.mark.parametrize(("name", "axes"), [("layer", (1, 2)), ("instance", (2,)), ("batch", (0, 2))])
def test_normalizations_run_over_the_axes_that_they_say(name: Normalization, axes: tuple[int, ...]) -> None:
    x = 3 + 2 * torch.randn(6, 8, 10, dtype=torch.float64)
    y = normalization(name, 8, 1)[0].double().train()(x).detach()
    torch.testing.assert_close(y.mean(dim=axes), torch.zeros_like(y.mean(dim=axes)))
    assert float((y.var(dim=axes, correction=0) - 1).abs().max()) < 1e-4
    by_channel_of_a_row = float(y.mean(dim=2).abs().max())
    assert by_channel_of_a_row > 0.05 or name == "instance"


def test_groups_divide_the_channels() -> None:
    assert [normalization("group", channels, 2)[0].num_groups for channels in (16, 12, 7, 11)] == [8, 6, 7, 1]


def drop(p: float, *, channels: bool = False, seed: int = 0) -> Dropout:
    layer = Dropout(p, channels=channels)
    layer.key = keyed.key(seed, keyed.Purpose.DROPOUT, 0, 0)
    return layer.train()


def test_dropout_zeroes_its_share_and_scales_the_rest() -> None:
    x = torch.ones(200, 500)
    y = drop(0.3)(x)
    share = float((y == 0).float().mean())
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / x.numel()) ** 0.5
    assert torch.allclose(y[y != 0], torch.tensor(1 / 0.7))
    assert torch.equal(drop(0.3).eval()(x), x)
    assert torch.equal(drop(0.0)(x), x)


def test_the_mask_follows_from_the_key_alone() -> None:
    x = torch.randn(20, 30)
    torch.manual_seed(1)
    first = drop(0.5)(x)
    torch.manual_seed(2)
    assert torch.equal(first, drop(0.5)(x))
    assert not torch.equal(first, drop(0.5, seed=1)(x))
    gone = drop(0.2)(x) == 0
    assert ((first == 0) | ~gone).all()  # members that differ in the rate alone share their draws


def test_by_channel_whole_channels_go() -> None:
    y = drop(0.5, channels=True)(torch.ones(40, 10, 3, 3))
    shares = y.eq(0).flatten(2).float().mean(dim=2)
    assert set(shares.unique().tolist()) == {0.0, 1.0}


def test_torchs_dropouts_are_replaced_wherever_they_are() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.2), nn.Sequential(nn.Conv2d(1, 1, 1), nn.Dropout2d(0.4)))
    assert [layer.name for layer in adopt_layers(network)] == ["1", "2.1"]
    assert (float(network[1].p), network[1].channels) == (pytest.approx(0.2), False)
    assert (float(network[2][1].p), network[2][1].channels) == (pytest.approx(0.4), True)
    assert not any(isinstance(module, nn.modules.dropout._DropoutNd) for module in network.modules())
    assert "1.p" not in network.state_dict() and "1.key" not in network.state_dict()
