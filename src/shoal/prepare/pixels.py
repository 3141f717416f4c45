"""What prepared inputs mean as pixels, for whoever changes colours or fills borders with black."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.augment import Pixels, black_and_white
from shoal.core.errors import InputError
from shoal.prepare.preparation import Preparation


def pixels(preparation: Preparation, stored: NDArray[np.generic], known: tuple[float, float] | None = None) -> Pixels:
    """The affine map from prepared inputs to pixels, 0 black and 1 white, channel by channel.

    Args:
        preparation: of signals, images or volumes.
        stored: some rows as they were read; they say what black and white are where `known` does not.
        known: black and white of the data set.

    Raises:
        InputError: the preparation treats places of a picture differently (PCA, whitening, statistics by pixel), so
            that a moved picture is no longer a picture.
    """
    ends = np.stack([np.full(preparation.shape, value) for value in (0.0, 1.0)])
    values = preparation.invert(ends)
    kind = preparation.arrays.kind if preparation.arrays else "table"
    if kind != "signal":
        values = np.moveaxis(values, -1, 1) if values.ndim - 1 == len(preparation.shape) else values[:, None]
    flat = values.reshape(2, values.shape[1], -1)  # [ends, C, places]
    if not np.allclose(flat, flat[..., :1], rtol=1e-6, atol=1e-6 * float(np.abs(flat).max())):
        raise InputError(
            f"augment: prepare={preparation.how} treats every place of a sample differently, and augmentation moves "
            "places: use one that scales whole channels."
        )
    if kind == "signal":
        return Pixels()
    mean, one = flat[0, :, 0], flat[1, :, 0]
    return Pixels.standardised(mean.tolist(), (one - mean).tolist(), *(known or black_and_white(stored)))
