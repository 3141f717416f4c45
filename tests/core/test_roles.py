"""Roles as they are written."""

from __future__ import annotations

import pytest

from shoal.core.errors import InputError
from shoal.core.roles import check_role, levels_of, parse_roles
from shoal.core.settings import FitSettings


def test_every_form_says_the_same() -> None:
    wanted = {"zip": "category", "size": "ordered:S<M<L"}
    assert parse_roles("zip=category,size=ordered:S<M<L") == wanted
    assert parse_roles(["zip=categorical", "size = ordered: S < M < L"]) == wanted
    assert parse_roles({"zip": "category", "size": ["S", "M", "L"]}) == wanted
    assert FitSettings(data="x.csv", roles=["zip=category", "size=ordered:S<M<L"]).roles == wanted
    assert FitSettings(data="x.csv", roles=wanted).roles == wanted


def test_names_may_hold_commas_and_equal_signs() -> None:
    assert parse_roles("a,b=numeric,x=y=date") == {"a,b": "numeric", "x=y": "date"}
    assert parse_roles("story=free text") == {"story": "free text"}


def test_levels() -> None:
    assert levels_of(check_role("x", "ordinal: low < high")) == ("low", "high")
    assert levels_of("ordered") == ()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("zip", ["`zip`", "NAME=role"]),
        ("zip=categroy", ["`zip`", "did you mean `category`"]),
        ("zip=category,zip=date", ["two roles"]),
        ("zip=ordered:S", ["lowest first"]),
        ("zip=ordered:S<S", ["each once"]),
        ("zip=category:a<b", ["`ordered` alone"]),
        ({"zip": ["a"]}, ["lowest first"]),
    ],
)
def test_what_cannot_be_read_is_refused(given: object, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        parse_roles(given)  # type: ignore[arg-type]
    assert all(word in str(caught.value) for word in words), str(caught.value)
    with pytest.raises(InputError):
        FitSettings(data="x.csv", roles=given)
