"""Keyed random numbers: every draw is a pure function of (seed, purpose, ..., element), on any device.

No generator holds a state, so a draw does not depend on who else draws, in which order, in how many chunks or threads.
Two members with one seed share every draw; that is what pairs them in a comparison.

A *key* is two 32-bit words per seed, made by `key` with the SplitMix64 finalizer (Steele, Lea & Flood 2014, "Fast
splittable pseudorandom number generators"). `bits` hashes the element's number by a 32-bit multiply-xorshift mixer with
full avalanche (the constants are those of C. Wellons' hash prospector, 2018), then combines it with the key's words and
mixes again. Integer arithmetic only, so the bits are the same everywhere and `vmap` and `compile` go through.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from math import pi, prod

import torch
from torch import Tensor

_GOLDEN_64 = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed integer
_MIX_A, _MIX_B = -4658895280553007687, -7723592293110705685  # SplitMix64's multipliers
_MUL_A, _MUL_B = 0x7FEB352D, 0x846CA68B - (1 << 32)


class Purpose(IntEnum):
    """What a draw is for: draws of different purposes are independent."""

    INIT = 1
    ORDER = 2
    DROPOUT = 3
    SEARCH = 4
    SAMPLE = 5
    BOOTSTRAP = 6
    INPUT_NOISE = 7
    WEIGHT_NOISE = 8
    DROPCONNECT = 9
    AUGMENT = 20
    AUGMENT_NOISE = 21
    CHANNEL_DROP = 22
    MIX = 23


def _finalize(z: Tensor) -> Tensor:
    """SplitMix64's finalizer on int64, with logical shifts written as masks."""
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * _MIX_A
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * _MIX_B
    return z ^ ((z >> 31) & 0x1FFFFFFFF)


def key(seed: int | Sequence[int] | Tensor, *parts: int | Tensor) -> Tensor:
    """The key of a draw: the seed, then what the draw is for.

    Args:
        seed: one seed, or seeds of shape [K]; any 64-bit integers.
        parts: what tells this draw from others of the same seed: a `Purpose`, then a step, a layer, ...; a number,
            or an int64 tensor that broadcasts with `seed`.

    Returns:
        int32 [2] for one seed, [K, 2] for K seeds, [..., 2] as the arguments broadcast.

    >>> key(7, Purpose.ORDER, 3).tolist() == key([1, 7], Purpose.ORDER, 3)[1].tolist()
    True
    """
    z = torch.as_tensor(seed, dtype=torch.int64)
    z = _finalize(z + _GOLDEN_64)
    for part in parts:
        z = _finalize((z ^ (part if isinstance(part, Tensor) else int(part))) + _GOLDEN_64)
    return torch.stack([(z << 32) >> 32, z >> 32], dim=-1).to(torch.int32)


def _words(key: Tensor, n: int) -> Tensor:
    """The hash before its last shift: the high bits are fully mixed, the low ones are not yet."""
    x = torch.arange(n, dtype=torch.int32, device=key.device)
    x = (x ^ ((x >> 16) & 0xFFFF)) * _MUL_A
    x = (x ^ ((x >> 15) & 0x1FFFF)) * _MUL_B
    x = x ^ ((x >> 16) & 0xFFFF)  # so far once for all keys; from here on for each
    x = (x ^ key[..., :1]) * (key[..., 1:] | 1)
    return (x ^ ((x >> 15) & 0x1FFFF)) * _MUL_A


def bits(key: Tensor, n: int) -> Tensor:
    """n hashed words for each key.

    Args:
        key: int32 [..., 2], of `key`.
        n: how many elements, at most 2**31.

    Returns:
        int32 [..., n], uniform over all 32-bit words.
    """
    x = _words(key, n)
    return x ^ ((x >> 16) & 0xFFFF)


def bernoulli(key: Tensor, p: Tensor, shape: Sequence[int]) -> Tensor:
    """True with probability p, to 2**-32.

    Args:
        key: int32 [..., 2].
        p: probability of each key, [...], in [0, 1); several of one key see the same draws.
        shape: shape of each key's draws.

    Returns:
        bool [..., *shape].
    """
    wall = (p.double() * 2.0**32 - 2.0**31).to(torch.int32)  # p of all signed words lie below
    below = _words(key, prod(shape)) < wall.unsqueeze(-1)
    return below.reshape(*below.shape[:-1], *shape)


def uniform(key: Tensor, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Uniform draws from the 2**24 multiples of 2**-24 in [0, 1).

    Args:
        key: int32 [..., 2].
        shape: shape of each key's draws.
        dtype: floating-point type of the result; the values are the same in every type.

    Returns:
        [..., *shape].
    """
    words = (bits(key, prod(shape)) >> 8) & 0xFFFFFF
    return (words.to(dtype) * 2.0**-24).reshape(*key.shape[:-1], *shape)


def normal(key: Tensor, shape: Sequence[int]) -> Tensor:
    """Standard-normal draws by Box and Muller's transform (1958), in float64.

    Args:
        key: int32 [..., 2]; computed on the CPU, so the digits do not depend on the device.
        shape: shape of each key's draws.

    Returns:
        float64 [..., *shape] on the CPU.
    """
    n = prod(shape)
    half = (n + 1) // 2
    words = (bits(key.cpu(), 4 * half).to(torch.int64) & 0xFFFFFFFF).reshape(*key.shape[:-1], half, 2, 2)
    # 53 bits from two words each; the first uniform is in (0, 1] so that its logarithm is finite
    u = ((words[..., 0] << 21) + (words[..., 1] >> 11)).to(torch.float64)
    radius = torch.sqrt(-2.0 * torch.log((u[..., 0] + 1.0) * 2.0**-53))
    angle = 2.0 * pi * u[..., 1] * 2.0**-53
    draws = torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1).flatten(-2)
    return draws[..., :n].reshape(*key.shape[:-1], *shape)


def gaussian(key: Tensor, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Standard-normal draws where they are needed: on the key's device, in one pass, to the digits of `dtype`.

    For noise. Initial weights are drawn by `normal`, whose digits are the same on every device.

    Args:
        key: int32 [..., 2].
        shape: shape of each key's draws.
        dtype: floating-point type that is computed in; float32 has tails to 5.8 standard deviations.

    Returns:
        [..., *shape].
    """
    n = prod(shape)
    words = (bits(key, 2 * n) >> 8) & 0xFFFFFF
    u = ((words.to(dtype) + 0.5) * 2.0**-24).reshape(*key.shape[:-1], n, 2)
    radius = torch.sqrt(-2.0 * torch.log(u[..., 0]))
    return (radius * torch.cos(2.0 * pi * u[..., 1])).reshape(*key.shape[:-1], *shape)


def permutation(key: Tensor, n: int) -> Tensor:
    """A random order of 0..n-1: the elements sorted by their hashed words, ties by number.

    Args:
        key: int32 [2].
        n: how many elements.

    Returns:
        int64 [n].
    """
    words = bits(key, n).to(torch.int64)
    return torch.argsort((words << 31) + torch.arange(n, device=key.device))
