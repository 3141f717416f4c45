"""The command that a report prints says all that the run was asked."""

from __future__ import annotations

import shlex
from typing import Any

import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.api import command
from shoal.cli.fit import fit, resolve
from shoal.core.settings import PREPARATIONS, FitSettings


def parsed(line: str) -> FitSettings:
    """What `shoal fit` is asked by a line."""
    found: dict[str, Any] = {}

    def verb(**values: Any) -> None:
        found.update(values)

    verb.__signature__, verb.__annotations__ = fit.__signature__, {}  # type: ignore[attr-defined]
    words = shlex.split(line)
    assert words[:2] == ["shoal", "fit"]
    application = typer.Typer(add_completion=False)
    application.command()(verb)
    typer.main.get_command(application).main(words[2:], standalone_mode=False)
    return resolve(found)


NAME = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8
) | st.sampled_from(["-x", "--target", "a b", "it's", 'a"b', "a\nb", "ü", "$HOME", "a;b", "=", "-"])
PLAIN = NAME.map(str.strip).filter(lambda name: name and "," not in name and "=" not in name)  # as roles can be written
FLOATS = st.floats(1e-12, 0.49), st.floats(0.5, 0.99)
FIELDS = {
    "target": NAME,
    "time": NAME,
    "group": NAME,
    "drop": st.lists(NAME, max_size=3).map(tuple),
    "roles": st.dictionaries(PLAIN, st.sampled_from(["category", "free text", "ordered:S<M<L"]), max_size=3),
    "kind": st.sampled_from(["table", "image", "signal"]),
    "task": st.sampled_from(["classification", "regression"]),
    "decimal": st.sampled_from([".", ","]),
    "missing": st.lists(PLAIN, min_size=1, max_size=3).map(tuple),
    "prepare": st.sampled_from([*PREPARATIONS, "standardize+pca"]),
    "augment": st.sampled_from(["none", "hflip,rotate=15"]),
    "budget": st.sampled_from(["10m", "trials=7"]),
    "seed": st.integers(0, 2**63 - 1),
    "model": st.sampled_from(["mlp", "a.b:make_net"]),
    "device": st.sampled_from(["cpu", "cuda"]),
    "runner": st.just("processes"),
    "precision": st.sampled_from(["bfloat16", "float64"]),
    "ranges": st.dictionaries(st.sampled_from(["lr", "weight_decay", "momentum", "dropout"]), st.tuples(*FLOATS)),
    "epochs": st.integers(1, 99),
    "batch_size": st.integers(1, 999),
    "ignore": st.lists(st.from_regex(r"SHL[0-9]{3}", fullmatch=True), max_size=2).map(tuple),
    "store": st.sampled_from(["sqlite:///a.db", "postgresql+psycopg://host/name"]),
}


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({"data": NAME}, optional=FIELDS))
def test_the_command_says_what_the_settings_say(values: dict[str, Any]) -> None:
    asked = FitSettings(**values)
    assert parsed(command(asked)) == asked


def test_every_setting_is_tried() -> None:
    assert set(FitSettings.model_fields) == {*FIELDS, "data", "axes", "out"}  # out: a repetition has its own folder
    asked = FitSettings(data="-odd.csv", axes="NLC")
    assert parsed(command(asked)) == asked and command(asked).endswith("-- -odd.csv")


def test_a_password_is_not_printed() -> None:
    assert "secret" not in command(FitSettings(data="iris", store="postgresql+psycopg://me:secret@host/name"))
