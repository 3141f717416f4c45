"""Losses and scores, always by member: outputs [K, B, C] to values [K, B] or [K].

A loss goes down, a score goes up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoal.core.errors import InputError

Floats = NDArray[np.float64]


def cross_entropy(outputs: Tensor, target: Tensor, smoothing: Tensor) -> Tensor:
    """-sum_c q_c log p_c with p = softmax(outputs) and q = (1 - s) onehot(target) + s / C.

    Args:
        outputs: logits [K, B, C].
        target: class numbers, int64 [K, B].
        smoothing: label smoothing s of each row, [K] (Szegedy et al. 2016).

    Returns:
        [K, B].
    """
    log_p = torch.log_softmax(outputs, dim=-1)
    hit = torch.gather(log_p, -1, target.unsqueeze(-1)).squeeze(-1)
    s = smoothing.unsqueeze(-1)
    return -((1.0 - s) * hit + s * log_p.mean(dim=-1))


def squared_error(outputs: Tensor, target: Tensor, smoothing: Tensor) -> Tensor:
    """Mean over the outputs of (output - target)^2; `smoothing` has no meaning here and is not read.

    Args:
        outputs: [K, B, C].
        target: [K, B, C].
        smoothing: [K].

    Returns:
        [K, B].
    """
    return (outputs - target).square().mean(dim=-1)


def hits(outputs: Tensor, target: Tensor) -> Tensor:
    """1 where the largest logit is the target's, else 0; [K, B, C] and [K, B] to [K, B]. Its mean is the accuracy.

    NaN where a logit is NaN: that is no answer, though `argmax` names a class.
    """
    largest, answer = outputs.max(dim=-1)
    return (answer == target).to(outputs.dtype).masked_fill(largest.isnan(), torch.nan)


def explained(outputs: Tensor, target: Tensor) -> Tensor:
    """Minus the squared error; [K, B, C] twice to [K, B]. With targets of variance 1 its mean plus 1 is R^2."""
    return -(outputs - target).square().mean(dim=-1)


@dataclass(frozen=True)
class Loss:
    """A loss, the score of a row of the data that goes with it, and the metric that is reported."""

    name: str
    value: Callable[[Tensor, Tensor, Tensor], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    metric_name: str
    categorical: bool

    def target_variance(self, y: Tensor) -> float:
        """Variance of numeric targets [N, C], which R^2 is measured against; 1 for classes."""
        return 1.0 if self.categorical else float(y.var(dim=0, correction=0).mean())

    def metric(self, mean_score: Floats, variance: float) -> Floats:
        """Accuracy, or R^2 = 1 + mean score / variance: an affine function of the mean score."""
        return mean_score if self.categorical else 1.0 + mean_score / variance


LOSSES = {
    "cross_entropy": Loss("cross_entropy", cross_entropy, hits, "accuracy", True),
    "squared_error": Loss("squared_error", squared_error, explained, "r2", False),
}


def find(name: str) -> Loss:
    """The loss of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name not in LOSSES:
        raise InputError(f"loss={name!r} is not known: use one of {', '.join(LOSSES)}.")
    return LOSSES[name]
