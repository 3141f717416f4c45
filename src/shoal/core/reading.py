"""What a user says of the data, where they would be read otherwise: the same record for every verb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import ValidationError, field_validator, model_validator

from shoal.core.errors import InputError
from shoal.core.events import Kind, Record, TaskType
from shoal.core.names import did_you_mean
from shoal.core.roles import parse_roles

# Axes of an array as it is given, rows first: B rows would be N here, as everywhere in the field.
AXES: Mapping[str, Kind] = {
    "ND": "table",
    "NL": "signal",
    "NCL": "signal",
    "NLC": "signal",
    "NHW": "image",
    "NHWC": "image",
    "NCHW": "image",
    "NDHW": "volume",
    "NCDHW": "volume",
    "NDHWC": "volume",
}


class Reading(Record):
    """How a source is to be read. Building one with values that cannot work raises `InputError`, in one sentence.

    >>> Reading(target="income", axes="NLC").kind
    'signal'
    >>> Reading(targt="income")
    Traceback (most recent call last):
    shoal.core.errors.InputError: there is no option `targt`; did you mean `target`?
    """

    target: str | None = None  # the column, or array, to predict
    time: str | None = None  # orders the rows
    group: str | None = None  # its equal values stay on one side of every split
    drop: tuple[str, ...] = ()
    roles: dict[str, str] = {}  # what columns hold, where it would be read wrongly
    kind: Kind | None = None
    task: TaskType | None = None
    decimal: Literal[".", ","] | None = None  # of numbers in text; None: by column, from its cells
    missing: tuple[str, ...] | None = (
        None  # words, or numbers, that mean an empty cell; None: in text files the usual ones
    )
    axes: str | None = None  # of AXES

    def __init__(self, **values: Any) -> None:
        """Validate; a caller's mistake becomes an `InputError`."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise InputError(_sentence(error, list(type(self).model_fields))) from None

    @property
    def of_columns(self) -> dict[str, Any]:
        """The options that speak of a table's columns, by name."""
        return {name: getattr(self, name) for name in ("target", "time", "group", "drop", "roles")}

    @field_validator("drop", mode="before")
    @classmethod
    def _one_name_is_a_list_of_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("roles", mode="before")
    @classmethod
    def _roles_in_any_form(cls, value: Any) -> object:
        return parse_roles(value) if isinstance(value, str | list | tuple | Mapping) else value

    @field_validator("missing", mode="before")
    @classmethod
    def _words_in_any_form(cls, value: Any) -> object:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        parts = str(value).split(",") if isinstance(value, str) or number else value
        return tuple(str(word).strip() for word in parts) if isinstance(parts, list | tuple) else value

    @field_validator("axes", mode="before")
    @classmethod
    def _axes_are_known(cls, value: Any) -> object:
        written = value.upper() if isinstance(value, str) else value
        if written is not None and not (isinstance(written, str) and written in AXES):
            raise InputError(f"the axes `{value}` are unknown: write one of {', '.join(f'`{each}`' for each in AXES)}")
        return written

    @model_validator(mode="before")
    @classmethod
    def _axes_say_the_kind(cls, values: Any) -> Any:
        axes = values.get("axes") if isinstance(values, dict) else None
        kind = AXES.get(axes.upper()) if isinstance(axes, str) else None
        if kind is None:
            return values
        if values.get("kind") not in (None, kind):
            raise InputError(f"the axes `{axes}` are those of {kind} data, and `kind` says {values['kind']}")
        return {**values, "kind": kind}

    def part(self) -> Reading:
        """The options of reading alone, of a record that has more of them."""
        return Reading(**{name: getattr(self, name) for name in Reading.model_fields})

    def but(self, **values: Any) -> Self:
        """The same with other values."""
        return self.model_copy(update=values)


def _sentence(error: ValidationError, options: list[str]) -> str:
    """The first thing that is wrong, in one sentence."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    option, given = str(first["loc"][0]) if first["loc"] else "", first.get("input")
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InputError):
        return str(cause)
    if first["type"] == "extra_forbidden":
        return f"there is no option `{option}`{did_you_mean(option, options)}"
    if first["type"] == "missing":
        return f"the option `{option}` is missing"
    wanted = first["msg"].removeprefix("Input ").replace("'", "`")
    return f"the option `{where}` cannot be {given!r}: it {wanted}"
