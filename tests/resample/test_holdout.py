"""The hold-out plan: parts of all rows, by the rule that the data ask for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.errors import InputError
from shoal.data import Dataset, read
from shoal.resample import SplitIndices, hold_out

RNG = np.random.default_rng(0)


def classes(counts: list[int], split: np.ndarray | None = None, **extra: object) -> Dataset:
    y = RNG.permutation(np.repeat(np.arange(len(counts)), counts))
    frame = pl.DataFrame({"x": RNG.normal(size=len(y)), "y": [f"c{code}" for code in y], **extra})
    options = {name: name for name in extra}
    return read(frame, target="y", **options)


def parts(plan: SplitIndices) -> list[np.ndarray]:
    return [plan.train, plan.validation, plan.test]


def check_partition(plan: SplitIndices, rows: int) -> None:
    together = np.concatenate(parts(plan))
    assert np.array_equal(np.sort(together), np.arange(rows))
    assert all(len(part) and (np.diff(part) > 0).all() and part.dtype == np.int64 for part in parts(plan))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(2, 60), min_size=2, max_size=5), st.integers(0, 2**31), st.sampled_from([0.1, 0.15, 0.3]))
def test_classes_are_shared_out(counts: list[int], seed: int, share: float) -> None:
    dataset = classes(counts)
    if dataset.rows < 10:
        return
    plan = hold_out(dataset, seed=seed, validation_frac=share, test_frac=share)
    check_partition(plan, dataset.rows)
    assert abs(len(plan.test) - share * dataset.rows) <= 1
    assert abs(len(plan.validation) - share * dataset.rows) <= 1
    assert set(dataset.target[plan.train]) == set(range(len(counts)))
    for code, number in enumerate(counts):
        if min(counts) >= 20:
            held = (dataset.target[plan.test] == code).sum()
            assert abs(held - share * number) <= 1


def test_seeds() -> None:
    dataset = classes([50, 60])
    same, again, other = (hold_out(dataset, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(parts(same), parts(again), strict=True))
    assert not np.array_equal(same.test, other.test)


def test_regression_rows_are_shuffled() -> None:
    dataset = read((RNG.normal(size=(100, 2)), RNG.normal(size=100)))
    plan = hold_out(dataset, seed=0)
    check_partition(plan, 100)
    assert plan.sizes() == {"train": 70, "validation": 15, "test": 15}
    assert plan.test.tolist() != list(range(85, 100))


def test_time_goes_in_order_and_moments_stay_together() -> None:
    time = RNG.permutation(np.repeat(np.arange(40), 5)).astype(float)
    dataset = classes([100, 100], time=time)
    plan = hold_out(dataset, seed=0)
    check_partition(plan, 200)
    assert time[plan.train].max() < time[plan.validation].min()
    assert time[plan.validation].max() < time[plan.test].min()
    assert len(plan.test) == 30


def test_time_that_never_changes_is_refused() -> None:
    dataset = classes([50, 50])
    with pytest.raises(InputError, match="same time"):
        hold_out(with_(dataset, time=np.zeros(100)), seed=0)


def test_moments_that_leave_too_few_rows_are_named_as_the_cause() -> None:
    late = np.minimum(np.arange(100.0), 5)  # 95 rows at the last moment
    with pytest.raises(InputError, match="rows of one time stay on one side, so only 5 of 100 rows are earlier"):
        hold_out(with_(classes([50, 50]), time=late), seed=0)
    early = np.maximum(np.arange(100.0), 94)  # 95 rows at the first moment
    with pytest.raises(InputError, match="all 95 rows that are left to divide have the same time"):
        hold_out(with_(classes([50, 50]), time=early), seed=0)


def with_(dataset: Dataset, **changes: object) -> Dataset:
    from dataclasses import replace

    return replace(dataset, **changes)


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 30), st.integers(0, 1000))
def test_groups_stay_whole(groups: int, seed: int) -> None:
    who = np.arange(300) % groups
    dataset = with_(classes([150, 150]), group=who)
    plan = hold_out(dataset, seed=seed)
    check_partition(plan, 300)
    sets = [set(who[part]) for part in parts(plan)]
    assert not (sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2])
    assert set(dataset.target[plan.train]) == {0, 1}


def test_groups_of_a_regression() -> None:
    dataset = read((RNG.normal(size=(100, 2)), RNG.normal(size=100)))
    who = np.arange(100) // 5
    plan = hold_out(with_(dataset, group=who), seed=1)
    check_partition(plan, 100)
    assert not set(who[plan.train]) & set(who[plan.test])


def test_a_group_that_alone_has_a_class_stays_in_training() -> None:
    who = np.arange(300) // 60
    dataset = with_(classes([150, 150]), group=who, target=(who == 4).astype(np.int64))
    for seed in range(10):
        plan = hold_out(dataset, seed=seed)
        assert set(who[plan.train]) >= {4}
        check_partition(plan, 300)


def test_a_class_of_one_group_cannot_be_held_out() -> None:
    dataset = classes([150, 150])
    with pytest.raises(InputError, match="groups"):
        hold_out(with_(dataset, group=dataset.target.copy()), seed=0)
    with pytest.raises(InputError, match="too few groups"):
        hold_out(with_(dataset, group=np.zeros(300, dtype=np.int64)), seed=0)
    with pytest.raises(InputError, match="cannot both"):
        hold_out(with_(dataset, group=np.arange(300), time=np.arange(300.0)), seed=0)


@pytest.mark.parametrize(("given", "missing"), [((0, 2), 1), ((0, 1), 2), ((0, 1, 2), None)])
def test_the_split_of_the_source_is_kept(given: tuple[int, ...], missing: int | None) -> None:
    dataset = classes([150, 150])
    split = np.asarray(given, dtype=np.int8)[np.arange(300) % len(given)]
    plan = hold_out(with_(dataset, given_split=split), seed=0)
    check_partition(plan, 300)
    for code, part in enumerate(parts(plan)):
        if code and code != missing:
            assert part.tolist() == np.flatnonzero(split == code).tolist()
    assert set(plan.train) <= set(np.flatnonzero(split == 0))
    if missing:
        taken = (plan.validation, plan.test)[missing - 1]
        assert len(taken) == round(0.15 * (split == 0).sum())


def test_a_split_with_training_rows_only_is_no_split() -> None:
    plan = hold_out(with_(classes([50, 50]), given_split=np.zeros(100, dtype=np.int8)), seed=0)
    check_partition(plan, 100)
    assert "source" not in plan.method


@pytest.mark.parametrize("part", [1, 2])
def test_a_split_without_training_rows_is_refused(part: int, tmp_path: Path) -> None:
    y = np.arange(40) * 0.37
    given = {0: "train", 1: "val", 2: "test"}[part]
    np.savez(tmp_path / "alone.npz", **{f"x_{given}": RNG.normal(size=(40, 3)), f"y_{given}": y})
    with pytest.raises(InputError, match="training part holds no row with an answer"):
        hold_out(read(tmp_path / "alone.npz"), seed=0)
    unanswered = {"x_train": RNG.normal(size=(9, 3)), "y_train": np.full(9, np.nan)}
    np.savez(tmp_path / "nan.npz", **unanswered, x_test=RNG.normal(size=(40, 3)), y_test=y)
    with pytest.raises(InputError, match="training part holds no row with an answer"):
        hold_out(read(tmp_path / "nan.npz"), seed=0)


def test_too_few_rows() -> None:
    with pytest.raises(InputError, match="too few"):
        hold_out(classes([2, 2]), seed=0)
    with pytest.raises(InputError, match="training rows"):
        hold_out(
            with_(classes([50, 50], time=np.arange(100.0)), target=(np.arange(100) >= 80).astype(np.int64)), seed=0
        )
    with pytest.raises(InputError, match="leave nothing"):
        hold_out(classes([50, 50]), seed=0, validation_frac=0.5, test_frac=0.5)


def test_rare_classes_stay_in_training() -> None:
    for seed in range(20):
        dataset = classes([95, 2, 2, 2])
        plan = hold_out(dataset, seed=seed)
        assert set(dataset.target[plan.train]) == {0, 1, 2, 3}
        check_partition(plan, dataset.rows)
