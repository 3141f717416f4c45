"""Data sets as objects: torch's `Dataset`, map-style or iterable, Hugging Face's, or anything that gives items.

Items are asked for one at a time and written to a temporary file without a name, which the system frees with the last
use. What is larger than `IN_MEMORY` bytes stays there, mapped into memory, so a source may be larger than memory.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.core.wording import listing
from shoal.data import codes
from shoal.data.arrays import ANSWERS, PARTS, Arrays
from shoal.data.frames import RawTable, Unwanted, from_frame, wanted
from shoal.data.limits import check_bytes

IN_MEMORY = 256 << 20  # bytes
WRITE_BYTES = 8 << 20
DISK_SHARE = 0.8  # of what is free
CELL_BYTES = 64  # of one cell of a row that is kept as Python objects
INPUTS = ("image", "images", "img", "x", "data", "features", "input", "inputs", "signal", "audio", "pixel_values")

Part = tuple[int | None, Any]  # code of the part, source


@dataclass(frozen=True)
class Items:
    """What a source gave: arrays, or the rows of a table with the part of the split that each belongs to."""

    found: Arrays | RawTable
    split: NDArray[np.int8] | None
    findings: tuple[Finding, ...]
    names: tuple[str, ...] = ()  # of the values of an item, where it is a mapping


def parts_of(source: Any) -> list[Part] | None:
    """The parts of a source that gives items: itself, or those of a mapping by their names; None for anything else.

    Raises:
        InputError: a loader of batches, or a mapping whose names say nothing.
    """
    if isinstance(source, Mapping):
        known = {name: code for code, names in PARTS.items() for name in names}
        if source and all(str(name).lower() in known for name in source) and all(map(gives_items, source.values())):
            parts = sorted((known[str(name).lower()], at) for at, name in enumerate(source))
            values = list(source.values())
            if parts[0][0] != 0:
                raise InputError(f"the data set holds {listing(source)} and no train part; add one.")
            return [(code, values[at]) for code, at in parts]
        return None
    return [(None, source)] if gives_items(source) else None


def gives_items(source: Any) -> bool:
    """Whether a source is an object with items: by number, or one after another.

    Raises:
        InputError: it is a loader, which cuts a data set into batches.
    """
    if isinstance(source, str | bytes | Mapping | np.ndarray | list | tuple | set) or hasattr(source, "to_numpy"):
        return False
    if hasattr(source, "detach"):  # a tensor
        return False
    if hasattr(source, "dataset") and hasattr(source, "batch_size"):
        raise InputError(
            "a DataLoader has already cut the data into batches, in an order of its own; give its data set instead: "
            "loader.dataset."
        )
    return hasattr(source, "__iter__") or (hasattr(source, "__getitem__") and hasattr(source, "__len__"))


def read_items(
    parts: list[Part], source: str, target: str | None, *, answers: bool = True, unwanted: Unwanted = wanted
) -> Items:
    """All items of a source.

    Args:
        parts: as `parts_of` gives them.
        source: for messages.
        target: the name of the answer, where items are mappings.
        answers: whether each item must hold an answer.
        unwanted: the names of values of an item that are not looked at, where items are mappings.

    Raises:
        InputError: an item that cannot be had or read, or that has another form than the first; too many of them.
    """
    whole = _first(parts[0][1], source)
    names = tuple(map(str, whole)) if isinstance(whole, Mapping) else ()
    first = _without(whole, unwanted)
    if isinstance(first, Mapping) and _input_name(first, target) is None:
        return _rows(parts, source, unwanted)
    sizes: list[int] = []
    with tempfile.TemporaryFile(prefix="shoal-") as file:  # a mapping outlives it
        pile = _Pile(source, target, answers, file)
        for _, each in parts:
            before = pile.rows
            for item in _each(each, source):
                pile.add(_without(item, unwanted))
            sizes.append(pile.rows - before)
        if not all(sizes):
            raise InputError(f"{source}: a part without items; there is nothing to learn from.")
        x, y = pile.inputs(), pile.answers()
    findings = _changing(parts[0][1], source, target, unwanted)
    split = _codes(parts, sizes)
    classes = _class_names(parts[0][1], pile.answer_name)
    from_torch = hasattr(_parts_of_item(first, target)[0], "detach")
    return Items(Arrays(x, y, split, classes, {}, (), from_torch), split, tuple(findings), names)


def _without(item: Any, unwanted: Unwanted) -> Any:
    """An item without the values that nobody wants."""
    if not isinstance(item, Mapping):
        return item
    return {name: value for name, value in item.items() if not unwanted(str(name))}


def _codes(parts: list[Part], sizes: list[int]) -> NDArray[np.int8] | None:
    """The part of each row, where there are parts."""
    if parts[0][0] is None:
        return None
    return np.repeat(np.asarray([code or 0 for code, _ in parts], dtype=np.int8), sizes)


def _each(source: Any, where: str) -> Iterator[Any]:
    """The items, whatever the source raises put into a sentence."""
    by_number = hasattr(source, "__getitem__") and hasattr(source, "__len__")
    row = 0
    try:
        if by_number:
            for row in range(len(source)):
                yield source[row]
            return
        for item in source:
            yield item
            row += 1
    except (InputError, GeneratorExit, KeyboardInterrupt):
        raise
    except Exception as error:  # the source's own code: anything may come
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise InputError(f"{where}, item {row} cannot be had ({reason}); mend the data set.") from error


def _first(source: Any, where: str) -> Any:
    """The first item, of a source that gives it again later.

    Raises:
        InputError: it gives its items once only, or has none.
    """
    if _once(source):
        raise _only_once(where)
    item = next(_each(source, where), None)
    if item is None:
        raise InputError(f"{where}: a data set without items; there is nothing to learn from.")
    return item


def _once(source: Any) -> bool:
    """Whether a source is an iterator, or hands out the same one whenever it is asked."""
    if hasattr(source, "__next__") or hasattr(source, "__getitem__"):
        return hasattr(source, "__next__")
    try:
        return iter(source) is iter(source)
    except Exception:  # the source's own code: asking for an item says what it stumbles over
        return False


def _only_once(where: str) -> InputError:
    return InputError(
        f"{where}: a generator, and whatever hands out one, gives its items once only; give an object that can be "
        "iterated again, such as a data set."
    )


def _changing(source: Any, where: str, target: str | None, unwanted: Unwanted) -> list[Finding]:
    """Whether the first item is another one when it is asked for again, as behind a random transform.

    Raises:
        InputError: there is none any more.
    """
    items = [next(_each(source, where), None) for _ in range(2)]
    if any(item is None for item in items):
        raise _only_once(where)
    first, again = (np.asarray(_values(_parts_of_item(_without(item, unwanted), target)[0])) for item in items)
    if first.shape == again.shape and np.array_equal(first, again, equal_nan=first.dtype.kind == "f"):
        return []
    return [
        Finding(
            code=codes.CHANGING_SOURCE,
            level="warning",
            sentence="The data set gives another item when the same is asked for again, as behind a random transform: "
            "it was read once and stays as it came.",
            fix="take random transforms out of the data set",
        )
    ]


def _input_name(item: Mapping[Any, Any], target: str | None) -> str | None:
    """The name of the one value that is an array, or None where the item is a row of plain cells."""
    wide = [name for name, value in item.items() if name != target and _is_wide(value)]
    by_name = [name for name in wide if str(name).lower() in INPUTS]
    return str((by_name or wide)[0]) if wide else None


def _is_wide(value: Any) -> bool:
    """Whether a value is an array, a picture, or a list of numbers."""
    return (
        bool(getattr(value, "ndim", 0))
        or (hasattr(value, "convert") and hasattr(value, "mode"))
        or isinstance(value, list)
    )


def _parts_of_item(item: Any, target: str | None) -> tuple[Any, Any, str | None]:
    """Input, answer and the answer's name."""
    if isinstance(item, Mapping):
        name = _input_name(item, target)
        lower = {str(key).lower(): key for key in item}
        answer = target if target in item else next((lower[key] for key in ANSWERS if key in lower), None)
        return (item[name] if name is not None else None), (item[answer] if answer is not None else None), answer
    if isinstance(item, tuple | list) and len(item) >= 2:
        return item[0], item[1], None
    return (item[0] if isinstance(item, tuple) else item), None, None


