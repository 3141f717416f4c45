"""Rows of a data set as short vectors of comparable numbers, and how far one is from its nearest neighbours."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.data import ArrayFeatures, Dataset, TableFeatures

MOST_CATEGORIES = 20  # of one column; the rest count as one
CELLS_PER_SIDE = 8  # to which pictures, signals (32) and volumes (4) are averaged
BLOCK_ROWS = 256
HALF_APART = np.float32(0.5**0.5)  # two categories are then 1 apart


def vectors(dataset: Dataset, rows: NDArray[np.int64], fitted_on: NDArray[np.int64]) -> NDArray[np.float32]:
    """Some rows as vectors [N, D]: a table's numbers standardised and its categories one-hot, else averaged cells.

    Args:
        dataset: where the rows are.
        rows: which.
        fitted_on: the rows that means, deviations and categories are computed from.
    """
    features = dataset.features
    if isinstance(features, TableFeatures):
        return _table(features, rows, fitted_on)
    return _cells(features, dataset.kind, rows)


def _table(features: TableFeatures, rows: NDArray[np.int64], fitted_on: NDArray[np.int64]) -> NDArray[np.float32]:
    parts: list[NDArray[np.float32]] = []
    known, wanted = features.take(fitted_on).frame, features.take(rows).frame
    for name in features.frame.columns:
        base, series = known.get_column(name), wanted.get_column(name)
        if series.dtype == pl.String:
            common = base.drop_nulls().value_counts(sort=True, name="\x00n").head(MOST_CATEGORIES).get_column(name)
            for value in common.sort().to_list():
                held = (series == value).fill_null(False).to_numpy()
                parts.append(np.where(held, HALF_APART, np.float32(0)))
            continue
        if series.dtype == pl.Datetime:
            base, series = base.dt.epoch("us").cast(pl.Float64), series.dt.epoch("us").cast(pl.Float64)
        values, spread = base.drop_nulls().to_numpy(), 0.0
        if len(values):
            middle, spread = float(np.median(values)), float(values.std())
            filled = series.fill_null(middle).to_numpy()
            if spread > 0:
                parts.append(((filled - middle) / spread).astype(np.float32))
        if base.null_count() and spread > 0:
            parts.append(series.is_null().to_numpy().astype(np.float32))
    return np.stack(parts, axis=1) if parts else np.zeros((len(rows), 1), dtype=np.float32)


def _cells(features: ArrayFeatures, kind: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Averages over a coarse grid, channel by channel; four cells a side for volumes, 32 in a row for signals."""
    blocks: list[NDArray[np.float32]] = []
    for start in range(0, len(rows), BLOCK_ROWS):
        x = features.array[rows[start : start + BLOCK_ROWS]].astype(np.float32)
        if x.ndim == {"image": 4, "volume": 5}.get(kind, 0):
            x = x.mean(axis=-1)
        cells, axes = {"signal": (32, (2,)), "volume": (4, (1, 2, 3))}.get(kind, (CELLS_PER_SIDE, (1, 2)))
        for axis in axes:
            size = x.shape[axis]
            cuts = np.unique(np.linspace(0, size, min(cells, size), endpoint=False).astype(int))
            lengths = np.diff(np.append(cuts, size))
            shape = [1] * x.ndim
            shape[axis] = len(lengths)
            x = (np.add.reduceat(x, cuts, axis=axis) / lengths.reshape(shape)).astype(np.float32)
        blocks.append(x.reshape(len(x), -1))
    return np.concatenate(blocks)


def nearest(queries: NDArray[np.float32], base: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distance to and index of the nearest row of `base`, for each query [Q].

    Found by |q|^2 - 2 q b + |b|^2 in float32 after centring; the distance itself is computed once more in float64, so
    that a copy is at 0.
    """
    centre = base.mean(axis=0, dtype=np.float64).astype(np.float32)
    b = base - centre
    squares = (b**2).sum(axis=1)
    index = np.empty(len(queries), dtype=np.int64)
    for start in range(0, len(queries), BLOCK_ROWS):
        q = queries[start : start + BLOCK_ROWS] - centre
        index[start : start + BLOCK_ROWS] = np.argmin(squares[None] - 2 * (q @ b.T), axis=1)
    exact = queries.astype(np.float64) - base[index].astype(np.float64)
    return np.sqrt((exact**2).sum(axis=1)), index
