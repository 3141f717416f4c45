"""New rows for a trained model: read by the schema that it was trained with, checked against it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import JsonValue

from shoal.core import paths
from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.core.reading import AXES, Reading
from shoal.core.wording import closest, count, listing
from shoal.data import (
    absence,
    answers,
    archives,
    arrays,
    builtin,
    cells,
    codes,
    frames,
    image_folders,
    images,
    items,
    layout,
)
from shoal.data.dataset import ArrayFeatures, Rows, TableFeatures
from shoal.data.frames import RawTable
from shoal.data.limits import LARGEST_NUMBER
from shoal.data.reading import existing, open_table, unknown_format
from shoal.data.schema import Column, Schema
from shoal.data.targets import known_target

MOST_UNREAD = 0.5  # of a column's filled cells; above, rows are refused


def read_rows(source: Any, schema: Schema) -> Rows:
    """Rows to predict or to score.

    Args:
        source: what `read` accepts, with or without the target; also a single image, a folder of loose images, an array
            alone, `.npy`. A tuple of two is rows and their answers; a list is rows, however many.
        schema: of the data that the model was trained on.

    Returns:
        Features in the model's order, counted warnings, and the true answers if all of them came along.

    Raises:
        InputError: a feature that is missing, a shape that does not fit, infinities, and whatever `read` refuses.
    """
    if isinstance(source, str) and source in builtin.NAMES and not Path(source).exists():
        return _from_dataset(builtin.builtin_dataset(source, Reading(kind=schema.kind, task=schema.task)), schema)
    if isinstance(source, str | os.PathLike):
        path = existing(source)
        try:
            return _from_path(path, schema)
        except OSError as error:
            raise paths.read_error(path, error) from error
    if isinstance(source, tuple) and len(source) == 2:
        features, given = source
        rows = read_rows(features, schema)
        return _with_truth(rows, arrays.to_numpy(answers.from_any(given)[0], "y"), schema)
    if frames.is_frame(source):
        return _from_table(frames.from_frame(source, unwanted=_not_needed(schema)), schema)
    parts = items.parts_of(source)
    if parts is not None:
        return _from_items(parts, schema)
    return _from_array(arrays.to_numpy(source, "rows"), "rows", schema, ())


def _not_needed(schema: Schema) -> frames.Unwanted:
    """Which columns the answer does not depend on, and does not repeat: what they hold is nobody's concern."""
    needed = {column.name for column in schema.columns if column.feature or column.role == "identifier"}
    return lambda name: name not in needed and name != schema.target


def _from_items(parts: list[items.Part], schema: Schema) -> Rows:
    """Of a data set in parts its test part, or else the last."""
    unwanted = _not_needed(schema) if schema.columns else schema.dropped.__contains__
    found = items.read_items(parts[-1:], "rows", schema.target, answers=False, unwanted=unwanted).found
    if isinstance(found, RawTable):
        return _from_table(found, schema)
    rows = _from_array(found.x, "rows", schema, ())
    if found.y is None:
        return rows
    names = found.names
    if names is None or found.y.dtype.kind not in "iu" or schema.classes is None:
        return _with_truth(rows, found.y, schema)
    labels = [names[code] if 0 <= code < len(names) else str(code) for code in found.y.tolist()]
    return _with_truth(rows, np.asarray(labels), schema)


def _from_dataset(dataset: Any, schema: Schema) -> Rows:
    if isinstance(dataset.features, ArrayFeatures):
        rows = _from_array(dataset.features.array, dataset.source, schema.model_copy(update={"axes": ""}), ())
    else:
        rows = _from_table(RawTable(dataset.features.frame, dataset.source), schema)
    names = dataset.classes
    answers = np.asarray([names[code] for code in dataset.target]) if names else dataset.target
    return _with_truth(rows, answers, schema)


def _from_path(path: Path, schema: Schema) -> Rows:
    if path.is_dir() or path.name.lower().endswith(image_folders.ENDINGS):
        return _from_images(path, schema)
    if not path.is_file():
        raise InputError(f"{path} is neither a file nor a folder.")
    table = open_table(path, _not_needed(schema))
    if table is not None:
        return _from_table(table, schema)
    if path.name.lower().endswith(".npy"):
        return _from_array(archives.read_npy(path), str(path), schema, ())
    if path.name.lower().endswith(".npz"):
        return _from_archive(path, schema)
    raise unknown_format(path)


