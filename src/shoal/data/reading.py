"""One door for every source: a path, a frame, arrays, or a name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Kind, Task
from shoal.core.roles import parse_roles
from shoal.data import archives, arrays, builtin, frames, images, items
from shoal.data.dataset import Dataset
from shoal.data.delimited import read_delimited
from shoal.data.frames import RawTable
from shoal.data.survey import Asked
from shoal.data.tables import table_dataset
from shoal.data.targets import array_target
from shoal.data.wording import closest, listing

TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET_ENDINGS = (".parquet", ".pq")
PACKED_ENDINGS = (".tar", ".tgz", ".zip", ".7z", ".rar", ".bz2", ".xz", ".zst", ".gz")
KINDS = ("table", "image", "signal", "volume")


def read(
    source: Any,
    *,
    target: str | None = None,
    time: str | None = None,
    group: str | None = None,
    drop: Iterable[str] = (),
    roles: Mapping[str, str] | Iterable[str] | str = (),
    kind: Kind | None = None,
    task: Task | None = None,
    name: str | None = None,
) -> Dataset:
    """Rows with a target, from whatever holds them.

    Args:
        source: a path to CSV, TSV (also .gz), Parquet, `.npz` or a folder of class folders; a pandas, polars or Arrow
            frame; a pair (X, y) of arrays, tensors or frames; a mapping of arrays with the names of an archive; a data
            set of torch (map-style or iterable) or Hugging Face, or a mapping of them by train, validation and test;
            one of `digits wine breast_cancer iris diabetes`.
        target: the column to predict; needed for tables.
        time: the column (or array) that orders the rows.
        group: the column (or array) whose equal values stay on one side of every split.
        drop: columns to leave out.
        roles: what columns hold, where it would be read wrongly: `{"zip": "category", "size": "ordered:S<M<L"}`.
        kind: overrides what the rank of an array says; `signal` reads the rows of a numeric table as signals.
        task: overrides what the target says.
        name: what to call the data; by default the file's name.

    Returns:
        The data set. What was found and set aside is in `findings` and `schema.columns`.

    Raises:
        InputError: one sentence that names the file, line, column or value, and what to do.

    A source takes at most half of the machine's memory while it is read.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"kind {kind!r} is not known; {closest(kind, KINDS)}")
    drop = (drop,) if isinstance(drop, str) else tuple(drop)
    columns: dict[str, Any] = {
        "target": target, "time": time, "group": group, "drop": drop, "roles": parse_roles(roles)
    }  # fmt: skip
    if isinstance(source, str) and source in builtin.NAMES and not Path(source).exists():
        _only_for_tables(columns, source)
        return builtin.builtin_dataset(source, kind=kind, task=task)
    if isinstance(source, str | os.PathLike):
        return _read_path(existing(source), columns, kind, task, name)
    if isinstance(source, tuple | list) and len(source) == 2:
        return _read_pair(source[0], source[1], columns, kind, task, name or "arrays")
    if frames.is_frame(source):
        return _table(frames.from_frame(source, name or "the frame"), columns, kind, task, name or "frame")
    if isinstance(source, np.ndarray) or hasattr(source, "detach"):
        raise InputError("an array alone has no answers; give a pair (X, y).")
    parts = items.parts_of(source)
    if parts is not None:
        return _read_items(parts, columns, kind, task, name or type(source).__name__)
    if isinstance(source, Mapping) and source:
        return _read_mapping(source, columns, kind, task, name or "arrays")
    raise InputError(
        f"data of type {type(source).__name__} cannot be read; give a path, a frame, a pair (X, y), a data set or "
        "a name."
    )


