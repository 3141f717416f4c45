"""The pixel values of prepared inputs, for augmentations that change colours or fill borders with black."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shoal.augment import Pixels, black_and_white
from shoal.core.errors import InputError
from shoal.data import ArrayFeatures, Dataset
from shoal.data.depth import Ends, array_ends, ends
from shoal.prepare.preparation import Preparation

MOST_ROWS = 4000  # training rows that black and white are read from


def pixels(preparation: Preparation, dataset: Dataset, train: NDArray[np.int64]) -> Pixels:
    """The affine map from prepared inputs to pixels, 0 black and 1 white, channel by channel.

    Args:
        preparation: of signals, images or volumes.
        dataset: their rows.
        train: the training rows; black and white are read from no other row.

    Raises:
        InputError: the preparation treats positions of a picture differently (PCA, whitening, statistics by pixel), so
            that a moved picture is no longer a picture.
    """
    values = preparation.invert(np.stack([np.full(preparation.shape, value) for value in (0.0, 1.0)]))
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
    return Pixels.standardised(mean.tolist(), (one - mean).tolist(), *_black_and_white(dataset, train))


def _black_and_white(dataset: Dataset, train: NDArray[np.int64]) -> Ends:
    """Values of black and white by the rule of the schema, but from training rows instead of all rows."""
    if not isinstance(dataset.features, ArrayFeatures):
        raise InputError(f"{dataset.source} is a table: it has no pixels.")
    stored = dataset.features.array[train[:: -(-len(train) // MOST_ROWS)]]
    if dataset.kind != "image":
        return black_and_white(stored)
    return ends(stored) if dataset.schema.image_mode else array_ends(stored) or black_and_white(stored)
