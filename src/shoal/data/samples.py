"""One row as a person would look at it: a picture, or the values of its columns."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from shoal.data.dataset import Dataset, TableFeatures

SHOWN_COLUMNS = 8
LARGEST_SIDE = 96  # pixels of a thumbnail


def describe(dataset: Dataset, row: int) -> dict[str, JsonValue]:
    """`{"image": data URI}` for images, `{"values": {column: value}}` for tables, nothing for other kinds."""
    if isinstance(dataset.features, TableFeatures):
        cells = dataset.features.frame.row(row, named=True)
        levels = {column.name: column.levels for column in dataset.schema.columns if column.levels}
        shown = [
            (name, levels[name][int(value)] if name in levels and value is not None else value)
            for name, value in list(cells.items())[:SHOWN_COLUMNS]
        ]
        return {"values": {name: None if value is None else str(value) for name, value in shown}}
    if dataset.kind == "image":
        return {"image": _data_uri(dataset.features.array[row])}
    return {}


def _data_uri(pixels: NDArray[np.generic]) -> str:
    from PIL import Image

    values = np.asarray(pixels)
    if values.dtype != np.uint8:
        low, high = float(values.min()), float(values.max())
        values = ((values - low) / ((high - low) or 1.0) * 255).astype(np.uint8)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    image = Image.fromarray(values)
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    file = io.BytesIO()
    image.save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
