"""Dropout whose rate and random key are buffers, so that a population can give each row its own.

Source: Srivastava et al. 2014, "Dropout"; inverted (scaled while training, nothing to scale at test time).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shoal.core import keyed
from shoal.core.errors import InputError


class Dropout(nn.Module):
    """y = x * mask / (1 - p) while training, x otherwise; the mask is a pure function of `key`.

    Both buffers are set from outside before each step and are no part of the `state_dict`.

    Args:
        p: share of the inputs that is zeroed, 0 <= p < 1.
        channels: zero whole channels (axis 1) instead of single elements, as `torch.nn.Dropout2d` does.
    """

    p: Tensor
    key: Tensor

    def __init__(self, p: float = 0.5, *, channels: bool = False) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("p", torch.tensor(float(p)), persistent=False)
        self.register_buffer("key", torch.zeros(2, dtype=torch.int32), persistent=False)
        self.active = True  # False skips the arithmetic where every rate is 0; no bit of the result differs

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: any [B, ...] to the same; with `channels`, [B, C, ...]."""
        if not (self.training and self.active):
            return x
        shape = (*x.shape[:2], *(1,) * (x.dim() - 2)) if self.channels else x.shape
        drop = keyed.bernoulli(self.key, self.p, shape)
        return (x / (1.0 - self.p)).masked_fill(drop, 0.0)

    def extra_repr(self) -> str:
        """What `repr` shows."""
        return f"p={self.p.tolist()}, channels={self.channels}"


_REPLACED: dict[type[nn.Module], bool] = {
    nn.Dropout: False,
    nn.Dropout1d: True,
    nn.Dropout2d: True,
    nn.Dropout3d: True,
}


def row_aware(layer: nn.Module) -> Dropout | None:
    """A keyed `Dropout` in place of a `torch.nn.Dropout`, `Dropout1d`, `2d` or `3d`; None for every other layer."""
    channels = _REPLACED.get(type(layer))
    if channels is None or not isinstance(layer, nn.modules.dropout._DropoutNd):
        return None
    if layer.p >= 1:
        raise InputError(f"A dropout layer has p={layer.p:g}: nothing would be left; p must be below 1.")
    return Dropout(layer.p, channels=channels)
