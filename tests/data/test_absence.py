"""Which cells are missing, and which words are values all the same: through files and frames, at training and after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from shoal.core.errors import InputError
from shoal.data import Dataset, read, read_rows

RNG = np.random.default_rng(5)
NUMBERS = [f"{value:.3f}" for value in RNG.normal(size=400)]
COUNTRIES = ["DE", "FR", "NA", "ZA", "US"] * 80
COLOURS = ["red", "green", "blue", "grey"] * 100
Write = Callable[..., Path]


def table(text_file: Write, name: str = "rows.csv", **columns: list[str]) -> Path:
    columns = {"number": NUMBERS, "y": ["a", "b"] * 200, **columns}
    rows = [",".join(row) for row in zip(*columns.values(), strict=True)]
    return text_file("\n".join([",".join(columns), *rows]) + "\n", name)


def column(dataset: Dataset, name: str) -> pl.Series:
    return dataset.features.frame.get_column(name)  # type: ignore[union-attr]


def said(dataset: Dataset, code: str) -> str:
    return " ".join(f"{each.sentence} {each.fix}" for each in dataset.findings if each.code == code)


def test_namibia_is_a_country_in_training_and_after(text_file: Write) -> None:
    path = table(text_file, country=COUNTRIES)
    dataset = read(path, target="y")
    assert column(dataset, "country").to_list() == COUNTRIES
    assert "country (`NA` in 80 rows)" in said(dataset, "SHL281") and "--missing NA" in said(dataset, "SHL281")
    assert read_rows(path, dataset.schema).features.frame.equals(dataset.features.frame)
    without = read(path, target="y", missing="NA")
    assert column(without, "country").null_count() == 80 and not said(without, "SHL281")
    assert read_rows(path, without.schema).features.frame["country"].null_count() == 80


def test_a_word_beside_empty_cells_is_another_thing_than_an_empty_cell(text_file: Write) -> None:
    garage = ["attached", "None", "", "detached"] * 100
    dataset = read(table(text_file, garage=garage), target="y")
    assert column(dataset, "garage").to_list() == [cell or None for cell in garage]
    assert "garage (`None` in 100 rows)" in said(dataset, "SHL281")


def test_a_frequent_word_is_missing_and_said_and_can_be_kept(text_file: Write) -> None:
    garage = ["attached", "None", "brick", "detached"] * 100
    path = table(text_file, garage=garage)
    dataset = read(path, target="y")
    assert column(dataset, "garage").null_count() == 100
    assert "garage (`None` in 100 rows)" in said(dataset, "SHL282") and "garage=exact" in said(dataset, "SHL282")
    for option in ({"missing": ""}, {"roles": "garage=exact"}):
        kept = read(path, target="y", **option)
        assert column(kept, "garage").to_list() == garage
        assert read_rows(path, kept.schema).features.frame["garage"].to_list() == garage
    rare = read(table(text_file, garage=[*COLOURS[:-3], "NA", "n/a", "?"]), target="y")
    assert column(rare, "garage").null_count() == 3 and not said(rare, "SHL282")


def test_none_is_the_lowest_step_of_a_known_order(text_file: Write) -> None:
    dataset = read(table(text_file, pain=["None", "mild", "moderate", "severe"] * 100), target="y")
    assert column(dataset, "pain").to_list()[:4] == [0.0, 1.0, 2.0, 3.0]


def test_a_class_may_be_called_as_a_missing_cell_is(text_file: Write) -> None:
    answers = ["None", "benign", "malign", "NA"] * 100
    path = table(text_file, y=answers)
    dataset = read(path, target="y")
    assert dataset.classes == ("NA", "None", "benign", "malign")
    assert "`None`" in said(dataset, "SHL281") and "--missing" in said(dataset, "SHL281")
    assert read_rows(path, dataset.schema).truth.tolist() == dataset.target.tolist()
    assert "100 rows of 400 have no answer and were left out" in said(read(path, target="y", missing="NA"), "SHL286")


def test_a_word_among_answers_that_are_numbers_is_missing(text_file: Write) -> None:
    for answers in ([f"{i}.5" for i in range(397)], ["0", "1", "2"] * 132 + ["0"]):
        path = table(text_file, y=[*answers, "NA", "NA", "na"])
        left = "3 rows of 400 have no answer and were left out (lines 399, 400, 401)"
        assert left in said(read(path, target="y"), "SHL286")


def test_an_empty_answer_is_missing_whatever_words_are(text_file: Write) -> None:
    path = table(text_file, y=["a", "b", "none", ""] * 100)
    dataset = read(path, target="y")
    assert dataset.classes == ("a", "b", "none") and "100 rows of 400 have no answer" in said(dataset, "SHL286")


def test_a_folder_may_be_called_none(tmp_path: Path) -> None:
    for name in ("none", "cat"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(RNG.integers(0, 255, (6, 6)).astype(np.uint8)).save(tmp_path / name / f"{i}.png")
    dataset = read(tmp_path)
    assert read_rows(tmp_path, dataset.schema).truth.tolist() == dataset.target.tolist() == [0, 0, 0, 1, 1, 1]
    with pytest.raises(InputError, match="`missing` cannot be used"):
        read(tmp_path, missing="none")


def test_words_in_a_frame_are_values(text_file: Write) -> None:
    frame = pl.DataFrame({"x": RNG.normal(size=400), "word": ["None", "some", "more", "all"] * 100, "y": [0, 1] * 200})
    dataset = read(frame, target="y")
    assert column(dataset, "word").to_list() == frame["word"].to_list()
    assert "word (`None` in 100 rows)" in said(dataset, "SHL281")
    assert not said(
        read(frame.with_columns(pl.lit("some").alias("word") + pl.col("y").cast(pl.String)), target="y"), "SHL281"
    )
    assert column(read(frame, target="y", missing="None"), "word").null_count() == 100
    asked = frame.with_columns(pl.Series("x", ["1.5", "NA"] * 200))
    asked.write_csv(path := text_file("", "new.csv"))
    rows = read_rows(path, dataset.schema)  # a text file has its own way to leave a number out
    assert rows.features.frame["x"].to_list()[:2] == [1.5, None] and rows.warnings == ()


@pytest.mark.parametrize("spelled", ["-999", "-999.0", "-9.99e2"])
def test_a_number_that_means_missing(text_file: Write, spelled: str) -> None:
    numbers = [*NUMBERS[:-40], *[spelled] * 40]
    path = table(text_file, number=numbers)
    typed = pl.DataFrame({"number": [float(n) for n in numbers], "y": ["a", "b"] * 200})
    arrays = (np.array([[float(n), i] for i, n in enumerate(numbers)]), np.arange(400) % 2)
    for source, name, options in (
        (path, "number", {"target": "y"}),
        (typed, "number", {"target": "y"}),
        (arrays, "x0", {}),
    ):
        for missing in ("-999", -999, ["NA", "-999.0"]):
            dataset = read(source, missing=missing, **options)
            assert column(dataset, name).null_count() == 40, (source, missing)
            assert (
                read_rows(source if name == "number" else arrays[0], dataset.schema).features.frame[name].null_count()
                == 40
            )


def test_words_that_no_cell_holds_are_said(text_file: Write) -> None:
    dataset = read(table(text_file, colour=COLOURS), target="y", missing="red,-99")
    assert column(dataset, "colour").null_count() == 100
    assert "`-99`" in said(dataset, "SHL283") and "`red`" not in said(dataset, "SHL283")
    pictures = read((RNG.normal(size=(20, 3, 8, 9)), np.arange(20) % 2), missing="-999")
    assert "`-999`" in said(pictures, "SHL283")


def test_a_group_in_a_text_file(text_file: Write) -> None:
    assert len(set(read(table(text_file, country=COUNTRIES), target="y", group="country").group.tolist())) == 5
    with pytest.raises(InputError, match="100 cells missing"):
        read(table(text_file, site=["1", "2", "3", "NA"] * 100), target="y", group="site")
