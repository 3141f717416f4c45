"""`shoal compare DATA --vary NAME=VALUE,VALUE`: settings of the training against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shoal.cli.options import DEBUG, JSON, READING, Argument, Option, given_only, takes
from shoal.core.errors import InputError


@takes(
    Argument("data", "In any form that `shoal fit` reads, such as digits."),
    Option(
        "vary",
        "Needed, and may be repeated: what differs, any name of Member or width, depth, batch_size; between values a "
        "comma, or a semicolon where they hold commas. The first values are what the others are compared with.",
        "optimizer=sgd,adam",
        "many",
    ),
    *READING,
    Option("model", "The network: auto, mlp, cnn, resnet, or your own.", "NAME|pkg.mod:make_net"),
    Option("replicates", "Seeds of each setting. Default: 8.", "NUMBER", "number"),
    Option("epochs", "Passes over the data of each training. Default: 10.", "NUMBER", "number"),
    Option("seed", "Where all randomness starts. Default: 0.", "NUMBER", "number"),
    Option("out", "The folder of the comparison; must not hold a run yet. Default: runs/compare-DATA.", "FOLDER"),
    JSON,
    DEBUG,
)
def compare(**given: Any) -> int:
    """Settings of the training against each other on your data: paired differences with their noise."""
    from shoal import api
    from shoal.cli import study_view

    options = given_only({name: value for name, value in given.items() if name not in ("json", "debug", "vary")})
    steps = api.compare_steps(options.pop("data"), read_varied(given["vary"] or ()), **options)
    return study_view.carry_out(steps, as_json=given["json"])


def read_varied(written: Sequence[str]) -> dict[str, list[Any]]:
    """What `--vary` says.

    Raises:
        InputError: it cannot be read, or names one thing twice.

    >>> read_varied(["optimizer=sgd,adam", "betas=0.9,0.99; 0.8,0.9"])
    {'optimizer': ['sgd', 'adam'], 'betas': [(0.9, 0.99), (0.8, 0.9)]}
    """
    found: dict[str, list[Any]] = {}
    for text in written:
        name, equals, values = (part.strip() for part in text.partition("="))
        if not (name and equals and values):
            raise InputError(f"--vary {text} cannot be read: write NAME=VALUE,VALUE, such as optimizer=sgd,adam")
        if name in found:
            raise InputError(f"--vary names {name} twice: write all of its values in one, {name}=VALUE,VALUE")
        found[name] = [_value(value.strip()) for value in values.split(";" if ";" in values else ",")]
    if not found:
        raise InputError("there is nothing to compare: say what differs, such as --vary optimizer=sgd,adam")
    return found


def _value(text: str) -> Any:
    if "," in text and all(isinstance(_value(part), int | float) for part in text.split(",")):
        return tuple(_value(part) for part in text.split(","))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False, "none": None}.get(text, text)
