"""Convolution layers on `shoal.nn.functional.conv`: torch's parameters, defaults, initialization and `state_dict`.

They are torch's layers with another `_conv_forward`, so whatever recognises `torch.nn.Conv2d` recognises them.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from shoal.core.errors import InputError
from shoal.nn.functional import Choice, conv


class _Convolution(nn.modules.conv._ConvNd):
    """What the three layers change about torch's."""

    formulation: str | Choice | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        try:
            super().__init__(*args, **kwargs)
        except (ValueError, RuntimeError) as error:
            raise InputError(f"{name}: {error}.") from error
        if self.padding_mode != "zeros":
            raise InputError(
                f"{name} pads with zeros, not padding_mode={self.padding_mode!r}: pad the input before it."
            )
        least = {"kernel_size": 1, "stride": 1, "dilation": 1} | (
            {} if isinstance(self.padding, str) else {"padding": 0}
        )
        rank = len(self.output_padding)
        for setting, smallest in least.items():
            value = getattr(self, setting)
            if len(value) != rank or min(value) < smallest:
                wanted = f"at least {smallest} along each of {rank} axes" if rank > 1 else f"at least {smallest}"
                raise InputError(f"{name}: {setting}={value} must be {wanted}.")

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]  # by an exporter
            return super()._conv_forward(input, weight, bias)
        rank, channels = len(self.kernel_size), self.in_channels
        single = input.dim() == rank + 1 and input.shape[0] == channels  # one sample without its batch, as torch
        if not single and input.dim() != rank + 2:
            raise InputError(
                f"input {list(input.shape)}, kernel {list(weight.shape)}: {type(self).__name__} takes"
                f" [B, {channels}, ...], or one sample [{channels}, ...], with {rank} spatial"
                f" {'axis' if rank == 1 else 'axes'}."
            )
        y = conv(
            input.unsqueeze(0) if single else input,
            weight,
            bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
            formulation=self.formulation,
        )
        return y.squeeze(0) if single else y


class Conv1d(_Convolution, nn.Conv1d):
    """`torch.nn.Conv1d` on `shoal.nn.functional.conv`; the padding is zeros.

    Attributes:
        formulation: how the sums are computed, as in `conv`; None leaves it to the rule. No part of the `state_dict`.

    Raises:
        InputError: a setting cannot be used; when called, also that the input does not fit.
    """

    __signature__ = signature(nn.Conv1d)


class Conv2d(_Convolution, nn.Conv2d):
    """`torch.nn.Conv2d` on `shoal.nn.functional.conv`; as `Conv1d`."""

    __signature__ = signature(nn.Conv2d)


class Conv3d(_Convolution, nn.Conv3d):
    """`torch.nn.Conv3d` on `shoal.nn.functional.conv`; as `Conv1d`."""

    __signature__ = signature(nn.Conv3d)
