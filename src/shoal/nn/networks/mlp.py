"""A multi-layer perceptron for tables, or for anything flattened."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from shoal.core.events import Record
from shoal.nn.networks.embeddings import PeriodicEmbedding
from shoal.nn.networks.layers import (
    MOST_INPUTS,
    MOST_LAYERS,
    MOST_OUTPUTS,
    MOST_WIDTH,
    Activation,
    Normalization,
    activation,
    normalization,
)

MOST_PERIODIC = 4096


class Mlp(Record):
    """Periodic features of the `periodic` inputs, if any; `depth` times linear, normalization, activation, dropout;
    then linear.
    """

    network: Literal["mlp"] = "mlp"
    inputs: int = Field(ge=1, le=MOST_INPUTS)
    outputs: int = Field(ge=1, le=MOST_OUTPUTS)
    width: int = Field(default=128, ge=1, le=MOST_WIDTH)
    depth: int = Field(default=2, ge=0, le=MOST_LAYERS)
    activation: Activation = "relu"
    normalization: Normalization = "none"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    periodic: tuple[int, ...] = Field(default=(), max_length=MOST_PERIODIC)  # numbers of the inputs that are embedded

    def build(self) -> nn.Module:
        """A fresh network, [B, D] (or [B, ...], flattened) to [B, C].

        Raises:
            InputError: `periodic` names an input twice or one that there is not; instance normalization.
        """
        layers: list[nn.Module] = [nn.Flatten()]
        size = self.inputs
        if self.periodic:
            embedding = PeriodicEmbedding(self.periodic, size)
            layers.append(embedding)
            size = embedding.outputs
        for _ in range(self.depth):
            layers.append(nn.Linear(size, self.width))
            layers += normalization(self.normalization, self.width, 0)
            layers += [activation(self.activation), nn.Dropout(self.dropout)]
            size = self.width
        return nn.Sequential(*layers, nn.Linear(size, self.outputs))
