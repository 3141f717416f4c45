"""Nesterov's accelerated gradient.

    v     <- momentum v + g
    theta <- theta - lr (g + momentum v)

In the literal form the gradient is taken where the velocity is about to carry the weights, at phi - lr momentum v.
Here theta *is* that point (theta = phi - lr momentum v), so the gradient is taken at theta as in every other rule; for
a constant lr both visit the same points. Coupled decay. One copy of theta.

Source: Nesterov 1983, "A method of solving a convex programming problem with convergence rate O(1/k^2)"; the change of
variables: Sutskever, Martens, Dahl & Hinton 2013, "On the importance of initialization and momentum in deep learning".
"""

from __future__ import annotations

from torch import Tensor

from shoal.optim.formula import Coefficients, Rule, State
from shoal.optim.momentum import MOMENTUM, by_row, velocity


def _by_weight(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    v = velocity(grad, state, c)
    return (grad + v * c["momentum"]) * c["lr"], {"momentum_buffer": v}


NESTEROV = Rule("nesterov", slots=MOMENTUM.slots, defaults=MOMENTUM.defaults, by_row=by_row, by_weight=_by_weight)
