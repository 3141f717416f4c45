"""Tables as they come: columns of text from files, typed columns from Parquet and from frames of other libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.core.wording import listing
from shoal.data import codes, typed
from shoal.data.limits import check_bytes, check_columns

Unwanted = Callable[[str], bool]
"""Whether a column of that name is left unread, whatever its cells are."""


def wanted(_: str) -> bool:
    """That no column is left unread."""
    return False


@dataclass(frozen=True)
class RawTable:
    """A table before anything is known of its columns; `lines` says where each row stands in a text file."""

    frame: pl.DataFrame
    source: str
    lines: NDArray[np.int64] | None = None  # [N] 1-based
    findings: tuple[Finding, ...] = ()
    delimiter: str = ""  # of a text file
    unread: frozenset[str] = frozenset()  # columns that nobody wants: empty cells stand in their place
    orders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # categories that their type orders
    numbers: NDArray[np.int64] | None = None  # [N] of the rows in the source, where some were left out

    def place(self, row: int) -> str:
        """Where a row stands, for messages: a line of the file, or a row counted from 0."""
        return self.places(np.array([row]))

    def places(self, rows: NDArray[np.int64], most: int = 5) -> str:
        """Where the first of several rows stand."""
        stand = self.in_source(rows[:most]) if self.lines is None else self.lines[rows[:most]]
        shown = [str(int(place)) for place in stand]
        word = "line" if self.lines is not None else "row"
        more = ", ..." if len(rows) > most else ""
        return f"{word}{'s' if len(rows) > 1 else ''} {', '.join(shown)}{more}"

    def in_source(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers that rows have in the source, counted from 0."""
        return rows if self.numbers is None else self.numbers[rows]

    def take(self, rows: NDArray[np.int64]) -> RawTable:
        """Some of the rows, which keep their places."""
        lines = None if self.lines is None else self.lines[rows]
        return replace(self, frame=self.frame[rows], lines=lines, numbers=self.in_source(rows))


def read_parquet(path: Path, unwanted: Unwanted = wanted) -> RawTable:
    """A Parquet file. Its footer is looked at before any of its pages: nested columns may unpack to any size.

    Args:
        path: of the file.
        unwanted: the columns whose pages are not read.

    Raises:
        InputError: it is damaged, too large, empty, or holds nested columns that are wanted.
    """
    try:
        whole = pl.read_parquet_schema(path)
        check_columns(len(whole), str(path))
        schema = {name: dtype for name, dtype in whole.items() if not unwanted(name)}
        _refuse_nested(schema, str(path))
        rows = int(pl.scan_parquet(path).select(pl.len()).collect().item())
        check_bytes(rows * len(schema) * 8, str(path), f"{rows} rows of {len(schema)} columns")
        lengths = pl.scan_parquet(path).select(pl.sum_horizontal(pl.lit(0), *_text_bytes(schema)))
        inside = int(lengths.collect(engine="streaming").item())
        check_bytes(2 * inside, str(path), "its text")  # a dictionary repeats a long cell for a few bytes
        read = pl.read_parquet(path, columns=list(schema))
        frame = pl.DataFrame([read.get_column(name) if name in schema else _empty(name, rows) for name in whole])
    except InputError:
        raise
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} cannot be read as Parquet ({reason}); write it again.") from error
    return _checked(frame, str(path), unwanted)


def _text_bytes(schema: Mapping[str, pl.DataType]) -> list[pl.Expr]:
    """The length of each column of text."""
    names = [name for name, dtype in schema.items() if dtype == pl.String]
    return [pl.col(name).str.len_bytes().cast(pl.UInt64).sum() for name in names]


def is_frame(source: object) -> bool:
    """Whether narwhals knows it as a frame held in memory (pandas, polars, Arrow, ...)."""
    import narwhals as nw

    try:
        return isinstance(nw.from_native(source, pass_through=True), nw.DataFrame | nw.LazyFrame)
    except nw.exceptions.NarwhalsError:  # a frame, and a broken one: `from_frame` says how
        return True


