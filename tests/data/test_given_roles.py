"""Roles that the user gives, orders of words, and what a trained schema remembers of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoal.core.errors import InputError
from shoal.data import Schema, read, read_rows
from shoal.data.scales import ordered

RNG = np.random.default_rng(0)
ROWS = 90
TABLE = pl.DataFrame(
    {
        "zip": [f"{2100 + i % 9:05d}" for i in range(ROWS)],
        "plain_zip": [str(12100 + i % 9) for i in range(ROWS)],
        "size": ["small", "large", "medium"] * 30,
        "taste": ["umami", "sour", "sweet"] * 30,
        "when": [f"2024-0{1 + i % 9}-1{i % 7}" for i in range(ROWS)],
        "key": [f"K{i:03d}{i * 31 % 97}" for i in range(ROWS)],
        "number": RNG.normal(size=ROWS).round(3),
        "y": ["a", "b"] * 45,
    }
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    TABLE.write_csv(tmp_path / "rows.csv")
    return tmp_path / "rows.csv"


def roles(path: Path, **given: str) -> dict[str, str]:
    return {c.name: c.role for c in read(path, target="y", roles=given).schema.columns}


def test_a_zip_code_keeps_its_zeros(table: Path) -> None:
    dataset = read(table, target="y")
    assert dataset.features.frame["zip"].to_list()[:2] == ["02100", "02101"]
    assert [f.evidence["columns"] for f in dataset.findings if f.code == "SHL210"] == [["zip"]]


def test_what_is_inferred_and_what_is_given(table: Path) -> None:
    found = roles(table)
    assert found == {
        "zip": "category", "plain_zip": "numeric", "size": "ordered", "taste": "category", "when": "date",
        "key": "identifier", "number": "numeric", "y": "target",
    }  # fmt: skip
    given = {
        "zip": "numeric", "plain_zip": "category", "size": "category", "taste": "ordered:sour<umami<sweet",
        "when": "category", "key": "category", "number": "identifier",
    }  # fmt: skip
    found = roles(table, **given)
    assert found == {name: role.partition(":")[0] for name, role in given.items()} | {"y": "target"}


def test_an_order_becomes_places_and_is_kept_with_the_schema(table: Path, tmp_path: Path) -> None:
    dataset = read(table, target="y", roles={"taste": ["sour", "umami", "sweet"], "plain_zip": "category"})
    assert dataset.features.frame["size"].to_list()[:3] == [0.0, 2.0, 1.0]
    assert dataset.features.frame["taste"].to_list()[:3] == [1.0, 0.0, 2.0]
    assert dataset.features.frame["plain_zip"].to_list()[:1] == ["12100"]
    schema = Schema.model_validate_json(dataset.schema.model_dump_json())
    new = TABLE.head(3).with_columns(pl.Series("taste", ["sweet", "salty", None]))
    new.write_csv(tmp_path / "new.csv")
    rows = read_rows(tmp_path / "new.csv", schema)
    assert rows.features.frame["taste"].to_list() == [2.0, None, None]
    assert rows.features.frame["plain_zip"].dtype == pl.String
    assert [f.evidence for f in rows.warnings if f.code == "SHL209"] == [{"column": "taste", "cells": 1}]


def test_numbers_as_categories_do_not_depend_on_what_stands_beside_them() -> None:
    frame = pl.DataFrame({"code": [1.0, 2.5, 3.0] * 30, "x": RNG.normal(size=ROWS), "y": ["a", "b"] * 45})
    dataset = read(frame, target="y", roles={"code": "category"})
    assert dataset.features.frame["code"].to_list()[:3] == ["1", "2.5", "3"]
    alone = read_rows(frame.head(1), dataset.schema)
    assert alone.features.frame["code"].to_list() == ["1"]


def test_a_column_that_was_given_a_role_is_not_set_aside_as_a_copy(table: Path) -> None:
    frame = TABLE.with_columns(again=pl.col("number"))
    aside = {c.name: c.role for c in read(frame, target="y").schema.columns}
    kept = {c.name: c.role for c in read(frame, target="y", roles={"again": "numeric"}).schema.columns}
    assert (aside["again"], kept["again"]) == ("duplicate", "numeric")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"zpi": "category"}, ["`roles`", "did you mean zip?"]),
        ({"y": "category"}, ["'y'", "two roles"]),
        ({"taste": "numeric"}, ["'taste' cannot be numeric", "90 of 90 cells", "'umami'"]),
        ({"taste": "date"}, ["'taste' cannot be date", "'umami'"]),
        ({"taste": "boolean"}, ["'taste' cannot be boolean"]),
        ({"taste": "ordered"}, ["sour, sweet, umami", "ordered:low<mid<high"]),
        ({"taste": "ordered:bitter<salty"}, ["'taste' cannot be ordered"]),
        ({"taste": "colour"}, ["`taste`", "`colour`"]),
    ],
)
def test_roles_that_cannot_be(table: Path, given: dict[str, str], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read(table, target="y", roles=given)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("values", "order"),
    [
        (["medium", "low", "high"], ("low", "medium", "high")),
        (["XL", "S", "M"], ("S", "M", "XL")),
        (["Very_Good", "ideal", "Fair", "Premium"], ("Fair", "Very_Good", "Premium", "ideal")),
        (["18-24", "under 18", "65+", "25 - 64"], ("under 18", "18-24", "25 - 64", "65+")),
        (["grade 10", "grade 2", "grade 1"], ("grade 1", "grade 2", "grade 10")),
        (["stage II", "stage I", "stage IV"], ("stage I", "stage II", "stage IV")),
        (["1-5", "3-8", "9-10"], None),  # overlap
        (["low", "high"], None),  # two words need no order
        (["low", "medium", "medium-rare"], None),
        (["555-1234", "555-9999", "556-1111"], None),
        (["grade 1", "stage 2", "level 3"], None),
        (["male", "female", "other"], None),
    ],
)
def test_orders(values: list[str], order: tuple[str, ...] | None) -> None:
    assert ordered(values) == order
