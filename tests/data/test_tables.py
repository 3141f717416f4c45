"""Tables: what is set aside and named, targets, time, groups, and what repeats what."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoal.core.errors import InputError
from shoal.data import Dataset, Schema, TableFeatures, read

DRAW = random.Random(1)
ROWS = 120


def table(**extra: list[object]) -> pl.DataFrame:
    """A number, a category and two classes, and whatever else."""
    values: dict[str, list[object]] = {
        "number": [round(DRAW.gauss(0, 1), 4) for _ in range(ROWS)],
        "word": [DRAW.choice(["red", "green", "blue"]) for _ in range(ROWS)],
        "answer": [DRAW.choice(["yes", "no"]) for _ in range(ROWS)],
    }
    return pl.DataFrame({**values, **extra}, strict=False)


def found(dataset: Dataset, code: str) -> str:
    """The sentence of one finding."""
    return " ".join(finding.sentence for finding in dataset.findings if finding.code == code)


def roles(dataset: Dataset) -> dict[str, str]:
    return {column.name: column.role for column in dataset.schema.columns}


def test_what_cannot_be_learned_from_is_set_aside_and_named() -> None:
    frame = table(
        row_id=list(range(1, ROWS + 1)),
        same=["x"] * ROWS,
        nothing=[None] * ROWS,
        story=[f"a long story about the thing {i}" for i in range(ROWS)],
    ).with_columns(pl.col("number").alias("copy"))
    dataset = read(frame, target="answer")
    assert isinstance(dataset.features, TableFeatures)
    assert dataset.features.frame.columns == ["number", "word"]
    assert roles(dataset) == {
        "number": "numeric", "word": "category", "answer": "target", "row_id": "identifier", "same": "constant",
        "nothing": "empty", "story": "free text", "copy": "duplicate",
    }  # fmt: skip
    for code, name in {
        "SHL201": "row_id",
        "SHL202": "story",
        "SHL203": "same",
        "SHL204": "nothing",
        "SHL205": "copy",
    }.items():
        assert name in found(dataset, code)


def test_a_copy_of_the_target_is_set_aside() -> None:
    frame = table()
    frame = frame.with_columns(
        pl.when(pl.col("answer") == "yes").then(3).otherwise(8).alias("coded"),
        pl.when(pl.col("answer") == "yes").then(pl.lit("a")).otherwise(pl.col("word")).alias("tells"),
    )
    dataset = read(frame, target="answer")
    assert roles(dataset)["coded"] == "leak"
    assert "coded" in found(dataset, "SHL206")
    assert roles(dataset)["tells"] == "category"
    assert "tells" in found(dataset, "SHL207")
    assert "word" not in found(dataset, "SHL207")
    told = frame["tells"].to_list()
    told[frame["answer"].to_list().index("no")] = "a"  # one exception is enough
    assert "tells" not in found(read(frame.with_columns(pl.Series("tells", told)), target="answer"), "SHL207")


def test_duplicates_agree_in_their_missing_cells_too() -> None:
    holes = [None if i % 4 == 0 else i * 0.37 for i in range(ROWS)]
    other = [None if i % 4 == 1 else i * 0.37 for i in range(ROWS)]
    dataset = read(table(a=holes, b=holes, c=other), target="answer")
    assert [roles(dataset)[name] for name in "abc"] == ["numeric", "duplicate", "numeric"]


def test_a_linear_copy_of_a_numeric_target_is_set_aside() -> None:
    frame = table().with_columns((pl.col("number") * 1.8 + 32).alias("fahrenheit"))
    dataset = read(frame, target="number")
    assert dataset.task == "regression"
    assert roles(dataset)["fahrenheit"] == "leak"


def test_repeated_rows_are_counted_and_identifiers_do_not_hide_them() -> None:
    frame = pl.concat([table(), table().head(0)])
    frame = pl.concat([frame, frame.head(7)]).with_row_index("id")
    dataset = read(frame, target="answer")
    assert "7 rows of 127" in found(dataset, "SHL214")


@pytest.mark.parametrize(
    ("answers", "task", "classes"),
    [
        (["b", "a"] * 60, "classification", ("a", "b")),
        ([2, 1, 3] * 40, "classification", ("1", "2", "3")),
        ([1.0, 2.0] * 60, "classification", ("1", "2")),
        ([0.5, 1.5] * 60, "classification", ("0.5", "1.5")),
        ([True, False] * 60, "classification", ("false", "true")),
        (["007", "008"] * 60, "classification", ("007", "008")),
        (list(range(60)) * 2, "regression", None),
        ([0.1, 0.2, 0.3] * 40, "regression", None),
        (list(range(18)) * 6 + [3] * 12, "classification", tuple(str(i) for i in range(18))),
        (list(range(60)) + list(range(60)), "regression", None),
        (["10", "9"] * 60, "classification", ("9", "10")),
    ],
)
def test_the_rule_for_the_task(answers: list[object], task: str, classes: tuple[str, ...] | None) -> None:
    dataset = read(table(y=answers), target="y", drop="answer")
    assert (dataset.task, dataset.classes) == (task, classes)
    if classes is not None:
        assert [classes[code] for code in dataset.target[:2]] == [
            str(a).lower() if isinstance(a, bool) else f"{a:g}" if isinstance(a, float) else str(a) for a in answers[:2]
        ]


def test_few_rows_with_many_whole_numbers_are_values() -> None:
    frame = pl.DataFrame({"x": [DRAW.gauss(0, 1) for _ in range(30)], "y": list(range(15)) * 2})
    assert read(frame, target="y").task == "regression"


def test_the_task_can_be_set() -> None:
    dataset = read(table(y=[1, 2, 3] * 40), target="y", task="regression")
    assert dataset.task == "regression"
    assert dataset.target.tolist()[:3] == [1.0, 2.0, 3.0]
    assert read(table(y=list(range(60)) * 2), target="y", task="classification").classes[:2] == ("0", "1")


def test_time_orders_rows_and_only_its_cycles_are_features() -> None:
    days = pl.datetime_range(pl.datetime(2020, 1, 1), pl.datetime(2020, 4, 29), "1d", eager=True)
    dataset = read(table().with_columns(day=days), target="answer", time="day")
    assert dataset.time is not None
    assert np.diff(dataset.time).tolist() == [86400.0] * (ROWS - 1)
    (column,) = [c for c in dataset.schema.columns if c.name == "day"]
    assert (column.role, column.feature, column.date_parts) == ("time", True, "cycles")
    numbered = read(table(t=list(range(ROWS))), target="answer", time="t")
    assert "t" not in [c.name for c in numbered.schema.features()]


def test_a_group_is_no_feature() -> None:
    dataset = read(table(patient=[f"p{i // 6}" for i in range(ROWS)]), target="answer", group="patient")
    assert dataset.group is not None and len(np.unique(dataset.group)) == 20
    assert [c.name for c in dataset.schema.features()] == ["number", "word"]


def test_pandas_polars_arrow_and_csv_say_the_same(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    frame = table().with_columns(pl.when(pl.col("number") > 1).then(None).otherwise(pl.col("number")).alias("holes"))
    frame.write_csv(tmp_path / "rows.csv")
    frame.write_parquet(tmp_path / "rows.parquet")
    as_pandas = pandas.DataFrame({name: frame[name].to_list() for name in frame.columns})
    sources = [frame, tmp_path / "rows.csv", tmp_path / "rows.parquet", as_pandas, pyarrow.table(frame.to_arrow())]
    sets = [read(source, target="answer") for source in sources]
    for dataset in sets[1:]:
        assert dataset.content_hash == sets[0].content_hash
        assert dataset.target.tolist() == sets[0].target.tolist()


def test_the_hash_follows_the_values() -> None:
    frame = table()
    changed = frame.with_columns(pl.when(pl.int_range(ROWS) == 5).then(9.0).otherwise(pl.col("number")).alias("number"))
    swapped = frame.with_columns(pl.col("word").replace({"red": "rot"}))
    hashes = {read(each, target="answer").content_hash for each in (frame, changed, swapped)}
    assert len(hashes) == 3
    assert read(frame.clone(), target="answer").content_hash in hashes


def test_schema_survives_json() -> None:
    schema = read(table(day=["2024-01-05", "2024-02-06"] * 60), target="answer").schema
    assert Schema.model_validate_json(schema.model_dump_json()) == schema


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["no target", "number, word, answer"]),
        ({"target": "anwser"}, ["'anwser'", "did you mean answer?"]),
        ({"target": "zzz"}, ["'zzz'", "number, word, answer"]),
        ({"target": "answer", "drop": ["nmber"]}, ["`drop`", "did you mean number?"]),
        ({"target": "answer", "time": "when"}, ["`time`", "'when'"]),
        ({"target": "answer", "group": "answer"}, ["'answer'", "two roles"]),
        ({"target": "answer", "drop": ["number", "word"]}, ["no column is left"]),
        ({"target": "answer", "time": "word"}, ["'word'", "date"]),
    ],
)
def test_columns_that_are_not_there(options: dict[str, object], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read(table(), **options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (["a"] * 120, ["one class only", "'a'"]),
        ([5] * 120, ["5", "nothing to learn"]),
        (["a", "b"] * 59 + ["a", "c"], ["'c'", "single row", "row 119"]),
        ([None] * 120, ["all 120 answers missing"]),
        ([1.5, 2.5, float("inf")] * 40, ["infinity", "2, 5, 8"]),
        ([1.5 * k for k in range(119)] + [1e300], ["1e+300", "row 119", "too large"]),
        ([str(i / 7) for i in range(119)] + ["12 kg"], ["'12 kg'", "row 119"]),
        ([f"own {i}" for i in range(120)], ["120 of 120 classes", "single row"]),
    ],
)
def test_targets_that_cannot_be_learned(answers: list[object], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read(table(y=answers), target="y")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_unequal_classes_are_named() -> None:
    assert "97 %" in found(read(table(y=["a"] * 116 + ["b"] * 4), target="y"), "SHL215")
    assert not found(read(table(), target="answer"), "SHL215")
