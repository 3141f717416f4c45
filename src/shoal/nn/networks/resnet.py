"""A small residual network for signals, images and volumes."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from shoal.core.events import Record
from shoal.nn.networks.layers import (
    MOST_DOUBLINGS,
    MOST_INPUTS,
    MOST_LAYERS,
    MOST_OUTPUTS,
    MOST_WIDTH,
    Activation,
    Normalization,
    activation,
    check_size,
    check_width,
    convolution,
    halved,
    normalization,
    pooling,
)


class Resnet(Record):
    """A stem, then stages of residual blocks, then the mean over all positions, dropout and linear.

    The stem is a 3-wide convolution, max pooling, normalization, activation. A stage after the first one doubles the
    channels and halves, by the stride of its first convolution, every axis that is longer than 4. Because positions are
    averaged, the number of weights does not depend on the size of the input.

    Source: He et al. 2016, "Deep residual learning for image recognition". Ours differs in its stem, which pools before
    it normalizes, and in the weight of each block's last normalization, which starts at 0, so that a fresh block is
    the identity (Goyal et al. 2017).
    """

    network: Literal["resnet"] = "resnet"
    channels: int = Field(ge=1, le=MOST_WIDTH)  # of the input
    size: tuple[Annotated[int, Field(le=MOST_INPUTS)], ...]  # of the input: (L,), (H, W) or (D, H, W)
    outputs: int = Field(ge=1, le=MOST_OUTPUTS)
    width: int = Field(default=16, ge=1, le=MOST_WIDTH)  # channels of the stem and of the first stage
    stages: int = Field(default=2, ge=1, le=MOST_DOUBLINGS)
    blocks: int = Field(default=1, ge=1, le=MOST_LAYERS // MOST_DOUBLINGS)  # in each stage
    activation: Activation = "relu"
    normalization: Normalization = "batch"
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def build(self) -> nn.Module:
        """A fresh network, [B, channels, *size] to [B, C].

        Raises:
            InputError: `size` has no axis or more than three, or the last layers would be wider than anything.
        """
        check_size("residual network", self.size)
        check_width(self.width, self.stages)
        size, rank = self.size, len(self.size)
        window = halved(size)
        stem = [convolution(rank, self.channels, self.width, bias=self.normalization == "none")]
        if max(window) > 1:
            stem.append(pooling(window))
            size = tuple(axis // w for axis, w in zip(size, window, strict=True))
        layers = [*stem, *normalization(self.normalization, self.width, rank), activation(self.activation)]
        channels = self.width
        for stage in range(self.stages):
            for block in range(self.blocks):
                down = stage > 0 and block == 0
                stride = halved(size) if down else (1,) * rank
                width = 2 * channels if down else channels
                layers.append(Residual(channels, width, stride, self.activation, self.normalization))
                size = tuple(-(-axis // s) for axis, s in zip(size, stride, strict=True))
                channels = width
        return nn.Sequential(*layers, Mean(), nn.Dropout(self.dropout), nn.Linear(channels, self.outputs))


class Residual(nn.Module):
    """y = f(branch(x) + shortcut(x)): two 3-wide convolutions, and the input itself or a 1-wide convolution of it."""

    def __init__(
        self, channels: int, width: int, stride: tuple[int, ...], nonlinearity: Activation, norm: Normalization
    ) -> None:
        super().__init__()
        rank, bias = len(stride), norm == "none"
        last = normalization(norm, width, rank)
        for layer in last:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        self.branch = nn.Sequential(
            convolution(rank, channels, width, stride=stride, bias=bias),
            *normalization(norm, width, rank),
            activation(nonlinearity),
            convolution(rank, width, width, bias=bias),
            *last,
        )
        same = channels == width and max(stride) == 1
        self.shortcut = nn.Identity() if same else convolution(rank, channels, width, 1, stride=stride)
        if not same:  # all that a fresh block passes on: its spread is to survive the activation
            nn.init.kaiming_normal_(self.shortcut.weight)  # type: ignore[arg-type]
        self.end = activation(nonlinearity)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, *size] to [B, width, *ceil(size / stride)]."""
        y: Tensor = self.end(self.branch(x) + self.shortcut(x))
        return y


class Mean(nn.Module):
    """The mean over all positions: [B, C, *size] to [B, C]."""

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        return torch.flatten(x, 2).mean(dim=2)
