"""One value in several spellings: one category, one group, one class, in training and in new rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from shoal.core.errors import InputError
from shoal.data import Dataset, read, read_rows
from shoal.resample import hold_out

RNG = np.random.default_rng(6)
NUMBERS = [float(value) for value in RNG.normal(size=240).round(3)]
ANSWERS = RNG.choice(["a", "b"], 240).tolist()
Write = Callable[..., Path]


def written(text_file: Write, name: str = "rows.csv", **columns: list[Any]) -> Path:
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    return text_file("\n".join([",".join(columns), *rows]) + "\n", name)


def table(text_file: Write, **columns: list[Any]) -> Path:
    return written(text_file, **{"number": NUMBERS, "y": ANSWERS, **columns})


def column(dataset: Dataset, name: str = "x") -> list[object]:
    return dataset.features.frame.get_column(name).to_list()  # type: ignore[union-attr]


def said(dataset: Dataset, code: str) -> str:
    return " ".join(f"{each.sentence} {each.fix}" for each in dataset.findings if each.code == code)


@pytest.mark.parametrize(
    ("cells", "values", "roles"),
    [
        (["blue", "Blue", "BLUE ", "red"], ["blue", "blue", "blue", "red"], ""),
        (["caf\u00e9", "cafe\u0301", "bar", "inn"], ["caf\u00e9", "caf\u00e9", "bar", "inn"], ""),
        (["12", "12.0", "7", "7.00"], ["12", "12", "7", "7"], "x=category"),
        (["007", "7", "07", "12"], ["007", "7", "07", "12"], "x=category"),
        (["1.1", "1.10", "2.5", "2.5"], ["1.1", "1.10", "2.5", "2.5"], "x=category"),
        (["a", "A", "b", "B"], ["a", "A", "b", "B"], ""),
        (["Mg", "mg", "kg", "kg"], ["Mg", "mg", "kg", "kg"], ""),
        (["X1b", "x1B", "c", "d"], ["X1b", "x1B", "c", "d"], ""),
        (["blue", "Blue", "BLUE", "red"], ["blue", "Blue", "BLUE", "red"], "x=exact"),
    ],
)
def test_spellings_of_a_category(text_file: Write, cells: list[str], values: list[str], roles: str) -> None:
    path = table(text_file, x=[cell for cell in cells * 59] + [cells[0]] * 4)  # the first is the commonest
    dataset = read(path, target="y", **({"roles": roles} if roles else {}))
    assert column(dataset) == values * 59 + [values[0]] * 4
    joined = len(set(values)) < len({cell.strip() for cell in cells}) and "caf\u00e9" not in cells
    assert ("x (" in said(dataset, "SHL284")) == joined
    assert ("--roles x=exact" in said(dataset, "SHL284")) == joined
    apart = roles != "x=exact" and len({value.lower() for value in values}) < len(set(values))
    assert ("x (" in said(dataset, "SHL285")) == apart
    assert read_rows(path, dataset.schema).features.frame["x"].to_list() == column(dataset)


def test_a_rare_capital_is_a_slip(text_file: Write) -> None:
    dataset = read(table(text_file, x=["m", "f"] * 115 + ["M"] * 5 + ["F"] * 5), target="y", roles="x=category")
    assert set(column(dataset)) == {"m", "f"}
    assert "`F` as `f`" in said(dataset, "SHL284")


@pytest.mark.parametrize(
    ("cells", "groups"),
    [
        (["7", "7.0", "8", "8.00"], [0, 0, 1, 1]),
        (["007", "7", "8", "8"], [0, 0, 1, 1]),
        (["09", " 9", "9", "x"], [0, 0, 0, 1]),
        (["flat  9", "flat 9", "Flat 9", "flat 09"], [0, 0, 0, 1]),
        (["yes", "Yes", "no", "NO "], [1, 1, 0, 0]),
        (["a", "A", "b", "caf\u00e9"], [0, 0, 1, 2]),
    ],
)
def test_a_group_is_one_whatever_its_spelling(text_file: Write, cells: list[str], groups: list[int]) -> None:
    rows = 60
    dataset = read(table(text_file, who=cells * rows), target="y", group="who")
    expected = dict(zip(cells, groups, strict=True))
    pairs = {(cell, int(code)) for cell, code in zip(cells * rows, dataset.group, strict=True)}
    codes = dict(pairs)
    assert len(pairs) == len(set(cells))
    assert all((codes[a] == codes[b]) == (expected[a] == expected[b]) for a in cells for b in cells)
    assert ("who (" in said(dataset, "SHL284")) == (len(set(groups)) < len({cell.strip() for cell in cells}))


def test_no_group_stands_on_both_sides_of_a_split_in_whatever_type(text_file: Write) -> None:
    who = RNG.integers(0, 30, 240)
    mixed = [str(w) if i % 2 else f"{w}.0" for i, w in enumerate(who)]
    frame = {"number": NUMBERS, "y": [0, 1] * 120}
    rows = np.asarray(NUMBERS).reshape(-1, 1) + np.zeros((1, 3))
    sources: list[tuple[Any, dict[str, Any]]] = [
        (table(text_file, who=mixed), {"target": "y"}),
        (pl.DataFrame({**frame, "who": mixed}), {"target": "y"}),
        (pl.DataFrame({**frame, "who": who.astype(float)}), {"target": "y"}),
        ({"X": rows, "y": np.arange(240) % 2, "who": np.asarray(mixed)}, {}),
        ({"X": rows, "y": np.arange(240) % 2, "who": np.asarray(mixed, dtype=object)}, {}),
        ({"X": rows, "y": np.arange(240) % 2, "who": who.astype(float)}, {}),
    ]
    for source, options in sources:
        dataset = read(source, group="who", **options)
        assert dataset.group.tolist() == read(sources[2][0], target="y", group="who").group.tolist()
        plan = hold_out(dataset, seed=0)
        sides = [set(who[part].tolist()) for part in (plan.train, plan.validation, plan.test)]
        assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    for bad in ([float("nan"), *who[1:].astype(float)], [None, *mixed[1:]], ["", *mixed[1:]]):
        with pytest.raises(InputError, match="row 0"):
            read({**sources[3][0], "who": np.asarray(bad, dtype=object)}, group="who")
    with pytest.raises(InputError, match=r"\[240, 2\]"):
        read({**sources[3][0], "who": np.zeros((240, 2))}, group="who")


def test_rows_that_differ_in_spelling_alone_are_copies(text_file: Write) -> None:
    cells = ["blue", "red"] * 120
    numbers = [round(i * 0.37 % 11, 2) for i in range(120)]
    again = [f"{n:.4f}" for n in numbers]
    path = written(
        text_file, number=[*numbers, *again], x=[*cells[:120], *(c.upper() + " " for c in cells[:120])],
        y=["a", "b", "b"] * 40 + ["a", "b", "b"] * 40,
    )  # fmt: skip
    keys = read(path, target="y").row_keys
    assert keys[:120].tolist() == keys[120:].tolist()


YES = ["yes", "no"]


@pytest.mark.parametrize(
    ("trained", "asked"),
    [
        ([0, 1], [False, True]),
        ([0, 1], ["False", "True"]),
        ([0, 1], ["no", "yes"]),
        ([0.0, 1.0], ["FALSE", "true"]),
        ([False, True], [0, 1]),
        ([False, True], [0.0, 1.0]),
        ([False, True], ["0.00", "1.0"]),
        (["no", "yes"], [False, True]),
        (["no", "yes"], ["NO", "Yes "]),
        (["3", "red"], [3, 3]),
        (["3", "red"], [3.0, 3.0]),
        (["3", "red"], ["3.0", "RED"]),
        (["caf\u00e9", "bar"], ["cafe\u0301", "Bar"]),
        ([1.25, 7.5], ["1.250", "7.5"]),
        (["low", "high", "medium"], ["Low", "HIGH", "medium "]),
    ],
)
def test_every_spelling_of_a_feature_is_read_as_in_training(
    text_file: Write, trained: list[Any], asked: list[Any]
) -> None:
    """Through a frame and through a file, at training and after."""
    times = 240 // len(trained)
    frame = pl.DataFrame({"number": NUMBERS, "x": trained * times, "y": ANSWERS}, strict=False)
    right = {cell: value for cell, value in zip(trained, column(read(frame, target="y")), strict=False)}
    wanted = [right["3"]] * 2 if asked in ([3, 3], [3.0, 3.0]) else [right[cell] for cell in trained]
    for schema in (read(frame, target="y").schema, read(table(text_file, x=trained * times), target="y").schema):
        new = {"number": [0.5] * len(asked), "x": asked}
        path = written(text_file, "new.csv", **new)
        for source in (pl.DataFrame(new), path):
            rows = read_rows(source, schema)
            assert rows.features.frame["x"].to_list() == wanted, source  # type: ignore[union-attr]
            assert rows.warnings == ()


@pytest.mark.parametrize(
    ("trained", "asked"),
    [
        ([False, True], ["false", "TRUE"]),
        ([False, True], [0, 1]),
        ([False, True], ["0.0", "1"]),
        ([False, True], [0.0, 1.0]),
        ([0, 1], [False, True]),
        ([0, 1], ["False", "true"]),
        (["no", "yes"], [False, True]),
        (["no", "yes"], ["NO", "Yes"]),
        (["cat", "dog"], ["Cat ", "DOG"]),
        ([3, 7], ["3.0", "7"]),
        ([3, 7], [3.0, 7.0]),
    ],
)
def test_every_spelling_of_an_answer_is_scored(text_file: Write, trained: list[Any], asked: list[Any]) -> None:
    frame = pl.DataFrame({"number": NUMBERS, "y": trained * 120})
    for schema in (
        read(frame, target="y").schema,
        read(written(text_file, number=NUMBERS, y=trained * 120), target="y").schema,
    ):
        new = {"number": NUMBERS, "y": asked * 120}
        for source in (
            pl.DataFrame(new),
            written(text_file, "new.csv", **new),
            (pl.DataFrame({"number": NUMBERS}), asked * 120),
        ):
            truth = read_rows(source, schema).truth
            assert truth is not None and truth.tolist() == [0, 1] * 120, source


def test_classes_in_several_spellings_are_one_and_said(text_file: Write) -> None:
    dataset = read(written(text_file, number=NUMBERS, y=["cat", "Cat", "dog", "cat"] * 60), target="y")
    assert dataset.classes == ("cat", "dog")
    assert "`Cat` as `cat`" in said(dataset, "SHL284")


def test_a_column_that_cannot_be_read_any_more_is_refused(text_file: Write) -> None:
    schema = read(table(text_file, x=["unknown", 1.5, 2.5, 3.5, 4.5, 7] * 40), target="y").schema
    cells = pl.DataFrame({"number": [0.5] * 4, "x": ["low", "1.5", "mid", "high"]})
    with pytest.raises(InputError, match=r"'x': 3 of 4 cells, such as 'low' in row 0, .*1.5 to 7"):
        read_rows(cells, schema)
    rows = read_rows(cells.with_columns(pl.Series("x", ["low", "1.5", "2.5", None])), schema)
    assert [f.evidence["cells"] for f in rows.warnings] == [1]
    alone = read_rows(pl.DataFrame({"number": [0.5], "x": ["unknown"]}), schema)  # as in training
    assert alone.features.frame["x"].to_list() == [None] and alone.warnings == ()  # type: ignore[union-attr]
