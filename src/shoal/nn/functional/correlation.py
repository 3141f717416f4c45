"""The three sums of a convolution for one network, each written in several forms that give the same numbers.

With x~ the input between its zeros, s the stride and d the dilation, along every axis (Mission E2 is s = d = 1):

    y_i     = sum_j w_j x~_{s i + d j}                            `correlate`
    dL/dw_j = sum_i delta_i x~_{s i + d j}                        `weight_gradient`: input and delta correlated
    dL/dx~_n = sum_j w_j delta_i, over the i with s i + d j = n   `input_gradient`: a full convolution of delta, spread
                                                                  with s - 1 zeros, with the flipped kernel

and each sum also runs over what else the two factors share: input channels, outputs, the batch.

Forms: `library` (torch's kernel for the sum), `correlation` (the right-hand column above, by torch's forward kernel),
`taps` (the left-hand column, one tap j of the kernel at a time), `channels_last` (the library's, on that layout).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

import torch
from torch import Tensor, unflatten
from torch.nn.functional import pad

from shoal.nn.functional.geometry import Geometry, Shape

FORMS = ("library", "correlation", "taps", "channels_last")
_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}


def correlate(x: Tensor, w: Tensor, b: Tensor | None, g: Geometry, form: str) -> Tensor:
    """y of x [B, C, *size] and w [O, C / groups, *kernel]: [B, O, *out], plus the bias b [O]."""
    if form == "taps":
        return _correlate_taps(x, w, b, g)
    if form == "channels_last" and g.rank > 1:
        return torch.convolution(
            _last(x), _last(w), b, g.stride, g.padding, g.dilation, False, (0,) * g.rank, g.groups
        ).contiguous()
    return torch.convolution(x, w, b, g.stride, g.padding, g.dilation, False, (0,) * g.rank, g.groups)


def input_gradient(delta: Tensor, w: Tensor, size: Shape, g: Geometry, form: str) -> Tensor:
    """dL/dx [B, C, *size] of delta = dL/dy [B, O, *out] and w."""
    if form == "taps":
        return _input_gradient_taps(delta, w, size, g)
    if form == "correlation":
        spread, kernel, full = as_full_correlation(delta, w, size, g)
        return correlate(spread, kernel, None, full, "library")
    last = form == "channels_last" and g.rank > 1
    if last:
        delta, w = _last(delta), _last(w)
    beyond = g.unreached(size, w.shape[2:])
    gradient = torch.convolution(delta, w, None, g.stride, g.padding, g.dilation, True, beyond, g.groups)
    return gradient.contiguous() if last else gradient


def weight_gradient(x: Tensor, delta: Tensor, kernel: Shape, g: Geometry, form: str) -> Tensor:
    """dL/dw [O, C / groups, *kernel] of x and delta."""
    if form == "taps":
        return _weight_gradient_taps(x, delta, kernel, g)
    if form == "correlation":
        return _weight_gradient_correlation(x, delta, kernel, g)
    if form == "channels_last" and g.rank > 1:
        x, delta = _last(x), _last(delta)
    shape = (delta.shape[1], x.shape[1] // g.groups, *kernel)
    shaped = x.new_empty(shape)  # the library reads its shape only
    none, mask = (0,) * g.rank, (False, True, False)
    gradient: Tensor = torch.ops.aten.convolution_backward.default(
        delta, x, shaped, None, g.stride, g.padding, g.dilation, False, none, g.groups, mask
    )[1]
    return gradient.contiguous()


def as_full_correlation(delta: Tensor, w: Tensor, size: Shape, g: Geometry) -> tuple[Tensor, Tensor, Geometry]:
    """The input, the kernel and the geometry whose correlation is dL/dx.

    Delta is spread by s - 1 zeros between its entries and gets d (k - 1) - p zeros around it; the kernel is flipped,
    and its input and output channels change places.
    """
    kernel = w.shape[2:]
    around = tuple(d * (k - 1) - p for k, p, d in zip(kernel, g.padding, g.dilation, strict=True))
    beyond = g.unreached(size, kernel)
    if max(g.stride) > 1:
        spaced = [s * (n - 1) + 1 for n, s in zip(delta.shape[2:], g.stride, strict=True)]
        spread = delta.new_zeros(*delta.shape[:2], *spaced)
        spread[along(slice(None, None, s) for s in g.stride)] = delta
        delta = spread
    if any(beyond) or min(around) < 0:  # a negative number of zeros cuts off
        delta = pad(delta, [n for a, u in zip(reversed(around), reversed(beyond), strict=True) for n in (a, a + u)])
        around = (0,) * g.rank
    grouped = unflatten(w, 0, (g.groups, -1)).transpose(1, 2).flatten(0, 1)  # (C, O / groups, *kernel)
    return delta, grouped.flip(_spatial(w)), Geometry((1,) * g.rank, around, g.dilation, g.groups)


def _weight_gradient_correlation(x: Tensor, delta: Tensor, kernel: Shape, g: Geometry) -> Tensor:
    """Each input channel, over the batch, correlated with each output's delta; stride and dilation change places."""
    images = unflatten(x, 1, (g.groups, -1)).movedim(0, 2).movedim(1, 0)  # (C / groups, groups, B, *size)
    patterns = delta.transpose(0, 1)  # (O, B, *out)
    swapped = Geometry(g.dilation, g.padding, g.stride, g.groups)
    sums = correlate(images.flatten(1, 2), patterns, None, swapped, "library")  # (C / groups, O, at least *kernel)
    return sums[along(slice(0, k) for k in kernel)].transpose(0, 1).contiguous()


