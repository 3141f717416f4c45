"""How deep the pixels of a data set are, and what is black and white there: one range for all of its images."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError

Depth = Literal["uint8", "uint16", "float32"]
Ends = tuple[float, float]
BITS = (8, 10, 12, 14, 16)  # of cameras and scanners, whose values stand in files of 16
FEW_LEVELS = 64  # whole numbers below it are a coarse scale of their own, such as 0 to 16, and no dark bytes
BLOCK_ROWS = 1024


def ends(values: NDArray[np.generic]) -> Ends:
    """Black and white: a byte's ends, the least number of bits that holds all values, 0 and 1, or the values' own.

    >>> ends(np.array([3, 4000], dtype=np.uint16)), ends(np.array([0.0, 0.5]))
    ((0.0, 4095.0), (0.0, 1.0))
    """
    if values.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(values.min()), float(values.max())
    if values.dtype == np.uint16:
        return 0.0, float(2 ** bits_of(high) - 1)
    if low >= 0.0:
        return 0.0, 1.0 if high <= 1.0 else high
    return low, high if high > low else low + 1.0


def bits_of(top: float) -> int:
    """The least of `BITS` that holds a value.

    >>> bits_of(4000.0), bits_of(65535.0)
    (12, 16)
    """
    return next(bits for bits in BITS if top < 2**bits)


def array_ends(images: NDArray[np.generic]) -> Ends | None:
    """Black and white of an array of images, by its numbers alone; None where these could be on any scale.

    Whole numbers reach from 0 to 2^k - 1 or 2^k, the least that holds all: of a few levels any k, else those of `BITS`.
    Fractions reach from 0 to 1 or to 255, where their maximum is in the upper half of that.

    Args:
        images: [N, ...] of finite numbers.

    >>> array_ends(np.array([0.0, 7.0, 16.0])), array_ends(np.array([0.2, 0.98])), array_ends(np.array([-1.1, 2.3]))
    ((0.0, 16.0), (0.0, 1.0), None)
    """
    low, high = float(images.min()), float(images.max())
    if low < 0.0 or high == 0.0:
        return None
    blocks = (images[start : start + BLOCK_ROWS] for start in range(0, len(images), BLOCK_ROWS))
    if images.dtype.kind == "f" and not all((block == np.rint(block)).all() for block in blocks):
        return next(((0.0, white) for white in (1.0, 255.0) if white / 2 < high <= white), None)
    powers = range(BITS[0]) if high <= FEW_LEVELS else BITS
    return next(((0.0, float(white)) for k in powers for white in (2**k - 1, 2**k) if 0 < white >= high), None)


def array_depth(images: NDArray[np.generic], onto: Ends | None) -> Depth:
    """The depth in which image files join an array: its own where files have it and it holds no coarser scale."""
    if images.dtype == np.uint8 and onto == (0.0, 255.0):
        return "uint8"
    return "uint16" if images.dtype == np.uint16 and onto is not None and onto[1] >= FEW_LEVELS else "float32"


def mapped(values: NDArray[np.generic], to: np.dtype[np.generic], onto: Ends, where: str) -> NDArray[np.generic]:
    """Pixels of another depth in that of the data set: the full range of their type goes linearly onto its range.

    Raises:
        InputError: floating-point values where whole numbers are expected: they have no full range.
    """
    if values.dtype == to:
        return values
    if values.dtype.kind == "f":
        raise InputError(
            f"{where} holds floating-point values and the other images whole numbers: they have no range in common; "
            "write them in one form."
        )
    share = values.astype(np.float64) / (2 ** (8 * values.dtype.itemsize) - 1)
    wide = onto[0] + share * (onto[1] - onto[0])
    found: NDArray[np.generic] = (np.rint(wide) if to.kind == "u" else wide).astype(to)
    return found
