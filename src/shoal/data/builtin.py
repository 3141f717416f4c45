"""The small data sets that scikit-learn ships: nothing to download."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from shoal.core.reading import Reading
from shoal.data.arrays import Arrays, array_dataset
from shoal.data.dataset import Dataset

NAMES = ("digits", "wine", "breast_cancer", "iris", "diabetes")


def builtin_dataset(name: str, reading: Reading) -> Dataset:
    """One of `NAMES`; digits are 1797 images of 8x8, the others tables."""
    bunch: Any = getattr(importlib.import_module("sklearn.datasets"), f"load_{name}")()
    kind = reading.kind
    images = name == "digits" and kind in (None, "image")
    x = bunch.images.astype(np.float32) if images else bunch.data
    names = tuple(str(each) for each in bunch.target_names) if "target_names" in bunch else None
    arrays = Arrays(x=x, y=bunch.target, split=None, names=names, extra={}, unused=())
    labels = None if images or kind == "signal" else tuple(str(each) for each in bunch.feature_names)
    asked = reading.but(kind="image" if images else kind or "table")
    return array_dataset(arrays, asked, name=name, source=name, feature_names=labels)
