"""The optimizer rules by name, and the state that they start from."""

from __future__ import annotations

import torch

from shoal.core.errors import InputError
from shoal.core.names import did_you_mean
from shoal.optim.adadelta import ADADELTA
from shoal.optim.adagrad import ADAGRAD
from shoal.optim.adam import ADAM, AMSGRAD
from shoal.optim.adamp import ADAMP
from shoal.optim.adamw import ADAMW, ADAMW_AMSGRAD
from shoal.optim.formula import Hyper, Rule, State
from shoal.optim.momentum import MOMENTUM
from shoal.optim.nadam import NADAM
from shoal.optim.nesterov import NESTEROV
from shoal.optim.radam import RADAM
from shoal.optim.rmsprop import RMSPROP, RMSPROP_CENTERED, RMSPROP_CENTERED_MOMENTUM, RMSPROP_MOMENTUM
from shoal.optim.sgd import SGD

__all__ = ["RULES", "Hyper", "Rule", "State", "fresh_state", "rule"]

RULES: dict[str, Rule] = {
    each.name: each
    for each in (
        SGD,
        MOMENTUM,
        NESTEROV,
        ADAGRAD,
        ADADELTA,
        RMSPROP,
        RMSPROP_MOMENTUM,
        RMSPROP_CENTERED,
        RMSPROP_CENTERED_MOMENTUM,
        ADAM,
        AMSGRAD,
        ADAMW,
        ADAMW_AMSGRAD,
        NADAM,
        RADAM,
        ADAMP,
    )
}
"""Every rule by its name. A rule that is listed here is tested by the contract tests."""


def rule(name: str) -> Rule:
    """The rule of that name.

    Raises:
        InputError: there is none; the message has the closest names.

    >>> rule("adam").slots
    ('exp_avg', 'exp_avg_sq')
    """
    if name not in RULES:
        raise InputError(f"There is no optimizer {name!r}{did_you_mean(name, RULES)}")
    return RULES[name]


def fresh_state(
    rule: Rule,
    rows: int,
    parameters: int,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> State:
    """The state of rows that have not made a step.

    Args:
        rule: whose state.
        rows: K.
        parameters: P.
        device: theta's.
        dtype: theta's.

    Returns:
        slots [K, P] in theta's type, all zero, and row slots [K, 1] in float64 at their start values.
    """
    state = {name: torch.zeros(rows, parameters, device=device, dtype=dtype) for name in rule.slots}
    for name, value in rule.row_start.items():
        state[name] = torch.full((rows, 1), value, device=device, dtype=torch.float64)
    return state
