"""The golden experiment of initialization: 16 standard-normal inputs through six layers of 4096 units.

All five settings see the same draws of a seed, scaled to their own standard deviation, so that a seed's six matrices
are drawn once, a block of rows at a time: none is ever held whole.

Source: the table is the one of the mission, row B3; the effect is Glorot & Bengio 2010 and He et al. 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import nan, pi, sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoal.core import keyed, process

Floats = NDArray[np.float64]
UNITS, LAYERS, INPUTS = 4096, 6, 16
BLOCK = 16  # rows of a weight matrix that are drawn together: what fits the cache


@dataclass(frozen=True)
class Setting:
    """An activation function and a standard deviation of the weights, and what is published for them."""

    name: str
    kind: str  # relu, tanh
    gain: float  # of the standard deviation: std = gain where it is given, else gain / sqrt(fan_in)
    by_fan: bool
    published_std: tuple[float, ...]
    tolerance: float
    published_mean: tuple[float, ...] = ()  # by layer; NaN where none is published

    def std(self, units: int) -> float:
        """Of each weight."""
        return self.gain / sqrt(units) if self.by_fan else self.gain

    @property
    def function(self) -> Callable[[Tensor], Tensor]:
        """The activation function."""
        return torch.tanh if self.kind == "tanh" else torch.relu


_XAVIER_MEANS = (0.40, 0.28, 0.19, 0.14, 0.10, 0.07)
_KAIMING_MEANS = (0.56, nan, nan, nan, nan, 0.55)  # only the ends are published
SETTINGS = (
    Setting("tanh, std 0.01", "tanh", 0.01, False, (0.49, 0.29, 0.18, 0.11, 0.07, 0.05), 0.02),
    Setting("tanh, std 0.05", "tanh", 0.05, False, (0.87, 0.85, 0.85, 0.85, 0.85, 0.85), 0.02),
    Setting("tanh, Xavier", "tanh", 1.0, True, (0.63, 0.49, 0.41, 0.36, 0.32, 0.29), 0.02),
    Setting("ReLU, Xavier", "relu", 1.0, True, (0.58, 0.41, 0.29, 0.20, 0.14, 0.10), 0.02, _XAVIER_MEANS),
    Setting("ReLU, Kaiming", "relu", sqrt(2.0), True, (0.83, 0.83, 0.83, 0.83, 0.80, 0.80), 0.05, _KAIMING_MEANS),
)


@dataclass(frozen=True)
class Layer:
    """What one layer of one seed gave: statistics by setting, and a sample of the values of each."""

    seed: int
    layer: int  # from 0
    mean: Floats  # [settings]
    std: Floats
    saturated: Floats  # share of the values where the slope is below a tenth; NaN for ReLU
    values: Tensor  # [settings, INPUTS, units]


def layers(seed: int, units: int = UNITS, depth: int = LAYERS) -> Iterator[Layer]:
    """The six layers of one seed, all settings at once.

    Args:
        seed: of inputs and weights; every draw is keyed by (seed, layer, row block, element).
        units: of each layer.
        depth: layers.

    Yields:
        One `Layer` each; float32, two to four seconds for a seed of the full size on one core.
    """
    start = keyed.normal(keyed.key(seed, keyed.Purpose.SAMPLE, 0), (INPUTS, units)).float()
    x = start.expand(len(SETTINGS), INPUTS, units)
    scale = torch.tensor([setting.std(units) for setting in SETTINGS]).reshape(-1, 1, 1)
    for layer in range(depth):
        flat = x.reshape(-1, units)  # [settings * INPUTS, units]
        before = torch.empty(len(flat), units)
        for block, first in enumerate(range(0, units, BLOCK)):
            rows = min(BLOCK, units - first)
            weights = _normal_pairs(keyed.key(seed, keyed.Purpose.INIT, layer, block), rows * units)
            torch.mm(flat, weights.view(rows, units).T, out=before[:, first : first + rows])
        before = before.reshape(len(SETTINGS), INPUTS, units) * scale
        x = torch.stack([setting.function(row) for setting, row in zip(SETTINGS, before, strict=True)])
        values = x.flatten(1).double()
        flat_share = ((1.0 - values.square()) < 0.1).double().mean(dim=1).numpy()
        bounded = np.array([setting.kind == "tanh" for setting in SETTINGS])
        yield Layer(
            seed=seed,
            layer=layer,
            mean=values.mean(dim=1).numpy(),
            std=values.std(dim=1, correction=0).numpy(),
            saturated=np.where(bounded, flat_share, np.nan),
            values=x,
        )


def rounds(seeds: Sequence[int], units: int = UNITS, depth: int = LAYERS) -> Iterator[list[Layer]]:
    """`layers` of several seeds side by side, one layer of all of them at a time.

    Each seed is computed by one thread: the blocks are small, and threads that wait for one another within a block cost
    more than they bring.
    """
    process.computing()
    runs = [layers(seed, units, depth) for seed in seeds]
    with process.lone_threads(max(1, min(len(seeds), process.threads()))) as pool:
        for _ in range(depth):
            yield list(pool.map(next, runs))


def _normal_pairs(key: Tensor, n: int) -> Tensor:
    """n standard-normal float32 draws, both of each Box-Muller pair: half the words that `keyed.gaussian` takes."""
    words = (keyed.bits(key, n + n % 2) >> 8) & 0xFFFFFF
    u = ((words.float() + 0.5) * 2.0**-24).view(2, -1)
    radius, angle = torch.sqrt(-2.0 * torch.log(u[0])), u[1] * (2.0 * pi)
    return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)])[:n]
