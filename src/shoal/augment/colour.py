"""Brightness, contrast, saturation and hue as one affine map of a pixel's channels: p -> M p + b.

    M = f c (P0 + s cos(h) P1 + s sin(h) P2),   b = (1 - c) / 2

with the factors f of brightness, c of contrast about mid-grey and s of saturation, and the angle h of hue. P0 takes a
pixel to its grey (luma in each channel), P1 = I - P0 to its colour, P2 turns the colour by 90 degrees in the plane of
chroma. Greys keep their grey under saturation and hue. Nothing is clipped: a network does not mind.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoal.augment import draws
from shoal.augment.draws import Slot
from shoal.augment.strengths import Strengths
from shoal.core.events import Record

NAMES = ("brightness", "contrast", "saturation", "hue")
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_U, _V = 0.492, 0.877  # chroma: u = 0.492 (blue - luma), v = 0.877 (red - luma)


class Pixels(Record):
    """What the inputs' numbers mean: pixel = std * input + mean, 0 black and 1 white; one number for each channel."""

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    @classmethod
    def standardised(cls, mean: Sequence[float], std: Sequence[float], black: float, white: float) -> Pixels:
        """Of inputs (value - mean) / std, where the values of black and white are known.

        >>> Pixels.standardised([51.0], [25.5], 0, 255)
        Pixels(mean=(0.2,), std=(0.1,))
        """
        span = white - black
        return cls(mean=tuple((m - black) / span for m in mean), std=tuple(s / span for s in std))

    def columns(self, channels: int) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, float64 [C]; a constant channel counts as std 1."""
        mean, std = (torch.tensor(each, dtype=torch.float64).expand(channels) for each in (self.mean, self.std))
        return mean, torch.where(std > 0, std, 1.0)


def black_and_white(values: NDArray[np.generic]) -> tuple[float, float]:
    """What black and white are in stored images: the ends of a byte, 0 and 1, or the values' own range.

    Args:
        values: as they were read, before any preparation.
    """
    if values.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(values.min()), float(values.max())
    if low >= 0.0:
        return 0.0, 1.0 if high <= 1.0 else high
    return low, high if high > low else low + 1.0


def _planes() -> tuple[Tensor, Tensor, Tensor]:
    """P0, P1, P2."""
    grey = torch.tensor([LUMA] * 3, dtype=torch.float64)
    colour = torch.eye(3, dtype=torch.float64) - grey
    u, v = _U * colour[2], _V * colour[0]  # as functions of the pixel
    red, blue = u / _V, -v / _U  # turned by 90 degrees: u' = -v, v' = u
    green = -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1]  # luma stays
    return grey, colour, torch.stack([red, green, blue])


def affine(u: Tensor, strength: Strengths, channels: int, pixels: Pixels) -> tuple[Tensor, Tensor]:
    """M and b for the inputs' own numbers.

    Args:
        u: float64 [n, B, WIDTH] of `draws.uniforms`.
        strength: of the n rows.
        channels: C.
        pixels: what the numbers mean.

    Returns:
        M float64 [n, B, C, C], or [n, B, 1, 1] where no channel is mixed with another; b float64 [n, B, C].
    """
    f, c, s = (1.0 + draws.either_way(u[..., Slot[name.upper()]], strength[name]) for name in NAMES[:3])
    mean, std = pixels.columns(channels)
    gain, lift = (f * c)[..., None, None], (0.5 * (1.0 - c)).unsqueeze(-1)
    if not bool((strength["saturation"] + strength["hue"]).any()):
        return gain, (gain[..., 0] * mean + lift - mean) / std
    angle = draws.either_way(u[..., Slot.HUE], strength["hue"]) * (pi / 180.0)
    grey, colour, turned = _planes()
    along, across = (s * torch.cos(angle))[..., None, None], (s * torch.sin(angle))[..., None, None]
    matrix = gain * (grey + along * colour + across * turned)
    moved = matrix[..., 0] * mean[0] + matrix[..., 1] * mean[1] + matrix[..., 2] * mean[2]
    return matrix * std / std.unsqueeze(-1), (moved + lift - mean) / std


def apply(x: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """M x + b for every pixel.

    Args:
        x: [n * B, C, ...].
        matrix: [n, B, C, C] or [n, B, 1, 1].
        shift: [n, B, C].
    """
    m = matrix.flatten(0, 1).to(x.device, x.dtype)
    b = shift.flatten(0, 1).to(x.device, x.dtype).unsqueeze(-1)
    flat = x.flatten(2)
    moved = flat * m + b if m.shape[-1] == 1 else torch.baddbmm(b, m, flat)
    return moved.reshape(x.shape)
