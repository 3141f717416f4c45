"""What a column holds."""

from __future__ import annotations

import datetime as dt
import random

import polars as pl
import pytest

from shoal.core.errors import InputError
from shoal.data import absence, cells
from shoal.data.frames import RawTable
from shoal.data.roles import Inferred, infer


def role(values: list[object], name: str = "x", **more: str) -> Inferred:
    return infer(RawTable(pl.DataFrame({name: pl.Series(values, strict=False)}), "rows.csv", **more), name)


DRAW = random.Random(0)
NUMBERS = [f"{DRAW.gauss(0, 9):.3f}" for _ in range(60)]
WORDS = ["red", "green", "blue"] * 20


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        (NUMBERS, "x", "numeric"),
        ([" 1 ", "+2", "3e1", "-4", ".5"] * 4, "x", "numeric"),
        (["0", "1"] * 10, "x", "boolean"),
        (["Yes", "no", "NO", "yes"] * 5, "x", "boolean"),
        ([True, False] * 10, "x", "boolean"),
        (WORDS, "x", "category"),
        ([str(i) for i in range(1, 61)], "heat_index", "identifier"),
        ([str(i * 7 + i % 3) for i in range(60)], "heat_index", "numeric"),
        ([str(i * 7 + i % 3) for i in range(60)], "index", "identifier"),
        ([str(i * 7 + i % 3) for i in range(60)], "consumer_id_count", "numeric"),
        ([str(i) for i in range(1950, 2010)], "x", "numeric"),
        ([str(i) for i in range(1, 61)], "week", "numeric"),
        ([str(i) for i in range(20, 80)], "x", "numeric"),
        ([str(i) for i in range(19)], "x", "numeric"),
        ([f"${i}" for i in range(1, 61)], "x", "numeric"),
        ([f"{i}%" for i in range(60)], "x", "numeric"),
        (["7"] * 20, "x", "constant"),
        (["a"] * 20, "x", "constant"),
        (["", " "] * 5, "x", "empty"),
        ([str(i) for i in range(1, 61)], "row", "identifier"),
        ([str(i * 7 + i % 3) for i in range(60)], "customer_id", "identifier"),
        ([str(i * 7 + i % 3) for i in range(60)], "customerId", "identifier"),
        ([str(i * 7 + i % 3) for i in range(60)], "paid", "numeric"),
        ([str(i * 7 + i % 3) for i in range(60)], "grid", "numeric"),
        ([f"K{i:03d}-{i * 31 % 97}" for i in range(60)], "x", "identifier"),
        ([f"the quick fox number {i} jumps" for i in range(60)], "x", "free text"),
        ([f"2024-01-{1 + i % 28:02d}" for i in range(60)], "x", "date"),
        ([f"{1 + i % 28:02d}.02.2023 1{i % 10}:30" for i in range(60)], "x", "date"),
        ([f"0{2100 + i % 9}" for i in range(60)], "zip", "category"),
    ],
)
def test_roles(values: list[object], name: str, expected: str) -> None:
    assert role(values, name).column.role == expected


def test_truth_values_become_one_and_zero() -> None:
    for yes, no in (("T", "f"), ("Yes", "NO"), ("true", "False"), ("y", "n"), ("1", "0"), ("1.0", "0.0")):
        found = role([yes, no, ""] * 10)
        assert found.column.role == "boolean"
        assert found.values is not None and found.values.to_list()[:3] == [1.0, 0.0, None]
    assert cells.booleans(pl.Series(["on", "off", "1", "maybe"])).values.to_list() == [1.0, 0.0, 1.0, None]


def test_leading_zeros_survive() -> None:
    found = role(["02139", "02140", "10001"] * 10)
    assert found.values is not None and found.values[0] == "02139"
    assert found.tags == {"zeros"}


def test_a_few_odd_cells_are_missing_and_counted() -> None:
    found = role([*NUMBERS, "n.d.", "17 kg"])
    assert found.column.role == "numeric"
    assert (found.odd, found.odd_example, found.column.missing) == (2, "n.d.", 2)


def test_one_repeated_marker_is_no_reason_to_give_up_numbers() -> None:
    found = role(NUMBERS + ["unknown"] * 12)
    assert (found.column.role, found.odd) == ("numeric", 12)
    assert role(NUMBERS + [f"word{i % 7}" for i in range(12)] * 2).column.role != "numeric"


def test_decimal_commas_only_where_the_delimiter_leaves_them_free() -> None:
    values = ["1,5", "2,25", "3,0"] * 10
    found = role(values, delimiter=";")
    assert found.values is not None and found.values.to_list()[:3] == [1.5, 2.25, 3.0]
    assert role(values).column.role == "category"


def test_infinity_is_refused_with_its_place() -> None:
    with pytest.raises(InputError, match=r"column 'x'.*row 2"):
        role(["1", "2", "inf", *NUMBERS])
    with pytest.raises(InputError, match="infinity"):
        role([1.0, float("-inf"), *range(9)])


def test_a_number_whose_square_overflows_is_refused_with_its_place() -> None:
    with pytest.raises(InputError, match=r"column 'x': -1e\+300 in row 2"):
        role(["1", "2", "-1e300", *NUMBERS])
    assert role([1.5, 2e99, *NUMBERS]).column.role == "numeric"


def test_missing_markers() -> None:
    series = pl.Series(["", " ", "NA", "n/a", "NaN", "null", "None", "?", "-", "<NA>", "0", "nano"])
    assert cells.text(absence.emptied(series, None)).to_list() == [None] * 10 + ["0", "nano"]
    assert cells.text(series).to_list() == [None] * 2 + series.to_list()[2:]


def test_a_column_of_a_frame_with_nan_is_missing() -> None:
    found = role([1.5, float("nan"), None, 2.5, 9.0])
    assert found.column.missing == 2
    assert found.values is not None and found.values.null_count() == 2


def test_days_and_months_that_cannot_be_told_apart_are_said() -> None:
    open_order = role([f"0{1 + i % 9}/0{1 + i % 7}/2024" for i in range(40)])
    clear = role([f"{13 + i % 9}/0{1 + i % 7}/2024" for i in range(40)])
    assert "ambiguous" in open_order.tags and open_order.column.date_formats == ("%m/%d/%Y",)
    assert "ambiguous" not in clear.tags and clear.column.date_formats == ("%d/%m/%Y",)


def test_a_mostly_missing_column_of_words_stays_a_category() -> None:
    found = role([f"C{i}" if i % 5 == 0 else "" for i in range(200)])
    assert found.column.role == "category" and "mostly_missing" in found.tags


def test_dates_of_a_frame_need_no_format() -> None:
    days = [dt.date(2024, 1, 1 + i % 28) for i in range(40)]
    moments = [dt.datetime(2024, 1, 1 + i % 28, 5, tzinfo=dt.UTC) for i in range(40)]
    for values in (days, moments):
        found = role(values)
        assert (found.column.role, found.column.date_formats) == ("date", ())
        assert found.values is not None and found.values.dtype == pl.Datetime("us")
