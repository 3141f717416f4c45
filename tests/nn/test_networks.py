"""The built-in networks and the keyed dropout layer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from shoal.core import keyed
from shoal.nn import Cnn, Dropout, Mlp
from shoal.nn.dropout import adopt_dropouts
from shoal.nn.networks import from_document


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (Mlp(inputs=5, outputs=3, width=7, depth=3), (5,)),
        (Mlp(inputs=12, outputs=1, depth=0), (3, 4)),
        (Cnn(channels=2, size=(30,), outputs=4, width=4, blocks=3), (2, 30)),
        (Cnn(channels=1, size=(28, 28), outputs=10, width=4), (1, 28, 28)),
        (Cnn(channels=3, size=(9, 2), outputs=2, width=4, blocks=4), (3, 9, 2)),
        (Cnn(channels=1, size=(8, 9, 10), outputs=2, width=2), (1, 8, 9, 10)),
        (Cnn(channels=1, size=(3, 3), outputs=2, width=2), (1, 3, 3)),
    ],
)
def test_a_network_is_what_its_record_says(spec: Mlp | Cnn, shape: tuple[int, ...]) -> None:
    network = spec.build()
    assert network(torch.randn(4, *shape)).shape == (4, spec.outputs)
    again = from_document(spec.model_dump(mode="json"))
    assert again == spec
    assert [p.shape for p in again.build().parameters()] == [p.shape for p in network.parameters()]


def test_an_mlp_has_the_weights_that_it_should() -> None:
    count = sum(p.numel() for p in Mlp(inputs=64, outputs=10, width=50, depth=1).build().parameters())
    assert count == 64 * 50 + 50 + 50 * 10 + 10


def test_channels_double_and_pooling_stops_at_four() -> None:
    network = Cnn(channels=1, size=(28, 28), outputs=10, width=4, blocks=4).build()
    widths = [layer.out_channels for layer in network if isinstance(layer, nn.Conv2d)]
    assert widths == [4, 8, 16, 32]
    assert network[-1].in_features == 32 * 3 * 3  # 28, 14, 7, 3, 3


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
    assert adopt_dropouts(network) == ["1", "2.1"]
    assert (float(network[1].p), network[1].channels) == (pytest.approx(0.2), False)
    assert (float(network[2][1].p), network[2][1].channels) == (pytest.approx(0.4), True)
    assert not any(isinstance(module, nn.modules.dropout._DropoutNd) for module in network.modules())
    assert "1.p" not in network.state_dict() and "1.key" not in network.state_dict()
