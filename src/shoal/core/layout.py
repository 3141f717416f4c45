"""Where each parameter of one network lies in its row of `theta[K, P]`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Names, shapes and offsets of the parameters, in the order of `named_parameters`.

    >>> layout = Layout.of([("weight", (2, 3)), ("bias", (2,))])
    >>> layout.offsets, layout.parameters
    ((0, 6), 8)
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    offsets: tuple[int, ...]
    parameters: int  # P

    @staticmethod
    def of(parameters: Iterable[tuple[str, tuple[int, ...]]]) -> Layout:
        """The layout of named shapes laid end to end."""
        names, shapes, offsets, end = [], [], [], 0
        for name, shape in parameters:
            names.append(name)
            shapes.append(tuple(shape))
            offsets.append(end)
            end += prod(shape)
        return Layout(tuple(names), tuple(shapes), tuple(offsets), end)

    def views(self, theta: Tensor) -> dict[str, Tensor]:
        """Each parameter as a view [K, *shape] of theta [K, P]."""
        return {
            name: theta[:, offset : offset + prod(shape)].view(theta.shape[0], *shape)
            for name, shape, offset in zip(self.names, self.shapes, self.offsets, strict=True)
        }
