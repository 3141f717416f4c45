"""Arrays to a `Dataset`: names in an archive, parts of a split, and what is no number."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Finding, Kind
from shoal.core.reading import Reading
from shoal.core.wording import count, listing
from shoal.data import absence, answers, cells, codes
from shoal.data.answers import Answers
from shoal.data.array_checks import of_arrays
from shoal.data.dataset import ArrayFeatures, Dataset, fingerprint
from shoal.data.depth import array_depth, array_ends
from shoal.data.frames import RawTable
from shoal.data.layout import ArrayLayout, layout
from shoal.data.limits import LARGEST_VALUE, check_bytes
from shoal.data.number_style import Signs
from shoal.data.ordering import time_column
from shoal.data.schema import Schema
from shoal.data.spelling import findings as spelling_findings
from shoal.data.spelling import group_codes
from shoal.data.tables import table_dataset
from shoal.data.targets import Target, array_target

PARTS: dict[int, tuple[str, ...]] = {0: ("train", "training"), 1: ("val", "valid", "validation"), 2: ("test",)}
INPUTS = ("x", "images", "image", "data", "features", "inputs", "signals", "volumes")
BLOCK_ROWS = 4096
ANSWERS = ("y", "labels", "label", "target", "targets")
NAMES = ("classes", "class_names", "target_names", "label_names")


@dataclass(frozen=True)
class Arrays:
    """What an archive or a pair of arrays holds, parts of a split joined."""

    x: NDArray[np.generic]
    y: NDArray[np.generic] | None
    split: NDArray[np.int8] | None
    names: tuple[str, ...] | None  # of the classes
    extra: dict[str, NDArray[np.generic]]  # group and time, as asked for
    unused: tuple[str, ...]
    channels_first: bool = False  # whether they come from torch, whose channels stand before places


@dataclass(frozen=True)
class ArchivePart:
    """Names of one part of a split in an archive; `suffix` is empty where there are no parts."""

    code: int
    x: str
    y: str | None
    suffix: str


def pick(arrays: dict[str, NDArray[np.generic]], source: str, wanted: tuple[str, ...], target: str | None) -> Arrays:
    """Inputs, answers, parts and the arrays asked for by name, by the usual names in any case of letters.

    Raises:
        InputError: none of the known names, lengths or shapes that differ, no array of a name that was asked for.
    """
    folded = {name.casefold(): name for name in arrays}
    parts = _parts(folded, (target.casefold(), *ANSWERS) if target else ANSWERS, arrays, source)
    first = arrays[parts[0].x].shape[1:]
    for part in parts:
        x, y = arrays[part.x], arrays[part.y] if part.y else None
        if x.ndim == 0 or (y is not None and y.ndim == 0):
            raise InputError(f"{source}: {part.x} or {part.y} is a single number; rows are expected.")
        if y is not None and len(y) != len(x):
            raise InputError(f"{source}: {part.x} has {len(x)} rows and {part.y} has {len(y)}; they must be as many.")
        if x.shape[1:] != first:
            raise InputError(
                f"{source}: rows of {part.x} have shape {list(x.shape[1:])}, those of {parts[0].x} {list(first)}; "
                "they must have one shape."
            )
    used = {name for part in parts for name in (part.x, part.y) if name}
    extra: dict[str, NDArray[np.generic]] = {}
    for name in wanted:
        extra[name], found = _extra(folded, name, parts, arrays, source)
        used.update(found)
    names_key = next((folded[name] for name in NAMES if name in folded), None)
    sizes = [len(arrays[part.x]) for part in parts]
    answers = [arrays[part.y] for part in parts if part.y is not None]
    return Arrays(
        x=_joined([arrays[part.x] for part in parts]),
        y=_joined(answers) if len(answers) == len(parts) else None,
        split=np.repeat(np.asarray([part.code for part in parts], dtype=np.int8), sizes) if parts[0].suffix else None,
        names=tuple(str(name) for name in arrays[names_key].ravel()) if names_key else None,
        extra=extra,
        unused=tuple(name for name in arrays if name not in used and name != names_key),
    )


def _parts(
    folded: dict[str, str], answers: tuple[str, ...], arrays: dict[str, NDArray[np.generic]], source: str
) -> list[ArchivePart]:
    parts: list[ArchivePart] = []
    for code, suffixes in PARTS.items():
        for suffix in suffixes:
            x = _first(folded, INPUTS, suffix)
            if x:
                parts.append(ArchivePart(code, x, _first(folded, answers, suffix), suffix))
                break
    if parts:
        return parts
    x = _first(folded, INPUTS, "")
    if x is None:
        raise InputError(
            f"{source} holds {listing(arrays, 12)}; expected are X and y, or x_train, y_train, x_test and y_test, "
            "or train_images, train_labels and so on."
        )
    return [ArchivePart(0, x, _first(folded, answers, ""), "")]


def _extra(
    folded: dict[str, str], name: str, parts: list[ArchivePart], arrays: dict[str, NDArray[np.generic]], source: str
) -> tuple[NDArray[np.generic], list[str]]:
    """An array asked for by name, its parts joined, and the names of these."""
    key = name.casefold()
    inputs = listing(part.x for part in parts)
    rows = sum(len(arrays[part.x]) for part in parts)
    if key in folded:
        found = [folded[key]]
    else:
        found = [each for each in (_first(folded, (key,), part.suffix) for part in parts) if each is not None]
    if len(found) not in (1, len(parts)) or not found:
        raise InputError(f"{source}: no array {name!r} for {inputs}; it holds {listing(arrays, 12)}.")
    if any(arrays[each].ndim == 0 for each in found) or sum(len(arrays[each]) for each in found) != rows:
        raise InputError(f"{source}: {listing(found)} must have as many rows as {inputs}.")
    if any(arrays[each].size != len(arrays[each]) for each in found):
        shape = list(arrays[found[0]].shape)
        raise InputError(f"{source}: {listing(found)} of shape {shape}; one value a row is expected.")
    return _joined([arrays[each] for each in found]), found


def _joined(blocks: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _first(folded: dict[str, str], bases: tuple[str, ...], suffix: str) -> str | None:
    for base in bases:
        for key in (f"{base}_{suffix}", f"{suffix}_{base}") if suffix else (base,):
            if key in folded:
                return folded[key]
    return None


def to_numpy(value: Any, what: str) -> NDArray[np.generic]:
    """A NumPy array of an array-like: NumPy, a torch tensor on any device, a list.

    Raises:
        InputError: values that are neither numbers nor text.
    """
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # torch's, without importing it
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()  # which NumPy has not
    try:
        array = np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
    except ValueError as error:
        raise InputError(f"{what}: rows of different lengths; all rows must have one shape.") from error
    return array


def check_features(x: NDArray[np.generic], source: str, *, table: bool = False) -> None:
    """Refuse what is not numbers; of anything but a table also NaN, infinity and values above 1e30.

    Raises:
        InputError: names the type, or the first row that cannot be computed with.
    """
    if x.dtype.kind not in "biuf":
        kind = {"c": "complex numbers", "O": "Python objects", "U": "text", "S": "text"}.get(x.dtype.kind, str(x.dtype))
        raise InputError(f"{source}: the features are {kind} ({x.dtype}); convert them to numbers.")
    if x.ndim < 2 or 0 in x.shape:
        raise InputError(f"{source}: features of shape {list(x.shape)}; rows first, and at least one of them.")
    if x.dtype.kind != "f" or table:
        return
    for start in range(0, len(x), 4096):
        block = x[start : start + 4096]
        usable = (np.abs(block) <= np.float64(LARGEST_VALUE)).reshape(len(block), -1).all(axis=1)
        if not usable.all():
            row = start + int(np.flatnonzero(~usable)[0])
            kind = "NaN" if np.isnan(x[row]).any() else "infinity" if np.isinf(x[row]).any() else "a value above 1e30"
            raise InputError(f"{source}, row {row}: {kind} among the values; mend it or delete the row.")


def array_dataset(
    arrays: Arrays,
    reading: Reading,
    *,
    name: str,
    source: str,
    feature_names: tuple[str, ...] | None = None,
) -> Dataset:
    """A data set from arrays; [N, D] goes the way of a table, its columns named x0, x1, ...

    Raises:
        InputError: no answers, lengths that differ, values that are no numbers, NaN or infinity.
    """
    y = answers.of_array(_answers(arrays, source), reading.missing or (), source)
    laid = _laid_out(arrays, reading, source)
    table = laid.kind == "table"
    answer = array_target(y.values, source, reading.task, table=table, names=arrays.names, numbers=y.rows)
    aside = _aside(arrays, reading, source).take(y.rows)
    said = (*laid.findings, *_unused(arrays), *aside.findings, *y.findings)
    uneven = parts_without_class(answer, aside.split, source)
    if table:
        asked = Reading(roles=reading.roles, missing=reading.missing)
        raw = as_table(laid.x, source, feature_names)
        found = _table_beside(raw, y, answer, asked, name=name, split=aside.split)
        found = replace(found, findings=(*said, *found.findings, *uneven))
    else:
        found = _of_shape(laid, y, answer, reading, name=name, source=source)
        found = replace(found, findings=(*said, *found.findings, *uneven, *of_arrays(laid.x, laid.kind)))
    about = {"group": reading.group, "time": reading.time, "dropped": reading.drop, "shape": laid.x.shape[1:]}
    return replace(
        found,
        schema=found.schema.model_copy(update=about),
        target_name=reading.target or "target",
        given_split=aside.split,
        time=aside.moments,
        group=aside.groups,
        content_hash=fingerprint(found.features, answer.values, aside.split, aside.moments, aside.groups),
    )


def beside(raw: RawTable, y: NDArray[np.generic], reading: Reading, *, name: str) -> Dataset:
    """A data set from a frame and the answers that came beside it.

    Raises:
        InputError: as `table_dataset` and `array_target`.
    """
    given = answers.of_array(y, reading.missing or (), raw.source)
    answer = array_target(given.values, raw.source, reading.task, table=True, names=None, numbers=given.rows)
    found = _table_beside(raw, given, answer, reading.but(target=None), name=name)
    return replace(found, findings=(*given.findings, *found.findings))


def _table_beside(
    raw: RawTable, y: Answers, answer: Target, reading: Reading, *, name: str, split: NDArray[np.int8] | None = None
) -> Dataset:
    """The rows of a table that have an answer, which came beside it."""
    idle = absence.unused([*raw.frame, *([] if y.given is None else [y.given])], reading.missing)
    kept = raw if y.rows is None else raw.take(y.rows)
    found = table_dataset(kept, name=name, reading=reading, given=answer, given_split=split)
    return replace(found, findings=(*idle, *found.findings))


def _answers(arrays: Arrays, source: str) -> NDArray[np.generic]:
    """The answers, if there is one for each row of inputs."""
    if arrays.y is None:
        raise InputError(f"{source} holds inputs without answers; add y (y_train and so on) to learn from.")
    if arrays.x.ndim == 0 or arrays.y.ndim == 0:
        raise InputError(f"{source}: a single number where rows are expected.")
    if len(arrays.x) != len(arrays.y):
        raise InputError(f"{source}: {len(arrays.x)} rows of inputs and {len(arrays.y)} answers; they must be as many.")
    return arrays.y


def _laid_out(arrays: Arrays, reading: Reading, source: str) -> ArrayLayout:
    """The inputs in the stored layout of their kind, all of them numbers that can be computed with."""
    check_features(arrays.x, source, table=True)
    laid = layout(arrays.x, reading, source, channels_first=arrays.channels_first)
    if laid.x.dtype == np.bool_:
        laid = replace(laid, x=laid.x.astype(np.uint8))
    check_features(laid.x, source, table=laid.kind == "table")
    return laid


@dataclass(frozen=True)
class _Aside:
    """What an archive says of its rows besides inputs and answers."""

    split: NDArray[np.int8] | None
    groups: NDArray[np.int64] | None
    moments: NDArray[np.float64] | None
    findings: tuple[Finding, ...]

    def take(self, rows: NDArray[np.int64] | None) -> _Aside:
        """Of some of the rows; None: of all."""
        if rows is None:
            return self
        return _Aside(
            None if self.split is None else self.split[rows],
            None if self.groups is None else self.groups[rows],
            None if self.moments is None else self.moments[rows],
            self.findings,
        )


def _aside(arrays: Arrays, reading: Reading, source: str) -> _Aside:
    group, time = reading.group, reading.time
    groups, joined = _groups(arrays.extra[group], source, group) if group else (None, [])
    moments = _moments(arrays.extra[time], source, reading) if time else None
    return _Aside(arrays.split, groups, moments, tuple(joined))


def _unused(arrays: Arrays) -> list[Finding]:
    if not arrays.unused:
        return []
    sentence = f"Not used: {listing(arrays.unused)}."
    return [Finding(code=codes.UNUSED_ARRAYS, sentence=sentence, evidence={"arrays": list(arrays.unused)})]


def _of_shape(laid: ArrayLayout, y: Answers, answer: Target, reading: Reading, *, name: str, source: str) -> Dataset:
    """Images, signals or volumes, whose features are the array itself."""
    x, kind = laid.x, laid.kind
    if reading.roles:
        raise InputError(f"{source} holds {kind} data without columns: the option `roles` cannot be used with it.")
    _refuse_missing(x, reading.missing or (), source, kind)
    features = ArrayFeatures(x)
    if y.rows is not None:
        check_bytes(len(y.rows) * x[0].nbytes, source, "its rows with an answer")  # they may be mapped, and are copied
        features = features.take(y.rows)
    onto = array_ends(x) if kind == "image" else None
    schema = Schema(
        kind=kind,
        task=answer.task,
        classes=answer.classes,
        class_type=answer.class_type,
        shape=x.shape[1:],
        axes=laid.axes,
        missing=reading.missing or (),
        image_depth=array_depth(x, onto),
        ends=onto,
    )
    return Dataset(
        name=name,
        source=source,
        kind=kind,
        task=answer.task,
        features=features,
        target=answer.values,
        classes=answer.classes,
        target_name="target",
        schema=schema,
        findings=(*absence.unused([] if y.given is None else [y.given], reading.missing), *answer.findings),
        given_split=None,
        time=None,
        group=None,
        content_hash="",
        numbers=y.rows,
    )


def _refuse_missing(x: NDArray[np.generic], words: tuple[str, ...], source: str, kind: Kind) -> None:
    """Refuse values that the user calls missing: a network can learn from a row of an array only as a whole."""
    numbers = absence.numbers_of(words)
    for start in range(0, len(x) if numbers else 0, BLOCK_ROWS):
        held = np.isin(x[start : start + BLOCK_ROWS], numbers).reshape(len(x[start : start + BLOCK_ROWS]), -1)
        if held.any():
            row = int(np.flatnonzero(held.any(axis=1))[0])
            value = x[start + row].reshape(-1)[int(np.flatnonzero(held[row])[0])]
            raise InputError(
                f"{source}, row {start + row}: {value:g} among the values, which means missing (option `missing`), and "
                f"{kind}s cannot have missing values; mend it or delete the row."
            )


def as_table(x: NDArray[np.generic], source: str, names: tuple[str, ...] | None = None) -> RawTable:
    """Columns of an array [N, D]."""
    labels = names or tuple(f"x{column}" for column in range(x.shape[1]))
    return RawTable(pl.DataFrame({label: x[:, i].astype(np.float64) for i, label in enumerate(labels)}), source)


def parts_without_class(answer: Target, split: NDArray[np.int8] | None, source: str) -> list[Finding]:
    """Classes that a part of a given split does not hold.

    Raises:
        InputError: a class that the training part does not hold: it cannot be learned.
    """
    if split is None or answer.classes is None:
        return []
    found: list[Finding] = []
    for part, label in ((0, "training"), (1, "validation"), (2, "test")):
        rows = split == part
        absent = sorted(set(range(len(answer.classes))) - set(np.unique(answer.values[rows]).astype(int).tolist()))
        if not absent or not rows.any():
            continue
        names = listing(answer.classes[code] for code in absent)
        if part == 0:
            raise InputError(
                f"{source}: the training part holds no row of {count(len(absent), 'class', 'classes')} that another "
                f"part holds ({names}); a class must be seen to be learned."
            )
        sentence = f"The {label} part holds no row of {names}."
        found.append(
            Finding(code=codes.CLASS_NOT_IN_PART, level="warning", sentence=sentence, evidence={"part": label})
        )
    return found


def _groups(values: NDArray[np.generic], source: str, name: str) -> tuple[NDArray[np.int64], list[Finding]]:
    """Codes of the groups, and what is to be said of their spellings."""
    if values.ndim != 1 and values.shape != (len(values), 1):
        raise InputError(f"{source}: the group array {name!r} has the shape {list(values.shape)}; [N] is expected.")
    flat = values.reshape(-1)
    texts = cells.text(pl.Series(name, flat if flat.dtype.kind in "biuf" else [_cell(each) for each in flat.tolist()]))
    missing = np.flatnonzero(texts.is_null().to_numpy())
    if len(missing):
        raise InputError(f"{source}: the group array {name!r} has no value in row {missing[0]}; fill it.")
    found, joined = group_codes(texts)
    return found, spelling_findings({name: joined}, named=False)


def _cell(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None if value != value else str(value)
    return None if value is None else str(value)


def _moments(values: NDArray[np.generic], source: str, reading: Reading) -> NDArray[np.float64]:
    name, flat = reading.time or "", values.reshape(-1)
    if flat.dtype.kind == "M":
        absent = np.flatnonzero(np.isnat(flat))
        if len(absent):
            raise InputError(
                f"{source}, row {absent[0]}: the time array {name!r} holds no date there; delete such rows."
            )
        return flat.astype("datetime64[us]").astype(np.int64) / 1e6
    if flat.dtype.kind in "USO":
        texts = [_moment_text(each, f"{source}, row {row}", name) for row, each in enumerate(flat.tolist())]
        raw = RawTable(pl.DataFrame({name: texts}), source)
        return time_column(raw, name, Signs.of(raw, reading.decimal))[1]
    if flat.dtype.kind not in "iuf" or not np.isfinite(flat.astype(np.float64)).all():
        raise InputError(f"{source}: the time array {name!r} must hold dates or finite numbers.")
    return flat.astype(np.float64)


def _moment_text(value: object, where: str, name: str) -> str:
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{where}: the time array {name!r} holds {value!r}, which is no text; mend it.") from error
