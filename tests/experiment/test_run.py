"""The one way to train: folds in one population, pruning and ending, and what a cache holds is not computed again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from shoal import losses
from shoal.augment import Augment, Pixels
from shoal.core.errors import InputError, RunError
from shoal.experiment import Given, Job, Runner, Threads, Trained, Training, run
from shoal.experiment.contract import Shelf
from shoal.experiment.data import Data
from shoal.population import Member, Population
from shoal.population.plan import Plans
from shoal.task import Part, Split

pytestmark = pytest.mark.usefixtures("one_thread")

DENSE = Given(lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)), "dense")
PICTURES = Given(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2)), "pictures")  # members stand in one block
ENTROPY = losses.find("cross_entropy")


def part(rows: int, seed: int, shape: tuple[int, ...] = (4,)) -> Part:
    """Rows whose class is told by their first number, mostly."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, *shape))
    y = x.reshape(rows, -1)[:, 0] + rng.normal(size=rows) > 0
    return Part(torch.from_numpy(x), torch.from_numpy(y.astype(np.int64)))


def folds(count: int = 3, shape: tuple[int, ...] = (4,)) -> list[Split]:
    """Each with rows of its own, as if each were prepared its own way; they differ in their number of rows."""
    return [Split(train=part(40 + 3 * k, k, shape), validation=part(20 + k, 100 + k, shape)) for k in range(count)]


def members(count: int, **settings: Any) -> tuple[Member, ...]:
    return tuple(Member(seed=k, optimizer="adamw", lr=0.01 * (1 + k % 3), **settings) for k in range(count))


def job(count: int = 6, **settings: Any) -> Job:
    given: dict[str, Any] = {
        "architecture": DENSE,
        "members": members(count),
        "loss": ENTROPY,
        "epochs": 4,
        "batch_size": 8,
        "precision": "float64",
    }
    return Job(**{**given, **settings})


def same(one: Trained, other: Trained) -> None:
    """Bit for bit, records and weights."""
    assert one.rows == other.rows
    assert torch.equal(one.population.theta, other.population.theta)
    assert len(one.records) == len(other.records)
    for mine, theirs in zip(one.records, other.records, strict=True):
        for name, value in vars(mine).items():
            np.testing.assert_array_equal(value, getattr(theirs, name), err_msg=name)


class Refusing(Threads):
    """A runner that computes nothing: it only reads what was kept."""

    def begin(self, job: Job, data: Data, plans: Plans) -> Any:
        raise AssertionError("trained again")

    def go_on(self, job: Job, data: Data, plans: Plans, path: Path) -> Any:
        raise AssertionError("trained further")


# --- folds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("each", [1, 5])
def test_a_member_on_a_fold_is_the_member_that_was_trained_on_that_fold_alone(each: int) -> None:
    """With one member a fold they are computed in a block of several views, with five each fold has its own."""
    three = folds()
    numbers = tuple(number for number in range(3) for _ in range(each))
    asked = job(3 * each, folds=numbers, patience=4)
    together = run(asked, three)
    for number, split in enumerate(three):
        mine = [k for k in range(len(numbers)) if numbers[k] == number]
        alone = replace(asked, members=tuple(asked.members[k] for k in mine), folds=())
        apart = run(alone, [split])
        assert torch.allclose(together.population.theta[mine], apart.population.theta, atol=1e-10, rtol=0)
        for one, other in zip(together.records, apart.records, strict=True):
            for name in ("loss", "score", "validation_loss", "validation_score", "best_score"):
                assert np.allclose(getattr(one, name)[mine], getattr(other, name), atol=1e-10, rtol=0), name
        outputs = together.outputs(three)
        for place, k in enumerate(mine):
            assert outputs[k].shape == (len(split.validation.y), 2)  # type: ignore[union-attr]
            assert torch.allclose(outputs[k], apart.outputs([split])[place], atol=1e-10)


@pytest.mark.parametrize("each", [1, 4])
def test_each_fold_knows_its_own_pixels(each: int) -> None:
    """The same rows in six folds: without pixels of their own, members of several would stand in one block."""
    rows = part(40, 0, (3, 8, 8))
    shades = [Pixels(mean=(0.1 * k, 0.3, 0.4), std=(0.5, 0.1 + 0.1 * k, 0.5)) for k in range(6)]
    six = [Split(train=rows, validation=part(12, 9, (3, 8, 8)), pixels=shade) for shade in shades]
    seeds = members(each, augment=Augment(brightness=0.5, translate=0.2))
    numbers = tuple(number for number in range(6) for _ in range(each))
    asked = job(6 * each, architecture=PICTURES, members=seeds * 6, folds=numbers, epochs=2)
    together = run(asked, six).population.theta
    for number, split in enumerate(six):
        alone = run(replace(asked, members=seeds, folds=()), [split]).population.theta
        assert torch.allclose(together[number * each : (number + 1) * each], alone, atol=1e-10, rtol=0)
    assert not torch.allclose(together[:each], together[-each:], atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "given", "said"),
    [
        (job(folds=(0, 1, 2, 3, 0, 1)), folds(), "no fold 3: there are 3, numbered from 0"),
        (job(folds=(0, 1, 2, -1, 0, 1)), folds(), "no fold -1"),
        (job(2, folds=(0, 1)), [folds(1)[0], folds(1, (5,))[0]], r"Fold 1 .* \[5\] and fold 0 .* \[4\]"),
        (job(2, folds=(0, 1)), [folds()[0], Split(train=part(9, 1))], "Some folds have validation rows"),
        (job(2, folds=(0, 1)), [folds()[0], replace(folds()[1], pixels=Pixels())], "what their pixels mean"),
        (job(patience=2), [Split(train=part(9, 1))], "patience needs validation data"),
    ],
)
def test_folds_that_do_not_fit_are_refused(asked: Job, given: Sequence[Split], said: str) -> None:
    with pytest.raises(InputError, match=said):
        run(asked, given)


