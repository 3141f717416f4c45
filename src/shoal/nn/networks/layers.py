"""Layers by name and by rank: what the built-in networks are put together from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import nn

from shoal.core.errors import InputError
from shoal.nn import conv

Activation = Literal["relu", "gelu", "silu", "mish", "selu", "tanh"]
Normalization = Literal["none", "batch", "layer", "instance", "group"]

# Bounds of a record, which may come from a file: far above what is trained here, far below what hangs or overflows.
MOST_INPUTS = 1 << 28
MOST_WIDTH = 1 << 20
MOST_OUTPUTS = 1 << 20
MOST_LAYERS = 1000
MOST_DOUBLINGS = 16  # of the channels, from block to block

SHORT = 4  # an axis this short is not halved any more
MOST_GROUPS = 8  # of group normalization: as many as divide the channels, up to this (Wu & He 2018 used 32 of 64 up)

_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "selu": nn.SELU,
    "tanh": nn.Tanh,
}
_CONVOLUTIONS: dict[int, type[nn.Module]] = {1: conv.Conv1d, 2: conv.Conv2d, 3: conv.Conv3d}
_POOLINGS: dict[int, type[nn.Module]] = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_BATCH_NORMS: dict[int, type[nn.Module]] = {
    0: nn.BatchNorm1d,
    1: nn.BatchNorm1d,
    2: nn.BatchNorm2d,
    3: nn.BatchNorm3d,
}


def activation(name: Activation) -> nn.Module:
    """The activation of that name."""
    return _ACTIVATIONS[name]()


def normalization(name: Normalization, channels: int, rank: int) -> list[nn.Module]:
    """The normalization of that name as a list: empty for `none`.

    Statistics run over: the batch and all positions (`batch`), all channels and positions of a row (`layer`), the
    positions of one channel of a row (`instance`), or of a group of channels (`group`). All have a scale and a shift by
    channel.

    Args:
        name: see above.
        channels: of the input [B, channels, *size].
        rank: axes of `size`, 0 for [B, channels].

    Raises:
        InputError: `instance` without positions to take statistics over.

    Source: Ioffe & Szegedy 2015; Ba et al. 2016; Ulyanov et al. 2016; Wu & He 2018.
    """
    if name == "none":
        return []
    if name == "batch":
        return [_BATCH_NORMS[rank](channels)]
    if name == "instance" and rank == 0:
        raise InputError("normalization=instance needs positions to take statistics over: use layer, group or batch.")
    groups = {"layer": 1, "instance": channels, "group": _groups(channels)}[name]
    return [nn.GroupNorm(groups, channels)]


def _groups(channels: int) -> int:
    return max(groups for groups in range(1, MOST_GROUPS + 1) if channels % groups == 0)


def convolution(
    rank: int, channels: int, width: int, kernel: int = 3, *, stride: int | tuple[int, ...] = 1, bias: bool = False
) -> nn.Module:
    """A convolution of that rank whose padding keeps the size (a stride apart)."""
    return _CONVOLUTIONS[rank](channels, width, kernel, stride=stride, padding=kernel // 2, bias=bias)


def pooling(window: tuple[int, ...]) -> nn.Module:
    """Max pooling over windows that do not overlap."""
    return _POOLINGS[len(window)](window)


def halved(size: tuple[int, ...]) -> tuple[int, ...]:
    """By what each axis is divided where a network halves it: 2, and 1 where it is 4 or shorter.

    >>> halved((28, 4, 5))
    (2, 1, 2)
    """
    return tuple(2 if axis > SHORT else 1 for axis in size)


def check_size(network: str, size: tuple[int, ...]) -> None:
    """Refuse inputs that no convolution runs over.

    Raises:
        InputError: no axis, more than three, or an empty one.
    """
    if not 1 <= len(size) <= 3 or min(size) < 1:
        raise InputError(
            f"a {network} runs over signals [C, L], images [C, H, W] or volumes [C, D, H, W]; "
            f"rows with positions of shape {list(size)} are none of these."
        )


def check_width(width: int, doublings: int) -> None:
    """Refuse channels that would double beyond all bounds.

    Raises:
        InputError: the last layer would be wider than 2^20.
    """
    if width << (doublings - 1) > MOST_WIDTH:
        raise InputError(
            f"a width of {width} doubled {doublings - 1} times is more than {MOST_WIDTH}: take fewer blocks."
        )
