"""What is to be said of cells, targets and values of arrays that lie far from all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from shoal.core.events import Finding, Kind
from shoal.core.wording import count, listing, setting
from shoal.data import codes
from shoal.data.dataset import TableFeatures
from shoal.data.frames import RawTable
from shoal.data.outliers import Wild, wild
from shoal.data.schema import Column
from shoal.data.targets import Target

SHOWN_COLUMNS, SHOWN_ROWS = 4, 10
MOST_VALUES = 1 << 20  # of an array's channel: what is usual in it is read from so many at most


def of_columns(
    raw: RawTable,
    columns: Sequence[Column],
    features: TableFeatures,
    answer: Target | None,
    missing: Sequence[str] = (),
) -> Iterator[Finding]:
    """Number columns, and a target, with cells that have nothing to do with the others.

    Args:
        raw: the table, which knows the lines.
        columns: all of its columns.
        features: those that are features, parsed.
        answer: the target, where there is one.
        missing: the words that mean a missing cell in this table.
    """
    found = {}
    for column in columns:
        if column.feature and column.role == "numeric":
            values = features.frame.get_column(column.name).to_numpy().astype(np.float64)
            cells = wild(values)
            if cells is not None:
                found[column.name] = (cells, values)
    if found:
        parts = [_cells(raw, name, *cells) for name, cells in found.items()]
        repeated = dict.fromkeys(filter(None, (_repeated(*cells) for cells in found.values())))
        unknown = f"; where {_either([*repeated])} stands for an unknown value, say so: " if repeated else ""
        yield Finding(
            code=codes.WILD_CELLS,
            level="warning",
            sentence=f"Cells far from all others of their column: {'; '.join(parts[:SHOWN_COLUMNS])}"
            f"{f'; and in {len(parts) - SHOWN_COLUMNS} more columns' if len(parts) > SHOWN_COLUMNS else ''}.",
            evidence={"columns": {name: _evidence(raw, *cells) for name, cells in found.items()}},
            fix=f"mend these cells of {listing(found, SHOWN_COLUMNS)}, or leave them empty where they stand for an "
            "unknown value; the preparation `auto` bears them, others let them squeeze the rest together"
            + (unknown and unknown + setting("missing", ",".join([*missing, *repeated]))),
        )
    if answer is not None and answer.task == "regression":
        target = next((column.name for column in columns if column.role == "target"), "the target")
        values = answer.values.astype(np.float64)
        cells = wild(values)
        if cells is not None:
            yield Finding(
                code=codes.WILD_TARGETS,
                level="problem",
                sentence=f"Targets far from all others: {_cells(raw, target, cells, values)}. The squared error and R2 "
                "see hardly anything but these rows.",
                evidence={"columns": {target: _evidence(raw, cells, values)}},
                fix=f"mend these values of {target}, or leave out their rows; where such values are real, predict "
                "their logarithm",
            )


def of_arrays(x: NDArray[np.generic], kind: Kind) -> Iterator[Finding]:
    """Channels of images, signals and volumes with values that have nothing to do with the others.

    Args:
        x: [N, ...] as stored.
        kind: says which axis the channels are on.
    """
    if x.dtype.itemsize == 1:  # no byte is far from all others
        return
    found: dict[str, JsonValue] = {}
    said = ""
    channels = np.moveaxis(x, -1, 1) if kind == "image" and x.ndim == 4 else x if kind == "signal" else x[:, None]
    for channel in range(channels.shape[1]):
        rows = _far_rows(channels[:, channel])
        if rows is None:
            continue
        values, low, high = rows
        first = next(iter(values))
        name = f"channel {channel}"
        shown = {str(row): value for row, value in list(values.items())[:SHOWN_ROWS]}
        found[name] = {"rows": len(values), "of": len(x), "first": dict(shown)}
        where = f"{name}, " if channels.shape[1] > 1 else ""
        said = said or (
            f"{where}{values[first]:g} in row {first}, such values in {count(len(values), 'row')} of {len(x)}; all "
            f"others lie between {low:g} and {high:g}"
        )
    if found:
        yield Finding(
            code=codes.WILD_VALUES,
            level="warning",
            sentence=f"Values far from all others: {said}.",
            evidence={"channels": found},
            fix=f"mend these values of {listing(found, 4)} or leave out their rows, or let them be bent: prepare "
            "`robust-clip`",
        )


def _far_rows(channel: NDArray[np.generic]) -> tuple[dict[int, float], float, float] | None:
    """Rows of [N, ...] with wild values, and the one that is farthest; then the range of all other values."""
    flat = channel.reshape(len(channel), -1)
    extremes = np.stack([flat.min(axis=1), flat.max(axis=1)], axis=1).astype(np.float64)
    usual = flat.ravel()[:: max(1, flat.size // MOST_VALUES)].astype(np.float64)
    cells = wild(np.concatenate([usual, extremes.ravel()]))
    if cells is None:
        return None
    middle = float(np.median(usual))
    beyond = (extremes < cells.low) | (extremes > cells.high)
    farthest = np.where(np.abs(extremes - middle).argmax(axis=1) == 1, extremes[:, 1], extremes[:, 0])
    return {int(row): float(farthest[row]) for row in np.flatnonzero(beyond.any(axis=1))}, cells.low, cells.high


def _repeated(cells: Wild, values: NDArray[np.float64]) -> str:
    """The one value that several wild cells have, as -999 stands for "unknown"; else the empty string."""
    found = values[cells.rows]
    return f"{found[0]:.15g}" if len(found) > 1 and (found == found[0]).all() else ""


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _cells(raw: RawTable, name: str, cells: Wild, values: NDArray[np.float64]) -> str:
    """Which cells of one column, in words."""
    distinct = list(dict.fromkeys(f"{value:g}" for value in values[cells.rows]))
    return (
        f"{name} has {listing(distinct, 3)} in {raw.places(np.sort(cells.rows))}, all others lie between "
        f"{cells.low:g} and {cells.high:g}"
    )


def _evidence(raw: RawTable, cells: Wild, values: NDArray[np.float64]) -> dict[str, JsonValue]:
    return {
        "cells": len(cells.rows),
        "rows": raw.in_source(cells.rows[:SHOWN_ROWS]).tolist(),
        "values": values[cells.rows[:SHOWN_ROWS]].tolist(),
        "others": [cells.low, cells.high],
    }