def _values(value: Any) -> NDArray[np.generic]:
    """One input as an array: of an array, a tensor, a picture, or numbers."""
    if hasattr(value, "detach"):
        return np.asarray(value.detach().cpu().numpy())
    if hasattr(value, "convert") and hasattr(value, "mode"):  # a picture of Pillow's
        return _picture(value)
    array = np.asarray(value)
    return array.astype(np.float64) if isinstance(value, int | float | list) and array.dtype.kind in "biuf" else array


def _picture(image: Any) -> NDArray[np.generic]:
    """The values of a picture, those of more than 8 bits as they are; transparent grey is laid over white."""
    if image.mode[0] in "IF":
        values = np.asarray(image)
        return values.astype(values.dtype.newbyteorder("="))
    if image.mode in ("LA", "La"):
        grey = np.asarray(image.convert("LA")).astype(np.float64)
        opaque = grey[..., 1] / 255
        return np.asarray(np.rint(grey[..., 0] * opaque + 255 * (1 - opaque)).astype(np.uint8))
    wanted = "L" if image.mode in ("1", "L") else "RGB"
    return np.asarray(image if image.mode == wanted else image.convert(wanted))


def _holds(dtype: np.dtype[Any], values: NDArray[np.generic]) -> bool:
    """Whether a type has room for values: whole numbers stay as they are, fractions may be rounded."""
    if np.can_cast(values.dtype, dtype, "safe"):
        return True
    if not np.can_cast(values.dtype, dtype, "same_kind"):
        return False
    with np.errstate(over="ignore"):
        kept = values.astype(dtype)
    if values.dtype.kind == "f":
        return np.array_equal(np.isfinite(kept), np.isfinite(values))
    return np.array_equal(kept, values)