def from_frame(source: Any, name: str = "the frame", unwanted: Unwanted = wanted) -> RawTable:
    """A frame of another library; pandas needs no Arrow for this.

    Args:
        source: the frame.
        name: what messages call it.
        unwanted: the columns whose cells are not looked at.

    Raises:
        InputError: duplicate column names, or columns that hold lists or structures and are wanted.
    """
    import narwhals as nw

    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    if isinstance(source, pl.DataFrame):
        emptied = [pl.lit(None, dtype=pl.String).alias(each) for each in source.columns if unwanted(each)]
        return _checked(source.with_columns(emptied), name, unwanted)
    source, said = _flat_names(source)
    _refuse_duplicates([str(column) for column in getattr(source, "columns", [])], name)
    try:
        frame = nw.from_native(source)
        if isinstance(frame, nw.LazyFrame):
            frame = frame.collect()
    except Exception as error:  # the other library's own errors are not known here
        raise InputError(f"{name}: this frame cannot be read ({error}).") from error
    held = {str(column): frame.get_column(column) for column in frame.columns if not unwanted(str(column))}
    columns = [
        typed.from_native(each, held[each]) if each in held else _empty(each, len(frame))
        for each in map(str, frame.columns)
    ]
    orders = {each: order for each, column in held.items() if (order := typed.order_of(column))}
    found = _checked(pl.DataFrame(columns), name, unwanted)
    return replace(found, findings=(*said, *_index(source)), orders=orders)


def _flat_names(source: Any) -> tuple[Any, tuple[Finding, ...]]:
    """A pandas frame whose columns have names of several levels, with these joined; any other as it is."""
    levels = getattr(getattr(source, "columns", None), "nlevels", 1)
    if levels < 2:
        return source, ()
    names = ["_".join(str(part) for part in parts if str(part)) for parts in source.columns]
    flat = source.copy(deep=False)
    flat.columns = names
    sentence = f"The columns have names of {levels} levels, which were joined: {listing(names, 4)}."
    return flat, (Finding(code=codes.JOINED_NAMES, sentence=sentence, evidence={"levels": levels}),)


def _empty(name: str, rows: int) -> pl.Series:
    """What stands in the place of a column that is not read."""
    return pl.repeat(None, rows, dtype=pl.String, eager=True).alias(name)


def _index(source: Any) -> tuple[Finding, ...]:
    """What is said of a pandas index that holds more than the numbers of rows: it is no column."""
    names = [str(each) for each in getattr(getattr(source, "index", None), "names", ()) if each is not None]
    if not names:
        return ()
    sentence = f"Left out: the index of the frame ({', '.join(names)}), which is no column."
    fix = "make it columns where it says something: frame.reset_index()"
    return (Finding(code=codes.FRAME_INDEX, sentence=sentence, evidence={"index": list(names)}, fix=fix),)


def _checked(frame: pl.DataFrame, source: str, unwanted: Unwanted) -> RawTable:
    _refuse_duplicates(frame.columns, source)
    if frame.width == 0 or frame.height == 0:
        raise InputError(
            f"{source} holds {frame.height} rows of {frame.width} columns: there is nothing to learn from."
        )
    check_columns(frame.width, source)
    _refuse_nested(frame.schema, source)
    frame = pl.DataFrame([typed.plain(series) for series in frame])
    return RawTable(frame, source, unread=frozenset(filter(unwanted, frame.columns)))


def _refuse_nested(schema: Mapping[str, pl.DataType], source: str) -> None:
    for name, dtype in schema.items():
        if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
            raise InputError(
                f"{source}, column {name!r}: cells of type {dtype}; only plain values are read, drop "
                "it (option `drop`)."
            )


def _refuse_duplicates(names: list[str], source: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"{source}: two columns are named {name!r}; rename one of them.")
        seen.add(name)
