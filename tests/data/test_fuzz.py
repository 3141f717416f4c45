"""Anything at all in a file: a data set or a clear error, never something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shoal import prepare
from shoal.core.errors import InputError
from shoal.data import Dataset, read, read_rows
from shoal.resample import hold_out

CELLS = st.one_of(
    st.sampled_from(
        ["", "NA", "1", "0", "-1.5", "1e400", "inf", "2024-01-05", "05/06/2024", "yes", "x", '"', "'", "a,b", "0012"]
    ),
    st.text(max_size=5),
)
RELAXED = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def use(path: Path, **options: object) -> Dataset | None:
    """The whole way from a file to numbers; None where the file was refused in one sentence."""
    try:
        dataset = read(path, **options)
        plan = hold_out(dataset, seed=0)
    except InputError as error:
        assert len(str(error)) > 20 and not str(error).startswith("Traceback")
        return None
    prepared = prepare.fit(dataset, plan.train).transform(dataset.features)
    assert np.isfinite(prepared.x).all() and len(prepared.x) == dataset.rows
    again = read_rows(path, dataset.schema)
    assert len(again) == dataset.rows
    return dataset


@RELAXED
@given(st.binary(max_size=300))
@example(b"\xff\xfe\x00")
@example(b"a,b\n\xef\xbb\xbf,1\n" * 20)
@example(b",\n,\n,\n,\n")
def test_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    use(path, target="a")


@RELAXED
@given(
    st.integers(2, 4).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), min_size=1, max_size=40)),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
)
def test_tables(tmp_path: Path, rows: list[tuple[str, ...]], delimiter: str, end: str, encoding: str) -> None:
    header = delimiter.join(["y", "x", "z", "w"][: len(rows[0])])
    path = tmp_path / "rows.csv"
    path.write_bytes(end.join([header, *(delimiter.join(row) for row in rows)]).encode(encoding, "replace"))
    use(path, target="y")


@RELAXED
@given(st.lists(st.tuples(CELLS, CELLS), min_size=4, max_size=12), st.integers(0, 2**16))
def test_odd_columns_beside_a_good_one(tmp_path: Path, cells: list[tuple[str, str]], seed: int) -> None:
    import csv

    rng = np.random.default_rng(seed)
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file)
        writer.writerow(["good", "a", "b", "y"])
        for row in range(60):
            a, b = cells[rng.integers(len(cells))]
            writer.writerow([f"{rng.normal():.3f}", a, b, "no" if row % 2 else "yes"])
    dataset = use(path, target="y")
    if dataset is None:
        with pytest.raises(InputError, match=r"infinity|NUL"):
            read(path, target="y")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 3000), st.binary(min_size=1, max_size=9))
def test_damaged_archives(tmp_path: Path, where: int, bits: bytes) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, X=np.arange(240.0).reshape(60, 4) % 7, y=np.arange(60) % 2)
    content = bytearray(path.read_bytes())
    place = where % len(content)
    content[place : place + len(bits)] = bits
    path.write_bytes(bytes(content))
    use(path)