@dataclass
class _Pile:
    """Inputs on their way to a file, answers in memory."""

    source: str
    target: str | None
    wants_answers: bool
    file: IO[bytes]
    rows: int = 0
    answer_name: str | None = None
    _y: list[Any] = field(default_factory=list)
    _buffer: list[bytes] = field(default_factory=list)
    _held: int = 0
    _written: int = 0
    _shape: tuple[int, ...] = ()
    _dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype("f8"))

    def __post_init__(self) -> None:
        self._room = int(DISK_SHARE * shutil.disk_usage(tempfile.gettempdir()).free)

    def add(self, item: Any) -> None:
        """One more item."""
        value, answer, name = _parts_of_item(item, self.target)
        where = f"{self.source}, item {self.rows}"
        try:
            array = _values(value)
        except (ValueError, TypeError, OSError) as error:
            raise InputError(f"{where} cannot be read as numbers ({str(error).splitlines()[0]}).") from error
        if array.dtype.kind not in "biuf":
            raise InputError(f"{where}: an input of type {type(value).__name__} ({array.dtype}); numbers are expected.")
        array = array.reshape(1) if array.ndim == 0 else array
        if not self.rows:
            self._shape, self._dtype, self.answer_name = array.shape, array.dtype, name
        if array.shape != self._shape:
            raise InputError(
                f"{where} has the shape {list(array.shape)} and the first one {list(self._shape)}; give them one shape."
            )
        if not _holds(self._dtype, array):
            raise InputError(f"{where} holds {array.dtype} and the first one {self._dtype}; give them one type.")
        if answer is None and self.wants_answers:
            raise InputError(f"{where} has no answer; items are pairs (x, y), or mappings with a label.")
        self._y.append(_answer(answer, where))
        block = np.ascontiguousarray(array, dtype=self._dtype).tobytes()
        self._buffer.append(block)
        self._held += len(block)
        self.rows += 1
        if self._held >= WRITE_BYTES:
            self._write()

    def inputs(self) -> NDArray[np.generic]:
        """All inputs [N, ...], in memory or mapped."""
        self._write()
        shape = (self.rows, *self._shape)
        if self._written <= IN_MEMORY:
            self.file.seek(0)
            return np.frombuffer(bytearray(self.file.read()), dtype=self._dtype).reshape(shape)
        self.file.flush()
        return np.memmap(self.file, dtype=self._dtype, mode="r", shape=shape)

    def answers(self) -> NDArray[np.generic] | None:
        """All answers [N], or None where there are none."""
        if not self._y or all(each is None for each in self._y):
            return None
        if all(isinstance(each, str) for each in self._y):
            return np.asarray(self._y, dtype=object)
        if any(isinstance(each, str) or each is None for each in self._y):
            row = next(i for i, each in enumerate(self._y) if type(each) is not type(self._y[0]))
            raise InputError(
                f"{self.source}, item {row}: the answer {self._y[row]!r} is of another type than the first one, "
                f"{self._y[0]!r}."
            )
        return np.asarray(self._y)

    def _write(self) -> None:
        self._written += self._held
        if self._written > self._room:
            raise InputError(
                f"{self.source}: {self.rows} items of {self._written / 1e9:.1f} GB are written, and there is no room "
                f"for more in {tempfile.gettempdir()}; give a part of the data set (does it end?)."
            )
        try:
            self.file.writelines(self._buffer)
        except OSError as error:
            raise InputError(f"{self.source} cannot be kept in {tempfile.gettempdir()}: {error.strerror}.") from error
        self._buffer, self._held = [], 0


