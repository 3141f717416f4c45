"""RAdam: Adam whose adaptive scale waits until its variance is known.

    rho_inf = 2 / (1 - beta2) - 1,   rho_t = rho_inf - 2 t beta2^t / (1 - beta2^t)
    m, v   <- as in Adam,            m^ = m / (1 - beta1^t)
    rho_t > 5:  r = sqrt((rho_t - 4)(rho_t - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho_t))
                theta <- theta - lr r m^ sqrt(1 - beta2^t) / (sqrt(v) + eps)
    else:       theta <- theta - lr m^

Coupled decay. Two copies of theta.

Source: Liu et al. 2020, "On the variance of the adaptive learning rate and beyond", algorithm 2. As in torch.optim the
threshold is 5 (the paper: 4) and eps is added to sqrt(v) before the bias correction.
"""

from __future__ import annotations

import torch
from torch import Tensor

from shoal.optim.adam import DEFAULTS, SLOTS, betas, moments
from shoal.optim.formula import Coefficients, Hyper, Rule, State
from shoal.optim.moments import bias_correction


def _by_row(hyper: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
    gathered2 = bias_correction(hyper["beta2"], step)
    longest = 2 / (1 - hyper["beta2"]) - 1
    length = longest - 2 * step * (1 - gathered2) / gathered2
    rectified = length > 5
    ratio = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    adaptive = ratio.clamp(min=0).sqrt() * gathered2.sqrt()
    plain = hyper["lr"] / bias_correction(hyper["beta1"], step)
    return {
        **betas(hyper),
        "eps": hyper["eps"],
        "rectified": rectified,
        "step_size": torch.where(rectified, plain * adaptive, plain),
    }, {}


def _by_weight(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    new = moments(grad, state, c)
    scale = torch.where(c["rectified"] > 0, new["exp_avg_sq"].sqrt() + c["eps"], 1.0)
    return new["exp_avg"] / scale * c["step_size"], new


RADAM = Rule("radam", slots=SLOTS, defaults=DEFAULTS, by_row=_by_row, by_weight=_by_weight)
