"""The sums of a convolution as batched matrix products: each output position's inputs become a column.

Columns repeat every input once for each tap; they are made in pieces of bounded size. All tensors have a leading axis
K.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import torch
from torch import Tensor, unflatten

from shoal.nn.functional.correlation import as_full_correlation, by_channel, padded_input
from shoal.nn.functional.geometry import Geometry, Shape

PIECE_BYTES = 64 << 20
"""The most that the columns of one piece take; one sample's columns are never cut."""


def correlate(x: Tensor, w: Tensor, b: Tensor | None, g: Geometry) -> Tensor:
    """y [K, B, O, *out] of x [K, B, C, *size], w [K, O, C / groups, *kernel] and b [K, O]."""
    rows, batch = x.shape[:2]
    outputs, kernel = w.shape[1], w.shape[3:]
    out = g.output_size(x.shape[3:], kernel)
    matrices = unflatten(w.flatten(2), 1, (g.groups, -1)).unsqueeze(1)  # (K, 1, groups, O / groups, taps)
    y = x.new_empty(rows, batch, g.groups, outputs // g.groups, prod(out))
    for at, columns in _pieces(padded_input(x, g), kernel, out, g):
        torch.matmul(matrices[at[0]], columns, out=y[at])
    y = unflatten(y.flatten(2, 3), 3, out)
    return y if b is None else y.add_(by_channel(b, g.rank))


def input_gradient(delta: Tensor, w: Tensor, size: Shape, g: Geometry) -> Tensor:
    """dL/dx [K, B, C, *size] of delta [K, B, O, *out] and w: the full correlation of `as_full_correlation`."""
    rows, batch = delta.shape[:2]
    every = g._replace(groups=rows * g.groups)  # rows are groups to whoever arranges a kernel
    spread, kernel, full = as_full_correlation(delta.flatten(0, 1), w.flatten(0, 1), size, every)
    return correlate(
        unflatten(spread, 0, (rows, batch)), unflatten(kernel, 0, (rows, -1)), None, full._replace(groups=g.groups)
    )


def weight_gradient(x: Tensor, delta: Tensor, kernel: Shape, g: Geometry) -> Tensor:
    """dL/dw [K, O, C / groups, *kernel] of x and delta."""
    rows, outputs, out = x.shape[0], delta.shape[2], delta.shape[3:]
    per_group = x.shape[2] // g.groups
    sums = x.new_zeros(rows, g.groups, outputs // g.groups, per_group * prod(kernel))
    factors = unflatten(delta, 2, (g.groups, -1)).flatten(4)  # (K, B, groups, O / groups, L)
    for at, columns in _pieces(padded_input(x, g), kernel, out, g):
        sums[at[0]] += (factors[at] @ columns.transpose(-1, -2)).sum(1)
    return sums.reshape(rows, outputs, per_group, *kernel)


def _pieces(padded: Tensor, kernel: Shape, out: Shape, g: Geometry) -> Iterator[tuple[tuple[slice, slice], Tensor]]:
    """Rows and samples, and their columns [k, b, groups, C / groups * taps, L]."""
    rows, batch, channels = padded.shape[:3]
    sample = channels * prod(kernel) * prod(out) * padded.element_size()
    wide = max(1, min(batch, PIECE_BYTES // sample))
    high = max(1, PIECE_BYTES // (sample * batch)) if wide == batch else 1
    windows = _windows(padded.contiguous(), kernel, out, g)
    for top in range(0, rows, high):
        for left in range(0, batch, max(wide, 1)):
            at = (slice(top, top + high), slice(left, left + wide))
            piece = windows[at]
            yield at, piece.reshape(*piece.shape[:3], piece.shape[3] * prod(kernel), prod(out))


def _windows(padded: Tensor, kernel: Shape, out: Shape, g: Geometry) -> Tensor:
    """A view [K, B, groups, C / groups, *kernel, *out]: entry (j, i) is the input at s i + d j."""
    grouped = unflatten(padded, 2, (g.groups, -1))
    lead, steps = grouped.stride()[:4], grouped.stride()[4:]
    tap_steps = [d * step for d, step in zip(g.dilation, steps, strict=True)]
    out_steps = [s * step for s, step in zip(g.stride, steps, strict=True)]
    return grouped.as_strided((*grouped.shape[:4], *kernel, *out), (*lead, *tap_steps, *out_steps))
