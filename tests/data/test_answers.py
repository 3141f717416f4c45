"""Rows without an answer: whatever the source, they are left out and named, and the others keep their places."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from shoal.core.errors import InputError
from shoal.data import Dataset, read, read_rows
from shoal.diagnose.split_checks import of_split
from shoal.resample import hold_out

RNG = np.random.default_rng(0)
N, OPEN = 60, [3, 4, 17]
ANSWERED = [row for row in range(N) if row not in OPEN]
X = RNG.normal(size=(N, 3))


def said(dataset: Dataset, code: str = "SHL286") -> str:
    return " ".join(each.sentence for each in dataset.findings if each.code == code)


def without(answers: list[Any], missing: Any) -> list[Any]:
    return [missing if row in OPEN else answer for row, answer in enumerate(answers)]


CLASSES, NUMBERS, WORDS = [i % 2 for i in range(N)], [float(v) for v in RNG.normal(size=N)], ["a", "b"] * (N // 2)
GIVEN: dict[str, tuple[Any, Any, dict[str, Any]]] = {  # answers, what means that there is none, options
    "a number among classes": (CLASSES, -999, {"missing": [-999]}),
    "the same as text": (CLASSES, -999, {"missing": "-999.0"}),
    "a number among numbers": (NUMBERS, -999.0, {"missing": -999}),
    "a word": (WORDS, "unknown", {"missing": ["unknown"]}),
    "nothing among words": (WORDS, None, {}),
    "an empty word": (WORDS, "", {}),
    "nothing among numbers": (NUMBERS, None, {}),
    "NaN": (NUMBERS, np.nan, {}),
    "nothing among decimals": ([Decimal(f"{v:.3f}") for v in NUMBERS], None, {}),
    "nothing among truth values": ([True, False] * (N // 2), None, {}),
}


@pytest.mark.parametrize("name", GIVEN)
@pytest.mark.parametrize("source", ["list", "array", "objects", "frame and list", "frame", "images"])
def test_rows_without_an_answer_are_left_out_and_said(name: str, source: str) -> None:
    answers, missing, options = GIVEN[name]
    y: Any = without(answers, missing)
    columns = pl.DataFrame({f"x{i}": X[:, i] for i in range(3)})
    pictures = RNG.normal(size=(N, 6, 6))
    data: Any = {
        "list": (X.tolist(), y),
        "array": (X, np.array(y)),
        "objects": (X, np.array(y, dtype=object)),
        "frame and list": (columns, y),
        "frame": columns.with_columns(pl.Series("y", y, strict=False)),
        "images": (pictures, y),
    }[source]
    dataset = read(data, **({"target": "y"} if source == "frame" else {}), **options)
    assert said(dataset) == f"3 rows of {N} have no answer and were left out (rows 3, 4, 17)."
    kept = [answers[row] for row in ANSWERED]
    kept = [float(each) if isinstance(each, Decimal) else each for each in kept]
    found = dataset.target.tolist() if dataset.classes is None else [dataset.classes[code] for code in dataset.target]
    found = [each.title() if each in ("true", "false") else each for each in found] if dataset.classes else found
    assert found == (kept if dataset.classes is None else [str(each) for each in kept])
    if source == "images":
        assert np.array_equal(dataset.features.array, pictures[ANSWERED])
    else:
        assert np.array_equal(dataset.features.frame.to_numpy(), X[ANSWERED])
    assert [dataset.number(row) for row in (0, 3, 15)] == [0, 5, 18]
    rows = read_rows(data, dataset.schema)
    assert len(rows) == N and rows.answered.tolist() == ANSWERED
    assert rows.truth.tolist() == dataset.target.tolist() and len(rows.scored()) == len(ANSWERED)
    assert "3 rows of 60 without a true answer" in " ".join(each.sentence for each in rows.warnings)


def test_cells_and_answers_of_a_pair_are_missing_alike() -> None:
    x, y = X.copy(), without(CLASSES, -999)
    x[5, 1] = x[17, 0] = -999
    for source in ((x, y), (pl.DataFrame(x), y)):
        dataset = read(source, missing=[-999])
        assert dataset.rows == N - 3 and dataset.schema.missing == ("-999",)
        assert sum(dataset.features.frame.null_count().row(0)) == 1
        assert not said(dataset, "SHL283")
        rows = read_rows(source, dataset.schema)
        assert sum(rows.features.frame.null_count().row(0)) == 2 and rows.truth.tolist() == dataset.target.tolist()
    only_answers = read((X, y), missing=[-999])
    assert not said(only_answers, "SHL283") and "`-7`" in said(read((X, y), missing=[-999, -7]), "SHL283")


def test_a_value_of_an_array_that_means_missing_is_refused() -> None:
    pictures = RNG.normal(size=(N, 6, 6))
    pictures[7, 2, 2] = -999
    with pytest.raises(InputError, match=r"row 7: -999 among the values, which means missing .*images cannot"):
        read((pictures, CLASSES), missing=-999)


def test_a_text_file_keeps_its_lines(tmp_path: Path) -> None:
    cells = [f"{x},{'' if row in OPEN else 'ab'[row % 2]}" for row, x in enumerate(X[:, 0])]
    cells[30] = "1e9" + cells[30][cells[30].index(",") :]
    (path := tmp_path / "t.csv").write_text("\n".join(["x,y", *cells]))
    dataset = read(path, target="y")
    assert "(lines 5, 6, 19)" in said(dataset)
    assert "x has 1e+09 in line 32" in said(dataset, "SHL263")
    assert [dataset.number(row) for row in (2, 3, 29)] == [2, 5, 32]


def test_places_are_those_of_the_source() -> None:
    y = np.array(without(CLASSES, -999))
    x = X.copy()
    x[40, 0] = 1e9
    dataset = read((x, y), missing=-999)
    found = next(each for each in dataset.findings if each.code == "SHL263")
    assert "in row 40" in found.sentence and found.evidence["columns"]["x0"]["rows"] == [40]
    with pytest.raises(InputError, match="infinity in row 41"):
        read((X, np.where(np.arange(N) == 41, np.inf, without(NUMBERS, np.nan))))
    many = np.concatenate([RNG.normal(size=(200, 3))] * 2)  # each row twice, so that copies fall on both sides
    answers = np.where(np.arange(400) < 50, np.nan, np.tile(np.arange(200) % 2, 2))
    twice = read((many, answers))
    first = next(each for each in of_split(twice, hold_out(twice, seed=0)) if each.code == "SHL251").evidence["first"]
    copies = [row for rows in first.values() for row in rows]
    assert copies and all(row >= 50 and not 200 <= row < 250 for row in copies)


def test_parts_groups_and_times_lose_the_same_rows() -> None:
    parts = {"X_train": X[:40], "y_train": without(CLASSES, -1)[:40], "X_test": X[40:], "y_test": CLASSES[40:]}
    dataset = read(parts, missing=-1)
    assert np.bincount(dataset.given_split).tolist() == [37, 0, 20]
    named = read({"X": X, "y": without(CLASSES, -1), "t": np.arange(N), "g": np.arange(N)}, missing=-1, time="t")
    assert named.time.tolist() == [float(row) for row in ANSWERED]
    grouped = read({"X": X, "y": without(CLASSES, -1), "g": np.arange(N)}, missing=-1, group="g")
    assert grouped.group.tolist() == ANSWERED


@pytest.mark.parametrize("dtype", ["Int64", "boolean", "string", "category", "Float64"])
def test_series_of_pandas_are_answers_of_their_own_type(dtype: str) -> None:
    pandas = pytest.importorskip("pandas")
    given = {"Int64": CLASSES, "boolean": [True, False] * 30, "Float64": NUMBERS, "category": [3, 1] * 30}
    answers = given.get(dtype, WORDS)
    frame = pandas.DataFrame({"x": X[:, 0]})
    for y in (pandas.Series(without(answers, None), dtype=dtype), pandas.Series(answers, dtype=dtype)):
        for source in ((frame, y), (frame, y.to_frame())):
            dataset = read(source)
            beside = read(frame.assign(y=y), target="y")
            assert dataset.target.tolist() == beside.target.tolist()
            assert dataset.schema.class_type == beside.schema.class_type
            assert [*map(str.lower, dataset.classes or ())] == [*map(str.lower, beside.classes or ())]
            assert dataset.rows == int(y.notna().sum())


def test_a_series_of_categories_is_believed() -> None:
    pandas = pytest.importorskip("pandas")
    codes = [i % 25 * 10 + i % 2 for i in range(150)]
    x = RNG.normal(size=(150, 2))
    assert read((x, codes)).task == "regression"
    assert read((x, pandas.Series(codes, dtype="category"))).task == "classification"
    assert read((x, pl.Series([str(each) for each in codes], dtype=pl.Categorical))).task == "classification"


def test_nothing_but_missing_answers() -> None:
    pandas = pytest.importorskip("pandas")
    for source, options in (
        ((X, [None] * N), {}),
        ((X, [-1] * N), {"missing": -1}),
        (pl.DataFrame({"x": X[:, 0], "y": [None] * N}), {"target": "y"}),
        ((X, pl.Series([None] * N)), {}),
    ):
        with pytest.raises(InputError, match="all 60 answers missing; there is nothing to learn from"):
            read(source, **options)
    dates = pandas.DataFrame({"x": X[:, 0], "y": pandas.date_range("2020", periods=N)})
    with pytest.raises(InputError, match="the answers are dates"):
        read(dates, target="y")
    with pytest.raises(InputError, match="an answer of type dict in row 1"):
        read((X, np.array([1, {"a": 1}] * 30, dtype=object)))
