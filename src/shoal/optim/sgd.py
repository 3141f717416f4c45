"""Stochastic gradient descent.

    theta <- theta - lr g

The gradient g includes weight_decay theta (coupled decay). No state.

Source: Robbins & Monro 1951, "A stochastic approximation method".
"""

from __future__ import annotations

from torch import Tensor

from shoal.optim.decay import coupled
from shoal.optim.formula import Coefficients, Hyper, Rule, State


def _by_row(hyper: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
    return {"lr": hyper["lr"]}, {}


def _move(theta: Tensor, grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    return theta - coupled(grad, theta, c["weight_decay"]) * c["lr"], {}


SGD = Rule("sgd", slots=(), defaults={"lr": 1e-3, "weight_decay": 0.0}, by_row=_by_row, move=_move)
