"""Hyperparameters by member: their ranges, and how they become columns [K, 1]."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import inf

import torch
from torch import Tensor

from shoal.core.errors import InputError
from shoal.core.names import did_you_mean
from shoal.optim.formula import Rule

RANGES: Mapping[str, tuple[float, float]] = {
    "lr": (0.0, inf),
    "momentum": (0.0, 1.0),
    "dampening": (0.0, 1.0),
    "weight_decay": (0.0, inf),
    "beta1": (0.0, 1.0),
    "beta2": (0.0, 1.0),
    "eps": (0.0, inf),
    "rho": (0.0, 1.0),
    "alpha": (0.0, 1.0),
    "lr_decay": (0.0, inf),
    "momentum_decay": (0.0, inf),
    "delta": (0.0, inf),
    "wd_ratio": (0.0, 1.0),
    "initial_accumulator_value": (0.0, inf),
    "l1": (0.0, inf),
    "clip_value": (0.0, inf),
}
"""Lowest and highest value of each hyperparameter; the lowest is allowed, the highest except where `_OPEN` names it."""

_OPEN = frozenset({"beta1", "beta2"})  # 1 would never take anything from the gradient, and divide by 0
_MAY_BE_INFINITE = frozenset({"clip_value"})  # then it is off
_SWITCHES = frozenset({"decoupled_weight_decay", "decoupled_l1", "nesterov"})
FOR_EVERY_RULE = ("decoupled_weight_decay", "l1", "decoupled_l1", "clip_value")
"""Hyperparameters of each member that any rule takes besides its own; see `formula.Hyper`."""


def check(name: str, values: float | Sequence[float] | Tensor) -> None:
    """Refuse hyperparameters that no optimizer can work with.

    Args:
        name: as in `RANGES`, or one of the switches `decoupled_weight_decay`, `decoupled_l1` and `nesterov`.
        values: one for all members or one for each.

    Raises:
        InputError: a value is outside the range or not a finite number; the message names the value, the members that
            have such values, and the range.
    """
    column = torch.as_tensor(values, dtype=torch.float64).flatten()
    if name in _SWITCHES:
        good, allowed = (column == 0) | (column == 1), "0 or 1"
    else:
        low, high = RANGES[name]
        below = column < high if name in _OPEN else column <= high
        good = (column >= low) & below & (torch.isfinite(column) | (name in _MAY_BE_INFINITE))
        allowed = "at least 0" if name in _MAY_BE_INFINITE else _words(low, high, name in _OPEN)
    if bool(good.all()):
        return
    bad = torch.nonzero(~good).flatten().tolist()
    whose = "" if len(column) == 1 else f" of member {_some(bad)}" if len(bad) == 1 else f" of members {_some(bad)}"
    raise InputError(f"{name}{whose} is {_some(column[~good].tolist())}; it must be {allowed}.")


def _words(low: float, high: float, is_open: bool) -> str:
    if high == inf:
        return f"a finite number of at least {low:g}"
    return f"at least {low:g} and {'below' if is_open else 'at most'} {high:g}"


def _some(values: Sequence[float]) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:5])
    return f"{shown} and {len(values) - 5} more" if len(values) > 5 else shown


def columns(
    rule: Rule,
    rows: int,
    given: Mapping[str, float | Sequence[float] | Tensor] | None = None,
    device: torch.device | str = "cpu",
) -> dict[str, Tensor]:
    """The hyperparameters of K members as a rule takes them.

    Args:
        rule: whose defaults fill in what is not given.
        rows: K.
        given: by name, one value for all members or K of them.
        device: where the columns go.

    Returns:
        each of `rule.defaults`, and what is given of `FOR_EVERY_RULE`, as a float64 [K, 1].

    Raises:
        InputError: a name that the rule does not have, a wrong number of values, or a value out of its range.

    >>> from shoal.optim import rule
    >>> columns(rule("momentum"), 2, {"lr": [0.1, 0.2]})["lr"].tolist()
    [[0.1], [0.2]]
    """
    given = given or {}
    unknown(rule, given)
    made = {}
    for name, value in {**rule.defaults, **given}.items():
        column = torch.as_tensor(value, dtype=torch.float64, device=device).flatten()
        if len(column) not in (1, rows):
            raise InputError(f"{name} has {len(column)} values for {rows} members; give one, or one for each.")
        check(name, column)
        made[name] = column.expand(rows).unsqueeze(1).clone()
    return made


def unknown(rule: Rule, names: Iterable[str]) -> None:
    """Refuse names that the rule does not have.

    Raises:
        InputError: with the closest names.
    """
    for name in names:
        if name not in rule.defaults and name not in FOR_EVERY_RULE:
            raise InputError(f"The optimizer {rule.name} has no {name}{did_you_mean(name, rule.defaults)}")
