"""What a target of numbers is taken for, that it is said where another reading is possible, and how to decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.data import Dataset, read, read_rows

RNG = np.random.default_rng(0)
POISSON = [0] * 200 + [1] * 240 + [2] * 160 + [3] * 98 + [4] * 45 + [5] * 19 + [6] * 11 + [7] * 3


def dataset(tmp_path: Path, answers: list[object], **reading: str) -> Dataset:
    """Read from a real file, a feature without meaning beside the answers."""
    path = tmp_path / "rows.csv"
    x = RNG.normal(size=len(answers)).round(2)
    pl.DataFrame({"x": x, "y": [str(each) for each in answers]}).write_csv(path)
    return read(path, target="y", **reading)


def said(found: Dataset) -> Finding | None:
    return next((each for each in found.findings if each.code == "SHL275"), None)


@pytest.mark.parametrize(
    ("answers", "task", "level"),
    [
        ([0, 1] * 30, "classification", None),
        ([1, 2, 3] * 30, "classification", None),
        (list(range(10)) * 30, "classification", None),  # digits
        ([*POISSON, 8], "regression", "warning"),  # one row of the largest
        ([0] * 200 + [1] * 90 + [2] * 20 + [3], "regression", "warning"),
        (POISSON, "regression", "warning"),
        ([0] * 608 + [1] * 209 + [2] * 28 + [3] * 16 + [4] * 18 + [5] * 5 + [8] * 7, "regression", "warning"),
        ([3] * 10 + [4] * 53 + [5] * 681 + [6] * 638 + [7] * 199 + [8] * 18, "classification", "note"),  # ratings
        ([1] * 90 + [2] * 140 + [3] * 17 + [5] * 13 + [6] * 9 + [7] * 29, "classification", None),  # codes with a gap
        (list(range(25)) * 30, "classification", "warning"),
        ([11 * code % 97 + 100 for code in range(25)] * 30, "classification", "warning"),
        (RNG.normal(50, 8, 900).round().astype(int).tolist(), "regression", "note"),
        (list(range(15)) * 2, "regression", "note"),
        (list(range(200)) * 3, "regression", None),
        ([0.1, 0.2, 0.3] * 30, "regression", "note"),
        (RNG.normal(size=90).round(3).tolist(), "regression", None),
    ],
)
def test_the_rule_and_what_is_said_of_it(tmp_path: Path, answers: list[object], task: str, level: str | None) -> None:
    found = dataset(tmp_path, answers)
    finding = said(found)
    assert (found.task, finding and finding.level) == (task, level)
    if finding is not None:
        other = {"classification": "regression", "regression": "classification"}[task]
        assert f"--task {other}" in finding.fix and finding.evidence["task"] == task
        assert said(dataset(tmp_path, answers, task=task)) is None


@pytest.mark.parametrize(
    ("answers", "first"),
    [([0, 1] * 30, 0.0), (["$5", "$6", "$7"] * 20, 5.0), (["007", "008"] * 30, 7.0), ([*POISSON, 8], 0.0)],
)
def test_a_regression_of_whatever_are_numbers(tmp_path: Path, answers: list[object], first: float) -> None:
    found = dataset(tmp_path, answers, task="regression")
    assert (found.task, found.classes, found.target[0]) == ("regression", None, first)
    rows = read_rows(tmp_path / "rows.csv", found.schema)
    assert rows.truth is not None and rows.truth.tolist() == found.target.tolist()


@pytest.mark.parametrize(
    ("answers", "classes"),
    [
        ([0.5, 1.5, 2.5] * 20, ("0.5", "1.5", "2.5")),
        (list(range(200)) * 3, tuple(str(each) for each in range(200))),
        (["$5", "$16", "$7"] * 20, ("$5", "$7", "$16")),
        (["1e3", "5"] * 20, ("5", "1000")),
    ],
)
def test_classes_of_whatever_repeats(tmp_path: Path, answers: list[object], classes: tuple[str, ...]) -> None:
    found = dataset(tmp_path, answers, task="classification")
    assert found.classes == classes
    rows = read_rows(tmp_path / "rows.csv", found.schema)
    assert rows.truth is not None and rows.truth.tolist() == found.target.tolist()


@pytest.mark.parametrize(
    ("answers", "task", "words"),
    [
        (["red", "blue"] * 30, "regression", ["'red'", "predicts numbers", "leave out the task"]),
        (["true", "false"] * 30, "regression", ["'true'", "predicts numbers"]),
        ([*range(59), "red"], "regression", ["'red' in line 61 is no number"]),
        (RNG.normal(size=60).tolist(), "classification", ["60 of 60 classes", "--task regression"]),
        ([*POISSON, 8], "classification", ["'8' has a single row (line 778)", "--task regression"]),
    ],
)
def test_a_task_that_cannot_be_is_refused_with_the_reason(
    tmp_path: Path, answers: list[object], task: str, words: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        dataset(tmp_path, answers, task=task)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_the_task_of_arrays() -> None:
    x = RNG.normal(size=(60, 3))
    assert read((x, np.array(["1.5", "2.5", "4"] * 20)), task="regression").target[:2].tolist() == [1.5, 2.5]
    assert read((x, [0, 1] * 30), task="regression").task == "regression"
    for y, word in ((np.array(["a", "b"] * 30), "'a' in rows 0"), (np.array([True, False] * 30), "'True'")):
        with pytest.raises(InputError, match=f"{word}.*predicts numbers"):
            read((x, y), task="regression")


def test_numbers_that_may_only_number_the_rows_are_kept_and_said(tmp_path: Path) -> None:
    columns = {
        "case": range(1, 61), "week": range(1, 61), "year": range(1950, 2010), "heat_index": range(3, 183, 3),
        "patient_id": range(7, 127, 2), "y": ["a", "b"] * 30,
    }  # fmt: skip
    pl.DataFrame({name: list(each) for name, each in columns.items()}).write_csv(tmp_path / "rows.csv")
    found = read(tmp_path / "rows.csv", target="y", roles={"patient_id": "numeric"})
    roles = {column.name: column.role for column in found.schema.columns}
    assert roles == {
        "case": "identifier", "week": "numeric", "year": "numeric", "heat_index": "numeric", "patient_id": "numeric",
        "y": "target",
    }  # fmt: skip
    said_of = {each.code: each for each in found.findings}
    assert list(said_of["SHL201"].evidence["columns"]) == ["case"]  # type: ignore[arg-type]
    assert "--roles case=numeric" in said_of["SHL201"].fix
    assert said_of["SHL273"].evidence == {"columns": ["week"]}
