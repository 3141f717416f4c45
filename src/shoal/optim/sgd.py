"""Stochastic gradient descent.

    theta <- theta - lr g

Coupled decay. No state.

Source: Robbins & Monro 1951, "A stochastic approximation method".
"""

from __future__ import annotations

from torch import Tensor

from shoal.optim.formula import Coefficients, Hyper, Rule, State


def _by_row(hyper: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
    return {"lr": hyper["lr"]}, {}


def _by_weight(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    return grad * c["lr"], {}


SGD = Rule("sgd", slots=(), defaults={"lr": 1e-3, "weight_decay": 0.0}, by_row=_by_row, by_weight=_by_weight)
