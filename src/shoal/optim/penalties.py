"""Weight decay and L1, inside the gradient (coupled) or beside it (decoupled), for every rule in one place.

    coupled      g     <- g + weight_decay theta + l1 sign(theta)
    decoupled    theta <- theta (1 - lr weight_decay) - step,  then  theta <- sign(theta) max(|theta| - lr l1, 0)

Coupled penalties are the gradient of (weight_decay / 2) ||theta||^2 + l1 |theta| and pass through the rule's state.
Decoupled ones shrink the weights apart from it; the L1 one as the soft threshold, which makes weights exactly 0.
A strength of 0 changes no number. lr is the row's learning rate, schedule included, times the weight's `lr_factor`: the
step of every rule is proportional to lr, so it is the same as a parameter group of its own in torch.optim.

Source: Loshchilov & Hutter 2019, "Decoupled weight decay regularization", with the learning rate as the factor;
Daubechies, Defrise & De Mol 2004, "An iterative thresholding algorithm for linear inverse problems" (soft threshold).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

NAMES = ("decoupled_weight_decay", "l1", "decoupled_l1", "decay_factor", "lr_factor")
"""What a caller may add to a rule's hyperparameters; see `Hyper`."""


def coefficients(hyper: Mapping[str, Tensor], beside: bool, dtype: torch.dtype) -> dict[str, Tensor]:
    """The strengths at the places where they act; a place at which no row can have a penalty is left out.

    Args:
        hyper: lr and weight_decay, and any of `NAMES`.
        beside: where weight decay acts in rows without `decoupled_weight_decay`.
        dtype: theta's.

    Returns:
        some of `coupled_decay`, `decoupled_decay`, `coupled_l1`, `decoupled_l1`, `decay_factor`, `lr_factor`, in
        `dtype`.
    """
    found = {}
    for strength, default in (("weight_decay", beside), ("l1", False)):
        if strength not in hyper:
            continue
        value = hyper[strength] if hyper[strength].dim() > 1 else hyper[strength].reshape(1, -1)
        lr, place = hyper["lr"], "decay" if strength == "weight_decay" else strength
        if value.shape[-1] > 1:  # a matrix: not lifted to float64 for the sake of a column
            lr = lr.to(value.dtype)
        switch = hyper.get(f"decoupled_{strength}")
        if switch is None:
            found[f"decoupled_{place}" if default else f"coupled_{place}"] = value * lr if default else value
        else:
            share = switch.to(lr.dtype)
            found[f"coupled_{place}"], found[f"decoupled_{place}"] = value * (1 - share), value * share * lr
    found |= {name: hyper[name].reshape(1, -1) for name in ("decay_factor", "lr_factor") if name in hyper}
    return {name: value.to(dtype) for name, value in found.items()}


def coupled(grad: Tensor, theta: Tensor, c: Mapping[str, Tensor]) -> Tensor:
    """The gradient with that of the coupled penalties."""
    if "coupled_decay" in c:
        grad = torch.addcmul(grad, theta, strength(c, "coupled_decay"))
    if "coupled_l1" in c:
        grad = torch.addcmul(grad, theta.sign(), strength(c, "coupled_l1"))
    return grad


def descended(theta: Tensor, step: Tensor, c: Mapping[str, Tensor]) -> Tensor:
    """The weights after a step, shrunk by the decoupled penalties."""
    if "decoupled_decay" in c:
        theta = theta * (1 - _at_rate(strength(c, "decoupled_decay"), c))
    theta = theta - _at_rate(step, c)
    if "decoupled_l1" in c:
        threshold = _at_rate(strength(c, "decoupled_l1"), c)
        theta = theta - torch.clamp(theta, -threshold, threshold)
    return theta


def strength(c: Mapping[str, Tensor], name: str) -> Tensor:
    """A penalty's strength by weight."""
    return c[name] * c["decay_factor"] if "decay_factor" in c else c[name]


def _at_rate(step: Tensor, c: Mapping[str, Tensor]) -> Tensor:
    """What is proportional to the learning rate, at that of each weight."""
    return step * c["lr_factor"] if "lr_factor" in c else step
