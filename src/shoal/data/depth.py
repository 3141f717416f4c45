"""How deep the pixels of a data set are, and what is black and white there: one range for all of its images."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError

Depth = Literal["uint8", "uint16", "float32"]
Ends = tuple[float, float]
BITS = (8, 10, 12, 14, 16)  # of cameras and scanners, whose values stand in files of 16


def ends(values: NDArray[np.generic]) -> Ends:
    """Black and white: a byte's ends, the least number of bits that holds all values, 0 and 1, or the values' own.

    >>> ends(np.array([3, 4000], dtype=np.uint16)), ends(np.array([0.0, 0.5]))
    ((0.0, 4095.0), (0.0, 1.0))
    """
    if values.dtype == np.uint8:
        return 0.0, 255.0
    low, high = float(values.min()), float(values.max())
    if values.dtype == np.uint16:
        return 0.0, float(next(2**bits - 1 for bits in BITS if high < 2**bits))
    if low >= 0.0:
        return 0.0, 1.0 if high <= 1.0 else high
    return low, high if high > low else low + 1.0


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
