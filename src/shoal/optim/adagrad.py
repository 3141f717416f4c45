"""Adagrad: a learning rate for each weight, that falls with the squared gradients gathered so far.

    G     <- G + g^2
    theta <- theta - lr / (1 + (t - 1) lr_decay) g / (sqrt(G) + eps)

Coupled decay. One copy of theta.

Source: Duchi, Hazan & Singer 2011, "Adaptive subgradient methods for online learning and stochastic optimization"
(the diagonal form). eps and lr_decay are torch.optim's additions.
"""

from __future__ import annotations

from torch import Tensor

from shoal.optim.formula import Coefficients, Hyper, Rule, State


def _by_row(hyper: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
    return {"lr": hyper["lr"] / (1 + (step - 1) * hyper["lr_decay"]), "eps": hyper["eps"]}, {}


def _by_weight(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    total = state["sum"] + grad * grad
    return grad / (total.sqrt() + c["eps"]) * c["lr"], {"sum": total}


ADAGRAD = Rule(
    "adagrad",
    slots=("sum",),
    defaults={"lr": 1e-2, "lr_decay": 0.0, "eps": 1e-10, "weight_decay": 0.0},
    by_row=_by_row,
    by_weight=_by_weight,
)
