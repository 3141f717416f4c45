"""How often a network is run: once for each batch that is evaluated, and a few times for a shape not met before.

What must be known of a network is learned by running it: once what it costs and answers, and, for several rows at once,
whether they can be stacked. Everything is kept with the population, whatever it does next.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoal.core import process
from shoal.ensemble.model import EnsembleMember, Model
from shoal.population import Member, Population
from shoal.population.plan import EVALUATION_BATCH
from tests.population.networks import pictures, table

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


def test_convolutions_are_run_once_more_to_see_whether_they_run_channels_last() -> None:
    class Seeing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.out = nn.Conv2d(1, 2, 3), nn.Linear(32, 3)

        def forward(self, x: Tensor) -> Tensor:
            CALLS.append(len(x))
            return self.out(self.conv(x).flatten(1))  # type: ignore[no-any-return]

    population = Population(Seeing, [Member(), Member(seed=1)])
    x, _ = pictures(37)
    population.predict(x)
    assert sorted(calls()) == [2, 2, 37, 37]
    population.predict(x)
    assert calls() == [37]


def test_a_model_runs_each_network_once_for_each_batch() -> None:
    networks = tuple(EnsembleMember(Counting().eval(), {}, 1, number) for number in range(3))
    model = Model(networks, None, _Numbers(), None)  # type: ignore[arg-type]
    answers = model.mean_answers(torch.zeros(1500, 5))
    assert calls() == 3 * [1024, 476]
    assert answers.shape == (1500, 3) and np.isfinite(answers).all()


class _Numbers:
    classes = None
