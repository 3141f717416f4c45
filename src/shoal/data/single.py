"""How well one column alone tells the target, on rows that were not used to learn it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.data.targets import Target

MOST_BINS = 256
ROWS_PER_BIN = 5
FEWEST_ROWS = 40


@dataclass(frozen=True)
class Single:
    """`score`: accuracy, or R2; `gain`: share of what the best constant answer misses; `z`: gain over its noise."""

    score: float
    base: float
    gain: float
    z: float


def single(column: pl.Series, answer: Target) -> Single | None:
    """Learn the answer of each value (or bin of values) on one half of the rows, and score the other half.

    Values that are many are cut into bins by rank, text by its alphabetical order, so that a common beginning counts.
    A missing cell is a value of its own.

    Returns:
        None for fewer than 40 rows.
    """
    rows = len(answer.values)
    if rows < FEWEST_ROWS:
        return None
    bins = _bins(column, rows)
    order = np.random.default_rng(0).permutation(rows)
    learn, judge = order[: rows // 2], order[rows // 2 :]
    number = int(bins.max()) + 1
    if answer.task == "classification":
        return _classes(bins, answer, learn, judge, number)
    return _values(bins, answer.values.astype(np.float64), learn, judge, number)


def _bins(column: pl.Series, rows: int) -> NDArray[np.int64]:
    """[N] a small whole number for each cell."""
    most = int(max(2, min(MOST_BINS, rows // ROWS_PER_BIN)))
    ranks = column.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()  # 0: missing
    if int(ranks.max(initial=0)) <= most:
        return ranks
    places = column.rank("average").fill_null(0).to_numpy()
    bins: NDArray[np.int64] = np.ceil(places / rows * most).astype(np.int64)
    return bins


def _classes(
    bins: NDArray[np.int64], answer: Target, learn: NDArray[np.int64], judge: NDArray[np.int64], number: int
) -> Single:
    codes = answer.values.astype(np.int64)
    classes = int(codes.max()) + 1
    overall = np.bincount(codes[learn], minlength=classes)
    counts = np.zeros((number, classes))
    np.add.at(counts, (bins[learn], codes[learn]), 1)
    said = np.argmax(counts + overall / overall.sum() * 1e-3, axis=1)  # an unseen bin gets the commonest class
    right = said[bins[judge]] == codes[judge]
    usual = codes[judge] == overall.argmax()
    score, base = float(right.mean()), float(usual.mean())
    difference = right.astype(float) - usual
    noise = float(difference.std()) / np.sqrt(len(judge))
    return Single(score, base, (score - base) / max(1 - base, 1e-9), (score - base) / max(noise, 1e-9))


def _values(
    bins: NDArray[np.int64],
    values: NDArray[np.float64],
    learn: NDArray[np.int64],
    judge: NDArray[np.int64],
    number: int,
) -> Single:
    scale = float(values.std()) or 1.0
    y = (values - values.mean()) / scale
    sums = np.bincount(bins[learn], weights=y[learn], minlength=number)
    counts = np.bincount(bins[learn], minlength=number)
    overall = float(y[learn].mean())
    said = np.where(counts > 0, sums / np.maximum(counts, 1), overall)[bins[judge]]
    errors, usual = (y[judge] - said) ** 2, (y[judge] - overall) ** 2
    gain = 1 - float(errors.mean()) / max(float(usual.mean()), 1e-12)
    difference = usual - errors
    noise = float(difference.std()) / np.sqrt(len(judge))
    return Single(gain, 0.0, gain, float(difference.mean()) / max(noise, 1e-12))
