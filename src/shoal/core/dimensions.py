"""The hyperparameters that a search looks for: what each may be, what has a meaning, and where to look first.

One table: settings refuse a range by it, the search moves bounds by it, and the recipe begins with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from shoal.core.errors import InputError
from shoal.core.events import Interval
from shoal.core.names import did_you_mean


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter.

    Args:
        log: it is searched by powers; else on a linear scale.
        allowed: lowest and highest value that can be trained with.
        low_allowed: the lowest itself can be.
        high_allowed: the highest itself can be.
        useful: beyond these no search goes of its own: a value has no effect there, or ruins every training.
        first: where a search looks first, by optimizer; `""` stands for all others.
    """

    log: bool
    allowed: Interval
    useful: Interval
    low_allowed: bool = True
    high_allowed: bool = False
    first: Mapping[str, Interval] = field(default_factory=dict)

    def first_for(self, optimizer: str) -> Interval:
        """Where a search with this optimizer looks first."""
        return self.first[optimizer] if optimizer in self.first else self.first[""]


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
    "momentum": Dimension(log=False, allowed=(0.0, 1.0), useful=(0.0, 0.999)),
    "dropout": Dimension(
        log=False,
        allowed=(0.0, 1.0),  # of 1 no unit would be left
        useful=(0.0, 0.9),
        first={"": (0.0, 0.5)},
    ),
    "label_smoothing": Dimension(
        log=False,
        allowed=(0.0, 1.0),  # of 1 no label would be left
        useful=(0.0, 0.5),
        first={"": (0.0, 0.15)},
    ),
    "augment": Dimension(  # share of the strengths that are allowed
        log=False, allowed=(0.0, 1.0), high_allowed=True, useful=(0.0, 1.0), first={"": (0.0, 1.0)}
    ),
}


def check_range(name: str, low: float, high: float) -> None:
    """Refuse a range that cannot be searched.

    Raises:
        InputError: there is no such hyperparameter, or the range is empty or leaves what it may be.
    """
    if name not in DIMENSIONS:
        raise InputError(f"there is no hyperparameter `{name}` to give a range for{did_you_mean(name, DIMENSIONS)}")
    of = DIMENSIONS[name]
    least, most = of.allowed
    above = least <= low if of.low_allowed else least < low
    below = high <= most if of.high_allowed else high < most
    if not (above and below and low < high):
        bound = f"from {least:g}" if of.low_allowed else f"above {least:g}"
        upto = "" if math.isinf(most) else f" to {most:g}" if of.high_allowed else f" to less than {most:g}"
        raise InputError(
            f"the range {low:g} to {high:g} of `{name}` cannot be searched: "
            f"the lower bound must be below the upper one, and both {bound}{upto}"
        )
