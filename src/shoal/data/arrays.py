"""Arrays to a `Dataset`: names in an archive, the kind from the rank, the layout that the rest relies on.

Stored layouts: table [N, D]; signal [N, C, L]; image [N, H, W] or [N, H, W, C]; volume [N, D, H, W].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Finding, Kind, Task
from shoal.data import codes
from shoal.data.dataset import ArrayFeatures, Dataset, fingerprint
from shoal.data.frames import RawTable
from shoal.data.schema import Schema
from shoal.data.tables import table_dataset
from shoal.data.targets import Target, array_target
from shoal.data.wording import count, listing

CHANNELS = (1, 3, 4)
PARTS: dict[int, tuple[str, ...]] = {0: ("train", "training"), 1: ("val", "valid", "validation"), 2: ("test",)}
INPUTS = ("x", "images", "image", "data", "features", "inputs", "signals", "volumes")
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


def pick(arrays: dict[str, NDArray[np.generic]], source: str, wanted: tuple[str, ...], target: str | None) -> Arrays:
    """Inputs, answers, parts and the arrays asked for by name, by the usual names in any case of letters.

    Raises:
        InputError: none of the known names, a part without answers, lengths that differ.
    """
    folded = {name.casefold(): name for name in arrays}
    answers = (target.casefold(), *ANSWERS) if target else ANSWERS
    parts: list[tuple[int, str, str | None, str]] = []  # part, name of x, name of y, suffix
    for part, suffixes in PARTS.items():
        for suffix in suffixes:
            x = _first(folded, INPUTS, suffix)
            if x:
                parts.append((part, x, _first(folded, answers, suffix), suffix))
                break
    if not parts:
        plain = next((folded[base] for base in INPUTS if base in folded), None)
        if plain is None:
            raise InputError(
                f"{source} holds {listing(arrays, 12)}; expected are X and y, x_train, y_train, x_test and y_test, "
                "or train_images, train_labels and so on."
            )
        parts = [(0, plain, next((folded[base] for base in answers if base in folded), None), "")]
    used = {name for _, x, y, _ in parts for name in (x, y) if name}
    for _, x, y, _ in parts:
        if y is not None and len(arrays[y]) != len(arrays[x]):
            raise InputError(
                f"{source}: {x} has {len(arrays[x])} rows and {y} has {len(arrays[y])}; they must be as many."
            )
        if arrays[x].ndim == 0 or arrays[x].shape[1:] != arrays[parts[0][1]].shape[1:]:
            raise InputError(
                f"{source}: {x} has rows of shape {list(arrays[x].shape[1:])}, {parts[0][1]} of {list(arrays[parts[0][1]].shape[1:])}."
            )
    extra: dict[str, NDArray[np.generic]] = {}
    for name in wanted:
        keys = [_first(folded, (name.casefold(),), suffix) or folded.get(name.casefold()) for *_, suffix in parts]
        if any(key is None for key in keys):
            raise InputError(
                f"{source}: no array {name!r} for {listing(x for _, x, _, _ in parts)}; it holds {listing(arrays, 12)}."
            )
        found = [key for key in keys if key is not None]
        joined = np.concatenate([arrays[key] for key in found])
        if len(joined) != sum(len(arrays[x]) for _, x, _, _ in parts):
            raise InputError(
                f"{source}: {listing(found)} must have as many rows as {listing(x for _, x, _, _ in parts)}."
            )
        extra[name] = joined
        used.update(found)
    names_key = next((folded[name] for name in NAMES if name in folded), None)
    names = tuple(str(name) for name in arrays[names_key].ravel()) if names_key else None
    unused = tuple(name for name in arrays if name not in used and name != names_key)
    complete = all(y is not None for _, _, y, _ in parts)
    split = (
        np.concatenate([np.full(len(arrays[x]), part, dtype=np.int8) for part, x, _, _ in parts])
        if parts[0][3]
        else None
    )
    xs = [arrays[x] for _, x, _, _ in parts]
    ys = [arrays[y] for _, _, y, _ in parts if y is not None]
    return Arrays(
        x=xs[0] if len(xs) == 1 else np.concatenate(xs),
        y=(ys[0] if len(ys) == 1 else np.concatenate(ys)) if complete else None,
        split=split,
        names=names,
        extra=extra,
        unused=unused,
    )


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
        value = value.detach().cpu().numpy()
    try:
        array = np.asarray(value.to_numpy() if hasattr(value, "to_numpy") else value)
    except ValueError as error:
        raise InputError(f"{what}: rows of different lengths; all rows must have one shape.") from error
    return array


def check_features(x: NDArray[np.generic], source: str, *, table: bool = False) -> None:
    """Refuse what is not numbers; of anything but a table also NaN and infinity.

    Raises:
        InputError: names the type, or the first row that is not finite.
    """
    if x.dtype.kind not in "biuf":
        kind = {"c": "complex numbers", "O": "Python objects", "U": "text", "S": "text"}.get(x.dtype.kind, str(x.dtype))
        raise InputError(f"{source}: the features are {kind} ({x.dtype}); convert them to numbers.")
    if x.ndim < 2 or 0 in x.shape:
        raise InputError(f"{source}: features of shape {list(x.shape)}; rows first, and at least one of them.")
    if x.dtype.kind != "f" or table:
        return
    for start in range(0, len(x), 4096):
        finite = np.isfinite(x[start : start + 4096]).reshape(len(x[start : start + 4096]), -1).all(axis=1)
        if not finite.all():
            row = start + int(np.flatnonzero(~finite)[0])
            kind = "NaN" if np.isnan(x[row]).any() else "infinity"
            raise InputError(f"{source}, row {row}: {kind} among the values; fill it or delete the row.")


def layout(x: NDArray[np.generic], kind: Kind | None, source: str) -> tuple[NDArray[np.generic], Kind, list[Finding]]:
    """The kind from the rank, and the stored layout of it.

    Rank 2 is a table. Rank 3 is images when both sides have 4 or more and neither is above four times the other, else
    signals. Rank 4 is images when the last axis is 1, 3 or 4, or the first of a row is 1 or 3 (turned around), else volumes.

    Raises:
        InputError: a rank that the kind does not allow.
    """
    said: list[Finding] = []
    shape = list(x.shape)

    def guessed(what: str, other: str) -> None:
        said.append(
            Finding(
                code=codes.LAYOUT,
                sentence=f"Shape {shape} was read as {what}.",
                evidence={"shape": list(shape)},
                fix=other,
            )
        )

    if kind is None:
        if x.ndim == 3:
            low, high = sorted(shape[1:])
            kind = "image" if low >= 4 and high <= 4 * low else "signal"
            what = "images [N, H, W]" if kind == "image" else "signals [N, C, L]"
            guessed(what, f"--kind {'signal' if kind == 'image' else 'image'} if that is wrong")
        elif x.ndim == 4:
            kind = "image" if shape[3] in CHANNELS or (shape[1] in (1, 3) and min(shape[2:]) > 4) else "volume"
        elif x.ndim == 5 and (shape[1] == 1 or shape[4] == 1):
            kind = "volume"
        else:
            kind = "table"
    if kind == "signal" and x.ndim == 2:
        return x[:, None, :], kind, said
    if kind == "image" and x.ndim == 4 and shape[3] not in CHANNELS and shape[1] in CHANNELS:
        guessed("images [N, C, H, W]", "--kind volume if that is wrong")
        return np.ascontiguousarray(np.moveaxis(x, 1, 3)), kind, said
    if kind == "volume" and x.ndim == 5 and 1 in (shape[1], shape[4]):
        return x.reshape(shape[:1] + (shape[2:] if shape[1] == 1 else shape[1:4])), kind, said
    if kind == "table" and x.ndim > 2 and x.ndim != 5:
        return x.reshape(shape[0], -1), kind, said
    ranks = {"table": (2,), "signal": (3,), "image": (3, 4), "volume": (4,)}[kind]
    if x.ndim not in ranks or (kind == "image" and x.ndim == 4 and shape[3] not in CHANNELS):
        wanted = {
            "table": "[N, D]", "signal": "[N, L] or [N, C, L]", "image": "[N, H, W], [N, H, W, C] or [N, C, H, W]",
            "volume": "[N, D, H, W]",
        }[kind]  # fmt: skip
        raise InputError(f"{source}: features of shape {shape} are no {kind} data, which have the shape {wanted}.")
    return x, kind, said


def array_dataset(
    arrays: Arrays,
    *,
    name: str,
    source: str,
    kind: Kind | None = None,
    task: Task | None = None,
    group: str | None = None,
    time: str | None = None,
    target_name: str = "target",
    feature_names: tuple[str, ...] | None = None,
) -> Dataset:
    """A data set from arrays; [N, D] goes the way of a table, its columns named x0, x1, ...

    Raises:
        InputError: no answers, lengths that differ, values that are no numbers, NaN or infinity.
    """
    if arrays.y is None:
        raise InputError(f"{source} holds inputs without answers; add y (y_train and so on) to learn from.")
    if len(arrays.x) != len(arrays.y):
        raise InputError(f"{source}: {len(arrays.x)} rows of inputs and {len(arrays.y)} answers; they must be as many.")
    check_features(arrays.x, source, table=True)
    x, kind, said = layout(arrays.x, kind, source)
    if x.dtype == np.bool_:
        x = x.astype(np.uint8)
    check_features(x, source, table=kind == "table")
    answer = array_target(arrays.y, source, task, table=kind == "table", names=arrays.names)
    if arrays.unused:
        sentence = f"Not used: {listing(arrays.unused)}."
        said.append(Finding(code=codes.UNUSED_ARRAYS, sentence=sentence, evidence={"arrays": list(arrays.unused)}))
    uneven = parts_without_class(answer, arrays.split, source)
    groups = _groups(arrays.extra[group]) if group else None
    moments = _moments(arrays.extra[time], source, time) if time else None
    if kind == "table":
        raw = as_table(x, source, feature_names)
        table = table_dataset(raw, name=name, target=None, given=answer, given_split=arrays.split)
        digest = fingerprint(table.features, answer.values, arrays.split, moments, groups)
        schema = table.schema.model_copy(update={"shape": (x.shape[1],), "group": group, "time": time})
        return replace(
            table, schema=schema, findings=(*said, *table.findings, *uneven), time=moments, group=groups,
            content_hash=digest, target_name=target_name,
        )  # fmt: skip
    features = ArrayFeatures(x)
    schema = Schema(kind=kind, task=answer.task, classes=answer.classes, shape=x.shape[1:], group=group, time=time)
    return Dataset(
        name=name,
        source=source,
        kind=kind,
        task=answer.task,
        features=features,
        target=answer.values,
        classes=answer.classes,
        target_name=target_name,
        schema=schema,
        findings=(*said, *answer.findings, *uneven),
        given_split=arrays.split,
        time=moments,
        group=groups,
        content_hash=fingerprint(features, answer.values, arrays.split, moments, groups),
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
                f"{source}: the training part holds no row of {count(len(absent), 'class', 'classes')} that another part holds "
                f"({names}); a class must be seen to be learned."
            )
        sentence = f"The {label} part holds no row of {names}."
        found.append(
            Finding(code=codes.CLASS_NOT_IN_PART, level="warning", sentence=sentence, evidence={"part": label})
        )
    return found


def _groups(values: NDArray[np.generic]) -> NDArray[np.int64]:
    return np.unique(values.reshape(len(values), -1)[:, 0], return_inverse=True)[1].astype(np.int64)


def _moments(values: NDArray[np.generic], source: str, name: str) -> NDArray[np.float64]:
    flat = values.reshape(-1)
    if flat.dtype.kind == "M":
        return flat.astype("datetime64[us]").astype(np.int64) / 1e6
    if flat.dtype.kind not in "iuf" or not np.isfinite(flat.astype(np.float64)).all():
        raise InputError(f"{source}: the time array {name!r} must hold dates or finite numbers.")
    return flat.astype(np.float64)
