"""Places: new members take those of rows that have left, and train as if they had been alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shoal.core.errors import InputError
from shoal.population import Member, Population
from tests.population.networks import convolutional, dense, pictures, table
from tests.population.test_laws import difference, member

X, Y = table(30)
XV, YV = table(20, seed=5)


def alone(newcomer: Member, epochs: int) -> Population:
    population = Population(dense, [newcomer], dtype=torch.float64)
    for _ in population.train(X.double(), Y, epochs=epochs, batch_size=8):
        pass
    return population


def test_newcomers_train_as_if_alone_and_disturb_nobody() -> None:
    """Two generations of newcomers beside rows that go on; every schedule, order and draw begins anew for them."""
    first = [member(k) for k in range(4)]
    newcomers = [member(k, schedule="cosine") for k in (5, 6, 7)]
    population = Population(dense, first, dtype=torch.float64)
    for number, _ in enumerate(population.train(X.double(), Y, epochs=6, batch_size=8), start=1):
        if number == 2:
            population.stop([1])
            population.enter([1], newcomers[:1])
        if number == 3:
            population.stop([3])
            population.enter([3], newcomers[1:2])
        if number == 6:  # rows 0 and 2 have had their epochs
            population.enter([0], newcomers[2:])
    assert population.epochs.tolist() == [6, 6, 6, 6]
    assert number == 12
    for row, who in ((0, newcomers[2]), (1, newcomers[0]), (2, first[2]), (3, newcomers[1])):
        assert difference(population, row, alone(who, epochs=6), 0) < 1e-10
    assert population.members[0] == newcomers[2]


def test_a_newcomer_gets_its_own_best_epoch_not_that_of_the_row_before_it() -> None:
    settings = [Member(seed=k, optimizer="adam", lr=lr) for k, lr in ((0, 0.05), (1, 0.05), (2, 1e-9))]
    population = Population(dense, settings[:2], dtype=torch.float64)
    loop = population.train(X.double(), Y, epochs=4, batch_size=8, validation=(XV.double(), YV), patience=4)
    next(loop)
    population.stop([0])
    population.enter([0], settings[2:])
    records = list(loop)
    assert records[-1].epochs.tolist() == [4, 4]
    one = Population(dense, settings[2:], dtype=torch.float64)
    last = list(one.train(X.double(), Y, epochs=4, batch_size=8, validation=(XV.double(), YV), patience=4))[-1]
    assert records[-1].best_score[0] == pytest.approx(last.best_score[0])
    assert records[-1].best_epoch[0] == last.best_epoch[0]
    assert difference(population, 0, one, 0) < 1e-10


def test_a_row_that_leaves_has_the_weights_of_its_best_epoch_at_once() -> None:
    """Whoever gives its place away can read it first."""
    population = Population(dense, [Member(seed=k, optimizer="adam", lr=0.1) for k in range(3)])
    kept: dict[int, torch.Tensor] = {}
    for record in population.train(X, Y, epochs=40, batch_size=8, validation=(XV, YV), patience=2):
        for k in record.trained:
            if record.best_epoch[k] == record.epoch:
                kept[int(k)] = population.theta[k].clone()
        for k, status in enumerate(record.status):
            if status == "stopped":
                assert torch.equal(population.theta[k], kept[k])
    assert "stopped" in population.status


def test_a_place_that_is_taken_or_missing_is_refused() -> None:
    population = Population(dense, [member(k) for k in range(2)])
    loop = population.train(X, Y, epochs=3, batch_size=8)
    next(loop)
    with pytest.raises(InputError, match=r"rows \[1\] are still being trained"):
        population.enter([1], [Member(seed=9)])
    with pytest.raises(InputError, match="one place for each"):
        population.enter([0, 1], [Member(seed=9)])
    with pytest.raises(InputError, match="is being trained"):
        population.train(X, Y, epochs=1)
    loop.close()
    population.enter([1], [Member(seed=9)])
    assert population.steps.tolist() == [int(population.steps[0]), 0]


@pytest.mark.parametrize("patience", [None, 3])
@pytest.mark.parametrize("after", [1, 2, 5])
def test_a_training_saved_between_two_records_is_resumed_bit_for_bit(tmp_path, patience, after) -> None:  # type: ignore[no-untyped-def]
    """Weights, statistics, optimizer state, schedules, best epochs, newcomers and all records that were to come."""
    x, y = pictures()
    members = [
        member(k, schedule=["cosine", "plateau"][k % 2], average=["none", "ema", "swa"][k % 3], average_from=0.2)
        for k in range(5)
    ]
    held_out = pictures(20, seed=3)

    def begin(population: Population):  # type: ignore[no-untyped-def]
        return population.train(x, y, epochs=7, batch_size=8, validation=held_out, patience=patience, order_seed=4)

    def newcomers(population: Population, number: int) -> None:
        if number == 2 and 3 in np.flatnonzero(np.array(population.status) == "ok"):
            population.stop([3])
            population.enter([3], [member(8, schedule="cosine")])

    whole = Population(convolutional, members)
    expected = []
    for number, record in enumerate(begin(whole), start=1):
        expected.append(record)
        newcomers(whole, number)
    killed = Population(convolutional, members)
    for number, _ in enumerate(begin(killed), start=1):
        newcomers(killed, number)
        if number == after:
            killed.save(tmp_path / "under-way.safetensors")
            break
    again = Population.load(tmp_path / "under-way.safetensors", convolutional)
    for number, record in enumerate(again.resume(x, y, validation=held_out), start=after + 1):
        newcomers(again, number)
        for field in vars(record):
            np.testing.assert_array_equal(getattr(record, field), getattr(expected[number - 1], field))
    assert number == len(expected)
    assert torch.equal(again.theta, whole.theta)
    assert all(torch.equal(again.buffers[name], whole.buffers[name]) for name in whole.buffers)
    assert again.status == whole.status
    for mine, theirs in zip(again.state, whole.state, strict=True):
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[slot], theirs[slot]) for slot in mine)


def test_resume_needs_a_training_under_way(tmp_path) -> None:  # type: ignore[no-untyped-def]
    population = Population(dense, [member(0)])
    list(population.train(X, Y, epochs=1))
    population.save(tmp_path / "done.safetensors")
    with pytest.raises(InputError, match="No training was under way"):
        Population.load(tmp_path / "done.safetensors", dense).resume(X, Y)