def _from_images(path: Path, schema: Schema) -> Rows:
    if schema.kind != "image":
        raise InputError(f"{path}: the model was trained on {schema.kind} data, not on images.")
    found, taken = _files(path)
    mode, size, onto = schema.image_mode, schema.image_size, schema.ends
    if onto is None:
        raise InputError(
            f"{path}: the model was trained on an array of images whose numbers do not say what is black and white, so "
            "image files cannot be put on its scale; give an array (.npy, .npz) made as the training array was."
        )
    if mode is None or size is None:  # trained on an array of images: its shape says both
        shape = schema.shape or (1, 1)
        if len(shape) == 3 and shape[2] not in (1, 3):
            raise InputError(f"{path}: the model was trained on images of {shape[2]} channels; files hold 1 or 3.")
        mode, size = ("L" if len(shape) == 2 or shape[2] == 1 else "RGB"), (shape[1], shape[0])
    array, facts = images.decode(found.paths, mode, size, schema.image_depth, onto)
    said = (*taken, *images.differing(facts, mode, schema.image_depth, onto))
    if schema.image_mode is None:
        said += _unmapped(array, [fact.depth for fact in facts], onto, str(path))
    names = (each.relative_to(path).as_posix() if path.is_dir() else each.name for each in found.paths)
    files = tuple(paths.shown(name) for name in names)
    rows = Rows(ArrayFeatures(array.reshape(len(array), *(schema.shape or array.shape[1:]))), said, None, files=files)
    return rows if found.labels is None else _with_truth(rows, np.asarray(found.labels), schema)


def _files(path: Path) -> tuple[image_folders.FoundImages, tuple[Finding, ...]]:
    """One image, or those of a folder: of one with parts the test part."""
    if not path.is_dir():
        return image_folders.FoundImages([path], None, None), ()
    found = image_folders.find_images(path, new=True)
    passed = tuple(image_folders.passed_over(found))
    part = image_folders.of_test(found)
    if part is None:
        return found, passed
    whole = len({*found.paths, *part.paths})
    sentence = f"The folder has parts: its test part was taken ({count(len(part.paths), 'image')} of {whole})."
    return part, (Finding(code=codes.PART_TAKEN, sentence=sentence, evidence={"rows": len(part.paths)}), *passed)


def _unmapped(
    array: NDArray[np.generic], depths: list[str], onto: tuple[float, float], source: str
) -> tuple[Finding, ...]:
    """What to say of files of floating-point values among rows for a model of arrays: they have no range to map.

    Raises:
        InputError: values beyond the black and white of the training array.
    """
    rows = np.flatnonzero(np.asarray(depths) == "float32")
    if not len(rows):
        return ()
    low, high = float(array[rows].min()), float(array[rows].max())
    if low < onto[0] or high > onto[1]:
        raise InputError(
            f"{source}: floating-point values from {low:g} to {high:g}; black and white of the training array are "
            f"{onto[0]:g} and {onto[1]:g}; write the images on that scale."
        )
    sentence = (
        f"{count(len(rows), 'image')} of {len(array)} hold floating-point values from {low:g} to {high:g}: taken as "
        f"they are, black and white of the training array being {onto[0]:g} and {onto[1]:g}."
    )
    evidence: dict[str, JsonValue] = {"images": len(rows), "from": "float32", "to": "float32"}
    return (Finding(code=codes.IMAGE_DEPTHS, level="warning", sentence=sentence, evidence=evidence),)


def _from_archive(path: Path, schema: Schema) -> Rows:
    held = {name: array for name, array in archives.read_npz(path).items() if name not in schema.dropped}
    picked = arrays.pick(held, str(path), (), schema.target)
    said: tuple[Finding, ...] = ()
    x, y = picked.x, picked.y
    if picked.split is not None and (picked.split == 2).any() and (picked.split != 2).any():
        chosen = np.flatnonzero(picked.split == 2)
        sentence = f"The file has parts: its test part was taken ({count(len(chosen), 'row')} of {len(x)})."
        said = (Finding(code=codes.PART_TAKEN, sentence=sentence, evidence={"rows": len(chosen)}),)
        x, y = x[chosen], None if y is None else y[chosen]
    rows = _from_array(x, str(path), schema, said)
    if y is None:
        return rows
    if y.dtype.kind in "iu" and picked.names is not None and schema.classes is not None:
        labels = dict(enumerate(picked.names))
        y = np.asarray([labels.get(int(code), str(code)) for code in y.reshape(-1).tolist()])
    return _with_truth(rows, y, schema)


def _from_array(x: NDArray[np.generic], source: str, schema: Schema, said: tuple[Finding, ...]) -> Rows:
    if schema.kind == "table":
        if x.ndim != 2:
            raise InputError(f"{source}: rows of shape {list(x.shape[1:])}; the model was trained on a table, [N, D].")
        arrays.check_features(x, source, table=True)
        names = tuple(
            column.name for column in schema.columns if column.role not in ("target", "time", "group", "dropped")
        )
        if x.shape[1] != len(names):
            raise InputError(
                f"{source}: {x.shape[1]} columns; the model was trained on {len(names)}: {listing(names)}."
            )
        rows = _from_table(arrays.as_table(x, source, names), schema)
        return replace(rows, warnings=(*said, *rows.warnings))
    laid, remark = _laid_out(x, source, schema)
    arrays.check_features(laid, source)
    return Rows(ArrayFeatures(laid), (*said, *remark), None)


