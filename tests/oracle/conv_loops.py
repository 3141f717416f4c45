"""Convolution, number by number in Python floats: every output is a sum over channels and taps, written as loops.

Tensors are dictionaries from an index (a tuple of whole numbers) to a number; what is missing is zero.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import product

Numbers = dict[tuple[int, ...], float]


def products(
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """Each product of the sums: the index of the output, of the input and of the weight that take part in it."""
    batch, _, *size = x_shape
    outputs, per_group, *kernel = w_shape
    out = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        places = 0
        while places * s + d * (k - 1) + 1 <= n + 2 * p:  # the kernel still fits
            places += 1
        out.append(places)
    for sample, output, place in product(range(batch), range(outputs), product(*map(range, out))):
        group = output // (outputs // groups)
        for channel, tap in product(range(per_group), product(*map(range, kernel))):
            seen = [i * s + j * d - p for i, j, s, d, p in zip(place, tap, stride, dilation, padding, strict=True)]
            if all(0 <= at < n for at, n in zip(seen, size, strict=True)):
                yield (
                    (sample, output, *place),
                    (sample, group * per_group + channel, *seen),
                    (output, channel, *tap),
                )


def forward(x: Numbers, w: Numbers, **what: object) -> Numbers:
    y: Numbers = defaultdict(float)
    for at_y, at_x, at_w in products(**what):  # type: ignore[arg-type]
        y[at_y] += w[at_w] * x[at_x]
    return y


def backward(x: Numbers, w: Numbers, delta: Numbers, **what: object) -> tuple[Numbers, Numbers]:
    """dL/dx and dL/dw: each product w * x of the output gives delta * w to its x and delta * x to its w."""
    by_x: Numbers = defaultdict(float)
    by_w: Numbers = defaultdict(float)
    for at_y, at_x, at_w in products(**what):  # type: ignore[arg-type]
        by_x[at_x] += delta[at_y] * w[at_w]
        by_w[at_w] += delta[at_y] * x[at_x]
    return by_x, by_w
