"""Gradient clipping by row."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from shoal.optim.sums import row_sum_of

NAMES = ("clip_value", "grad_factor")
"""What a caller may add to a rule's hyperparameters, each [K, 1]; see `shaped`."""

_EPS = 1e-6  # torch.nn.utils.clip_grad_norm_'s


def factor(grad: Tensor, max_norm: Tensor, limit: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """What `by_norm` multiplies each row by, for the pass that moves the weights: `hyper["grad_factor"]`.

    Args:
        grad: [K, P]; read once, nothing of its size is made.
        max_norm: [K], at least 0; infinity gives 1.
        limit: [K], when the components are clipped first, as by `hyper["clip_value"]`.

    Returns:
        min(1, max_norm / (||g|| + 1e-6)) as [K, 1] and the norms [K].

    >>> factor(torch.tensor([[3.0, 4.0], [3.0, 4.0]]), torch.tensor([0.0, torch.inf]))[0].tolist()
    [[0.0], [1.0]]
    """

    def squares(columns: slice) -> Tensor:
        piece = grad[:, columns]
        if limit is not None:
            piece = by_value(piece, limit)
        return piece * piece

    norm = row_sum_of(squares, *grad.shape).sqrt()
    most = max_norm.to(grad.dtype)
    return torch.where(torch.isinf(most), 1.0, (most / (norm + _EPS)).clamp(max=1)).unsqueeze(1), norm


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
    shrink, norm = factor(grad, max_norm)
    return grad * shrink, norm


def by_value(grad: Tensor, limit: Tensor) -> Tensor:
    """Hold every component between -limit and limit.

    Args:
        grad: [K, P].
        limit: [K], at least 0; infinity is off.

    Returns:
        [K, P]; each row as `torch.nn.utils.clip_grad_value_`.
    """
    return _held(grad, limit.to(grad.dtype).unsqueeze(1))


def shaped(grad: Tensor, c: Mapping[str, Tensor]) -> Tensor:
    """A piece of the gradient, held between -clip_value and clip_value and then multiplied by grad_factor."""
    if "clip_value" in c:
        grad = _held(grad, c["clip_value"])
    return grad * c["grad_factor"] if "grad_factor" in c else grad


def _held(grad: Tensor, bound: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(grad, -bound), bound)