def _laid_out(x: NDArray[np.generic], source: str, schema: Schema) -> tuple[NDArray[np.generic], tuple[Finding, ...]]:
    """Rows, or one row alone, in the order of axes that the model was trained on; in another one only if it is said."""
    shape = schema.shape or ()
    given = schema.axes or next(axes for axes in AXES if AXES[axes] == schema.kind and len(axes) > len(shape))
    for axes in (given, *(each for each in AXES if AXES[each] == schema.kind and each != given)):
        for rows in (x, x[None]):
            if rows.ndim != len(axes):
                continue
            stored = layout.turned(rows, axes)
            if not _alike(stored.shape[1:], shape):
                continue
            stored = stored.reshape(len(stored), *shape)
            if axes == given or not _moved(axes, given):
                return stored, ()
            sentence = (
                f"Rows of shape {list(rows.shape[1:])} were read as [{', '.join(axes)}]; the model was trained on "
                f"[{', '.join(given)}], {list(layout.as_given(shape, given))}."
            )
            evidence: dict[str, JsonValue] = {"axes": axes, "trained": given}
            return stored, (Finding(code=codes.LAYOUT, level="warning", sentence=sentence, evidence=evidence),)
    expected = list(layout.as_given(shape, given))
    if x.ndim < 2:
        raise InputError(f"{source}: shape {list(x.shape)}; rows of shape {expected} are expected.")
    raise InputError(f"{source}: rows of shape {list(x.shape[1:])}; the model was trained on {expected}.")


