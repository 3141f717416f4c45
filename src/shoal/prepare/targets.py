"""Targets encoded for the loss, and a network's outputs decoded to the user's classes and units."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Record
from shoal.data import Dataset
from shoal.data.schema import ClassType

Answers = NDArray[np.str_] | NDArray[np.int64] | NDArray[np.float64] | NDArray[np.bool_]

_AS: Mapping[ClassType, Callable[[tuple[str, ...]], Answers]] = {
    "text": lambda names: np.asarray(names),
    "integer": lambda names: np.array([int(name) for name in names], dtype=np.int64),
    "number": lambda names: np.array([float(name) for name in names], dtype=np.float64),
    "boolean": lambda names: np.array([name.lower() == "true" for name in names]),
}


class TargetScaling(Record):
    """Class codes and their names, or (y - mean) / std with the statistics of the training rows."""

    classes: tuple[str, ...] | None = None
    class_type: ClassType = "text"  # in which they were given
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def fit(cls, dataset: Dataset, rows: NDArray[np.int64]) -> TargetScaling:
        """Fit on the given rows.

        Raises:
            InputError: all of them have the same value: there is no spread to scale by.
        """
        if dataset.classes is not None:
            return cls(classes=dataset.classes, class_type=dataset.schema.class_type)
        values = np.asarray(dataset.target[rows], dtype=np.float64)
        spread = float(values.std()) if len(values) else 0.0
        if not spread > 0:
            raise InputError(
                f"{dataset.source}: the {len(values)} training rows have one target value; there is nothing to learn."
            )
        return cls(mean=float(values.mean()), std=spread)

    def encode(self, target: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.int64] | NDArray[np.float32]:
        """Codes int64 [N], or standardised values float32 [N, 1]."""
        if self.classes is not None:
            return np.asarray(target, dtype=np.int64)
        return ((np.asarray(target, dtype=np.float64) - self.mean) / self.std).astype(np.float32)[:, None]

    def decode(self, outputs: NDArray[np.floating] | NDArray[np.integer]) -> Answers:
        """A network's outputs in the user's terms: what is predicted equals the target as it was given.

        Args:
            outputs: classification: scores [..., N, C], or codes [N] of integers; regression: [..., N, 1], or [N].

        Returns:
            Labels [..., N] in the type in which the classes were given: str, int64, float64 or bool; or values float64
            [..., N].
        """
        if self.classes is not None:
            codes = outputs if outputs.dtype.kind in "iu" else outputs.argmax(axis=-1)
            labels: Answers = _AS[self.class_type](self.classes)[codes]
            return labels
        values = np.asarray(outputs, dtype=np.float64)
        if values.ndim > 1 and values.shape[-1] == 1:
            values = values[..., 0]
        return np.asarray(values * self.std + self.mean, dtype=np.float64)

    def to_json(self) -> str:
        """As text; numbers come back bit for bit."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> TargetScaling:
        """What `to_json` wrote."""
        return cls.model_validate_json(text)
