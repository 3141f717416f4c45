"""Small data with a known flaw or none, and networks for them: in each case the right verdict is known beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Data = tuple[NDArray[np.float32], NDArray[Any]]
CORNERS = 2.0 * np.array([[0, 1], [1, -1], [-1, -1]])


def blobs(rows: int = 240, seed: int = 0) -> Data:
    """Three well separated classes in the first two of four columns."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, rows)
    x = rng.normal(size=(rows, 4))
    x[:, :2] += CORNERS[y]
    return x.astype(np.float32), y


def shuffled_labels() -> Data:
    """The blobs, each with the label of another row."""
    x, y = blobs()
    return x, np.random.default_rng(5).permutation(y)


def contradictions() -> Data:
    """Four distinct inputs, labels drawn without looking at them."""
    rng = np.random.default_rng(1)
    return rng.integers(0, 2, (200, 2)).astype(np.float32), rng.integers(0, 2, 200)


def ring(rows: int = 300, seed: int = 0) -> Data:
    """A disc inside a ring: no line tells them apart."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, (rows, 2))
    return x.astype(np.float32), (np.square(x).sum(axis=1) > 0.55).astype(np.int64)


def few_noisy_rows() -> Data:
    """60 rows, ten columns, of which one says something about the label, through as much noise."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(60, 10)).astype(np.float32)
    return x, (x[:, 0] + rng.normal(size=60) > 0).astype(np.int64)


def few_clear_rows() -> Data:
    """The same inputs; the label is wholly in the first column, with a gap."""
    x, _ = few_noisy_rows()
    y = (x[:, 0] > 0).astype(np.int64)
    x[:, 0] += 2 * (2 * y - 1)
    return x, y


def wave(rows: int = 200) -> Data:
    """A number that follows two of six columns along a curve."""
    x = np.random.default_rng(2).normal(size=(rows, 6)).astype(np.float32)
    return x, np.sin(2 * x[:, 0].astype(np.float64)) + x[:, 1] ** 2


def small_net(inputs: int, outputs: int, *, width: int = 16, scale: float = 1.0) -> Callable[[], nn.Module]:
    """A user's function: one hidden layer, the last layer's weights multiplied by `scale`."""

    def make_net() -> nn.Module:
        network = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))
        with torch.no_grad():
            for parameter in network[-1].parameters():
                parameter.mul_(scale)
        return network

    return make_net
