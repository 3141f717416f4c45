from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.report import formats


@pytest.mark.parametrize(
    ("value", "interval", "said"),
    [
        (0.8691, (0.863, 0.875), "86.9 %"),
        (0.8691, (0.8687, 0.8695), "86.91 %"),
        (0.8691, (0.83, 0.90), "87 %"),
        (0.8691, (0.869, 0.869), "86.9 %"),  # an interval of no width decides nothing
        (1.0, (0.97, 1.0), "100 %"),
        (math.nan, (0.1, 0.2), "not finite"),
    ],
)
def test_the_interval_decides_the_digits_of_a_share(value: float, interval: tuple[float, float], said: str) -> None:
    assert formats.score("accuracy", value, interval) == said


def test_the_number_of_rows_decides_where_there_is_no_interval() -> None:
    assert formats.score("accuracy", 0.86912, rows=40) == "87 %"
    assert formats.score("accuracy", 0.86912, rows=10_000) == "86.9 %"
    assert formats.score("accuracy", 0.86912, rows=1_000_000) == "86.91 %"
    assert formats.score("r2", 0.80123, rows=10_000) == "0.801"


@given(st.floats(0.006, 0.994), st.floats(1e-4, 0.2))  # nearer to 0 or 1 see the rounding to all or to nothing
def test_the_digits_said_never_exceed_a_tenth_of_the_half_width_nor_hide_the_interval(p: float, half: float) -> None:
    text = formats.score("accuracy", p, (p - half, p + half)).removesuffix(" %")
    digits = len(text.partition(".")[2])
    assert digits == 0 or 10**-digits > 0.0999 * half * 100  # the last digit is worth saying
    assert abs(float(text) - 100 * p) <= 0.5 * 10**-digits + 1e-9
    if half * 100 < 1:
        assert 10**-digits <= half * 100 * 1.0001  # and the interval does not vanish in the rounding


def test_intervals_and_differences() -> None:
    assert formats.bounds("accuracy", (0.863, 0.875)) == "86.3-87.5"
    assert formats.bounds("r2", (-0.02, 0.03)) == "\u22120.02 to 0.03"
    assert formats.bounds("accuracy", (math.nan, 0.9)) == "interval not known"
    assert formats.difference("accuracy", 0.1084, 0.006) == "10.8 points"
    assert formats.difference("accuracy", -0.01) == "1 point"
    assert formats.signed("accuracy", -0.012, 0.001) == "\u22121.2 points"
    assert formats.signed("accuracy", 0.00001, 0.01) == "0 points"  # no sign on nothing


@given(st.floats(allow_nan=True, allow_infinity=True) | st.integers() | st.text() | st.booleans() | st.none())
def test_every_value_of_the_record_can_be_said(value: object) -> None:
    assert isinstance(formats.number(value), str)
    if isinstance(value, float) and not math.isfinite(value):
        assert formats.number(value) == "not finite"


@given(st.floats(1e-12, 1e12))
def test_a_number_is_said_to_three_digits(value: float) -> None:
    text = formats.number(value).replace(",", "")
    assert float(text) == pytest.approx(value, rel=5.1e-3)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.4, "59 s"), (59.7, "1 min"), (183, "3 min 3 s"), (3600, "1 h"), (math.inf, "unknown time")],
)
def test_times(seconds: float, said: str) -> None:
    assert formats.duration(seconds) == said


def test_text_that_changes_how_the_rest_is_read_is_made_visible() -> None:
    assert formats.clean("a\u202eb\x00c\u2066d\x9be") == "a\ufffdb\ufffdc\ufffdd\ufffde"
    assert formats.clean("plain \u00e9 \u4e2d") == "plain \u00e9 \u4e2d"
    assert len(formats.shorten("x" * 500, 48)) == 48


def test_a_share_is_never_rounded_to_all_or_to_nothing() -> None:
    assert formats.score("accuracy", 269 / 270, (0.979, 0.9994)) == "99.6 %"
    assert formats.score("accuracy", 1.0, (0.986, 1.0)).startswith("100")
    assert formats.score("accuracy", 0.0004, (0.0, 0.02)) == "0.04 %"
    assert formats.score("accuracy", 0.985, (0.96, 0.99)) == "98 %"
