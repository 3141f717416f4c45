"""What must be remembered of the data a model was trained on, so that new rows can be read and checked."""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from shoal.core.events import Kind, Record, TaskType
from shoal.data.number_text import NumberStyle

Role = Literal[
    "numeric",
    "boolean",
    "category",
    "ordered",
    "date",
    "identifier",
    "free text",
    "constant",
    "empty",
    "duplicate",
    "leak",
    "target",
    "time",
    "group",
    "dropped",
]
CellType = Literal["number", "boolean", "category", "ordered", "date"]
ClassType = Literal["text", "integer", "number", "boolean"]

MOST_VALUES = 1 << 28  # of one row
Side = Annotated[int, Field(ge=1, le=MOST_VALUES)]


class Column(Record):
    """One column as it was found: its role, how its cells are read, and whether it is a feature."""

    name: str
    role: Role
    cells: CellType | None = None  # how a cell is read; None for what is set aside
    feature: bool = False
    missing: int = 0
    unique: int = 0  # distinct values, missing cells not counted
    note: str = ""
    levels: tuple[str, ...] = ()  # of an ordered column, lowest first: a cell is read as its place, from 0
    word_values: tuple[str, ...] = ()  # words that usually mean a missing cell, and are values here; in small letters
    exact: bool = False  # cells are values as they are written
    values: tuple[str, ...] = ()  # of a category column, as training spelled them
    markers: tuple[str, ...] = ()  # cells of the training data that could not be read, and counted as missing
    numbers: NumberStyle = NumberStyle()  # of a number column that came as text
    date_formats: tuple[str, ...] = ()  # of `moments`; none for a column that came as dates
    date_parts: Literal["all", "cycles"] = "all"  # cycles: nothing that keeps growing, for the column that orders rows


class Schema(Record):
    """Everything that is needed to read and check new rows. Statistics are not here: `prepare` fits those."""

    kind: Kind
    task: TaskType
    target: str | None = None
    target_numbers: NumberStyle | None = None  # how the target's were written, where it came as text
    classes: tuple[str, ...] | None = None
    target_exact: bool = False  # classes are cells as they are written
    class_type: ClassType = "text"  # in which the classes were given, and predictions are given back
    columns: tuple[Column, ...] = ()  # of tables
    missing: tuple[str, ...] | None = ()  # words that mean a missing cell; None: the usual ones, see `absence`
    dropped: tuple[str, ...] = ()  # arrays of a file, or values of an item, that are not looked at
    shape: tuple[Side, ...] | None = Field(default=None, max_length=8)  # of one row of an array, as stored
    axes: str = ""  # of the array as it came, of `core.reading.AXES`; empty: as stored
    image_mode: Literal["L", "RGB"] | None = None  # of image folders
    image_size: tuple[Side, Side] | None = None  # width, height
    image_depth: Literal["uint8", "uint16", "float32"] = (
        "uint8"  # in which image files are read: uint8, uint16 or float32
    )
    ends: tuple[float, float] | None = None  # black and white of images; none: an array on a scale unknown
    time: str | None = None
    group: str | None = None

    @model_validator(mode="after")
    def _row_is_bounded(self) -> Schema:
        """A schema may come from a file, and new rows are made in its shape."""
        for size in (self.shape or (), self.image_size or ()):
            if prod(size) > MOST_VALUES:
                raise ValueError(f"a row of shape {list(size)} has more than {MOST_VALUES} values")
        return self

    def features(self) -> tuple[Column, ...]:
        """The columns that a model sees, in order."""
        return tuple(column for column in self.columns if column.feature)

    def column_notes(self) -> list[dict[str, JsonValue]]:
        """Name, role, missing, unique and note of each column, for a run's record."""
        return [
            {"name": c.name, "role": c.role, "missing": c.missing, "unique": c.unique, "note": c.note}
            for c in self.columns
        ]
