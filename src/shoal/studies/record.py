"""What a study is asked, what it says while it works, and what it leaves: plain records that survive JSON."""

from __future__ import annotations

from typing import Any

from pydantic import Field, JsonValue, ValidationError

from shoal.core.errors import InputError
from shoal.core.events import Finding, Record


class StudyOptions(Record):
    """What the user fixed; `None` leaves it to the study."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    replicates: int | None = Field(default=None, ge=2, le=1000)  # seeds of each setting
    epochs: int | None = Field(default=None, ge=1)
    image: str | None = None  # a picture of the user's own
    augment: str | None = None  # as `augment.parse` reads
    device: str = "cpu"

    def __init__(self, **values: Any) -> None:
        """Validate; a caller's mistake becomes an `InputError`."""
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            wanted = first["msg"].removeprefix("Input ")
            raise InputError(f"{first['loc'][0]} cannot be {first['input']!r}: it {wanted}") from None


class Progress(Record):
    """The study got further."""

    done: float  # share of the whole, 0 to 1
    doing: str  # a phrase


class Number(Record):
    """One of the few numbers beside the answer, as it is said."""

    label: str
    value: str
    note: str = ""


class Table(Record):
    """Rows as they are read; numbers stay numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[JsonValue, ...], ...]
    caption: str = ""


class Picture(Record):
    """A chart: `kind` names what draws `data` (report/static/charts_*.js), `caption` states the finding in words."""

    kind: str
    title: str
    caption: str
    data: dict[str, JsonValue]


class Section(Record):
    """One question in words, its answer, and what shows it."""

    question: str
    answer: str
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


class Study(Record):
    """What a study found. `decisions` carry their numbers and thresholds; the test rows were not read."""

    name: str
    title: str
    source: str  # the data, as the user named them
    answer: str  # one sentence; names stand in backticks
    numbers: tuple[Number, ...] = Field(default=(), max_length=4)
    decisions: tuple[Finding, ...]
    sections: tuple[Section, ...]
    seed: int
    networks_trained: int = 0
