"""Images, signals and volumes: one mean and one standard deviation a channel, channels first."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Kind, Record

BLOCK_VALUES = 1 << 20  # at a time, so that float64 copies stay small


class ChannelScaling(Record):
    """(x - mean) / std by channel, with statistics of the training rows; a constant channel becomes 0."""

    kind: Literal["image", "signal", "volume"]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    row: tuple[int, ...]  # shape of one stored row

    def shape(self) -> tuple[int, ...]:
        """Shape of one prepared row, channels first."""
        if self.kind == "image":
            return (len(self.mean), *self.row[:2])
        return self.row if self.kind == "signal" else (1, *self.row)

    def transform(self, x: NDArray[np.generic]) -> NDArray[np.float32]:
        """[N, ...] as stored to float32 [N, C, ...].

        Raises:
            InputError: rows of another shape than those it was fitted on.
        """
        if x.shape[1:] != self.row:
            raise InputError(f"rows of shape {list(x.shape[1:])}; the model was trained on {list(self.row)}.")
        prepared = np.empty((len(x), *self.shape()), dtype=np.float32)
        axes = (1, -1, *([1] * (len(self.shape()) - 1)))
        std = np.asarray(self.std)
        mean = np.asarray(self.mean, dtype=np.float32).reshape(axes)
        gain = np.where(std > 0, 1.0 / np.where(std > 0, std, 1.0), 0.0).astype(np.float32).reshape(axes)
        step = _rows_at_a_time(x)
        for start in range(0, len(x), step):
            block = _channels_first(x[start : start + step], self.kind)
            prepared[start : start + step] = (block.astype(np.float32) - mean) * gain
        return prepared


def fit_channels(kind: Kind, x: NDArray[np.generic], rows: NDArray[np.int64]) -> ChannelScaling:
    """Mean and standard deviation of each channel over the given rows, in float64, by blocks.

    Variances of blocks are joined by their exact update (Chan, Golub & LeVeque 1983), not by E[x^2] - E[x]^2.
    """
    count, mean, squares = 0, np.zeros(1), np.zeros(1)
    step = _rows_at_a_time(x)
    for start in range(0, len(rows), step):
        block = _channels_first(x[rows[start : start + step]], kind).astype(np.float64)
        flat = np.moveaxis(block, 1, 0).reshape(block.shape[1], -1)  # [C, values]
        number, here = flat.shape[1], flat.mean(axis=1)
        spread = ((flat - here[:, None]) ** 2).sum(axis=1)
        shift = here - mean
        squares = squares + spread + shift**2 * (count * number / (count + number))
        mean = mean + shift * (number / (count + number))
        count += number
    std = np.sqrt(squares / max(count, 1))
    return ChannelScaling.model_validate(
        {"kind": kind, "mean": tuple(mean.tolist()), "std": tuple(std.tolist()), "row": tuple(x.shape[1:])}
    )


def _rows_at_a_time(x: NDArray[np.generic]) -> int:
    return max(1, BLOCK_VALUES // max(1, math.prod(x.shape[1:])))


def _channels_first(x: NDArray[np.generic], kind: Kind) -> NDArray[np.generic]:
    if kind == "image" and x.ndim == 4:
        return np.moveaxis(x, 3, 1)
    return x if kind == "signal" else x[:, None]
