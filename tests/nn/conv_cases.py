"""Random convolutions for the tests: shapes and settings that fit, and their numbers in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as peer

PEERS = {1: peer.conv1d, 2: peer.conv2d, 3: peer.conv3d}


@dataclass(frozen=True)
class Conv:
    """One convolution: shapes, settings, and where its numbers start."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    seed: int

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def size(self) -> tuple[int, ...]:
        return self.x[2:]

    @property
    def kernel(self) -> tuple[int, ...]:
        return self.w[2:]

    def numbers(self, *shapes: tuple[int, ...], grad: bool = False) -> list[Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        drawn = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
        return [tensor.requires_grad_(grad) for tensor in drawn]

    def peer(self, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        return PEERS[len(self.size)](x, w, b, **self.settings)


@st.composite
def convolutions(draw: st.DrawFn, most: int = 400) -> Conv:
    """Ranks 1 to 3. Input and kernels together have at most `most` numbers: what is too large gives up parts."""
    rank = draw(st.integers(1, 3))
    axes = {"min_size": rank, "max_size": rank}
    kernel = draw(st.lists(st.integers(1, 3), **axes))
    stride = draw(st.lists(st.integers(1, 3), **axes))
    padding = draw(st.lists(st.integers(0, 3), **axes))
    dilation = draw(st.lists(st.integers(1, 2), **axes))
    room = draw(st.lists(st.integers(0, 3), **axes))
    groups, per_group, outputs, batch = draw(st.tuples(*(st.integers(1, high) for high in (3, 2, 2, 2))))
    seed = draw(st.integers(0, 2**31))
    while True:
        least = [max(1, d * (k - 1) + 1 - 2 * p) for k, p, d in zip(kernel, padding, dilation, strict=True)]
        size = [n + more for n, more in zip(least, room, strict=True)]
        x = (batch, groups * per_group, *size)
        w = (groups * outputs, per_group, *kernel)
        if prod(x) + prod(w) <= most:
            return Conv(x, w, tuple(stride), tuple(padding), tuple(dilation), groups, seed)
        room, wide = [max(0, more - 1) for more in room], max(kernel)
        if any(room):
            continue
        if batch > 1:
            batch = 1
        elif max(per_group, outputs) > 1 and seed % 3 == 0:
            per_group, outputs = 1, 1
        elif groups > 1 and seed % 3 == 1:
            groups -= 1
        elif wide > 1:
            kernel[kernel.index(wide)] -= 1
        else:
            groups, per_group, outputs = 1, 1, 1
