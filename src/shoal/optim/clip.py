"""Gradient clipping by row."""

from __future__ import annotations

import torch
from torch import Tensor

from shoal.optim.sums import row_sum

_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_'s


def by_norm(grad: Tensor, max_norm: Tensor) -> tuple[Tensor, Tensor]:
    """Shorten rows that are too long: g min(1, max_norm / (||g|| + 1e-6)), the norm over the whole row.

    Args:
        grad: [K, P].
        max_norm: [K], at least 0; infinity leaves the row as it is, bit for bit, even if its norm is infinite.

    Returns:
        the clipped gradient [K, P] and the norms before [K].

    What holds: each row as `torch.nn.utils.clip_grad_norm_`; a row's result does not depend on the other rows.

    Source: Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", algorithm 1.

    >>> clipped, norm = by_norm(torch.tensor([[3.0, 4.0], [3.0, 4.0]]), torch.tensor([1.0, torch.inf]))
    >>> norm.tolist(), clipped[1].tolist()
    ([5.0, 5.0], [3.0, 4.0])
    """
    norm = row_sum(grad * grad).sqrt()
    limit = max_norm.to(grad.dtype)
    factor = torch.where(torch.isinf(limit), 1.0, (limit / (norm + _EPS)).clamp(max=1))
    return grad * factor.unsqueeze(1), norm


def by_value(grad: Tensor, limit: Tensor) -> Tensor:
    """Hold every component between -limit and limit.

    Args:
        grad: [K, P].
        limit: [K], at least 0; infinity is off.

    Returns:
        [K, P]; each row as `torch.nn.utils.clip_grad_value_`.
    """
    bound = limit.to(grad.dtype).unsqueeze(1)
    return torch.minimum(torch.maximum(grad, -bound), bound)
