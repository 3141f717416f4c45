"""Adadelta: steps in the units of the weights, from two running averages; no learning rate to choose (lr = 1).

    v     <- rho v + (1 - rho) g^2
    delta  = sqrt(u + eps) / sqrt(v + eps) g
    u     <- rho u + (1 - rho) delta^2
    theta <- theta - lr delta

Here eps stands inside the roots: at the start u = 0, and sqrt(eps) is what sets the first steps. Coupled decay. Two
copies of theta.

Source: Zeiler 2012, "ADADELTA: an adaptive learning rate method", algorithm 1; lr is torch.optim's addition.
"""

from __future__ import annotations

from torch import Tensor

from shoal.optim.formula import Coefficients, Hyper, Rule, State
from shoal.optim.moments import decaying_mean


def _by_row(hyper: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
    return {"lr": hyper["lr"], "rho": hyper["rho"], "rest": 1 - hyper["rho"], "eps": hyper["eps"]}, {}


def _by_weight(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    v = decaying_mean(state["square_avg"], grad * grad, c["rho"], c["rest"])
    delta = (state["acc_delta"] + c["eps"]).sqrt() / (v + c["eps"]).sqrt() * grad
    u = decaying_mean(state["acc_delta"], delta * delta, c["rho"], c["rest"])
    return delta * c["lr"], {"square_avg": v, "acc_delta": u}


ADADELTA = Rule(
    "adadelta",
    slots=("square_avg", "acc_delta"),
    defaults={"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    by_row=_by_row,
    by_weight=_by_weight,
)
