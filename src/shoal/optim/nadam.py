"""NAdam: Adam with Nesterov's look-ahead, and a momentum that warms up.

    mu_t   = beta1 (1 - 0.96^(t momentum_decay) / 2),   M_t = mu_1 ... mu_t
    m, v  <- as in Adam
    theta <- theta - lr (mu_{t+1} m / (1 - M_{t+1}) + (1 - mu_t) g / (1 - M_t)) / (sqrt(v / (1 - beta2^t)) + eps)

Coupled decay. Two copies of theta and one number a row.

Source: Dozat 2016, "Incorporating Nesterov momentum into Adam", algorithm 2, with torch.optim's momentum_decay.
"""

from __future__ import annotations

from torch import Tensor

from shoal.optim.adam import DEFAULTS, SLOTS, betas, moments, scale
from shoal.optim.formula import Coefficients, Hyper, Rule, State
from shoal.optim.moments import bias_correction, power, running_product


def _by_row(hyper: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
    mu = hyper["beta1"] * (1 - 0.5 * power(0.96, step * hyper["momentum_decay"]))
    mu_next = hyper["beta1"] * (1 - 0.5 * power(0.96, (step + 1) * hyper["momentum_decay"]))
    product = running_product(rows["mu_product"], mu)
    return {
        **betas(hyper),
        "eps": hyper["eps"],
        "of_grad": hyper["lr"] * (1 - mu) / (1 - product),
        "of_mean": hyper["lr"] * mu_next / (1 - product * mu_next),
        "rsqrt": 1 / bias_correction(hyper["beta2"], step).sqrt(),
    }, {"mu_product": product}


def _by_weight(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    new = moments(grad, state, c)
    return (grad * c["of_grad"] + new["exp_avg"] * c["of_mean"]) / scale(new, c), new


NADAM = Rule(
    "nadam",
    slots=SLOTS,
    defaults={**DEFAULTS, "lr": 2e-3, "momentum_decay": 4e-3},
    by_row=_by_row,
    by_weight=_by_weight,
    row_start={"mu_product": 1.0},
)
