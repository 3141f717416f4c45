"""Weight decay, at the two places where it is put."""

from __future__ import annotations

import torch
from torch import Tensor


def coupled(grad: Tensor, theta: Tensor, weight_decay: Tensor) -> Tensor:
    """The gradient of the loss plus the penalty (weight_decay / 2) ||theta||^2: g + weight_decay theta."""
    return torch.addcmul(grad, theta, weight_decay)


def decoupled(theta: Tensor, lr: Tensor, weight_decay: Tensor) -> Tensor:
    """Weights shrunk apart from the gradient, theta (1 - lr weight_decay).

    Source: Loshchilov & Hutter 2019, "Decoupled weight decay regularization", with the learning rate as the factor.
    """
    return theta * (1 - lr * weight_decay)