def test_a_member_that_cannot_be_trained_is_named_by_its_place_in_the_job() -> None:
    wrong = (*members(4), Member(optimizer="adamw", momentum=0.9))
    with pytest.raises(InputError, match=r"Member 4: .*has no momentum"):
        job(members=wrong)


def test_as_many_folds_as_members() -> None:
    with pytest.raises(InputError, match="2 folds for 3 members"):
        job(3, folds=(0, 1))


# --- what is done at a record -----------------------------------------------------------------------------------------


Act = Callable[[Training], object]


def prune(*rows: int) -> Act:
    return lambda training: training.prune(rows)


def acted(training: Training, acts: Mapping[int, Act]) -> Trained:
    """Carry out, and do something at some of the epochs, by number."""
    with training:
        for record in training:
            acts.get(record.epoch, lambda _: None)(training)
    return training.trained


def test_pruned_members_are_trained_no_further_and_move_no_other() -> None:
    whole = run(job(), folds(1))
    pruned = acted(Training(job(), folds(1)), {2: prune(0, 4)})
    assert pruned.last.status == ("pruned", "ok", "ok", "ok", "pruned", "ok")
    assert pruned.records[1].status == pruned.last.status
    assert [len(record.trained) for record in pruned.records] == [6, 6, 4, 4] and pruned.epochs == 20
    others = [1, 2, 3, 5]
    assert torch.equal(pruned.population.theta[others], whole.population.theta[others])
    assert np.isnan(pruned.last_of("validation_score")[[0, 4]]).all()


def test_an_ended_job_is_done_and_a_paused_one_goes_on(tmp_path: Path) -> None:
    whole, shelf = run(job(), folds(1)), Shelf(tmp_path)
    paused = acted(Training(job(), folds(1), cache=shelf, piece="a"), {2: Training.pause})
    assert len(paused.records) == 2
    same(run(job(), folds(1), cache=shelf, piece="a"), whole)
    ended = acted(Training(job(), folds(1), cache=shelf, piece="b"), {2: Training.end})
    same(run(job(), folds(1), Refusing(), shelf, "b"), ended)


# --- the cache --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [job(patience=3, keep=3), job(folds=(0, 1, 2, 0, 1, 2))])
@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_what_was_dropped_at_any_epoch_goes_on_as_if_nothing_had_been(asked: Job, epochs: int, tmp_path: Path) -> None:
    three, shelf = folds(), Shelf(tmp_path)
    whole = run(asked, three)
    with Training(asked, three, cache=shelf, piece="coarse") as begun:
        told = iter(begun)
        for _ in range(epochs):
            next(told)
    # the epoch that was last told was not kept
    assert shelf.count == epochs - 1
    same(run(asked, three, cache=shelf, piece="coarse"), whole)
    same(run(asked, three, Refusing(), shelf, "coarse"), whole)


def test_what_was_done_at_records_that_were_kept_is_expected_again_and_not_done_twice(tmp_path: Path) -> None:
    acts = {1: prune(1), 3: prune(3)}
    whole = acted(Training(job(), folds(1)), acts)
    shelf = Shelf(tmp_path)
    acted(Training(job(), folds(1), cache=shelf), {**acts, 2: Training.pause})
    same(acted(Training(job(), folds(1), cache=shelf), acts), whole)


def test_another_question_is_another_piece_of_work() -> None:
    first = job()
    others = [
        job(architecture=Given(DENSE.make_net, "another")),
        job(members=members(6, dropout=0.1)),
        job(loss=losses.find("squared_error")),
        job(epochs=5),
        job(batch_size=9),
        job(folds=(0, 0, 0, 0, 0, 1)),
        job(patience=2),
        job(order_seed=1),
        job(keep=2),
        job(precision="float32"),
    ]
    digests = [each.digest() for each in (first, *others)]
    assert len(set(digests)) == len(digests) and job().digest() == digests[0]


def test_a_cache_without_the_networks_is_refused_in_words(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    run(job(), folds(1), cache=shelf)
    ((key, kept),) = shelf.pieces.items()
    shelf.pieces[key] = replace(kept, population=None)
    with pytest.raises(RunError, match="holds no networks"):
        run(job(), folds(1), cache=shelf)


def test_a_training_is_one_loop() -> None:
    training = Training(job(2, epochs=1), folds(1))
    with pytest.raises(RuntimeError, match="no record yet"):
        training.prune((0,))
    assert [record.epoch for record in training] == [1]
    with pytest.raises(RuntimeError, match="make another Training"):
        next(iter(training))


def test_a_training_that_is_left_gives_its_threads_back() -> None:
    before = threading.active_count()
    runner: Runner = Threads()
    with Training(job(), folds(1), runner) as training:
        next(iter(training))
    with pytest.raises(RuntimeError, match="not come to its end"):
        training.trained  # noqa: B018
    assert threading.active_count() == before
    assert isinstance(run(job(), folds(1), runner).population, Population)
