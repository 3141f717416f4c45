"""The built-in networks, each described by a frozen record that builds it: the record is what a saved model keeps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter
from torch import nn

from shoal.core.events import Record


class Mlp(Record):
    """A multi-layer perceptron: `depth` times linear, ReLU, dropout; then linear."""

    network: Literal["mlp"] = "mlp"
    inputs: int
    outputs: int
    width: int = 128
    depth: int = 2
    dropout: float = 0.0

    def build(self) -> nn.Module:
        """A fresh network, [B, D] (or [B, ...], flattened) to [B, C]."""
        layers: list[nn.Module] = [nn.Flatten()]
        size = self.inputs
        for _ in range(self.depth):
            layers += [nn.Linear(size, self.width), nn.ReLU(), nn.Dropout(self.dropout)]
            size = self.width
        return nn.Sequential(*layers, nn.Linear(size, self.outputs))


class Cnn(Record):
    """A small convolutional network: blocks of 3-wide convolution, max pooling, batch normalization, ReLU; then linear.

    Pooling comes first: what follows then works on a quarter of the numbers, and the maximum of a ReLU is the ReLU of
    the maximum anyway.
    Channels double from block to block; every axis is halved until it is 4 or shorter.
    """

    network: Literal["cnn"] = "cnn"
    channels: int  # of the input
    size: tuple[int, ...]  # of the input: (L,), (H, W) or (D, H, W)
    outputs: int
    width: int = 16  # channels of the first block
    blocks: int = 2
    dropout: float = 0.0

    def build(self) -> nn.Module:
        """A fresh network, [B, channels, *size] to [B, C]."""
        rank = len(self.size)
        conv, norm, pool = _OF_RANK[rank]
        layers: list[nn.Module] = []
        channels, width, size = self.channels, self.width, self.size
        for _ in range(self.blocks):
            layers.append(conv(channels, width, 3, padding=1, bias=False))
            window = tuple(2 if axis > 4 else 1 for axis in size)
            if max(window) > 1:
                layers.append(pool(window))
                size = tuple(axis // w for axis, w in zip(size, window, strict=True))
            layers += [norm(width), nn.ReLU()]
            channels, width = width, 2 * width
        features = channels
        for axis in size:
            features *= axis
        return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(self.dropout), nn.Linear(features, self.outputs))


_OF_RANK: dict[int, tuple[type[nn.Module], type[nn.Module], type[nn.Module]]] = {
    1: (nn.Conv1d, nn.BatchNorm1d, nn.MaxPool1d),
    2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d),
    3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d),
}

Network = Annotated[Mlp | Cnn, Field(discriminator="network")]
_ADAPTER: TypeAdapter[Mlp | Cnn] = TypeAdapter(Network)


def from_document(document: object) -> Mlp | Cnn:
    """The record that `model_dump` wrote."""
    return _ADAPTER.validate_python(document)
