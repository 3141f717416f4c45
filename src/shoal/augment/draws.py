"""The random numbers of a step: for each sample one uniform number per operation.

A number is a pure function of (member seed, step, sample, operation): rows of one seed share it whatever their
strengths, and it depends neither on the batch's length nor on who else is in the block. Drawn on the CPU in float64, so
that the digits are the same on every device; the pictures themselves never leave theirs.
"""

from __future__ import annotations

from enum import IntEnum
from math import pi

import torch
from torch import Tensor

from shoal.core import keyed

WIDTH = 32  # numbers for each sample; fixed, so that a new operation moves no other's draws
ATTEMPTS = 8  # of the gamma sampler: all rejected once in 1e10, and then its mode is taken


class Slot(IntEnum):
    """Where an operation's number stands."""

    HFLIP = 0
    VFLIP = 1
    DFLIP = 2
    ANGLE = 3
    AXIS = 4  # and 5
    TRANSLATE = 6  # to 8: x, y, z
    SCALE = 9
    STRETCH = 10
    SHEAR = 11
    DISTORT = 12
    CROP = 13
    CROP_AT = 14  # to 16
    BRIGHTNESS = 17
    CONTRAST = 18
    SATURATION = 19
    HUE = 20
    GAIN = 21
    CUTOUT = 22  # to 24
    MIX_KIND = 25
    CUTMIX = 26  # to 28


def uniforms(seeds: Tensor, steps: Tensor, samples: int, *, extreme: bool = False) -> Tensor:
    """The numbers of every sample, in [0, 1).

    Args:
        seeds: int64 [u], of the members.
        steps: int64 [u].
        samples: B.
        extreme: every operation at one end of its range, so that a range can be judged by its worst: 0 or 1 only, and
            0 for a flip, which is then certain.

    Returns:
        float64 [u, B, WIDTH], on the CPU.
    """
    drawn = keyed.uniform(keyed.key(seeds, keyed.Purpose.AUGMENT, steps), (samples, WIDTH), torch.float64)
    if extreme:
        drawn = drawn.round()
        drawn[..., [Slot.HFLIP, Slot.VFLIP, Slot.DFLIP]] = 0.0
    return drawn


def either_way(u: Tensor, strength: Tensor) -> Tensor:
    """Uniform in [-strength, strength)."""
    return (2.0 * u - 1.0) * strength


def between(u: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Log-uniform between two factors."""
    return torch.exp(low.log() + u * (high.log() - low.log()))


def beta(seeds: Tensor, steps: Tensor, samples: int, alpha: Tensor) -> Tensor:
    """Beta(alpha, alpha) for each sample, as G1 / (G1 + G2) of two gamma variates.

    Source: G. Marsaglia & W. W. Tsang 2000, "A simple method for generating gamma variables", with shape alpha + 1 and
    the boost U^(1/alpha); in logarithms, so that a small alpha does not end in 0 / 0.

    Args:
        seeds: int64 [u].
        steps: int64 [u].
        samples: B.
        alpha: float64 [u, B], positive.

    Returns:
        float64 [u, B], on the CPU.
    """
    key = keyed.key(seeds, keyed.Purpose.MIX, steps, 0)
    u = keyed.uniform(key, (samples, 2, 3 * ATTEMPTS + 1), torch.float64) + 2.0**-25  # (0, 1)
    a, b, c = u[..., :-1].reshape(*u.shape[:-1], 3, ATTEMPTS).unbind(-2)
    x = torch.sqrt(-2.0 * a.log()) * torch.cos(2.0 * pi * b)
    d = (alpha + 2.0 / 3.0)[..., None, None]
    v = (1.0 + x / torch.sqrt(9.0 * d)) ** 3
    accepted = (v > 0) & (c.log() < 0.5 * x * x + d - d * v + d * v.clamp(min=1e-300).log())
    first = accepted.to(torch.int8).argmax(dim=-1, keepdim=True)
    chosen = torch.where(accepted.any(dim=-1), v.gather(-1, first).squeeze(-1), 1.0)
    log_gamma = (d[..., 0] * chosen).log() + u[..., -1].log() / alpha.unsqueeze(-1)
    return torch.sigmoid(log_gamma[..., 0] - log_gamma[..., 1])


def partners(seeds: Tensor, steps: Tensor, samples: int) -> Tensor:
    """Whom each sample is mixed with: a random order of the batch for each row, int64 [u, B]."""
    key = keyed.key(seeds, keyed.Purpose.MIX, steps, 1)
    return torch.stack([keyed.permutation(each, samples) for each in key])
