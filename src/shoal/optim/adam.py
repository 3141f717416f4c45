"""Adam, and AMSGrad.

    m     <- beta1 m + (1 - beta1) g
    v     <- beta2 v + (1 - beta2) g^2
    theta <- theta - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

AMSGrad keeps the largest v so far and divides by that one, so that no weight's learning rate rises again. Coupled
decay. Two copies of theta; AMSGrad three.

Source: Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 1; Reddi, Kale & Kumar 2018, "On the
convergence of Adam and beyond", algorithm 2, with Adam's bias corrections as in torch.optim.
"""

from __future__ import annotations

import torch
from torch import Tensor

from shoal.optim.formula import Coefficients, Hyper, Rule, State
from shoal.optim.moments import bias_correction, decaying_mean

DEFAULTS = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
SLOTS = ("exp_avg", "exp_avg_sq")
AMSGRAD_SLOTS = (*SLOTS, "max_exp_avg_sq")


def betas(hyper: Hyper) -> Coefficients:
    """beta1, beta2 and what they leave to the new gradient."""
    beta1, beta2 = hyper["beta1"], hyper["beta2"]
    return {"beta1": beta1, "one_minus_beta1": 1 - beta1, "beta2": beta2, "rest2": 1 - beta2}


def by_row(hyper: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
    """Adam's coefficients: betas, eps, and the bias corrections as `step_size` and `rsqrt`."""
    return {
        **betas(hyper),
        "eps": hyper["eps"],
        "step_size": hyper["lr"] / bias_correction(hyper["beta1"], step),
        "rsqrt": 1 / bias_correction(hyper["beta2"], step).sqrt(),
    }, {}


def moments(grad: Tensor, state: State, c: Coefficients) -> State:
    """The new running moments, and the largest second one where the state keeps it."""
    new = {
        "exp_avg": decaying_mean(state["exp_avg"], grad, c["beta1"], c["one_minus_beta1"]),
        "exp_avg_sq": decaying_mean(state["exp_avg_sq"], grad * grad, c["beta2"], c["rest2"]),
    }
    if "max_exp_avg_sq" in state:
        new["max_exp_avg_sq"] = torch.maximum(state["max_exp_avg_sq"], new["exp_avg_sq"])
    return new


def scale(new: State, c: Coefficients) -> Tensor:
    """What the first moment is divided by: the corrected root of the second, plus eps."""
    second = new["max_exp_avg_sq"] if "max_exp_avg_sq" in new else new["exp_avg_sq"]
    return torch.addcmul(c["eps"], second.sqrt(), c["rsqrt"])


def by_weight(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    """Adam's step, and the new moments."""
    new = moments(grad, state, c)
    return new["exp_avg"] / scale(new, c) * c["step_size"], new


ADAM = Rule("adam", slots=SLOTS, defaults=DEFAULTS, by_row=by_row, by_weight=by_weight)
AMSGRAD = Rule("amsgrad", slots=AMSGRAD_SLOTS, defaults=DEFAULTS, by_row=by_row, by_weight=by_weight)
