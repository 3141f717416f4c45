"""RMSprop: Adagrad that forgets, so that steps do not die out.

    v     <- alpha v + (1 - alpha) g^2
    plain:     theta <- theta - lr g / (sqrt(v) + eps)
    centred:   m <- alpha m + (1 - alpha) g,  and v - m^2 (the variance) in place of v under the root
    momentum:  b <- momentum b + g / (sqrt(v) + eps),  theta <- theta - lr b

Centring and momentum each need one more copy of theta, so they are rules of their own (`rmsprop_centered`,
`rmsprop_momentum`, `rmsprop_centered_momentum`); one formula serves the four, by the slots that it is given. Coupled
decay. One to three copies of theta.

Source: Tieleman & Hinton 2012, "Lecture 6.5: rmsprop"; centred: Graves 2013, "Generating sequences with recurrent
neural networks", equations 38 to 45. As in torch.optim, eps stands outside the root. v - m^2 is held at 0 from below:
rounding can make it negative where the true variance is almost 0, and torch.optim then gives NaN.
"""

from __future__ import annotations

from torch import Tensor

from shoal.optim.formula import Coefficients, Hyper, Rule, State
from shoal.optim.moments import decaying_mean


def _by_row(hyper: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
    return {**hyper, "rest": 1 - hyper["alpha"]}, {}


def _by_weight(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    v = decaying_mean(state["square_avg"], grad * grad, c["alpha"], c["rest"])
    new = {"square_avg": v}
    if "grad_avg" in state:
        m = decaying_mean(state["grad_avg"], grad, c["alpha"], c["rest"])
        new["grad_avg"] = m
        v = (v - m * m).clamp(min=0)
    step = grad / (v.sqrt() + c["eps"])
    if "momentum_buffer" in state:
        step = state["momentum_buffer"] * c["momentum"] + step
        new["momentum_buffer"] = step
    return step * c["lr"], new


def _rule(name: str, *further: str) -> Rule:
    defaults = {"lr": 1e-2, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0}
    if "momentum_buffer" in further:
        defaults["momentum"] = 0.9
    return Rule(name, slots=("square_avg", *further), defaults=defaults, by_row=_by_row, by_weight=_by_weight)


RMSPROP = _rule("rmsprop")
RMSPROP_MOMENTUM = _rule("rmsprop_momentum", "momentum_buffer")
RMSPROP_CENTERED = _rule("rmsprop_centered", "grad_avg")
RMSPROP_CENTERED_MOMENTUM = _rule("rmsprop_centered_momentum", "momentum_buffer", "grad_avg")
