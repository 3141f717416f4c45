"""A plain convolutional network for signals, images and volumes."""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from shoal.core.events import Record
from shoal.nn.networks.layers import (
    MOST_DOUBLINGS,
    MOST_INPUTS,
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


class Cnn(Record):
    """Blocks of 3-wide convolution, max pooling, normalization, activation; then dropout and linear.

    Pooling comes before the rest of its block: what follows then works on a quarter of the numbers, and the maximum of
    a ReLU is the ReLU of the maximum anyway. Channels double from block to block; every axis is halved until it is 4 or
    shorter.
    """

    network: Literal["cnn"] = "cnn"
    channels: int = Field(ge=1, le=MOST_WIDTH)  # of the input
    size: tuple[Annotated[int, Field(le=MOST_INPUTS)], ...]  # of the input: (L,), (H, W) or (D, H, W)
    outputs: int = Field(ge=1, le=MOST_OUTPUTS)
    width: int = Field(default=16, ge=1, le=MOST_WIDTH)  # channels of the first block
    blocks: int = Field(default=2, ge=1, le=MOST_DOUBLINGS)
    activation: Activation = "relu"
    normalization: Normalization = "batch"
    dropout: float = Field(default=0.0, ge=0, lt=1)

    def build(self) -> nn.Module:
        """A fresh network, [B, channels, *size] to [B, C].

        Raises:
            InputError: `size` has no axis or more than three, or the last layers would be wider than anything.
        """
        check_size("convolutional network", self.size)
        check_width(self.width, self.blocks)
        layers: list[nn.Module] = []
        channels, width, size, rank = self.channels, self.width, self.size, len(self.size)
        for _ in range(self.blocks):
            layers.append(convolution(rank, channels, width, bias=self.normalization == "none"))
            window = halved(size)
            if max(window) > 1:
                layers.append(pooling(window))
                size = tuple(axis // w for axis, w in zip(size, window, strict=True))
            layers += [*normalization(self.normalization, width, rank), activation(self.activation)]
            channels, width = width, 2 * width
        features = channels * prod(size)
        return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(self.dropout), nn.Linear(features, self.outputs))
