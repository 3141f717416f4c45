"""The optimizer rules by name, the state that they start from, and the driver that applies one in place."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from shoal.core.errors import InputError
from shoal.core.layout import Layout
from shoal.core.names import did_you_mean
from shoal.optim.adadelta import ADADELTA
from shoal.optim.adagrad import ADAGRAD
from shoal.optim.adam import ADAM, AMSGRAD
from shoal.optim.adamp import ADAMP
from shoal.optim.adamw import ADAMW, ADAMW_AMSGRAD
from shoal.optim.formula import Coefficients, Hyper, Rule, State, cut
from shoal.optim.momentum import MOMENTUM
from shoal.optim.nadam import NADAM
from shoal.optim.nesterov import NESTEROV
from shoal.optim.radam import RADAM
from shoal.optim.rmsprop import RMSPROP, RMSPROP_CENTERED, RMSPROP_CENTERED_MOMENTUM, RMSPROP_MOMENTUM
from shoal.optim.sgd import SGD

__all__ = ["BLOCK_ELEMENTS", "RULES", "Hyper", "Layout", "Rule", "State", "advance", "apply", "fresh_state", "rule"]

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

BLOCK_ELEMENTS = 1 << 17
"""Elements of theta that `apply` works on at a time: the pieces of a rule's matrices then stay in cache."""


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


@torch.no_grad()
def apply(
    rule: Rule,
    theta: Tensor,
    grad: Tensor,
    state: State,
    hyper: Hyper,
    step: Tensor,
    layout: Layout | None = None,
    block: int | None = None,
) -> None:
    """One step of every row, in place: writes theta and state.

    Args:
        rule: the optimizer.
        theta: weights [K, P].
        grad: gradient [K, P]; only read.
        state: as `fresh_state` made it.
        hyper: each [K, 1], float64 best; weight_decay anything that broadcasts to [K, P].
        step: [K, 1], each row's own count, 1 at its first update.
        layout: where the parameters lie; only rules that are not elementwise need it.
        block: elements worked on at a time; by default `BLOCK_ELEMENTS` on CPU and all elsewhere.

    Raises:
        InputError: the rule needs a layout and got none.

    What holds: the same numbers as `rule.update`, bit for bit on CPU, whatever the block. What it costs: theta, grad
    and state pass through memory once; a few temporaries of `block` elements.
    """
    rows = {name: state[name] for name in rule.row_start}
    slots = {name: state[name] for name in rule.slots}
    coefficients, new_rows = rule.coefficients(hyper, step, rows, theta.dtype)
    advance(rule, theta, grad, slots, coefficients, layout, block)
    for name, value in new_rows.items():
        state[name].copy_(value)


def advance(
    rule: Rule,
    theta: Tensor,
    grad: Tensor,
    slots: State,
    coefficients: Coefficients,
    layout: Layout | None = None,
    block: int | None = None,
) -> None:
    """The part of `apply` that passes through memory: move theta and the slots [K, P], in place, piece by piece."""
    if block is None:
        block = BLOCK_ELEMENTS if theta.device.type == "cpu" else max(theta.numel(), 1)
    whole = [(theta, grad, slots, coefficients)]
    parts = whole if rule.elementwise else rule.parameters(theta, grad, slots, coefficients, layout)
    for part in parts:
        for weights, gradient, state, numbers in _blocks(*part, block, cuttable=rule.elementwise):
            new_weights, new_state = rule.move(weights, gradient, state, numbers)
            weights.copy_(new_weights)
            for name, value in new_state.items():
                state[name].copy_(value)


def _blocks(
    theta: Tensor, grad: Tensor, slots: State, coefficients: Coefficients, block: int, *, cuttable: bool
) -> Iterator[tuple[Tensor, Tensor, State, Coefficients]]:
    """Views of at most `block` elements: several whole rows, or part of one, so that each is one run of memory.

    Rows are cut only when that is allowed.
    """
    if theta.numel() <= block:
        yield theta, grad, slots, coefficients
        return
    length = theta[0].numel()
    high = max(block // length, 1)
    wide = block if cuttable else length
    for top in range(0, len(theta), high):
        rows = slice(top, top + high)
        for left in range(0, length, wide):
            columns = slice(left, left + wide)
            at = rows if wide >= length else (rows, columns)
            part = {name: slot[at] for name, slot in slots.items()}
            yield theta[at], grad[at], part, {name: cut(value, rows, columns) for name, value in coefficients.items()}
