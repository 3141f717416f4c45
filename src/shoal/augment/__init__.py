"""Augmentation: batch to batch, given keys and strengths that may differ by row."""

from __future__ import annotations

from shoal.augment.augmentation import Augmentation, Augmented
from shoal.augment.colour import Pixels, black_and_white
from shoal.augment.crops import average, crops
from shoal.augment.settings import OPERATIONS, PRESETS, Augment, check, default_for, of, parse

__all__ = [
    "OPERATIONS",
    "PRESETS",
    "Augment",
    "Augmentation",
    "Augmented",
    "Pixels",
    "average",
    "black_and_white",
    "check",
    "crops",
    "default_for",
    "of",
    "parse",
]
