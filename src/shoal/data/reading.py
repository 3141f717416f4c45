"""One door for every source: a path, a frame, arrays, or a name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.core import paths
from shoal.core.errors import InputError
from shoal.core.events import Kind
from shoal.core.reading import Reading
from shoal.core.wording import closest, listing
from shoal.data import answers, archives, arrays, builtin, frames, images, items
from shoal.data.dataset import Dataset
from shoal.data.delimited import read_delimited
from shoal.data.frames import RawTable
from shoal.data.tables import table_dataset

TEXT_ENDINGS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET_ENDINGS = (".parquet", ".pq")
PACKED_ENDINGS = (".tar", ".tgz", ".zip", ".7z", ".rar", ".bz2", ".xz", ".zst", ".gz")


def read(source: Any, reading: Reading | None = None, *, name: str | None = None, **options: Any) -> Dataset:
    """Rows with a target, from whatever holds them.

    Args:
        source: a path to CSV, TSV (also .gz), Parquet, `.npz` or a folder of class folders; a pandas, polars or Arrow
            frame; a pair (X, y) of arrays, tensors or frames; a mapping of arrays with the names of an archive; a data
            set of torch (map-style or iterable) or Hugging Face, or a mapping of them by train, validation and test;
            one of `digits wine breast_cancer iris diabetes`.
        reading: how it is to be read: target, time, group, drop, roles, kind, task, ...
        name: what to call the data; by default the file's name.
        options: the fields of `Reading`, where none is given.

    Returns:
        The data set. What was found and set aside is in `findings` and `schema.columns`.

    Raises:
        InputError: one sentence that names the file, line, column or value, and what to do.

    A source takes at most half of the machine's memory while it is read.
    """
    asked = reading or Reading(**options)
    if isinstance(source, str) and source in builtin.NAMES and not Path(source).exists():
        _only_for_tables(asked, source)
        return builtin.builtin_dataset(source, asked)
    if isinstance(source, str | os.PathLike):
        return _read_path(existing(source), asked, name)
    if isinstance(source, tuple | list) and len(source) == 2:
        return _read_pair(source[0], source[1], asked, name or "arrays")
    if frames.is_frame(source):
        return _table(frames.from_frame(source, name or "the frame", asked.drop.__contains__), asked, name or "frame")
    if isinstance(source, np.ndarray) or hasattr(source, "detach"):
        raise InputError("an array alone has no answers; give a pair (X, y).")
    parts = items.parts_of(source)
    if parts is not None:
        return _read_items(parts, asked, name or type(source).__name__)
    if isinstance(source, Mapping) and source:
        return _read_mapping(source, asked, name or "arrays")
    raise InputError(
        f"data of type {type(source).__name__} cannot be read; give a path, a frame, a pair (X, y), a data set or "
        "a name."
    )


def existing(source: str | os.PathLike[str]) -> Path:
    """The path, if there is something.

    Raises:
        InputError: nothing there; names the closest names in that folder.
    """
    path = paths.given(source)
    if paths.there(path):
        return path
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"{path} does not exist: there is no folder {folder}.")
    try:
        names = sorted(each for each in os.listdir(folder) if not each.startswith("."))
    except OSError:
        names = []
    plain = len(path.parts) == 1 and not path.suffix
    hint = closest(path.name, [*names, *builtin.NAMES] if plain else names)
    raise InputError(f"{path} does not exist; {hint}")


def open_table(path: Path, unwanted: frames.Unwanted) -> RawTable | None:
    """The table in a file, or None where its name is not that of a table; unwanted columns may stay unread."""
    lower = path.name.lower()
    if lower.endswith(TEXT_ENDINGS):
        return read_delimited(path)
    return frames.read_parquet(path, unwanted) if lower.endswith(PARQUET_ENDINGS) else None


def unknown_format(path: Path) -> InputError:
    """The error for a file that no reader claims."""
    if path.name.lower().endswith(PACKED_ENDINGS):
        return InputError(f"{path} is an archive, which is not read; unpack it and give what is inside.")
    return InputError(
        f"{path}: files of this kind are not read; give CSV, TSV (also .gz), Parquet, .npz, or a folder of images with "
        "a folder for each class."
    )


def _read_path(path: Path, asked: Reading, name: str | None) -> Dataset:
    called = name or path.name.split(".")[0] or path.name
    try:
        if path.is_dir():
            if asked.kind not in (None, "image"):
                raise InputError(f"{path} is a folder, which is read as images; {asked.kind} data come in a file.")
            if asked.axes is not None:
                raise InputError(f"{path} is a folder of images: the option `axes` is for arrays.")
            _check_folder(path)
            _only_for_tables(asked, str(path))
            if asked.missing is not None:
                raise InputError(f"{path} holds images: the option `missing` cannot be used with it.")
            return images.folder_dataset(path, name=called, task=asked.task)
        if not path.is_file():
            raise InputError(f"{path} is neither a file nor a folder.")
        table = open_table(path, asked.drop.__contains__)
        if table is not None:
            return _table(table, asked, called)
        if not path.name.lower().endswith(".npz"):
            raise unknown_format(path)
        return _named_arrays(archives.read_npz(path), str(path), asked, called)
    except OSError as error:
        raise paths.read_error(path, error) from error


def _check_folder(path: Path) -> None:
    """Refuse a folder that is empty or holds files that should have been given themselves."""
    inside = sorted(path.iterdir())
    if not inside:
        raise InputError(f"{path} is an empty folder; give a file, or a folder with a folder of images for each class.")
    readable = (*TEXT_ENDINGS, *PARQUET_ENDINGS, ".npz")
    files = [each.name for each in inside if each.is_file() and each.name.lower().endswith(readable)]
    if files and not any(each.is_dir() for each in inside):
        raise InputError(f"{path} is a folder; give one of its files: {listing(files)}.")


def _read_items(parts: list[items.Part], asked: Reading, called: str) -> Dataset:
    given = items.read_items(parts, called, asked.target, unwanted=asked.drop.__contains__)
    if isinstance(given.found, RawTable):
        return _as_kind(table_dataset(given.found, name=called, reading=asked, given_split=given.split), asked.kind)
    for each in asked.drop if given.names else ():
        if each not in given.names:
            raise InputError(f"{called}: no item holds {each!r} (option `drop`); {closest(each, given.names)}")
    _only_for_tables(asked.but(target=None, drop=() if given.names else asked.drop), called)
    dataset = arrays.array_dataset(given.found, asked, name=called, source=called)
    return replace(dataset, findings=(*given.findings, *dataset.findings))


def _read_mapping(source: Mapping[str, Any], asked: Reading, called: str) -> Dataset:
    """Arrays by the names that they would have in an archive."""
    held = {str(name): arrays.to_numpy(value, f"{called}, {name}") for name, value in source.items()}
    return _named_arrays(
        held, called, asked, called, from_torch=any(hasattr(each, "detach") for each in source.values())
    )


def _named_arrays(
    held: dict[str, NDArray[np.generic]], source: str, asked: Reading, called: str, *, from_torch: bool = False
) -> Dataset:
    for key in asked.drop:
        if key not in held:
            raise InputError(f"{source}: no array {key!r} (option `drop`); {closest(key, list(held))}")
        del held[key]
    wanted = tuple(each for each in (asked.group, asked.time) if each is not None)
    found = arrays.pick(held, source, wanted, asked.target)
    return arrays.array_dataset(replace(found, channels_first=from_torch), asked, name=called, source=source)


def _read_pair(x: Any, y: Any, asked: Reading, called: str) -> Dataset:
    given, categories = answers.from_any(y)
    if categories and asked.task is None:
        asked = asked.but(task="classification")
    values = arrays.to_numpy(given, f"{called}, y")
    if frames.is_frame(x):
        raw = frames.from_frame(x, called, asked.drop.__contains__)
        if raw.frame.height != len(values):
            raise InputError(
                f"{called}: {raw.frame.height} rows of inputs and {len(values)} answers; they must be as many."
            )
        return _as_kind(arrays.beside(raw, values, asked, name=called), asked.kind)
    _only_for_tables(asked, called)
    found = arrays.Arrays(arrays.to_numpy(x, f"{called}, X"), values, None, None, {}, (), hasattr(x, "detach"))
    return arrays.array_dataset(found, asked, name=called, source=called)


def _table(raw: RawTable, asked: Reading, called: str) -> Dataset:
    return _as_kind(table_dataset(raw, name=called, reading=asked), asked.kind)


def _as_kind(dataset: Dataset, kind: Kind | None) -> Dataset:
    if kind not in (None, "table"):
        raise InputError(f"{dataset.source} is a table and cannot be read as {kind} data; give arrays for that.")
    return dataset


def _only_for_tables(asked: Reading, source: str) -> None:
    given = [f"`{option}`" for option, value in asked.of_columns.items() if value]
    if given:
        raise InputError(f"{source} has no named columns: the option {listing(given)} cannot be used with it.")