def _alike(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Equal shapes, a last axis of one channel aside."""
    return one in (other, (*other, 1)) or other == (*one, 1)


def _moved(axes: str, given: str) -> bool:
    """Whether channels stand elsewhere among the places."""
    return "C" in axes and "C" in given and axes != given


def _from_table(raw: RawTable, schema: Schema) -> Rows:
    """Feature columns by name, in the model's order and by the model's rules."""
    if schema.kind != "table":
        raise InputError(
            f"{raw.source} is a table; the model was trained on {schema.kind} data of shape {list(schema.shape or ())}."
        )
    columns: list[pl.Series] = []
    said: list[Finding] = []
    absent = [column.name for column in schema.features() if column.name not in raw.frame.columns]
    if absent:
        hint = closest(absent[0], [name for name in raw.frame.columns if name != schema.target])
        more = f" (and {count(len(absent) - 1, 'more column')}: {listing(absent[1:], 5)})" if len(absent) > 1 else ""
        raise InputError(f"{raw.source}: the column {absent[0]!r}, which the model needs, is missing{more}; {hint}")
    for column in schema.features():
        series = absence.known(raw, column, schema)
        read = cells.parse(series, column)
        if read.values.dtype == pl.Float64:
            infinite = np.flatnonzero(read.values.is_infinite().fill_null(False).to_numpy())
            if len(infinite):
                raise InputError(
                    f"{raw.source}, column {column.name!r}: infinity in {raw.places(infinite)}; "
                    "replace it by a number or leave the cell empty."
                )
        said += _odd_cells(raw, column, series, read.odd)
        columns.append(read.values.rename(column.name))
    known = {column.name for column in schema.columns}
    extra = [name for name in raw.frame.columns if name not in known]
    if extra:
        sentence = f"Ignored: {listing(extra)}, which the model was not trained on."
        said.append(Finding(code=codes.EXTRA_COLUMNS, sentence=sentence, evidence={"columns": list(extra)}))
    named = [c.name for c in schema.columns if c.role == "identifier" and c.name in raw.frame.columns]
    identifiers = _as_spelled(raw.frame.select(named), from_text=raw.lines is not None) if named else None
    rows = Rows(TableFeatures(pl.DataFrame(columns)), tuple(said), None, identifiers)
    if schema.target is None or schema.target not in raw.frame.columns:
        return rows
    return _scored(rows, raw.frame.get_column(schema.target), schema, raw)


def _odd_cells(raw: RawTable, column: Column, series: pl.Series, unread: pl.Series) -> list[Finding]:
    """What is to be said of cells that could not be read; those that training met, such as `unknown`, aside.

    Raises:
        InputError: most of the filled cells: the column holds something else than it held in training.
    """
    if not unread.any():
        return []
    texts = cells.text(series)
    odd = np.flatnonzero((unread & ~texts.is_in(column.markers).fill_null(False)).to_numpy())
    if not len(odd):
        return []
    example, filled = series[int(odd[0])], texts.len() - texts.null_count()
    if len(odd) > MOST_UNREAD * filled:
        note = f" ({column.note})" if column.note else ""
        raise InputError(
            f"{raw.source}, column {column.name!r}: {len(odd)} of {count(filled, 'cell')}, such as {example!r} in "
            f"{raw.places(odd[:1])}, cannot be read as {column.cells}, which training found here{note}; "
            "write the cells as they were in training, or leave them empty."
        )
    cells_read = f"{count(len(odd), 'cell')} such as {example!r} could not be read as {column.cells}"
    sentence = f"{column.name}: {cells_read} and count as missing."
    evidence: dict[str, JsonValue] = {"column": column.name, "cells": len(odd)}
    return [Finding(code=codes.ODD_CELLS, level="warning", sentence=sentence, evidence=evidence)]


def said_once(read: Sequence[Finding], prepared: Sequence[Finding]) -> tuple[Finding, ...]:
    """The warnings of reading rows and of preparing them; a cell that could not be read is not missing once more."""
    unread = {each.evidence["column"]: each.evidence["cells"] for each in read if each.code == codes.ODD_CELLS}
    kept: list[Finding] = []
    for each in prepared:
        odd = unread.get(each.evidence.get("column")) if each.code == codes.NEW_MISSING else None
        if odd is None:
            kept.append(each)
        elif odd != each.evidence["rows"]:
            kept.append(each.model_copy(update={"sentence": f"{each.sentence[:-1]}; {odd} of them could not be read."}))
    return (*read, *kept)


def _with_truth(rows: Rows, given: NDArray[np.generic], schema: Schema) -> Rows:
    flat = given.reshape(-1)
    if len(flat) != len(rows):
        raise InputError(f"{len(rows)} rows and {len(flat)} answers; they must be as many.")
    return _scored(rows, answers.column(flat, "the answers"), schema, RawTable(pl.DataFrame(), "the answers"))


def _scored(rows: Rows, given: pl.Series, schema: Schema, raw: RawTable) -> Rows:
    """With the true answers that came along, if these can be scored; rows without an answer are not."""
    filled = absence.answers(given, schema)
    known = cells.text(filled).is_not_null()
    if known.any() and not known.all():
        left = count(int((~known).sum()), "row")
        sentence = f"{left} of {len(rows)} without a true answer: not scored."
        said = Finding(code=codes.TRUTH_UNUSABLE, level="warning", sentence=sentence)
        kept = known.arg_true().to_numpy().astype(np.int64)
        rows, filled = replace(rows, warnings=(*rows.warnings, said), answered=kept), filled.filter(known)
    truth, reason = known_target(filled, schema.task, schema.classes, schema.target_numbers, exact=schema.target_exact)
    if truth is None:
        finding = Finding(
            code=codes.TRUTH_UNUSABLE, level="warning", sentence=f"The answers were not scored ({reason})."
        )
        return replace(rows, warnings=(*rows.warnings, finding))
    if schema.task == "regression":
        return _bounded(rows, truth.astype(np.float64), raw)
    return replace(rows, truth=truth.astype(np.int64))


def _bounded(rows: Rows, truth: NDArray[np.float64], raw: RawTable) -> Rows:
    """With the true answers that a squared error can be had of; rows with other numbers are not scored."""
    usable = np.abs(truth) <= LARGEST_NUMBER
    if usable.all():
        return replace(rows, truth=truth)
    answered = np.arange(len(rows), dtype=np.int64) if rows.answered is None else rows.answered
    kept, left = answered[usable], answered[~usable]
    sentence = (
        f"{count(len(left), 'row')} of {len(rows)} with a true answer that is infinite or beyond {LARGEST_NUMBER:g}, "
        f"{raw.places(left)}: not scored."
    )
    said = Finding(code=codes.TRUTH_UNUSABLE, level="warning", sentence=sentence, evidence={"rows": len(left)})
    rows = replace(rows, warnings=(*rows.warnings, said), answered=kept if len(kept) else None)
    return replace(rows, truth=truth[usable]) if len(kept) else rows


def _as_spelled(frame: pl.DataFrame, *, from_text: bool) -> pl.DataFrame:
    """Identifiers as they came; in a file of text those that are whole numbers, and written as such, are numbers."""
    if not from_text:
        return frame
    whole = [each.name for each in frame if each.drop_nulls().str.contains(r"^(0|[1-9]\d{0,17})$").all()]
    return frame.with_columns(pl.col(whole).cast(pl.Int64)) if whole else frame
