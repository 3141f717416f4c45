"""Gradient descent with momentum.

    v     <- momentum v + (1 - dampening) g          (v = g at the first step)
    theta <- theta - lr v

As in torch.optim the learning rate stands outside the velocity, so a change of lr acts at once; Polyak's form keeps it
inside, and agrees as long as lr is constant. Coupled decay. One copy of theta.

Source: Polyak 1964, "Some methods of speeding up the convergence of iteration methods".
"""

from __future__ import annotations

import torch
from torch import Tensor

from shoal.optim.formula import Coefficients, Hyper, Rule, State


def velocity(grad: Tensor, state: State, c: Coefficients) -> Tensor:
    """The new velocity v."""
    return state["momentum_buffer"] * c["momentum"] + grad * c["gain"]


def by_row(hyper: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
    """The coefficients of `velocity` and the learning rate; torch does not dampen the first gradient."""
    gain = torch.where(step == 1, torch.ones_like(step), 1 - hyper["dampening"])
    return {"lr": hyper["lr"], "momentum": hyper["momentum"], "gain": gain}, {}


def _by_weight(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    v = velocity(grad, state, c)
    return v * c["lr"], {"momentum_buffer": v}


MOMENTUM = Rule(
    "momentum",
    slots=("momentum_buffer",),
    defaults={"lr": 1e-3, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0},
    by_row=by_row,
    by_weight=_by_weight,
)
