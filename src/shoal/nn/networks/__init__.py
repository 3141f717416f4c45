"""The built-in networks, each described by a frozen record that builds it: the record is what a saved model keeps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from pydantic import Field, TypeAdapter
from torch import Tensor, nn

from shoal.core.errors import InputError
from shoal.nn.networks.cnn import Cnn
from shoal.nn.networks.embeddings import PeriodicEmbedding
from shoal.nn.networks.mlp import Mlp
from shoal.nn.networks.resnet import Resnet

__all__ = ["Cnn", "Mlp", "Network", "PeriodicEmbedding", "Resnet", "from_document", "with_weights"]

Network = Mlp | Cnn | Resnet
_ADAPTER: TypeAdapter[Network] = TypeAdapter(Annotated[Network, Field(discriminator="network")])


def from_document(document: object) -> Network:
    """The record that `model_dump` wrote.

    Raises:
        ValidationError: it describes no network, or one beyond all bounds.
    """
    return _ADAPTER.validate_python(document)


def with_weights(spec: Network, state: Mapping[str, Tensor]) -> nn.Module:
    """The network that a record describes, with saved weights and buffers in place.

    Names and shapes are compared on a network without storage, so that a record which asks for more than was saved
    costs nothing.

    Args:
        spec: of the network.
        state: its `state_dict`.

    Raises:
        InputError: they do not belong together; the message names the first difference.
    """
    with torch.device("meta"):
        wanted = {name: (tensor.shape, tensor.dtype) for name, tensor in spec.build().state_dict().items()}
    there = {name: (tensor.shape, tensor.dtype) for name, tensor in state.items()}
    for name in dict.fromkeys((*wanted, *there)):
        if wanted.get(name) != there.get(name):
            says, holds = (_words(each.get(name)) for each in (wanted, there))
            raise InputError(f"the network {spec.network} and its saved weights differ: {name} is {says}, not {holds}.")
    network = spec.build()
    network.load_state_dict(dict(state))
    return network


def _words(found: tuple[torch.Size, torch.dtype] | None) -> str:
    """A tensor's shape and type."""
    return "absent" if found is None else f"{list(found[0])} {str(found[1]).removeprefix('torch.')}"
