"""Running averages of the weights, by row."""

from __future__ import annotations

import torch
from torch import Tensor


def ema(average: Tensor, theta: Tensor, decay: Tensor, count: Tensor) -> Tensor:
    """Exponential moving average: the first weights themselves, then decay average + (1 - decay) theta.

    Args:
        average: [K, P]; its values do not matter in rows with count 0.
        theta: the weights now, [K, P].
        decay: [K, 1], 0 to 1.
        count: [K, 1], how many weights the row's average has taken in.

    Returns:
        the new average [K, P].

    Source: Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging", in its exponential form.
    """
    keep = decay.to(torch.float64)
    moved = average * keep.to(theta.dtype) + theta * (1 - keep).to(theta.dtype)
    return torch.where(count > 0, moved, theta)


def swa(average: Tensor, theta: Tensor, count: Tensor) -> Tensor:
    """Stochastic weight averaging, the plain mean of the weights seen: average + (theta - average) / (count + 1).

    Args:
        average: [K, P]; its values do not matter in rows with count 0.
        theta: the weights now, [K, P].
        count: [K, 1], how many weights the row's average has taken in.

    Returns:
        the new average [K, P].

    Source: Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization", algorithm 1.

    >>> swa(torch.tensor([[1.0]]), torch.tensor([[4.0]]), torch.tensor([[2]])).item()
    2.0
    """
    share = (1 / (count.to(torch.float64) + 1)).to(theta.dtype)
    return torch.where(count > 0, average + (theta - average) * share, theta)
