"""The built-in networks, each described by a frozen record that builds it: the record is what a saved model keeps."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from shoal.nn.networks.cnn import Cnn
from shoal.nn.networks.embeddings import PeriodicEmbedding
from shoal.nn.networks.mlp import Mlp
from shoal.nn.networks.resnet import Resnet

__all__ = ["Cnn", "Mlp", "Network", "PeriodicEmbedding", "Resnet", "from_document"]

Network = Mlp | Cnn | Resnet
_ADAPTER: TypeAdapter[Network] = TypeAdapter(Annotated[Network, Field(discriminator="network")])


def from_document(document: object) -> Network:
    """The record that `model_dump` wrote."""
    return _ADAPTER.validate_python(document)
