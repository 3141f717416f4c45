"""Factors on the learning rate and the penalties of some parameters, by their names; the same for all rows.

Good networks for tables need them: embeddings learn at a tenth of the rate, scales never decay. In torch.optim
parameter groups do this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from pydantic import Field, ValidationError

from shoal.core.errors import InputError
from shoal.core.events import Record
from shoal.core.names import did_you_mean


class Multiplier(Record):
    """Factors for one pattern of names."""

    lr: float | None = Field(default=None, ge=0, allow_inf_nan=False)  # None: 1, or what an earlier pattern says
    weight_decay: float | None = Field(
        default=None, ge=0, allow_inf_nan=False
    )  # of L1 too; None: 1 for matrices, else 0


Multipliers = Mapping[str, Multiplier | Mapping[str, float]]
"""By pattern of parameter names, with `*`, `?` and `[...]`; where several fit, the last one that says something counts.

`{"embedding.*": {"lr": 0.1}, "*.bias": {"weight_decay": 1.0}}`
"""


def checked(multipliers: Multipliers | None) -> dict[str, Multiplier]:
    """Multipliers as validated records.

    Raises:
        InputError: they are no mapping of patterns to factors, or a factor is unknown or negative.
    """
    if multipliers is None:
        return {}
    if not isinstance(multipliers, Mapping):
        raise InputError(f"multipliers={multipliers!r}: give a mapping such as {{'embedding.*': {{'lr': 0.1}}}}.")
    found = {}
    for pattern, factors in multipliers.items():
        try:
            found[pattern] = factors if isinstance(factors, Multiplier) else Multiplier.model_validate(dict(factors))
        except (ValidationError, TypeError, ValueError):
            raise InputError(
                f"multipliers: {pattern!r}: {factors!r} must be lr or weight_decay, or both, each 0 or more."
            ) from None
    return found


def by_parameter(multipliers: Mapping[str, Multiplier], names: Sequence[str]) -> list[Multiplier]:
    """The factors of each parameter; None where no pattern says anything.

    Raises:
        InputError: a pattern fits no parameter.

    >>> found = by_parameter(checked({"*": {"lr": 0.5}, "0.*": {"weight_decay": 0}}), ["0.weight", "2.weight"])
    >>> [(each.lr, each.weight_decay) for each in found]
    [(0.5, 0.0), (0.5, None)]
    """
    for pattern in multipliers:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(
                f"multipliers: no trainable parameter is called {pattern!r}{did_you_mean(pattern, names)}."
            )
    found = []
    for name in names:
        fitting = [each for pattern, each in multipliers.items() if fnmatchcase(name, pattern)]
        said = {key: value for each in fitting for key, value in each.model_dump(exclude_none=True).items()}
        found.append(Multiplier(**said))
    return found
