"""Classes keep the type in which they were given: a prediction equals the target of its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from shoal.data import Dataset, read
from shoal.prepare import TargetScaling

N = 60
X = np.random.default_rng(0).normal(size=(N, 2))
CODES = np.arange(N) % 2


def of(*two: Any) -> list[Any]:
    """Two classes in turns."""
    return [two[code] for code in CODES]


def given_back(dataset: Dataset) -> Any:
    """What a model that is always right predicts."""
    return TargetScaling.fit(dataset, np.arange(N)).decode(dataset.target.astype(np.int64))


GIVEN = {
    "integers": (pd.Series(of(3, -1)), "i"),
    "integers in a column of objects": (pd.Series(of(3, 7), dtype=object), "i"),
    "nullable integers": (pd.Series(of(0, 1), dtype="Int64"), "i"),
    "integers as categories": (pd.Series(pd.Categorical(of(4, 2))), "i"),
    "truth values": (pd.Series(of(True, False)), "b"),
    "truth values in a column of objects": (pd.Series(of(True, False), dtype=object), "b"),
    "fractions that are whole": (pd.Series(of(1.0, 0.0)), "f"),
    "fractions": (pd.Series(of(0.1, 2.5)), "f"),
    "digits as text": (pd.Series(of("1", "0")), "U"),
    "codes as text": (pd.Series(of("02139", "10001")), "U"),
    "truth values as text": (pd.Series(of("True", "False")), "U"),
    "words": (pd.Series(of("yes", "no")), "U"),
    "integers larger than any number type": (pd.Series(of("1" + 30 * "0", "a")), "U"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_frame_gets_back_what_it_holds(name: str) -> None:
    column, kind = GIVEN[name]
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": column})
    sources = {"pandas": frame}
    if column.dtype != object and kind != "U" and not isinstance(column.dtype, pd.CategoricalDtype):
        sources["polars"] = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": column.to_list()})
    for source in sources.values():
        answer = given_back(read(source, target="y"))
        assert answer.dtype.kind == kind
        assert (answer == column.to_numpy()).all()


@pytest.mark.parametrize(
    "y",
    [CODES, CODES.astype(bool), CODES.astype(np.float32), np.array(of("a", "b")), np.array(of("7", "8"))],
    ids=lambda y: str(y.dtype),
)
@pytest.mark.parametrize("shape", [(N, 2), (N, 8, 8)])
def test_arrays_get_back_what_they_hold(y: Any, shape: tuple[int, ...]) -> None:
    answer = given_back(read((np.random.default_rng(1).normal(size=shape), y)))
    assert answer.dtype.kind == y.dtype.kind
    assert (answer == y).all()


def test_names_stand_for_codes(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X.reshape(N, 1, 2).repeat(8, 1).repeat(4, 2), y=CODES, classes=["10", "20"])
    assert given_back(read(tmp_path / "a.npz")).tolist() == of("10", "20")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("0", "1"), (0, 1)),
        (("-3", "12"), (-3, 12)),
        (("1.0", "2.0"), (1, 2)),
        (("1.5", "2.25"), (1.5, 2.25)),
        (("02139", "10001"), ("02139", "10001")),
        (("True", "False"), (True, False)),
        (("true", "false"), (True, False)),
        (("1", "b"), ("1", "b")),
        (("True", "1"), ("True", "1")),
        (("yes", "no"), ("yes", "no")),
    ],
)
def test_text_files_say_numbers_and_truth_values_by_their_spelling(
    cells: tuple[str, str], expected: tuple[Any, Any], tmp_path: Path
) -> None:
    pl.DataFrame({"a": X[:, 0], "y": of(*cells)}).write_csv(tmp_path / "a.csv")
    answer = given_back(read(tmp_path / "a.csv", target="y")).tolist()
    assert answer == of(*expected)
    assert [type(each) for each in answer] == [type(each) for each in of(*expected)]
