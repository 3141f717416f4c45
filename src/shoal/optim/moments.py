"""Running moments of the gradient and what corrects them: shared by the rules that keep them."""

from __future__ import annotations

import torch
from torch import Tensor


def decaying_mean(mean: Tensor, new: Tensor, keep: Tensor, rest: Tensor) -> Tensor:
    """One step of an exponential moving average, mean <- keep mean + rest new.

    `rest` is 1 - keep, handed in because the caller has it to more digits than keep's own type holds.
    """
    return torch.addcmul(mean * keep, new, rest)


def bias_correction(beta: Tensor, step: Tensor) -> Tensor:
    """The weight that an average which started at zero has gathered, 1 - beta^step.

    Written as -expm1(step log beta): accurate when beta is near 1, and the same bits wherever a row stands, which
    torch's vectorised `pow` does not promise.

    Args:
        beta: float64, 0 <= beta < 1.
        step: float64, at least 1.
    """
    return -torch.expm1(step * torch.log(beta))


def power(base: float, exponent: Tensor) -> Tensor:
    """base^exponent for a positive number, with the same bits wherever a row stands."""
    return torch.exp(exponent * torch.log(torch.full_like(exponent, base)))


def running_product(before: Tensor, factors: Tensor) -> Tensor:
    """The product so far after each step, multiplied in the order of the steps.

    Args:
        before: [K, 1].
        factors: [K, 1] of one step, or [T, K, 1] of several.

    Returns:
        of factors' shape.
    """
    if factors.dim() == 2:
        return before * factors
    return torch.cat([before.unsqueeze(0), factors]).cumprod(dim=0)[1:]
