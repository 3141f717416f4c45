"""One `Dataset`, whatever the source: features, target, what is known of them, and what was found."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.events import Finding, Kind, TaskType
from shoal.data.schema import Schema


@dataclass(frozen=True)
class TableFeatures:
    """Feature columns: Float64 for numbers and booleans (0 and 1), String for categories, Datetime for dates."""

    frame: pl.DataFrame

    def __len__(self) -> int:
        return self.frame.height

    def take(self, rows: NDArray[np.int64]) -> TableFeatures:
        """The given rows, in the given order."""
        return TableFeatures(self.frame[np.asarray(rows, dtype=np.int64)])


@dataclass(frozen=True)
class ArrayFeatures:
    """Features as one array, rows first: [N, C, L], [N, H, W], [N, H, W, C], [N, D, H, W(, C)]."""

    array: NDArray[np.generic]

    def __len__(self) -> int:
        return int(self.array.shape[0])

    def take(self, rows: NDArray[np.int64]) -> ArrayFeatures:
        """The given rows, in the given order."""
        return ArrayFeatures(self.array[np.asarray(rows, dtype=np.int64)])


Features = TableFeatures | ArrayFeatures


@dataclass(frozen=True)
class Dataset:
    """Rows with a target. Immutable; indices into it are what `resample` deals in."""

    name: str
    source: str
    kind: Kind
    task: TaskType
    features: Features
    target: NDArray[np.int64] | NDArray[np.float64]  # [N] class codes, or values
    classes: tuple[str, ...] | None
    target_name: str
    schema: Schema
    findings: tuple[Finding, ...]
    given_split: NDArray[np.int8] | None  # [N] 0 training, 1 validation, 2 test: where the source itself splits
    time: NDArray[np.float64] | None  # [N] seconds since 1970, or the numbers given
    group: NDArray[np.int64] | None  # [N] codes
    content_hash: str
    row_keys: NDArray[np.uint64] | None = None  # [N] of a table: equal for rows that are equal, identifiers aside
    numbers: NDArray[np.int64] | None = None  # [N] of the rows in the source, where some had no answer

    def number(self, row: int) -> int:
        """Which row of the source a row is, counted from 0."""
        return int(row if self.numbers is None else self.numbers[row])

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.target)

    @property
    def columns(self) -> int:
        """Feature columns of a table; channels of anything else."""
        if isinstance(self.features, TableFeatures):
            return self.features.frame.width
        shape = self.features.array.shape
        if self.kind == "signal":
            return int(shape[1])
        return int(shape[-1]) if len(shape) == (4 if self.kind == "image" else 5) else 1


@dataclass(frozen=True)
class Rows:
    """New rows for a trained model: features as it was trained on, and the true answers where they came along."""

    features: Features
    warnings: tuple[Finding, ...]
    truth: NDArray[np.int64] | NDArray[np.float64] | None
    identifiers: pl.DataFrame | None = None  # columns that name the rows of a table, as they came
    files: tuple[str, ...] | None = None  # of images, below the folder that was given
    answered: NDArray[np.int64] | None = None  # [M] the rows that `truth` is of, where others have no answer

    def __len__(self) -> int:
        return len(self.features)

    def scored(self) -> Features:
        """The features of the rows that `truth` is of."""
        return self.features if self.answered is None else self.features.take(self.answered)


def fingerprint(features: Features, *arrays: NDArray[np.generic] | None) -> str:
    """A hash of the values, the names and their order: 32 hexadecimal digits, the same on every machine."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(features, TableFeatures):
        for series in features.frame:
            digest.update(f"{series.name}\x00{series.dtype}\x00{series.len()}\x00".encode())
            digest.update(series.is_null().to_numpy().tobytes())
            if series.dtype == pl.String:
                filled = series.fill_null("")
                digest.update(filled.str.len_bytes().to_numpy().tobytes())
                digest.update("".join(filled.to_list()).encode())
            else:
                numbers = series.dt.epoch("us") if series.dtype == pl.Datetime else series
                digest.update(numbers.fill_null(0).to_numpy().tobytes())
    for array in ((features.array,) if isinstance(features, ArrayFeatures) else ()) + arrays:
        if array is None:
            digest.update(b"none")
            continue
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for start in range(0, len(array), 4096):  # by blocks: a view may need a copy to be contiguous
            digest.update(np.ascontiguousarray(array[start : start + 4096]).data)
    return digest.hexdigest()
