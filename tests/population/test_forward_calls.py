"""How often a network is run: once for each batch that is evaluated, and once more for a shape not met before.

What must be known of a network is learned by running it: once what it costs and answers, and, where that does not
follow from its layers, on two samples whether several rows can be stacked or whether convolutions run channels-last.
Everything is kept with the population, whatever it does next.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoal.core import process
from shoal.ensemble.model import EnsembleMember, Model
from shoal.nn.dropout import Dropout
from shoal.nn.normalization import BatchNorm
from shoal.population import Member, Population, probe
from shoal.population.chain import ELEMENTWISE
from shoal.population.plan import EVALUATION_BATCH
from tests.population.networks import convolutional, pictures, table

CALLS: list[int] = []  # rows of each batch


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        CALLS.append(len(x))
        return self.layer(x)  # type: ignore[no-any-return]


def calls() -> list[int]:
    made = CALLS[:]
    CALLS.clear()
    return made


@pytest.fixture(autouse=True)
def _one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows in one block: the network is run once for each block."""
    monkeypatch.setattr(process, "cores", lambda: 1)
    CALLS.clear()


@pytest.mark.parametrize(("members", "probes"), [(1, 1), (4, 2)])
def test_an_evaluation_runs_the_network_once_for_each_batch(members: int, probes: int) -> None:
    """A population of one is never stacked, so nothing has to be learned of that."""
    population = Population(Counting, [Member(seed=k) for k in range(members)])
    x, y = table(64)
    population.predict(x)
    assert len(calls()) == probes + 1
    population.predict(x)
    assert calls() == [64]
    population.evaluate(x, y)
    assert calls() == [64]
    population[:1].predict(x)
    assert calls() == [64]
    long = torch.zeros(2 * EVALUATION_BATCH + 10, 5)
    population.predict(long)
    calls()
    population.predict(long)
    assert calls() == [EVALUATION_BATCH, EVALUATION_BATCH, 10]


def test_a_training_runs_it_once_for_each_batch_too() -> None:
    """Stacked rows are validated in batches of the training's size: five and four an epoch, after two probes."""
    population = Population(Counting, [Member(seed=k) for k in range(4)])
    (x, y), (xv, yv) = table(40), table(30)
    list(population.train(x, y, epochs=3, batch_size=8, validation=(xv, yv)))
    epoch = [*5 * [8], 8, 8, 8, 6]
    assert calls() == [8, 2, *3 * epoch]
    list(population.train(x, y, epochs=2, batch_size=8, validation=(xv, yv)))
    assert calls() == 2 * epoch


class Seeing(nn.Module):
    """A forward pass of one's own: what it does with its layers' outputs can only be tried."""

    def __init__(self, channels: int = 2) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, channels, 3), nn.Linear(16 * channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        CALLS.append(len(x))
        return self.out(self.conv(x).flatten(1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("channels", [2, 512])
def test_of_stacking_and_channels_last_only_what_the_plan_needs_is_tried(channels: int) -> None:
    """Small convolutions are stacked, and large ones run by themselves: one trial on two samples either way."""
    population = Population(lambda: Seeing(channels), [Member(), Member(seed=1)])
    x, _ = pictures(37)
    plan = population.plan([0, 1], (x, None), 37)
    assert (plan.sequential, plan.channels_last) == (channels == 512, channels == 512)
    assert calls() == [37, 2]
    population.plan([0, 1], (x, None), 37)
    assert calls() == []


def ordinary_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(36, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 3))


@pytest.mark.parametrize("make_net", [ordinary_mlp, convolutional], ids=["mlp", "cnn"])
def test_planning_a_short_training_costs_one_forward_pass(
    make_net: Callable[[], nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ordinary layers it is known what they allow; the one pass says what the network costs."""
    run = nn.Linear.forward

    def counted(layer: nn.Linear, x: Tensor) -> Tensor:
        CALLS.append(len(x))
        return run(layer, x)

    monkeypatch.setattr(nn.Linear, "forward", counted)
    population = Population(make_net, [Member(seed=k) for k in range(8)])
    x, y = pictures(40)
    x = x if make_net is convolutional else x.flatten(1)
    plan = population.plan(range(8), (x, y), 20, steps=4)
    layers = sum(type(layer) is nn.Linear for layer in make_net().modules())
    assert calls() == layers * [20]
    assert not plan.alone
    population.plan(range(8), (x, y), 20, steps=4)
    assert calls() == []


SAMPLES = {0: (6,), 1: (2, 8), 2: (2, 8, 8), 3: (2, 8, 8, 8)}
LAYERS: dict[type[nn.Module], tuple[int, Callable[[], nn.Module]]] = {
    **{kind: (0, kind) for kind in ELEMENTWISE},
    **{kind: (rank + 1, lambda kind=kind: kind(2, 2, 3, padding=1)) for rank, kind in enumerate(probe.CONVOLUTIONS)},
    **{
        kind: (rank + 1, lambda kind=kind: kind(2))
        for rank, kind in enumerate((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d))
    },
    **{
        kind: (rank + 1, lambda kind=kind: kind(2))
        for rank, kind in enumerate((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d))
    },
    nn.Linear: (0, lambda: nn.Linear(6, 6)),
    nn.Flatten: (3, nn.Flatten),
    Dropout: (2, lambda: nn.Dropout2d(0.2)),
    BatchNorm: (2, lambda: nn.BatchNorm2d(2, momentum=None)),
}


@pytest.mark.parametrize("kind", probe.TRIED, ids=lambda kind: kind.__name__)
def test_layers_that_need_no_trial_pass_it(kind: type[nn.Module]) -> None:
    """Behind a convolution where there are positions, so that its outputs come channels-last."""
    rank, make = LAYERS[kind]
    batch = torch.randn(4, *SAMPLES[rank])

    def net(outputs: int) -> nn.Module:
        first = [probe.CONVOLUTIONS[rank - 1](2, 2, 3, padding=1)] if rank else []
        return nn.Sequential(*first, make(), nn.Flatten(), nn.Linear(outputs, 3))

    width = nn.Sequential(*list(net(1))[:-1])(batch).shape[1]
    template = Population(lambda: net(width), [Member()]).template
    assert (
        probe.not_stackable(template, batch) == ""
        and ("stacking", *batch.shape[1:], batch.dtype) not in template.probed
    )
    assert probe._vmap_refuses(template, batch) == ""
    assert not rank or probe._takes_channels_last(template, batch)


def test_a_layer_that_is_not_known_is_tried() -> None:
    class Square(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * x.sum().item()

    batch = torch.randn(4, 5)
    template = Population(lambda: nn.Sequential(nn.Linear(5, 3), Square()), [Member()]).template
    assert "cannot be stacked" in probe.not_stackable(template, batch)


def test_a_model_runs_each_network_once_for_each_batch() -> None:
    networks = tuple(EnsembleMember(Counting().eval(), {}, 1, number) for number in range(3))
    model = Model(networks, None, _Numbers(), None)  # type: ignore[arg-type]
    answers = model.mean_answers(torch.zeros(1500, 5))
    assert calls() == 3 * [1024, 476]
    assert answers.shape == (1500, 3) and np.isfinite(answers).all()


class _Numbers:
    classes = None
