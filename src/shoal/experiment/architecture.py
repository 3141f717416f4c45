"""Networks that can be built, described and, perhaps, enlarged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from pydantic import JsonValue
from torch import nn

from shoal.core import process
from shoal.core.errors import InputError
from shoal.nn.networks import Network

SIZES = ("width", "depth")
MATRICES, MOST_BYTES = 6, 8 << 30  # numbers kept for each weight in training; of networks of one size, float32


class Architecture(Protocol):
    """A network that can be built, described and, perhaps, enlarged."""

    def build(self) -> nn.Module:
        """A fresh network."""

    def document(self) -> dict[str, JsonValue]:
        """What a saved model keeps in order to build it again."""

    def sizes(self) -> Mapping[str, int]:
        """What of it can be resized, as it is."""

    def resized(self, **sizes: int) -> Architecture:
        """The same with other sizes, of those that `sizes` names."""

    def wider(self) -> Architecture | None:
        """The same with twice the width, or None where that cannot be had."""


@dataclass(frozen=True)
class BuiltIn:
    """One of Shoal's own networks."""

    spec: Network

    def build(self) -> nn.Module:
        """A fresh network."""
        return self.spec.build()

    def document(self) -> dict[str, JsonValue]:
        """The spec, as JSON."""
        return self.spec.model_dump(mode="json")

    def sizes(self) -> Mapping[str, int]:
        """Width and, of an MLP, depth: how deep a convolutional network can be is up to the size of its inputs."""
        return {name: getattr(self.spec, name) for name in SIZES if name in type(self.spec).model_fields}

    def resized(self, **sizes: int) -> Architecture:
        """The same with another width or depth."""
        return BuiltIn(self.spec.model_copy(update=sizes))

    def wider(self) -> Architecture | None:
        """Twice the width."""
        return self.resized(width=2 * self.spec.width)


@dataclass(frozen=True)
class Given:
    """The user's own network: one size, as it is."""

    make_net: Callable[[], nn.Module]
    name: str  # package.module:function, or "" where it cannot be imported again
    unused: tuple[str, ...] = ()  # parameters that its answers do not depend on

    def build(self) -> nn.Module:
        """A fresh network."""
        return self.make_net()

    def document(self) -> dict[str, JsonValue]:
        """Where to find the function again."""
        return {"network": "given", "factory": self.name}

    def sizes(self) -> Mapping[str, int]:
        """None: only its author can resize it."""
        return {}

    def resized(self, **sizes: int) -> Architecture:
        """Itself: it has no sizes."""
        return self

    def wider(self) -> Architecture | None:
        """None: only its author can resize it."""
        return None


def check_memory(architecture: Architecture, count: int, said: str) -> None:
    """Refuse networks that would not fit into memory together; they are counted without being built.

    Args:
        architecture: one of Shoal's own.
        count: how many there will be.
        said: their size in words, such as `width 4096`.

    Raises:
        InputError: they are too large.
    """
    with torch.device("meta"):
        weights = sum(parameter.numel() for parameter in architecture.build().parameters())
    needed = weights * 4 * MATRICES * count
    if needed > MOST_BYTES:
        raise InputError(
            f"{count} networks of {said} need about {needed / 2**30:.0f} GiB, and more than {MOST_BYTES >> 30} are not "
            "taken: ask for smaller ones."
        )


def parameters(architecture: Architecture) -> int:
    """Trainable numbers of one network."""
    with process.torch_generator():
        network = architecture.build()
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
