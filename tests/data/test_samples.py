"""One row as a person looks at it."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from shoal.data import read
from shoal.data.samples import BAND, INK, PAPER, describe

Y = np.arange(8) % 2


def picture(x: NDArray[Any], kind: Any, row: int = 0) -> NDArray[np.uint8]:
    uri = describe(read((x, Y), kind=kind), row)["image"]
    assert isinstance(uri, str)
    head, _, body = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(body))))


def test_an_image_is_shown_as_it_is() -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 12, 10)).astype(np.uint8)
    assert np.array_equal(picture(x, "image", 3), x[3])


def test_two_or_more_than_three_channels_are_shown_by_their_mean() -> None:
    for channels in (2, 4, 13):
        x = np.random.default_rng(0).integers(0, 256, (8, 27, 30, channels)).astype(np.uint8)
        assert np.array_equal(picture(x, "image", 3), x[3].mean(axis=-1).astype(np.uint8))
    x = np.random.default_rng(0).integers(0, 256, (8, 5, 12, 14, 2)).astype(np.uint8)
    assert np.array_equal(picture(x, "volume", 1), x[1].max(axis=0).mean(axis=-1).astype(np.uint8))


def test_a_volume_is_shown_by_its_largest_values_along_the_first_axis() -> None:
    x = np.random.default_rng(0).integers(0, 256, (8, 5, 12, 10)).astype(np.uint8)
    assert np.array_equal(picture(x, "volume", 2), x[2].max(axis=0))


def test_a_signal_is_a_curve_for_each_channel() -> None:
    length = BAND[0] - 2  # a sample a pixel
    rising, still = np.linspace(-300, 900, length), np.full(length, 7.0)
    shown = picture(np.stack([np.stack([rising, still])] * 8), "signal")
    assert shown.shape == (2 * BAND[1], BAND[0])
    assert set(np.unique(shown)) == {INK, PAPER}
    upper, lower = shown[: BAND[1]] == INK, shown[BAND[1] :] == INK
    height = [int(np.flatnonzero(upper[:, column]).mean()) for column in range(1, length + 1)]
    assert height[0] > BAND[1] - 5 and height[-1] < 5 and height == sorted(height, reverse=True)
    assert lower.any(axis=1).sum() == 1


def test_a_row_of_a_table_is_its_values() -> None:
    frame = pl.DataFrame({"a": [1.5, 2.0] * 4, "b": ["x", None] * 4, "y": ["no", "yes"] * 4})
    assert describe(read(frame, target="y"), 1)["values"] == {"a": "2.0", "b": None}
