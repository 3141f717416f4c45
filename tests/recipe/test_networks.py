"""Which network a run starts from, and what is refused."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shoal import data as data_room
from shoal import prepare
from shoal.core.errors import InputError
from shoal.core.events import Kind
from shoal.data import Dataset
from shoal.experiment import BuiltIn
from shoal.nn.networks import Cnn, Mlp, Network, Resnet
from shoal.prepare import Preparation
from shoal.recipe import networks


def prepared(dataset: Dataset) -> Preparation:
    return prepare.fit(dataset, np.arange(dataset.rows))


def arrays(shape: tuple[int, ...], kind: Kind) -> Preparation:
    x = np.random.default_rng(0).normal(size=(12, *shape))
    return prepared(data_room.read((x, np.arange(12) % 2), kind=kind))


def chosen(kind: Kind, preparation: Preparation, model: str = "auto", outputs: int = 2) -> Network:
    network = networks.choose(kind, preparation, outputs, model)
    assert isinstance(network, BuiltIn)
    return network.spec


def mixed_table(rows: int) -> Preparation:
    rng = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "colour": rng.choice(["red", "green", "blue"], rows),
            "size": rng.lognormal(size=rows),
            "doors": rng.integers(2, 6, rows),
            "price": np.where(rng.random(rows) < 0.1, np.nan, rng.normal(size=rows)),
            "y": rng.choice(["a", "b"], rows),
        }
    ).with_columns(pl.col("price").fill_nan(None))
    return prepared(data_room.read(frame, target="y"))


def test_numbers_with_many_values_are_embedded_and_the_rest_of_a_table_is_not() -> None:
    preparation = mixed_table(1200)
    spec = chosen("table", preparation)
    assert isinstance(spec, Mlp)
    names = preparation.feature_names
    assert [names[column] for column in spec.periodic] == ["size", "size rank", "price", "price rank"]
    assert spec.inputs == len(names)


def test_in_a_very_wide_table_nothing_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    preparation = mixed_table(1200)
    assert len(networks.spread_numbers(preparation)) == 4
    monkeypatch.setattr(networks, "MOST_PERIODIC", 3)
    assert networks.spread_numbers(preparation) == ()


def test_in_a_small_table_nothing_is_embedded() -> None:
    assert networks.spread_numbers(mixed_table(300)) == ()


@pytest.mark.parametrize(
    ("kind", "shape", "blocks", "width"),
    [
        ("signal", (2, 256), 5, 16),
        ("signal", (1, 20), 3, 16),
        ("image", (28, 28), 3, 16),
        ("image", (8, 8, 3), 2, 16),
        ("image", (100, 100), 5, 16),
        ("volume", (28, 28, 28), 3, 8),
        ("volume", (2, 3, 4), 2, 8),
    ],
)
def test_convolutions_go_on_until_the_axes_are_short(
    kind: Kind, shape: tuple[int, ...], blocks: int, width: int
) -> None:
    preparation = arrays(shape, kind)
    spec = chosen(kind, preparation, "cnn")
    assert isinstance(spec, Cnn)
    assert (spec.blocks, spec.width, spec.channels, spec.size) == (
        blocks, width, preparation.shape[0], preparation.shape[1:],
    )  # fmt: skip
    residual = chosen(kind, preparation, "resnet")
    assert isinstance(residual, Resnet)
    assert (residual.channels, residual.size, residual.outputs) == (spec.channels, spec.size, 2)
    assert chosen(kind, preparation) == (residual if kind == "signal" else spec)
    flattened = chosen(kind, preparation, "mlp")
    assert isinstance(flattened, Mlp)
    assert flattened.inputs == int(np.prod(preparation.shape))


@pytest.mark.parametrize("model", ["cnn", "resnet"])
def test_no_convolution_runs_over_a_table(model: str) -> None:
    with pytest.raises(InputError, match=f"model={model} needs images, signals or volumes: the columns of a table"):
        chosen("table", mixed_table(50), model)


def test_twice_as_wide_is_the_same_network_otherwise() -> None:
    network = networks.choose("volume", arrays((8, 8, 8), "volume"), 3, "resnet")
    wider = network.wider()
    assert isinstance(network, BuiltIn) and isinstance(wider, BuiltIn)
    assert wider.spec == network.spec.model_copy(update={"width": 16})


@pytest.mark.parametrize(("length", "stages"), [(20, 3), (256, 3), (300, 4), (100_000, 5)])
def test_longer_signals_get_more_stages(length: int, stages: int) -> None:
    spec = chosen("signal", arrays((1, length), "signal"))
    assert isinstance(spec, Resnet)
    assert spec.stages == stages
