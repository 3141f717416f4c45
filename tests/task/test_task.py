"""A task: what is fitted is fitted on each plan's training rows, once; the test rows stay sealed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from shoal import data, prepare
from shoal.core.errors import InputError, RunError
from shoal.data import Dataset
from shoal.resample import SplitIndices, hold_out
from shoal.task import Task

ROWS = 60


def numbers(spoiled: np.ndarray[Any, Any] | None = None, *, classes: bool = False) -> Dataset:
    """Two number columns, a category, and a target; `spoiled` rows hold what no other row has."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=ROWS), "b": rng.lognormal(size=ROWS), "c": ["x", "y", "z"] * 20})
    frame["y"] = np.where(frame["a"] > 0, "up", "down") if classes else 3 * frame["a"] + rng.normal(size=ROWS) + 100
    if spoiled is not None:
        frame.loc[spoiled, ["a", "b"]] = 1e6
        frame.loc[spoiled, "c"] = "never seen"
        if not classes:
            frame.loc[spoiled, "y"] = -1e6
    return data.read(frame, target="y")


def folds(count: int = 3) -> list[SplitIndices]:
    """The last 12 rows test; the others by turns."""
    rest, test = np.arange(ROWS - 12), np.arange(ROWS - 12, ROWS)
    return [SplitIndices(rest[rest % count != k], rest[rest % count == k], test, f"fold {k}") for k in range(count)]


def test_hold_out_is_a_task_with_one_plan_prepared_as_ever() -> None:
    dataset = numbers(classes=True)
    task, plan = Task.hold_out(dataset, seed=4), hold_out(dataset, seed=4)
    fold = task.fold()
    fitted = prepare.fit(dataset, plan.train)
    assert fold.preparation == fitted
    assert np.array_equal(fold.validation.x.numpy(), fitted.transform(dataset.features.take(plan.validation)).x)
    assert fold.train.y.tolist() == dataset.target[plan.train].tolist()
    assert (task.metric, task.outputs, task.classes) == ("accuracy", 2, ("down", "up"))
    assert fold.shape == tuple(fold.train.x.shape[1:]) and fold.inputs == fold.train.x.shape[1]


@pytest.mark.parametrize("classes", [False, True])
def test_what_stands_in_rows_that_do_not_train_moves_no_training_row(classes: bool) -> None:
    plans = folds()
    clean = Task(numbers(classes=classes), plans)
    for number, plan in enumerate(plans):
        spoiled = Task(numbers(np.concatenate([plan.validation, plan.test]), classes=classes), plans)
        mine, theirs = clean.fold(number), spoiled.fold(number)
        assert torch.equal(mine.train.x, theirs.train.x) and torch.equal(mine.train.y, theirs.train.y)
        assert not torch.equal(mine.validation.x, theirs.validation.x)
        other = (number + 1) % len(plans)  # there these rows train, and do move it
        assert not torch.equal(clean.fold(other).train.x, spoiled.fold(other).train.x)


def test_folds_are_fitted_apart_and_once() -> None:
    task = Task(numbers(), folds())
    means = [task.fold(k).target.mean for k in range(3)]
    assert len(set(means)) == 3
    for number, plan in enumerate(task.plans):
        assert means[number] == pytest.approx(task.dataset.target[plan.train].mean(), rel=1e-12)
        assert task.fold(number) is task.fold(number)
        again = task.part(plan.validation, number)
        assert torch.equal(again.x, task.fold(number).validation.x)


def test_test_rows_are_prepared_when_they_are_opened_and_once() -> None:
    task = Task(numbers(), folds())
    assert task.test.rows == 12 and not task._folds
    part = task.test.open()
    assert torch.equal(part.x, task.part(task.plans[0].test).x) and len(part) == 12
    with pytest.raises(RunError, match="read already"):
        task.test.open()


def test_fewer_rows_are_a_fixed_draw_of_the_same_parts() -> None:
    dataset = numbers(classes=True)
    whole, few = Task.hold_out(dataset, seed=1).fold().plan, Task.hold_out(dataset, seed=1, most_rows=10).fold().plan
    again = Task.hold_out(dataset, seed=1, most_rows=10).fold().plan
    assert len(few.train) == 10 and len(few.validation) == 5
    assert set(few.train) < set(whole.train) and set(few.validation) < set(whole.validation)
    assert np.array_equal(few.train, again.train) and np.array_equal(few.test, whole.test)


def rows(*numbers: int) -> np.ndarray[Any, Any]:
    return np.array(numbers, dtype=np.int64)


@pytest.mark.parametrize(
    ("plans", "words"),
    [
        ([], "at least one plan"),
        ([SplitIndices(rows(), rows(1), rows(2), "")], "the plan has no training rows"),
        ([SplitIndices(rows(1), rows(), rows(2), "")], "the plan has no validation rows"),
        ([SplitIndices(rows(0, 99), rows(1), rows(2), "")], "has row 99 among its training rows; there are 60 rows"),
        ([SplitIndices(rows(0, 1), rows(-1), rows(2), "")], "has row -1 among its validation rows"),
        (
            [SplitIndices(rows(0, 1), rows(1), rows(2), "")],
            "row 1 .1 in all. both among its training and its validation rows",
        ),
        ([SplitIndices(rows(0, 1), rows(3), rows(1), "")], "both among its training and its test rows"),
        (
            [SplitIndices(rows(0), rows(1), rows(2), ""), SplitIndices(rows(0), rows(1), rows(3), "")],
            "plan 1 has other test rows",
        ),
    ],
)
def test_plans_that_cannot_be_are_refused(plans: list[SplitIndices], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Task(numbers(), plans)
