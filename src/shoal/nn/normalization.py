"""Normalization: y = (x - mean) / sqrt(var + eps) * weight + bias, told apart only by the axes of mean and variance.

| layer | mean and variance go over | running statistics |
| --- | --- | --- |
| `BatchNorm` | rows and positions: every axis but the channels (Ioffe & Szegedy 2015) | yes |
| `LayerNorm` | the last axes, of each row by itself (Ba, Kiros & Hinton 2016) | no |
| `InstanceNorm` | positions, of each row and channel (Ulyanov, Vedaldi & Lempitsky 2016) | on request |
| `GroupNorm` | positions and the channels of a group, of each row (Wu & He 2018) | no |

Names of weights and buffers, `momentum` and `eps` are `torch.nn`'s; channels are axis 1, and every rank will do. Under
`torch.func.vmap` with stacked buffers each row keeps running statistics of its own, updated in place.
`adoption.py` puts `BatchNorm` in place of torch's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoal.core.errors import InputError


def moments(x: Tensor, axes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and (biased) variance over some axes.

    Args:
        x: any [B, ...].
        axes: what the mean goes over.

    Returns:
        mean and var with x's rank, and how many numbers each mean is of.
    """
    size = 1
    for axis in axes:
        size *= x.shape[axis]
    var, mean = torch.var_mean(x, tuple(axes), correction=0, keepdim=True)
    return mean, var, torch.as_tensor(float(size), dtype=x.dtype, device=x.device)


def normalize(x: Tensor, axes: Sequence[int], eps: float = 1e-5) -> Tensor:
    """(x - mean) / sqrt(var + eps), mean and variance over some axes.

    Args:
        x: any [B, ...].
        axes: what mean and variance go over, ascending and positive.
        eps: added to the variance.

    Returns:
        The shape of x. This is the formula of all four layers; where they can they call the library's fused kernel for
        their axes, which is the same to rounding and two to seven times quicker on a CPU.

    >>> x = torch.arange(6.0).reshape(2, 3)
    >>> torch.allclose(normalize(x, [1]), torch.nn.functional.layer_norm(x, [3]))
    True
    """
    mean, var, _ = moments(x, axes)
    return (x - mean) * torch.rsqrt(var + eps)


class _PerChannel(nn.Module):
    """What batch and instance normalization share: weights, biases and running statistics of each channel."""

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, channels: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = channels, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels) if track_running_stats else None)
        self.register_buffer("running_var", torch.ones(channels) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0) if track_running_stats else None)

    def extra_repr(self) -> str:
        """What `repr` shows."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"

    def _by_running(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def _scaled(self, x: Tensor) -> Tensor:
        if self.weight is None or self.bias is None:
            return x
        shape = (1, -1, *(1,) * (x.dim() - 2))
        return torch.addcmul(self.bias.view(shape), x, self.weight.view(shape))

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        """running = (1 - m) running + m new, the variance unbiased; m = 1 / batches where `momentum` is None."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        kind = self.running_mean.dtype
        share = 1.0 / self.num_batches_tracked.to(kind) if self.momentum is None else self.momentum
        unbiased = var.detach().flatten() * (count / (count - 1.0).clamp(min=1.0))
        self.running_mean.add_((mean.detach().flatten().to(kind) - self.running_mean) * share)
        self.running_var.add_((unbiased.to(kind) - self.running_var) * share)


class BatchNorm(_PerChannel):
    """Batch normalization of any rank, `torch.nn.BatchNorm1d` to `3d` in one.

    Args:
        channels: of axis 1.
        eps: added to the variance.
        momentum: share of the new batch in the running statistics; None averages all batches.
        affine: learn a weight and a bias for each channel.
        track_running_stats: keep running statistics and use them in evaluation mode.

    With fewer than two numbers to a channel, where torch refuses, the variance is 0 and the output is the bias.
    """

    def __init__(
        self,
        channels: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__(channels, eps, momentum, affine, track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [B, C] or [B, C, ...] to the same."""
        if not self.training and self.running_mean is not None:
            return self._by_running(x)
        if x.numel() > self.num_features and self.momentum is not None:
            if self.training and self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
            mean, var = (self.running_mean, self.running_var) if self.training else (None, None)
            return F.batch_norm(x, mean, var, self.weight, self.bias, True, self.momentum, self.eps)
        axes = (0, *range(2, x.dim()))
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        if self.training:
            self._track(*moments(wide.detach(), axes))
        return self._scaled(normalize(wide, axes, self.eps)).to(x.dtype)


class InstanceNorm(_PerChannel):
    """Instance normalization of any rank, `torch.nn.InstanceNorm1d` to `3d` in one; [B, C, ...] with positions.

    Args:
        channels: of axis 1.
        eps: added to the variance.
        momentum: share of the new batch in the running statistics; None averages all batches.
        affine: learn a weight and a bias for each channel.
        track_running_stats: keep running statistics (means over the rows) and use them in evaluation mode.
    """

    def __init__(
        self,
        channels: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
    ) -> None:
        super().__init__(channels, eps, momentum, affine, track_running_stats)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [B, C, ...] to the same."""
        if not self.training and self.running_mean is not None:
            return self._by_running(x)
        axes = tuple(range(2, x.dim()))
        if self.training and self.running_mean is not None:
            mean, var, count = moments(x.detach(), axes)  # [B, C, 1, ...]
            self._track(mean.mean(dim=0), var.mean(dim=0), count)
        return F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)


class LayerNorm(nn.Module):
    """Layer normalization, as `torch.nn.LayerNorm`.

    Args:
        normalized_shape: of the last axes, which mean and variance go over.
        eps: added to the variance.
        elementwise_affine: learn a weight and a bias for each element of those axes.
    """

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps = shape, eps
        self.weight = nn.Parameter(torch.ones(shape)) if elementwise_affine else None
        self.bias = nn.Parameter(torch.zeros(shape)) if elementwise_affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [..., *normalized_shape] to the same."""
        return F.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """What `repr` shows."""
        return f"{self.normalized_shape}, eps={self.eps}"


class GroupNorm(nn.Module):
    """Group normalization, as `torch.nn.GroupNorm`; with as many groups as channels it is instance normalization.

    Args:
        groups: how many; divides `channels`.
        channels: of axis 1.
        eps: added to the variance.
        affine: learn a weight and a bias for each channel.
    """

    def __init__(self, groups: int, channels: int, eps: float = 1e-5, affine: bool = True) -> None:
        super().__init__()
        if channels % groups:
            raise InputError(f"{channels} channels cannot be split into {groups} equal groups: choose a divisor.")
        self.num_groups, self.num_channels, self.eps = groups, channels, eps
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        """Shapes: [B, C] or [B, C, ...] to the same."""
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """What `repr` shows."""
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"


def row_aware(layer: nn.Module) -> BatchNorm | None:
    """A `BatchNorm` with the weights and buffers of a `torch.nn.BatchNorm1d` to `3d`; None for every other layer.

    Layer, group and instance normalization look at one row of the batch at a time and stay; so does a class of the
    user's own, which may mean something else.
    """
    if not isinstance(layer, nn.modules.batchnorm._BatchNorm) or type(layer) not in _REPLACED:
        return None
    new = BatchNorm(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    new._parameters = layer._parameters
    new._buffers |= layer._buffers
    return new.train(layer.training)


_REPLACED = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
