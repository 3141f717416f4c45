"""The resolved settings of one `fit`: the same record from Python, from the command line and from a file."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from shoal.core.budget import parse_budget
from shoal.core.dimensions import check_range
from shoal.core.errors import InputError
from shoal.core.events import Interval
from shoal.core.names import did_you_mean
from shoal.core.reading import Reading

Precision = Literal["float32", "bfloat16", "float64"]
RunnerName = Literal["threads", "processes"]

# What the numbers of a table, or the values of arrays, go through; the steps can be joined by `+`.
PREPARATIONS = (
    "auto",
    "none",
    "center",
    "standardize",
    "minmax",
    "robust",
    "robust-clip",
    "quantile",
    "quantile-uniform",
    "pca",
    "whiten",
    "zca",
)


class FitSettings(Reading):
    """What a run is asked to do, and how its data are to be read. Values that cannot work raise `InputError`.

    >>> FitSettings(data="iris", budgt="5m")
    Traceback (most recent call last):
    shoal.core.errors.InputError: there is no option `budgt`; did you mean `budget`?
    """

    data: str
    prepare: str = "auto"  # of PREPARATIONS
    augment: str = "auto"  # changes of training samples that may be searched: auto, none, or as `augment.parse` reads
    budget: str = "60s"
    seed: int = Field(default=0, ge=0, lt=2**63)
    out: str | None = None  # the run's folder; None: in memory from Python, a new one of runs/ on the command line
    model: str = "auto"  # auto, mlp, cnn, resnet or pkg.mod:make_net
    device: Literal["auto", "cpu", "cuda"] = "auto"
    runner: RunnerName = "threads"  # where networks are trained: threads of this process, or several processes
    precision: Precision = "float32"  # of the layers' arithmetic; bfloat16 keeps float32 weights
    ranges: dict[str, Interval] = {}
    epochs: int | None = Field(default=None, ge=1)  # most epochs of a member in the refined search
    batch_size: int | None = Field(default=None, ge=1)
    ignore: tuple[str, ...] = ()  # codes of findings that are not to be raised
    store: str | None = None  # a database URL; else SQLite in the run folder

    @field_validator("ignore", mode="before")
    @classmethod
    def _one_code_is_a_list_of_one(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value

    @field_validator("prepare")
    @classmethod
    def _preparation_is_known(cls, value: str) -> str:
        for step in value.split("+"):
            if step not in PREPARATIONS:
                raise InputError(f"there is no preparation `{step}`{did_you_mean(step, PREPARATIONS)}")
            if step in PREPARATIONS[:2] and value != step:
                raise InputError(f"`{step}` cannot be joined to other preparations, as in `{value}`")
        return value

    @field_validator("budget")
    @classmethod
    def _budget_can_be_read(cls, value: str) -> str:
        parse_budget(value)
        return value

    @field_validator("model")
    @classmethod
    def _model_can_be_found(cls, value: str) -> str:
        if value in ("auto", "mlp", "cnn", "resnet") or re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", value):
            return value
        raise InputError(
            f"the model `{value}` is unknown: write `auto`, `mlp`, `cnn`, `resnet` or `package.module:make_net`"
        )

    @field_validator("ranges")
    @classmethod
    def _ranges_make_sense(cls, value: dict[str, Interval]) -> dict[str, Interval]:
        for name, (low, high) in value.items():
            check_range(name, low, high)
        return value

    @model_validator(mode="after")
    def _one_batch_size(self) -> Self:
        if self.batch_size is not None and "batch_size" in self.ranges:
            raise InputError("batch_size is given and a range of it too: leave one of them out")
        return self

    @field_validator("ignore")
    @classmethod
    def _ignored_are_codes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for code in value:
            if not re.fullmatch(r"SHL\d{3}", code):
                raise InputError(f"`{code}` cannot be ignored: a finding's code looks like `SHL101`")
        return value


def parse_range(text: str) -> tuple[str, Interval]:
    """Read a range of the search as written on the command line.

    Args:
        text: `NAME=LOW:HIGH`, such as `lr=1e-4:1e-1`.

    Returns:
        The hyperparameter's name and its bounds.

    Raises:
        InputError: another form, an unknown name, or bounds that make no sense.

    >>> parse_range("lr=1e-4:0.1")
    ('lr', (0.0001, 0.1))
    """
    name, equals, bounds = text.partition("=")
    low_text, colon, high_text = bounds.partition(":")
    try:
        low, high = float(low_text), float(high_text)
    except ValueError:
        colon = ""
    if not (equals and colon):
        raise InputError(f"the range `{text}` cannot be read: write NAME=LOW:HIGH, such as `lr=1e-4:1e-1`")
    check_range(name.strip(), low, high)
    return name.strip(), (low, high)
