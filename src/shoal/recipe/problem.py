"""What the recipe is given: tensors, a network to start from, and a test set under seal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from shoal import losses
from shoal.augment import Augment, Pixels
from shoal.core.events import Interval, Kind
from shoal.core.settings import Precision
from shoal.diagnose import crowding
from shoal.experiment import Architecture, Runner
from shoal.task import Part, Sealed, Split

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """A prepared task."""

    train: Part
    validation: Part
    test: Sealed
    classes: tuple[str, ...] | None
    network: Architecture
    scale: float = 1.0  # of the targets: their standard deviation in the user's unit, 1 for classes
    shift: float = 0.0
    device: str = "cpu"
    kind: Kind = "table"
    inputs: tuple[str, ...] = ()  # names of a table's prepared inputs
    pixels: Pixels | None = None  # what the inputs' numbers mean; None where they are no pixels in places
    describe_row: Callable[[int], Mapping[str, JsonValue]] = field(default=lambda row: {})  # a test row, for the report

    @property
    def split(self) -> Split:
        """The rows that are trained on, and those that choose."""
        return Split(train=self.train, validation=self.validation, pixels=self.pixels)

    @property
    def loss(self) -> losses.Loss:
        """Cross-entropy for classes, squared error for numbers."""
        return losses.find("cross_entropy" if self.classes is not None else "squared_error")

    @property
    def metric(self) -> str:
        """Name of the score: it goes up."""
        return self.loss.metric_name

    def crowding(self) -> str:
        """Where to look first when nothing is learned: a few far values that hide the rest; mostly the empty string."""
        return crowding.advice(self.train.x, self.train.y, self.inputs, self.classes is not None)


@dataclass(frozen=True)
class Options:
    """What the user fixed."""

    seed: int = 0
    ranges: Mapping[str, Interval] = field(default_factory=dict)
    epochs: int | None = None
    batch_size: int | None = None
    precision: Precision = "float32"
    runner: Runner | None = None  # where networks are trained; None: in this process
    augment: Augment | None = None  # at most so; None: the default for the kind of data
