"""Truth values in any spelling, columns decided as a whole, and columns kept as they are written."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from shoal.core.errors import InputError
from shoal.data import Dataset, read, read_rows
from shoal.data.spelling import join
from shoal.data.truth import are_truths

RNG = np.random.default_rng(8)
ROWS = 400
NUMBERS = RNG.normal(size=ROWS).round(3)
FIVE = RNG.choice(["yes", "Yes", "YES", "no", "No "], ROWS, p=[0.2, 0.3, 0.1, 0.17, 0.23]).tolist()
SIX = RNG.choice(["True", "true", "TRUE", "1", "false", "0"], ROWS).tolist()


def table(**columns: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"number": NUMBERS, "plain": RNG.choice(["a", "b"], ROWS), **columns})


def said(dataset: Dataset, code: str) -> list[str]:
    return [f"{each.level} {each.sentence} {each.fix}" for each in dataset.findings if each.code == code]


@pytest.mark.parametrize("cells", [FIVE, SIX])
def test_a_column_of_truth_values_has_two_as_target_and_as_feature(cells: list[str]) -> None:
    right = [cell.strip().lower() in ("yes", "true", "1") for cell in cells]
    feature = read(table(x=cells), target="plain")
    assert feature.features.frame["x"].to_list() == [float(each) for each in right]  # type: ignore[union-attr]
    (column,) = [each for each in feature.schema.columns if each.name == "x"]
    assert (column.role, column.unique) == ("boolean", 2)
    assert len(said(feature, "SHL284")) == 1
    target = read(table(x=cells), target="x")
    assert len(target.classes or ()) == 2 and target.target.tolist() == [int(each) for each in right]
    assert [each.unique for each in target.schema.columns if each.role == "target"] == [2]
    assert len(said(target, "SHL284")) == 1 and not said(target, "SHL285")
    for answers in (cells, [cell.upper() for cell in cells]):
        assert read_rows(table(x=answers), target.schema).truth.tolist() == target.target.tolist()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (FIVE, ("No", "Yes")),
        (SIX, ("False", "True")),
        (["YES", "no"] * 200, ("YES", "no")),  # nothing to join, so nothing is renamed
        (["t", "y", "n", "n"] * 100, ("n", "t", "y")),
    ],
)
def test_what_two_truth_values_are_called(cells: list[str], classes: tuple[str, ...]) -> None:
    if cells == SIX:
        cells = [cell if cell != "false" else "False" for cell in cells]
    assert read(table(t=cells), target="t").classes == classes


@pytest.mark.parametrize(
    ("values", "truths"),
    [
        (["yes", "N", "1", "off"], True),
        (["t", "F", "T"], True),
        (["y", "Y"], True),
        (["1", "0"], False),
        (["1", "0", "n"], False),
        (["t", "y"], False),
        (["True", "1"], False),
        (["yes", "no", "maybe"], False),
        ([], False),
    ],
)
def test_which_values_are_all_truth_values(values: list[str], truths: bool) -> None:
    assert are_truths(values) is truths


def test_a_column_is_decided_as_a_whole() -> None:
    assert join(pl.Series(["a", "A"] * 50 + ["b"] * 50 + ["B"] * 2)).values.n_unique() == 4  # capitals mean something
    assert join(pl.Series(["blue", "Blue", "Mg", "mg"] * 50)).values.n_unique() == 2  # capitals mean nothing


def test_what_stays_apart_in_a_target_is_a_warning() -> None:
    cells = RNG.choice(["a", "A", "b"], ROWS).tolist()
    assert said(read(table(t=cells), target="t"), "SHL285")[0].startswith("warning ")
    assert said(read(table(t=cells), target="plain"), "SHL285")[0].startswith("note ")


def test_the_advice_for_a_target_and_a_group_can_be_followed() -> None:
    frame = table(t=FIVE, who=[cell.strip() for cell in FIVE])
    dataset = read(frame, target="t")
    assert said(dataset, "SHL284")[0].endswith('roles="t=exact", or --roles t=exact')
    exact = read(frame, target="t", group="who", roles="t=exact,who=exact")
    assert exact.classes == ("No", "YES", "Yes", "no", "yes") and len(np.unique(exact.group)) == 5
    assert not said(exact, "SHL284")
    assert read_rows(frame, exact.schema).truth.tolist() == exact.target.tolist()  # type: ignore[union-attr]
    other = frame.head(2).with_columns(t=pl.Series(["YES", "yEs"]))
    rows = read_rows(other, exact.schema)
    assert rows.truth is None and "yEs: no class of the model" in rows.warnings[0].sentence


def test_an_exact_target_is_made_of_classes_be_they_numbers_or_words_that_mean_missing() -> None:
    cells = ["3", "03", "NA", "3.0"] * 100
    exact = read(table(t=cells), target="t", roles={"t": "exact"})
    assert exact.classes == ("03", "3", "3.0", "NA")
    assert read_rows(table(t=cells), exact.schema).truth.tolist() == exact.target.tolist()  # type: ignore[union-attr]
    with pytest.raises(InputError, match="exact"):
        read(table(t=cells), target="t", roles={"t": "exact"}, task="regression")


def test_answers_beside_rows_have_no_role_that_advice_could_name() -> None:
    (sentence,) = said(read((pl.DataFrame({"number": NUMBERS}), FIVE)), "SHL284")
    assert "roles" not in sentence
