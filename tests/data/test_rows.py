"""New rows: read by the schema of the training data, checked against it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoal import prepare
from shoal.core.errors import InputError
from shoal.data import Schema, read, read_rows, said_once

RNG = np.random.default_rng(3)


@pytest.fixture
def frame() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"row-{i}" for i in range(60)],
            "number": RNG.normal(size=60).round(3),
            "word": RNG.choice(["red", "green"], 60),
            "when": [f"2024-0{1 + i % 9}-11" for i in range(60)],
            "answer": ["yes", "no"] * 30,
        }
    )


@pytest.fixture
def schema(frame: pl.DataFrame) -> Schema:
    return read(frame, target="answer").schema


def refused(source: object, schema: Schema, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_rows(source, schema)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_columns_are_found_by_name_in_any_order(frame: pl.DataFrame, schema: Schema) -> None:
    dataset = read(frame, target="answer")
    rows = read_rows(frame.select(reversed(frame.columns)), schema)
    assert rows.features.frame.equals(dataset.features.frame)
    assert rows.truth.tolist() == dataset.target.tolist()
    assert rows.warnings == ()


def test_a_file_reads_as_the_frame_did(frame: pl.DataFrame, schema: Schema, tmp_path: Path) -> None:
    frame.write_csv(tmp_path / "new.csv")
    assert read_rows(tmp_path / "new.csv", schema).features.frame.equals(read_rows(frame, schema).features.frame)


def test_without_target_and_with_what_training_set_aside_gone(frame: pl.DataFrame, schema: Schema) -> None:
    rows = read_rows(frame.select("number", "word", "when").head(1), schema)
    assert (len(rows), rows.truth, rows.warnings) == (1, None, ())


def test_a_missing_feature_is_named(frame: pl.DataFrame, schema: Schema) -> None:
    refused(frame.rename({"number": "numbr"}), schema, "'number'", "did you mean numbr?")


def test_what_is_new_is_said_and_counted(frame: pl.DataFrame, schema: Schema) -> None:
    odd = frame.with_columns(
        pl.Series("number", ["1.5", "abc", ""] * 20),
        pl.lit(1).alias("extra"),
        pl.Series("when", ["not a day", "2024-01-11", "2024-02-11"] * 20),
    )
    rows = read_rows(odd, schema)
    said = {finding.code: finding for finding in rows.warnings}
    assert "extra" in said["SHL241"].sentence
    by_column = {f.evidence["column"]: f.evidence["cells"] for f in rows.warnings if f.code == "SHL209"}
    assert by_column == {"number": 20, "when": 20}
    assert rows.features.frame["number"].to_list()[:3] == [1.5, None, None]


def test_answers_that_cannot_be_scored_do_not_stop_a_prediction(frame: pl.DataFrame, schema: Schema) -> None:
    for value, word in (("maybe", "maybe"), (None, "60 true answers")):
        rows = read_rows(frame.with_columns(pl.lit(value, dtype=pl.String).alias("answer")), schema)
        assert rows.truth is None
        assert [f.code for f in rows.warnings] == ["SHL244"]
        assert word in rows.warnings[0].sentence


def test_infinities_are_refused(frame: pl.DataFrame, schema: Schema, tmp_path: Path) -> None:
    frame.with_columns(pl.Series("number", ["1"] * 59 + ["inf"])).write_csv(tmp_path / "new.csv")
    refused(tmp_path / "new.csv", schema, "'number'", "line 61", "infinity")


def test_a_file_without_rows_does_not_speak_of_learning(frame: pl.DataFrame, schema: Schema, tmp_path: Path) -> None:
    frame.head(0).write_csv(tmp_path / "new.csv")
    with pytest.raises(InputError, match="header and no rows") as raised:
        read_rows(tmp_path / "new.csv", schema)
    assert "learn" not in str(raised.value)


def test_numeric_targets(frame: pl.DataFrame) -> None:
    schema = read(frame, target="number").schema
    assert read_rows(frame, schema).truth.tolist() == frame["number"].to_list()


def test_integer_classes_come_back_whatever_their_spelling() -> None:
    frame = pl.DataFrame({"x": RNG.normal(size=60), "y": [1, 2, 3] * 20})
    schema = read(frame, target="y").schema
    for answers in ([1, 2, 3] * 20, [1.0, 2.0, 3.0] * 20, ["1", "2", "3.0"] * 20):
        assert read_rows(frame.with_columns(pl.Series("y", answers)), schema).truth.tolist() == [0, 1, 2] * 20


def test_arrays_for_a_table_model_and_for_images(tmp_path: Path) -> None:
    x = RNG.normal(size=(60, 3))
    table = read((x, np.arange(60) % 2)).schema
    assert np.array_equal(read_rows(x[:5], table).features.frame.to_numpy(), x[:5])
    refused(x[:, :2], table, "2 columns", "trained on 3")
    for few in (1, 2, 3):  # a list is rows, of any number
        assert np.array_equal(read_rows(x[:few].tolist(), table).features.frame.to_numpy(), x[:few])
    refused([[1.0, 2.0, 3.0], [1.0]], table, "rows of different lengths")
    images = RNG.integers(0, 255, (60, 8, 9)).astype(np.uint8)
    schema = read((images, np.arange(60) % 2)).schema
    assert len(read_rows(images[0], schema)) == 1
    np.save(tmp_path / "new.npy", images[:7])
    assert np.array_equal(read_rows(tmp_path / "new.npy", schema).features.array, images[:7])
    refused(images[:, :7], schema, "[7, 9]", "[8, 9]")
    refused(images.astype(np.float32) * np.nan, schema, "row 0", "NaN")
    refused(pl.DataFrame({"a": [1]}), schema, "is a table")
    np.save(tmp_path / "objects.npy", np.array([None, {}], dtype=object), allow_pickle=True)
    refused(tmp_path / "objects.npy", schema, "pickled objects")


def test_the_test_part_of_an_archive_is_taken_and_said(tmp_path: Path) -> None:
    x, y = RNG.integers(0, 255, (60, 8, 8)).astype(np.uint8), np.arange(60) % 3
    path = tmp_path / "parts.npz"
    np.savez(path, x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:], classes=np.array(["a", "b", "c"]))
    rows = read_rows(path, read(path).schema)
    assert np.array_equal(rows.features.array, x[40:])
    assert rows.truth.tolist() == y[40:].tolist()
    assert [f.code for f in rows.warnings] == ["SHL245"]


def test_a_cell_that_cannot_be_read_is_said_once(frame: pl.DataFrame) -> None:
    flags = frame.with_columns(flag=pl.Series(RNG.choice(["true", "false"], 60)))
    dataset = read(flags, target="answer")
    preparation = prepare.fit(dataset, np.arange(dataset.rows))
    for new, codes, last in (
        (["true", "perhaps", "false"], ["SHL209"], "1 cell such as 'perhaps' could not be read"),
        (["true", None, "false"], ["SHL243"], "1 missing cell, where training had none"),
        (["perhaps", None, "false"], ["SHL209", "SHL243"], "; 1 of them could not be read."),
    ):
        rows = read_rows(flags.head(3).with_columns(flag=pl.Series(new)), dataset.schema)
        said = said_once(rows.warnings, preparation.transform(rows.features).warnings)
        assert [each.code for each in said] == codes and last in said[-1].sentence


@pytest.mark.parametrize("value", ["inf", "-inf", "1e200"])
def test_infinite_answers_are_left_out_and_named(frame: pl.DataFrame, tmp_path: Path, value: str) -> None:
    schema = read(frame, target="number").schema
    cells = [str(each) for each in frame["number"].to_list()]
    cells[3], cells[7] = "", value
    frame.with_columns(pl.Series("number", cells)).write_csv(tmp_path / "new.csv")
    rows = read_rows(tmp_path / "new.csv", schema)
    assert rows.answered.tolist() == [row for row in range(60) if row not in (3, 7)]
    assert rows.truth.tolist() == [each for row, each in enumerate(frame["number"]) if row not in (3, 7)]
    assert rows.warnings[-1].code == "SHL244" and "line 9" in rows.warnings[-1].sentence
    only = read_rows((frame.drop("number"), np.full(60, float(value))), schema)
    assert only.truth is None and "rows 0, 1" in only.warnings[-1].sentence