def _answer(answer: Any, where: str) -> Any:
    """An answer as a plain value."""
    if answer is None or isinstance(answer, str | int | float):
        return answer
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu().numpy()
    array = np.asarray(answer)
    if array.size != 1 or array.dtype.kind not in "biufUS":
        raise InputError(
            f"{where}: an answer of shape {list(array.shape)} and type {array.dtype}; one value is expected."
        )
    return array.reshape(-1)[0].item()


def _class_names(source: Any, answer: str | None) -> tuple[str, ...] | None:
    """What the source calls its classes: torchvision's `classes`, Hugging Face's `features[...].names`."""
    features = getattr(source, "features", None)
    if isinstance(features, Mapping) and answer in features:
        names = getattr(features[answer], "names", None)
    else:
        names = getattr(source, "classes", None)
    return tuple(str(name) for name in names) if isinstance(names, list | tuple) else None


# --- rows of plain cells ----------------------------------------------------------------------------------------------


def _rows(parts: list[Part], source: str, unwanted: Unwanted) -> Items:
    """Items that are mappings of plain cells: the rows of a table, in memory."""
    frames = [_frame(each, source, unwanted) for _, each in parts]
    columns = frames[0].columns
    for frame in frames[1:]:
        if frame.columns != columns:
            raise InputError(f"{source}: the parts hold {listing(columns)} and {listing(frame.columns)}.")
    whole = pl.concat(frames, how="vertical_relaxed")
    unread = frozenset(filter(unwanted, whole.columns))
    return Items(RawTable(whole, source, unread=unread), _codes(parts, [frame.height for frame in frames]), ())


def _frame(source: Any, where: str, unwanted: Unwanted) -> pl.DataFrame:
    """The rows of one part; codes of classes as their names."""
    if hasattr(source, "with_format") and hasattr(source, "__len__"):
        try:
            arrow = source.with_format("arrow")[:]
        except Exception as error:  # the other library's own errors are not known here
            raise InputError(f"{where} cannot be read ({str(error).splitlines()[0]}).") from error
        frame = from_frame(arrow, where, unwanted).frame
    else:
        rows: list[Mapping[str, Any]] = []
        for row, item in enumerate(_each(source, where)):
            if not isinstance(item, Mapping):
                raise InputError(f"{where}, item {row} is of type {type(item).__name__}; the first one is a mapping.")
            rows.append({str(key): None if unwanted(str(key)) else value for key, value in item.items()})
            if row % 10_000 == 0:
                check_bytes(len(rows) * len(item) * CELL_BYTES, where, "its rows")
        frame = from_frame(_columns(rows), where, unwanted).frame
    for name in itertools.filterfalse(unwanted, frame.columns):
        names = _class_names(source, name) if isinstance(getattr(source, "features", None), Mapping) else None
        if names:
            frame = frame.with_columns(_named(frame.get_column(name), names, where))
    return frame


def _named(coded: pl.Series, names: tuple[str, ...], where: str) -> pl.Series:
    """Codes of classes as their names; -1, by which Hugging Face says that there is none, as a missing cell.

    Raises:
        InputError: a code without a name.
    """
    beyond = coded.filter(~coded.is_between(-1, len(names) - 1)).drop_nulls()
    if beyond.len():
        raise InputError(f"{where}, column {coded.name!r}: the code {beyond[0]} has no name; there are {len(names)}.")
    return coded.replace_strict(list(range(len(names))), list(names), default=None)


def _columns(rows: list[Mapping[str, Any]]) -> pl.DataFrame:
    names: Iterable[str] = dict.fromkeys(name for row in rows for name in row)
    columns = []
    for name in names:
        found: list[Any] = [row.get(name) for row in rows]
        cells = [each.item() if hasattr(each, "item") else each for each in found]
        try:
            columns.append(pl.Series(name, cells, strict=True))
        except (TypeError, pl.exceptions.PolarsError):
            columns.append(pl.Series(name, [None if each is None else str(each) for each in cells], dtype=pl.String))
    return pl.DataFrame(columns)