def existing(source: str | os.PathLike[str]) -> Path:
    """The path, if there is something.

    Raises:
        InputError: nothing there; names the closest names in that folder.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"{path} does not exist: there is no folder {folder}.")
    names = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    plain = len(path.parts) == 1 and not path.suffix
    hint = closest(path.name, [*names, *builtin.NAMES] if plain else names)
    raise InputError(f"{path} does not exist; {hint}")


def open_table(path: Path) -> RawTable | None:
    """The table in a file, or None where its name is not that of a table."""
    lower = path.name.lower()
    if lower.endswith(TEXT_ENDINGS):
        return read_delimited(path)
    return frames.read_parquet(path) if lower.endswith(PARQUET_ENDINGS) else None


def unknown_format(path: Path) -> InputError:
    """The error for a file that no reader claims."""
    if path.name.lower().endswith(PACKED_ENDINGS):
        return InputError(f"{path} is an archive, which is not read; unpack it and give what is inside.")
    return InputError(
        f"{path}: files of this kind are not read; give CSV, TSV (also .gz), Parquet, .npz, or a folder of images with "
        "a folder for each class."
    )


def _read_path(path: Path, columns: dict[str, Any], kind: Kind | None, task: Task | None, name: str | None) -> Dataset:
    called = name or path.name.split(".")[0] or path.name
    if path.is_dir():
        if kind not in (None, "image"):
            raise InputError(f"{path} is a folder, which is read as images; {kind} data come in a file.")
        _check_folder(path)
        _only_for_tables(columns, str(path))
        return images.folder_dataset(path, name=called, task=task)
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder.")
    try:
        table = open_table(path)
        if table is not None:
            return _table(table, columns, kind, task, called)
        if not path.name.lower().endswith(".npz"):
            raise unknown_format(path)
        return _read_archive(path, columns, kind, task, called)
    except PermissionError as error:
        raise InputError(f"{path} may not be read: permission denied.") from error


def _check_folder(path: Path) -> None:
    """Refuse a folder that is empty or holds files that should have been given themselves."""
    inside = sorted(path.iterdir())
    if not inside:
        raise InputError(f"{path} is an empty folder; give a file, or a folder with a folder of images for each class.")
    readable = (*TEXT_ENDINGS, *PARQUET_ENDINGS, ".npz")
    files = [each.name for each in inside if each.is_file() and each.name.lower().endswith(readable)]
    if files and not any(each.is_dir() for each in inside):
        raise InputError(f"{path} is a folder; give one of its files: {listing(files)}.")


def _read_items(
    parts: list[items.Part], columns: dict[str, Any], kind: Kind | None, task: Task | None, called: str
) -> Dataset:
    given = items.read_items(parts, called, columns["target"])
    if isinstance(given.found, RawTable):
        asked = Asked(**columns)
        return _as_kind(table_dataset(given.found, name=called, asked=asked, task=task, given_split=given.split), kind)
    _only_for_tables({**columns, "target": None}, called)
    dataset = arrays.array_dataset(
        given.found, name=called, source=called, kind=kind, task=task, target_name=columns["target"] or "target"
    )
    return replace(dataset, findings=(*given.findings, *dataset.findings))


def _read_mapping(
    source: Mapping[str, Any], columns: dict[str, Any], kind: Kind | None, task: Task | None, called: str
) -> Dataset:
    """Arrays by the names that they would have in an archive."""
    held = {str(name): arrays.to_numpy(value, f"{called}, {name}") for name, value in source.items()}
    return _named_arrays(held, called, columns, kind, task, called)


def _read_archive(path: Path, columns: dict[str, Any], kind: Kind | None, task: Task | None, called: str) -> Dataset:
    return _named_arrays(archives.read_npz(path), str(path), columns, kind, task, called)


def _named_arrays(
    held: dict[str, NDArray[np.generic]],
    source: str,
    columns: dict[str, Any],
    kind: Kind | None,
    task: Task | None,
    called: str,
) -> Dataset:
    for key in columns["drop"]:
        if key not in held:
            raise InputError(f"{source}: no array {key!r} (option `drop`); {closest(key, list(held))}")
        del held[key]
    wanted = tuple(each for each in (columns["group"], columns["time"]) if each is not None)
    found = arrays.pick(held, source, wanted, columns["target"])
    return arrays.array_dataset(
        found, name=called, source=source, kind=kind, task=task, group=columns["group"], time=columns["time"],
        target_name=columns["target"] or "target",
    )  # fmt: skip


def _read_pair(x: Any, y: Any, columns: dict[str, Any], kind: Kind | None, task: Task | None, called: str) -> Dataset:
    answers = arrays.to_numpy(y, f"{called}, y")
    if frames.is_frame(x):
        raw = frames.from_frame(x, called)
        if raw.frame.height != len(answers):
            raise InputError(
                f"{called}: {raw.frame.height} rows of inputs and {len(answers)} answers; they must be as many."
            )
        given = array_target(answers, called, task, table=True, names=None)
        asked = Asked(**{**columns, "target": None})
        return _as_kind(table_dataset(raw, name=called, asked=asked, task=task, given=given), kind)
    _only_for_tables(columns, called)
    found = arrays.Arrays(arrays.to_numpy(x, f"{called}, X"), answers, None, None, {}, ())
    return arrays.array_dataset(found, name=called, source=called, kind=kind, task=task)


def _table(raw: RawTable, columns: dict[str, Any], kind: Kind | None, task: Task | None, called: str) -> Dataset:
    return _as_kind(table_dataset(raw, name=called, asked=Asked(**columns), task=task), kind)


def _as_kind(dataset: Dataset, kind: Kind | None) -> Dataset:
    if kind not in (None, "table"):
        raise InputError(f"{dataset.source} is a table and cannot be read as {kind} data; give arrays for that.")
    return dataset


def _only_for_tables(columns: dict[str, Any], source: str) -> None:
    asked = [f"`{option}`" for option, value in columns.items() if value]
    if asked:
        raise InputError(f"{source} has no named columns: the option {listing(asked)} cannot be used with it.")
