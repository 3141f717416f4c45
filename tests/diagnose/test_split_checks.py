"""Planted faults of data and of their split, each beside a healthy twin that must stay silent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoal.core.events import Finding
from shoal.data import Dataset, read
from shoal.diagnose.description import describe
from shoal.diagnose.split_checks import of_split
from shoal.resample import hold_out

ROWS = 400


def found(dataset: Dataset, code: str) -> Finding | None:
    return next((each for each in of_split(dataset, hold_out(dataset, seed=0)) if each.code == code), None)


def table(seed: int = 0, rows: int = ROWS) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 5))
    answer = np.where(x[:, 0] + x[:, 1] + 0.3 * rng.normal(size=rows) > 0, "yes", "no")
    return pl.DataFrame({**{f"x{i}": x[:, i] for i in range(5)}, "y": answer})


def test_copies_across_the_split_are_counted() -> None:
    healthy = read(table(), target="y")
    copied = read(pl.concat([table(), table().head(60)]), target="y")
    assert found(healthy, "SHL251") is None
    said = found(copied, "SHL251")
    assert said is not None and said.level == "warning"
    plan = hold_out(copied, seed=0)
    training = {tuple(row) for row in copied.features.take(plan.train).frame.rows()}
    for part in ("validation", "test"):
        rows = copied.features.take(getattr(plan, part)).frame.rows()
        assert said.evidence["rows"][part] == sum(tuple(row) in training for row in rows)


def test_an_identifier_does_not_hide_a_copy_and_free_text_tells_rows_apart() -> None:
    twice = pl.concat([table(), table().head(60)])
    assert found(read(twice.with_row_index("id"), target="y"), "SHL251") is not None
    coarse = pl.DataFrame({"a": [0, 1] * 200, "b": [0, 0, 1, 2] * 100, "y": ["n", "y", "y", "n"] * 100})
    stories = coarse.with_columns(pl.Series("story", [f"a story of number {i}" for i in range(ROWS)]))
    assert found(read(stories, target="y"), "SHL251") is None


def test_near_copies_across_the_split() -> None:
    noise = np.random.default_rng(5).normal(size=(60, 5)) * 1e-4
    near = table().head(60).with_columns([pl.col(f"x{i}") + pl.Series(noise[:, i]) for i in range(5)])
    said = found(read(pl.concat([table(), near]), target="y"), "SHL252")
    assert said is not None and said.evidence["pairs"]
    assert all(abs(test - train) == ROWS for test, train in said.evidence["pairs"])  # each with the row it came from
    assert found(read(pl.concat([table(), table(1).head(60)]), target="y"), "SHL252") is None


def test_near_copies_of_pictures() -> None:
    digits = read("digits").features.array
    rng = np.random.default_rng(0)
    answers = np.asarray(read("digits").target)
    again = np.clip(digits[:300] + rng.normal(size=(300, 8, 8)) * 0.01, 0, 16).astype(np.float32)
    spoiled = read((np.concatenate([digits, again]), np.concatenate([answers, answers[:300]])))
    assert found(spoiled, "SHL252") is not None
    assert found(read("digits"), "SHL252") is None


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_drift_between_given_parts(shift: float) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(600, 4))
    x[400:, 2] += shift
    y = (x[:, 0] > 0).astype(int)
    split = {"x_train": x[:400], "y_train": y[:400], "x_test": x[400:], "y_test": y[400:]}
    from shoal.core.reading import Reading
    from shoal.data.arrays import array_dataset, pick

    said = found(array_dataset(pick(split, "a.npz", (), None), Reading(), name="a", source="a.npz"), "SHL256")
    assert (said is not None) == (shift > 0)
    if said is not None:
        assert list(said.evidence["columns"]) == ["x2"] and "x2" in said.sentence


def test_later_rows_may_differ_and_that_is_a_note() -> None:
    days = pl.datetime_range(pl.datetime(2020, 1, 1), pl.datetime(2021, 2, 3), "1d", eager=True)[:ROWS]
    rising = table().with_columns(day=days, x3=pl.int_range(ROWS) * 0.02)
    said = found(read(rising, target="y", time="day"), "SHL256")
    assert said is not None and said.level == "note" and list(said.evidence["columns"]) == ["x3"]
    assert found(read(table().with_columns(day=days), target="y", time="day"), "SHL256") is None


def flipped(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, set[int]]:
    rng = np.random.default_rng(seed)
    rows = rng.choice(dataset.rows, round(share * dataset.rows), replace=False)
    target = np.asarray(dataset.target).copy()
    target[rows] = (target[rows] + rng.integers(1, len(dataset.classes), len(rows))) % len(dataset.classes)
    return read((dataset.features.array, target)), set(rows.tolist())


def test_labels_that_were_mixed_up_are_found() -> None:
    spoiled, rows = flipped(read("digits"), 0.06, seed=1)
    said = found(spoiled, "SHL255")
    assert said is not None
    listed = [each["row"] for each in said.evidence["suspects"]]
    assert len(listed) == 20 and len(rows & set(listed)) >= 19
    plan = hold_out(spoiled, seed=0)
    assert set(listed) <= set(plan.train.tolist())  # the labels of test rows are nobody's business


def test_a_task_that_is_merely_hard_raises_no_alarm_about_labels() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(1200, 4))
    hard = (x[:, 0] + 1.5 * rng.normal(size=1200) > 0).astype(int)
    for dataset in (read("digits"), read("wine"), read((x, hard))):
        assert found(dataset, "SHL255") is None


@pytest.mark.parametrize(
    ("file", "target", "allowed"),
    [
        ("titanic.csv.gz", "Survived", set()),
        ("adult.csv.gz", "income", {"SHL251"}),  # 24 people who differ in nothing, of 14652
        ("covertype_15k.csv.gz", "Cover_Type", set()),
        ("california_housing.csv.gz", "median_house_value", set()),
        ("cifar10_small.npz", None, set()),
        ("adrenalmnist3d.npz", None, set()),
        ("mitbih_beats.npz", None, {"SHL256"}),  # other patients
    ],
)
def test_no_false_alarm_on_real_data(shared_data: Path, file: str, target: str | None, allowed: set[str]) -> None:
    dataset = read(shared_data / file, target=target)
    said = of_split(dataset, hold_out(dataset, seed=0))
    assert {each.code for each in said} <= allowed, [each.sentence for each in said]


def test_a_description_without_a_target_and_what_is_ignored(tmp_path: Path) -> None:
    frame = pl.concat([table(), table().head(60)]).with_row_index("id")
    frame.write_csv(tmp_path / "rows.csv")
    columns = describe(tmp_path / "rows.csv")
    assert (columns.target, columns.split, columns.rows) == (None, None, 460)
    assert [(c.name, c.role) for c in columns.columns][::6] == [("id", "identifier"), ("y", "boolean")]
    whole = describe(tmp_path / "rows.csv", target="y")
    assert [each.code for each in whole.findings] == ["SHL214", "SHL251", "SHL201"]  # the gravest first
    assert [each.code for each in describe(frame, target="y", ignore=["SHL214", "SHL201"]).findings] == ["SHL251"]
