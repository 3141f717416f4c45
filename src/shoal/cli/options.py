"""Options as a table: each verb lists its rows, and the parser's signature is made from them."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from shoal.core import paths
from shoal.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Option:
    """One row: `name` as in Python; on the command line `_` becomes `-`."""

    name: str
    description: str
    shown: str = "TEXT"  # what stands for the value in the help
    kind: Literal["text", "number", "many", "flag"] = "text"
    as_written: str = ""  # when the command line says it otherwise


@dataclass(frozen=True, slots=True)
class Argument:
    """What stands in the line without a name."""

    name: str
    description: str
    required: bool = True


JSON = Option("json", "Print one JSON document on standard output, and nothing else there.", kind="flag")
DEBUG = Option("debug", "Show the traceback when something fails.", kind="flag")
CONFIG = Option("config", "Take options from a TOML file; what stands on the command line wins.", "FILE.toml")

OWN_NETWORK = Option(
    "model", "The network, where the run's is your own: the name that it was fitted with.", "pkg.mod:make_net"
)
STORE = Option("store", "The database of the run's events, where it is not in the run's folder.", "URL")

READING = (  # the fields of `core.reading.Reading`
    Option("target", "The column to predict.", "COLUMN"),
    Option("time", "The column, or array, that orders the rows: what comes later is predicted from before.", "NAME"),
    Option("group", "The column, or array, whose equal values stay on one side of every split.", "NAME"),
    Option("drop", "A column to leave out; may be repeated.", "COLUMN", "many"),
    Option("roles", "What columns hold, where it was read wrongly; may be repeated.", "NAME=role,...", "many"),
    Option("kind", "What the data are, where the shape leaves it open.", "table|image|signal|volume"),
    Option("task", "What is predicted, where the target leaves it open.", "classification|regression"),
    Option("decimal", "The decimal sign of numbers in text files. Default: by column, from its cells.", ".|,"),
    Option("missing", "Words or numbers that mean an empty cell. Default, in text files: NA, null, ? ...", "NA,-999"),
    Option("axes", "What the axes of an array are, rows first. Default: by their sizes.", "NL|NCL|NHWC|NCHW|NDHW|..."),
)

_TYPES: Mapping[str, Any] = {"text": str | None, "number": int | None, "many": list[str] | None, "flag": bool}


def takes(*rows: Argument | Option) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a verb that takes `**given` the signature that the parser reads."""

    def decorate(verb: Callable[..., int]) -> Callable[..., int]:
        verb.__signature__ = inspect.Signature([_parameter(row) for row in rows])  # type: ignore[attr-defined]
        verb.__annotations__ = {}
        return verb

    return decorate


def given_only(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the line really holds."""
    return {name: value for name, value in values.items() if value not in (None, [], ())}


def read_config(path: str) -> dict[str, Any]:
    """Read options from a TOML file; a run's own `run.toml` will do.

    Raises:
        InputError: the file is missing or no TOML.
    """
    values = _read_toml(path)
    values.pop("run", None)  # what a run.toml says about the run itself
    return {name.replace("-", "_"): value for name, value in values.items()}


def of_a_run(path: str) -> bool:
    """Whether a configuration is the record of a run, which may have come from somebody else with its folder."""
    file = paths.given(path)
    return file.name == "run.toml" or (file.parent / "store.db").exists() or "run" in _read_toml(path)


def recorded_plans(path: str) -> dict[str, Any]:
    """Return how the populations of a run were computed, where the TOML file is a run's own and says it.

    Raises:
        InputError: the file is missing or no TOML.
    """
    run = _read_toml(path).get("run")
    plans = run.get("plans") if isinstance(run, dict) else None
    return plans if isinstance(plans, dict) else {}


def _read_toml(path: str) -> dict[str, Any]:
    file = paths.given(path)
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise paths.read_error(file, error, "the configuration ") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the configuration {path} cannot be read: it is no text file") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"the configuration {path} is no TOML: {error}") from error


def _parameter(row: Argument | Option) -> inspect.Parameter:
    keyword = inspect.Parameter.KEYWORD_ONLY
    if isinstance(row, Argument):
        marker = typer.Argument(help=row.description, metavar=row.name.upper(), show_default=False)
        hint = Annotated[str, marker] if row.required else Annotated[str | None, marker]
        default = inspect.Parameter.empty if row.required else None
        return inspect.Parameter(row.name, keyword, default=default, annotation=hint)
    written = f"--{row.as_written or row.name.replace('_', '-')}"
    if row.kind == "flag":
        flag = Annotated[bool, typer.Option(written, help=row.description)]
        return inspect.Parameter(row.name, keyword, default=False, annotation=flag)
    valued = typer.Option(written, help=row.description, metavar=row.shown, show_default=False)
    return inspect.Parameter(row.name, keyword, default=None, annotation=Annotated[_TYPES[row.kind], valued])
