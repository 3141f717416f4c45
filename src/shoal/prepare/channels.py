"""Images, signals and volumes: put channels first, then transformed by fitted steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Kind, Record
from shoal.prepare.chain import BY_ROW, FittedStep, fit_step, names_of
from shoal.prepare.fitted import Floats
from shoal.prepare.streaming import Chunks

LooksAt = Literal["feature", "row"]
BLOCK_VALUES = 1 << 20  # at a time, so that float64 copies stay small
PLACES = {"signal": 1, "image": 2, "volume": 3}  # axes of a row, channels aside
LARGEST = float(np.finfo(np.float32).max)


class ArrayRows(Record):
    """Stored rows to channels-first rows, transformed by fitted steps.

    Scaling looks at the values of one channel together, at all positions; PCA and whitening look at a whole row.
    """

    kind: Literal["image", "signal", "volume"]
    row: tuple[int, ...]  # shape of one stored row
    steps: tuple[FittedStep, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one prepared row, channels first."""
        if self.kind == "signal":
            return self.row
        return (self.row[-1], *self.row[:-1]) if self._has_channels else (1, *self.row)

    @property
    def _has_channels(self) -> bool:
        return len(self.row) > PLACES[self.kind]

    def transform(self, x: NDArray[np.generic]) -> NDArray[np.float32]:
        """[N, ...] as stored to float32 [N, C, ...].

        Raises:
            InputError: rows of another shape than those it was fitted on.
        """
        if x.shape[1:] != self.row:
            raise InputError(f"rows of shape {list(x.shape[1:])}; the model was trained on {list(self.row)}.")
        prepared = np.empty((len(x), *self.shape), dtype=np.float32)
        size = _rows_at_a_time(self.row)
        for start in range(0, len(x), size):
            block = _through(_channels_first(x[start : start + size], self.kind), self.steps)
            prepared[start : start + size] = np.clip(block, -LARGEST, LARGEST)
        return prepared

    def invert(self, prepared: NDArray[np.floating]) -> Floats:
        """Prepared rows [N, C, ...] back to rows as they are stored, float64 [N, ...].

        Raises:
            InputError: rows of another shape than `transform` gives.
        """
        if prepared.shape[1:] != self.shape:
            raise InputError(f"rows of shape {list(prepared.shape[1:])}; prepared rows have {list(self.shape)}.")
        block = prepared.astype(np.float64)
        for step in reversed(self.steps):
            block = _as_rows(step.invert(_as_matrix(block, step.looks_at)), block.shape, step.looks_at)
        if self.kind == "signal":
            return block
        return np.moveaxis(block, 1, -1) if self._has_channels else block[:, 0]


def fit_arrays(kind: Kind, x: NDArray[np.generic], rows: NDArray[np.int64], how: str, eps_frac: float) -> ArrayRows:
    """Fit the steps of a chain, each on the rows as the steps before it transform them; read block by block.

    Args:
        kind: image, signal or volume.
        x: [N, ...] as stored.
        rows: training rows.
        how: names of steps, joined by `+`.
        eps_frac: of whitening, as a share of the mean variance.
    """
    steps: list[FittedStep] = []
    for name in names_of(how):
        looks_at: LooksAt = "row" if name in BY_ROW else "feature"
        steps.append(fit_step(name, matrices(kind, x, rows, tuple(steps), looks_at), eps_frac))
    return ArrayRows.model_validate({"kind": kind, "row": tuple(x.shape[1:]), "steps": tuple(steps)})


def matrices(
    kind: Kind, x: NDArray[np.generic], rows: NDArray[np.int64], before: Sequence[FittedStep], looks_at: LooksAt
) -> Chunks:
    """Training rows after some steps, in chunks of the next step's shape: [n, values] or [n * positions, C]."""
    size = _rows_at_a_time(x.shape[1:])

    def once() -> Iterator[Floats]:
        for start in range(0, len(rows), size):
            block = _channels_first(x[rows[start : start + size]], kind)
            yield _as_matrix(_through(block, before), looks_at)

    return once


def _through(block: Floats, steps: Sequence[FittedStep]) -> Floats:
    for step in steps:
        block = _as_rows(step.apply(_as_matrix(block, step.looks_at)), block.shape, step.looks_at)
    return block


def _as_matrix(block: Floats, looks_at: LooksAt) -> Floats:
    """[n, C, ...] to [n, values], or to [n * positions, C]."""
    if looks_at == "row":
        return block.reshape(len(block), -1)
    return np.moveaxis(block, 1, -1).reshape(-1, block.shape[1])


def _as_rows(matrix: Floats, shape: tuple[int, ...], looks_at: LooksAt) -> Floats:
    """The inverse of `_as_matrix`."""
    if looks_at == "row":
        return matrix.reshape(shape)
    return np.moveaxis(matrix.reshape(shape[0], *shape[2:], shape[1]), -1, 1)


def _rows_at_a_time(row: tuple[int, ...]) -> int:
    return max(1, BLOCK_VALUES // max(1, math.prod(row)))


def _channels_first(x: NDArray[np.generic], kind: Kind) -> Floats:
    values = np.asarray(x, dtype=np.float64)
    if kind == "signal":
        return values
    return np.moveaxis(values, -1, 1) if x.ndim - 1 > PLACES[kind] else values[:, None]
