"""The base of all transformations of numbers: fitted once, on training rows; applied to any rows; inverted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from shoal.core.errors import InputError
from shoal.core.events import Record
from shoal.prepare.fitted import Floats


class Step(Record):
    """One fitted transformation of rows [n, D], in float64. NaN is a missing cell."""

    looks_at: ClassVar[Literal["feature", "row"]] = "feature"  # each feature (channel) alone, or all values of a row

    @property
    @abstractmethod
    def features(self) -> int:
        """D: how many values a row must have."""

    @abstractmethod
    def apply(self, x: Floats) -> Floats:
        """Rows [n, D] to prepared rows [n, D']."""

    @abstractmethod
    def invert(self, y: Floats) -> Floats:
        """Prepared rows [n, D'] back to rows [n, D]."""

    def names(self, inputs: Sequence[str]) -> list[str]:
        """Names of the D' outputs, given those of the inputs."""
        return list(inputs)

    def check(self, x: Floats) -> Floats:
        """The rows as float64.

        Raises:
            InputError: rows have another number of values than at the fit.
        """
        if x.ndim != 2 or x.shape[1] != self.features:
            raise InputError(f"rows of shape {list(x.shape)}; [n, {self.features}] is expected, as at the fit.")
        return np.asarray(x, dtype=np.float64)

    def __eq__(self, other: object) -> bool:
        """Equal kinds with equal numbers, bit for bit."""
        if type(self) is not type(other):
            return False
        mine, theirs = vars(self), vars(other)
        return all(_same(mine[name], theirs[name]) for name in type(self).model_fields)

    __hash__ = None  # type: ignore[assignment]  # arrays have none


def _same(a: object, b: object) -> bool:
    return np.array_equal(a, b) if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) else bool(a == b)
