"""Cells far from all others: named with their place, and no long tail is taken for them."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.core.events import Finding
from shoal.data import Dataset, read
from shoal.data.outliers import distances, wild

RNG = np.random.default_rng(0)


def finding(dataset: Dataset, code: str) -> Finding | None:
    return next((each for each in dataset.findings if each.code == code), None)


def table(rows: int = 400, **columns: object) -> pl.DataFrame:
    return pl.DataFrame({"x": RNG.normal(size=rows), "y": ["a", "b"] * (rows // 2)} | columns)


def with_wild(values: np.ndarray, *cells: float) -> np.ndarray:
    """The last cells replaced."""
    return np.concatenate([values[: len(values) - len(cells)], cells])


@pytest.mark.parametrize("rows", [40, 400, 4000])
def test_one_wild_cell_is_named_with_its_value_and_its_line(tmp_path: Path, rows: int) -> None:
    frame = table(rows, z=with_wild(RNG.normal(size=rows), 1000.0))
    frame.write_csv(tmp_path / "t.csv")
    said = finding(read(tmp_path / "t.csv", target="y"), "SHL263")
    assert said is not None and said.level == "warning"
    assert f"z has 1000 in line {rows + 1}" in said.sentence
    assert said.evidence["columns"]["z"]["rows"] == [rows - 1]
    assert "x" not in said.evidence["columns"]


def test_a_marker_for_unknown_is_named_as_one_value() -> None:
    said = finding(read(table(age=with_wild(RNG.integers(18, 90, 400), *[999] * 20)), target="y"), "SHL263")
    assert said is not None and said.evidence["columns"]["age"]["cells"] == 20
    assert "age has 999 in rows" in said.sentence


@pytest.mark.parametrize("beside", ["", "NA", "NA ?"])
def test_one_repeated_value_may_stand_for_unknown_and_what_is_advised_helps(tmp_path: Path, beside: str) -> None:
    others = [beside.split()[row % len(beside.split())] if beside and row < 20 else f"{row % 37}" for row in range(400)]
    frame = table(age=with_wild(RNG.integers(18, 90, 400), *[-999] * 20), other=others)
    frame = frame.with_columns(level=pl.Series(with_wild(RNG.normal(size=400), *[9999.5] * 3)))
    frame.write_csv(path := tmp_path / "t.csv")
    said = finding(read(path, target="y"), "SHL263")
    assert said is not None and "where -999 or 9999.5 stands for an unknown value" in said.fix
    advised = ",".join([*beside.split(), "-999", "9999.5"])
    assert f'missing="{advised}"' in said.fix and f"--missing {shlex.quote(advised)}" in said.fix
    mended = read(path, target="y", missing=advised)
    assert finding(mended, "SHL263") is None
    empty = {name: mended.features.frame[name].null_count() for name in ("age", "level", "other")}
    assert empty == {"age": 20, "level": 3, "other": 20 if beside else 0}


def test_wild_cells_that_differ_or_stand_alone_are_no_words_for_missing() -> None:
    for cells in ([-999], [-999, 9999], [7000, 7001, 7002]):
        said = finding(read(table(age=with_wild(RNG.integers(18, 90, 400), *cells)), target="y"), "SHL263")
        assert said is not None and "missing" not in said.fix


HEALTHY = {
    "lognormal": np.exp(2 * RNG.normal(size=400)),
    "mostly nothing": np.where(RNG.random(400) < 0.9, 0.0, RNG.uniform(100, 90_000, 400)),
    "one flag": with_wild(np.zeros(400), 1.0),
    "counts": RNG.poisson(0.3, 400).astype(float),
    "two groups": np.where(RNG.random(400) < 0.3, 1000.0, 0.0) + RNG.normal(size=400),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_what_belongs_to_its_column_is_not_named(name: str) -> None:
    assert wild(HEALTHY[name]) is None


@pytest.mark.parametrize("name", ["mostly nothing", "counts", "lognormal"])
def test_a_wild_cell_is_found_in_columns_of_every_shape(name: str) -> None:
    found = wild(with_wild(HEALTHY[name], 1e9, -1e7))
    assert found is not None and found.rows.tolist() == [398, 399]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, max_size=40), st.data())
def test_distances_do_not_depend_on_unit_or_order(values: list[int], data: st.DataObject) -> None:
    cells = np.array(values, dtype=np.float64)
    order = np.array(data.draw(st.permutations(range(len(values)))))
    away = distances(cells)
    assert np.isfinite(away).all() and (away >= 0).all()
    assert np.allclose(distances(cells[order]), away[order])
    assert np.allclose(distances(-4 * cells + 1024), away)


def test_a_wild_target_is_a_problem_that_is_named() -> None:
    said = finding(read(table().with_columns(y=with_wild(RNG.normal(size=400), 1e6)), target="y"), "SHL264")
    assert said is not None and said.level == "problem" and "y has 1e+06 in row 399" in said.sentence
    assert finding(read(table().with_columns(y=np.exp(RNG.normal(size=400))), target="y"), "SHL264") is None


def test_a_wild_value_of_a_signal_or_a_volume_is_named() -> None:
    answers = np.arange(60) % 2
    for shape, kind in (((60, 2, 50), "signal"), ((60, 6, 6, 6), "volume")):
        x = RNG.normal(size=shape)
        assert finding(read((x, answers), kind=kind), "SHL229") is None
        x[(7, 1, *[3] * (len(shape) - 2))] = 1e5
        said = finding(read((x, answers), kind=kind), "SHL229")
        assert said is not None and "100000 in row 7" in said.sentence


def test_real_tables_have_no_wild_cells(shared_data: Path) -> None:
    for file, target in (("adult.csv.gz", "income"), ("california_housing.csv.gz", "median_house_value")):
        dataset = read(shared_data / file, target=target)
        assert finding(dataset, "SHL263") is None and finding(dataset, "SHL264") is None
