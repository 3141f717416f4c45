"""The hyperparameters that can be searched and compared: what each may be, what has a meaning, where to look first.

One table: settings refuse a range by it, the search moves bounds by it, the recipe begins with it, and a comparison
reads its levels by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from shoal.core.errors import InputError
from shoal.core.events import Interval
from shoal.core.names import did_you_mean

Value = float | str
"""Of a hyperparameter: a number (whole, of an integer dimension), or one of a choice."""


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter.

    Args:
        kind: its values are numbers, whole numbers, or names; what there is to choose from, the search is told.
        log: it is searched by powers; else on a linear scale.
        allowed: lowest and highest value that can be trained with.
        low_allowed: the lowest itself can be.
        high_allowed: the highest itself can be.
        useful: beyond these no search goes of its own: a value has no effect there, or ruins every training.
        first: where a search looks first, by optimizer; `""` stands for all others.
        structural: it decides the network's size or the batches: trials that differ in it cannot stand in one
            population.
        needs: it has a meaning only where these other dimensions have one of these values.
    """

    log: bool = False
    allowed: Interval = (-math.inf, math.inf)
    useful: Interval = (-math.inf, math.inf)
    low_allowed: bool = True
    high_allowed: bool = False
    first: Mapping[str, Interval] = field(default_factory=dict)
    kind: Literal["float", "integer", "choice"] = "float"
    structural: bool = False
    needs: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    def first_for(self, optimizer: str) -> Interval:
        """Where a search with this optimizer looks first."""
        return self.first[optimizer] if optimizer in self.first else self.first[""]

    def allows(self, value: float) -> bool:
        """A number that can be trained with."""
        least, most = self.allowed
        above = least <= value if self.low_allowed else least < value
        return above and (value <= most if self.high_allowed else value < most)

    def said(self) -> str:
        """What it may be, in words: `from 0 to less than 1`."""
        least, most = self.allowed
        low = f"from {least:g}" if self.low_allowed else f"above {least:g}"
        return low + ("" if math.isinf(most) else f" to {most:g}" if self.high_allowed else f" to less than {most:g}")


WITH_MOMENTUM = ("momentum", "nesterov", "rmsprop_momentum", "rmsprop_centered_momentum")

DIMENSIONS: Mapping[str, Dimension] = {
    "lr": Dimension(log=True, allowed=(0.0, math.inf), low_allowed=False, useful=(1e-10, 1e2)),  # step 3 says where
    "weight_decay": Dimension(
        log=True,
        allowed=(0.0, math.inf),
        low_allowed=False,
        useful=(1e-10, 1e2),
        first={
            "adamw": (1e-4, 1.0),  # decoupled: the share of a weight that lr = 1 would take away
            "": (1e-6, 1e-2),  # coupled: added to the gradient
        },
    ),
    "momentum": Dimension(allowed=(0.0, 1.0), useful=(0.0, 0.999), needs={"optimizer": WITH_MOMENTUM}),
    "dropout": Dimension(
        allowed=(0.0, 1.0),  # of 1 no unit would be left
        useful=(0.0, 0.9),
        first={"": (0.0, 0.5)},
    ),
    "label_smoothing": Dimension(
        allowed=(0.0, 1.0),  # of 1 no label would be left
        useful=(0.0, 0.5),
        first={"": (0.0, 0.15)},
    ),
    "augment": Dimension(  # share of the strengths that are allowed
        allowed=(0.0, 1.0), high_allowed=True, useful=(0.0, 1.0), first={"": (0.0, 1.0)}
    ),
    "optimizer": Dimension(kind="choice"),
    "init": Dimension(kind="choice"),
    "schedule": Dimension(kind="choice"),
    "width": Dimension(
        kind="integer", log=True, allowed=(1.0, 65536.0), high_allowed=True, useful=(4.0, 4096.0), structural=True
    ),
    "depth": Dimension(kind="integer", allowed=(1.0, 64.0), high_allowed=True, useful=(1.0, 8.0), structural=True),
    "batch_size": Dimension(
        kind="integer", log=True, allowed=(1.0, 65536.0), high_allowed=True, useful=(4.0, 4096.0), structural=True
    ),
}


def applies(name: str, values: Mapping[str, Value]) -> bool:
    """Whether a dimension has a meaning beside these values of others; one that is not named speaks against nothing.

    >>> applies("momentum", {"optimizer": "nesterov"}), applies("momentum", {"optimizer": "adamw"})
    (True, False)
    """
    return all(values.get(other, wanted[0]) in wanted for other, wanted in DIMENSIONS[name].needs.items())


def check_range(name: str, low: float, high: float) -> None:
    """Refuse a range that cannot be searched.

    Raises:
        InputError: there is no such hyperparameter, or the range is empty or leaves what it may be.
    """
    if name not in DIMENSIONS:
        raise InputError(f"there is no hyperparameter `{name}` to give a range for{did_you_mean(name, DIMENSIONS)}")
    of = DIMENSIONS[name]
    if of.kind == "choice":
        raise InputError(f"`{name}` has no range: its values are names")
    if not (of.allows(low) and of.allows(high) and low < high):
        raise InputError(
            f"the range {low:g} to {high:g} of `{name}` cannot be searched: "
            f"the lower bound must be below the upper one, and both {of.said()}"
        )
    if of.kind == "integer" and not (low.is_integer() and high.is_integer()):
        raise InputError(f"the range {low:g} to {high:g} of `{name}` cannot be searched: its bounds are whole numbers")
