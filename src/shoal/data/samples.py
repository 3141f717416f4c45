"""One row as a person would look at it: a picture, or the values of its columns."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from shoal.data.dataset import Dataset, TableFeatures

SHOWN_COLUMNS = 8
LARGEST_SIDE = 96  # pixels of a thumbnail
BAND, MOST_BANDS = (96, 32), 4  # pixels of a drawn channel; channels that are drawn
PAPER, INK = 255, 40  # grey


def describe(dataset: Dataset, row: int) -> dict[str, JsonValue]:
    """`{"values": {column: value}}` for tables, `{"image": data URI}` for all else.

    An image of one or three channels is shown as it is, of another number by their mean; a volume by the largest values
    along its first axis, a signal as a curve for each of its channels.
    """
    if isinstance(dataset.features, TableFeatures):
        cells = dataset.features.frame.row(row, named=True)
        levels = {column.name: column.levels for column in dataset.schema.columns if column.levels}
        shown = [
            (name, levels[name][int(value)] if name in levels and value is not None else value)
            for name, value in list(cells.items())[:SHOWN_COLUMNS]
        ]
        return {"values": {name: None if value is None else str(value) for name, value in shown}}
    values = dataset.features.array[row]
    if dataset.kind == "volume":
        values = np.asarray(values.max(axis=0))
    return {"image": _data_uri(_curves(values) if dataset.kind == "signal" else values, dataset.schema.ends)}


def _curves(signal: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Channels [C, L] one below the other, each from its lowest to its highest value."""
    from PIL import Image, ImageDraw

    (width, height), channels = BAND, np.asarray(signal[:MOST_BANDS], dtype=np.float64)
    image = Image.new("L", (width, height * len(channels)), PAPER)
    pen = ImageDraw.Draw(image)
    for number, channel in enumerate(channels):
        spread = np.ptp(channel)
        share = (channel - channel.min()) / spread if spread > 0 else np.full(len(channel), 0.5)
        across = np.linspace(1, width - 2, len(channel))
        down = number * height + 2 + (1 - share) * (height - 5)
        pen.line(list(zip(across.tolist(), down.tolist(), strict=True)), fill=INK)
    return np.asarray(image)


def _viewable(pixels: NDArray[Any]) -> NDArray[Any]:
    """[H, W] or [H, W, 3]: of any other number of channels their mean, as grey."""
    if pixels.ndim == 2 or pixels.shape[-1] == 3:
        return pixels
    mean: NDArray[Any] = pixels.mean(axis=-1)
    return mean.astype(pixels.dtype) if pixels.dtype.kind in "iu" else mean


def _data_uri(pixels: NDArray[np.generic], ends: tuple[float, float] | None) -> str:
    from PIL import Image

    values = _viewable(np.asarray(pixels))
    if values.dtype != np.uint8:
        low, high = ends or (float(values.min()), float(values.max()))
        values = ((values - low) / ((high - low) or 1.0) * 255).astype(np.uint8)
    image = Image.fromarray(values)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    file = io.BytesIO()
    image.save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
