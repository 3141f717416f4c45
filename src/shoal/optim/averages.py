"""Running averages of the weights, by row."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Average(NamedTuple):
    """A running average of the weights, for the pass that moves them: `apply(..., average=Average(...))`.

    Attributes:
        weights: [K, P], written in place; its values do not matter before a row's first share.
        share: [K, 1], what the new weights weigh in it; 0 leaves the row as it is, 1 starts it. See `ema_share` and
            `swa_share`.
    """

    weights: Tensor
    share: Tensor


def ema_share(decay: Tensor, count: Tensor) -> Tensor:
    """The share of an exponential moving average: 1 for the first weights, then 1 - decay.

    Args:
        decay: [K, 1], 0 to 1.
        count: [K, 1], how many weights the row's average has taken in.

    Returns:
        float64 [K, 1].

    Source: Polyak & Juditsky 1992, "Acceleration of stochastic approximation by averaging", in its exponential form.
    """
    return torch.where(count > 0, 1 - decay.to(torch.float64), 1.0)


def swa_share(count: Tensor) -> Tensor:
    """The share of stochastic weight averaging, the plain mean of the weights seen: 1 / (count + 1).

    Args:
        count: [K, 1], how many weights the row's average has taken in.

    Returns:
        float64 [K, 1].

    Source: Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization", algorithm 1.
    """
    return 1 / (count.to(torch.float64).clamp(min=0) + 1)


def toward(average: Tensor, theta: Tensor, share: Tensor) -> Tensor:
    """The average with new weights taken in: average + share (theta - average).

    Args:
        average: [K, P].
        theta: the weights now, [K, P].
        share: [K, 1] in theta's type, 0 to 1; rows with 1 become theta, rows with 0 keep every bit, whatever stands in
            the other matrix.

    >>> toward(torch.tensor([[1.0]]), torch.tensor([[4.0]]), torch.tensor([[1 / 3]])).item()
    2.0
    """
    moved = torch.where(share < 1, average + (theta - average) * share, theta)
    return torch.where(share > 0, moved, average)