def taps(kernel: Shape, out: Shape, g: Geometry) -> Iterator[tuple[Shape, tuple[slice, ...]]]:
    """Each tap j of the kernel, and where on the padded input its factors lie: s i + d j for all i."""
    for tap in product(*(range(k) for k in kernel)):
        starts = [d * j for d, j in zip(g.dilation, tap, strict=True)]
        yield (
            tap,
            tuple(slice(a, a + s * (n - 1) + 1, s) for a, s, n in zip(starts, g.stride, out, strict=True)),
        )


def _correlate_taps(x: Tensor, w: Tensor, b: Tensor | None, g: Geometry) -> Tensor:
    kernel = w.shape[2:]
    out, padded = g.output_size(x.shape[2:], kernel), padded_input(x, g)
    y = x.new_zeros(x.shape[0], w.shape[0], *out)
    if b is not None:
        y += by_channel(b, g.rank)
    for tap, at in taps(kernel, out, g):
        factor, window = w[along(tap)], padded[along(at)]
        if _depthwise(w, g):
            y.addcmul_(by_channel(factor[:, 0], g.rank), window)
        else:
            y += _mixed(unflatten(factor, 0, (g.groups, -1)), window, g)
    return y


def _input_gradient_taps(delta: Tensor, w: Tensor, size: Shape, g: Geometry) -> Tensor:
    kernel, out = w.shape[2:], delta.shape[2:]
    channels = w.shape[1] * g.groups
    whole = [n + 2 * p for n, p in zip(size, g.padding, strict=True)]
    gradient = delta.new_zeros(delta.shape[0], channels, *whole)
    for tap, at in taps(kernel, out, g):
        factor, window = w[along(tap)], gradient[along(at)]
        if _depthwise(w, g):
            window.addcmul_(by_channel(factor[:, 0], g.rank), delta)
        else:
            window += _mixed(unflatten(factor, 0, (g.groups, -1)).transpose(1, 2), delta, g)
    return gradient[along(slice(p, p + n) for p, n in zip(g.padding, size, strict=True))].contiguous()


def _weight_gradient_taps(x: Tensor, delta: Tensor, kernel: Shape, g: Geometry) -> Tensor:
    padded, out, outputs = padded_input(x, g), delta.shape[2:], delta.shape[1]
    seen_by = unflatten(delta, 1, (g.groups, -1)).flatten(3)  # (B, groups, O / groups, L)
    sums = []
    for _, at in taps(kernel, out, g):
        window = padded[along(at)]
        if x.shape[1] == outputs == g.groups:
            sums.append((window * delta).sum((0, *_spatial(delta))).unsqueeze(1))
        else:
            columns = unflatten(window, 1, (g.groups, -1)).flatten(3)  # (B, groups, C / groups, L)
            sums.append((seen_by @ columns.transpose(2, 3)).sum(0).flatten(0, 1))
    return unflatten(torch.stack(sums, dim=-1), -1, kernel)


def _mixed(factor: Tensor, window: Tensor, g: Geometry) -> Tensor:
    """One tap's matrices [groups, to, from] applied to the channels of window [B, groups * from, *size]."""
    mixed: Tensor = factor @ unflatten(window, 1, (g.groups, -1)).flatten(3)
    return unflatten(mixed.flatten(1, 2), 2, window.shape[2:])


def padded_input(x: Tensor, g: Geometry) -> Tensor:
    """x between its zeros; x itself where there are none. The last axes are spatial."""
    return pad(x, [n for p in reversed(g.padding) for n in (p, p)]) if any(g.padding) else x


def along(places: Iterable[int | slice]) -> tuple[Any, ...]:
    """An index of the last axes."""
    return (..., *places)


def by_channel(numbers: Tensor, rank: int) -> Tensor:
    """[..., C] as it broadcasts over [..., B, C, *size]."""
    return numbers.reshape(*numbers.shape[:-1], 1, numbers.shape[-1], *(1,) * rank)


def _depthwise(w: Tensor, g: Geometry) -> bool:
    return w.shape[0] == g.groups and w.shape[1] == 1


def _spatial(tensor: Tensor) -> Shape:
    return tuple(range(2, tensor.dim()))


def _last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=_LAST[tensor.dim() - 2])
