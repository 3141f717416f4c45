"""The three sums for K networks at once: row k of the inputs meets row k of the kernels.

Formulations: `rows` (one network after the other, each as it is quickest alone), `grouped` (one convolution whose
groups are the rows), `unfold` (columns and one batched matrix product). Where all rows see one input, K kernels of O
outputs can also be one kernel of K * O outputs (`kernels_as_one` and its like).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, unflatten

from shoal.nn.functional import unfolding
from shoal.nn.functional.geometry import Geometry, Shape

FORMULATIONS = ("rows", "grouped", "unfold")
Correlate = Callable[[Tensor, Tensor, Tensor | None, Geometry], Tensor]
Gradient = Callable[[Tensor, Tensor, Shape, Geometry], Tensor]


def correlate(x: Tensor, w: Tensor, b: Tensor | None, g: Geometry, formulation: str, alone: Correlate) -> Tensor:
    """y [K, B, O, *out] of x [K, B, C, *size], w [K, O, C / groups, *kernel] and b [K, O].

    Args:
        x: inputs by row.
        w: kernels by row.
        b: biases by row.
        g: with `rows`.
        formulation: one of `FORMULATIONS`.
        alone: the same sum for one network.
    """
    if formulation == "unfold":
        return unfolding.correlate(x, w, b, g)
    if formulation == "grouped":
        y = alone(_beside(x), w.flatten(0, 1), None if b is None else b.flatten(), _as_groups(g, len(w)))
        return _apart(y, len(w))
    one = g._replace(rows=False)
    return torch.stack([alone(x[k], w[k], None if b is None else b[k], one) for k in range(len(w))])


def input_gradient(delta: Tensor, w: Tensor, size: Shape, g: Geometry, formulation: str, alone: Gradient) -> Tensor:
    """dL/dx [K, B, C, *size] of delta [K, B, O, *out] and w; arguments as in `correlate`."""
    if formulation == "unfold":
        return unfolding.input_gradient(delta, w, size, g)
    if formulation == "grouped":
        return _apart(alone(_beside(delta), w.flatten(0, 1), size, _as_groups(g, len(w))), len(w))
    one = g._replace(rows=False)
    return torch.stack([alone(delta[k], w[k], size, one) for k in range(len(w))])


def weight_gradient(x: Tensor, delta: Tensor, kernel: Shape, g: Geometry, formulation: str, alone: Gradient) -> Tensor:
    """dL/dw [K, O, C / groups, *kernel] of x and delta; arguments as in `correlate`."""
    if formulation == "unfold":
        return unfolding.weight_gradient(x, delta, kernel, g)
    if formulation == "grouped":
        gradient = alone(_beside(x), _beside(delta), kernel, _as_groups(g, len(x)))
        return unflatten(gradient, 0, (len(x), -1))
    one = g._replace(rows=False)
    return torch.stack([alone(x[k], delta[k], kernel, one) for k in range(len(x))])


def library_gradients(x: Tensor, w: Tensor, delta: Tensor, g: Geometry) -> tuple[Tensor, Tensor]:
    """dL/dx and dL/dw row by row, both in one call of the library."""
    rest = (None, g.stride, g.padding, g.dilation, False, (0,) * g.rank, g.groups, (True, True, False))
    pairs = [torch.ops.aten.convolution_backward.default(delta[k], x[k], w[k], *rest)[:2] for k in range(len(w))]
    return torch.stack([by_x for by_x, _ in pairs]), torch.stack([by_w for _, by_w in pairs])


def kernels_as_one(w: Tensor, groups: int) -> Tensor:
    """Kernels [K, O, ...] as one of K * O outputs, group by group: [groups * K * O / groups, ...]."""
    return unflatten(w, 1, (groups, -1)).movedim(1, 0).flatten(0, 2)


def kernels_apart(w: Tensor, rows: int, groups: int) -> Tensor:
    """What `kernels_as_one` joined: [K, O, ...]."""
    return unflatten(w, 0, (groups, rows, -1)).movedim(1, 0).flatten(1, 2)


def outputs_as_one(y: Tensor, groups: int) -> Tensor:
    """Outputs [K, B, O, ...] side by side as `kernels_as_one` orders them: [B, groups * K * O / groups, ...]."""
    return unflatten(y, 2, (groups, -1)).movedim(0, 2).flatten(1, 3)


def outputs_apart(y: Tensor, rows: int, groups: int) -> Tensor:
    """What `outputs_as_one` joined: [K, B, O, ...]."""
    return unflatten(y, 1, (groups, rows, -1)).movedim(2, 0).flatten(2, 3)


def _beside(tensor: Tensor) -> Tensor:
    """[K, B, C, ...] to [B, K * C, ...]."""
    return tensor.transpose(0, 1).flatten(1, 2)


def _apart(tensor: Tensor, rows: int) -> Tensor:
    """[B, K * C, ...] to [K, B, C, ...]."""
    return unflatten(tensor, 1, (rows, -1)).transpose(0, 1)


def _as_groups(g: Geometry, rows: int) -> Geometry:
    return g._replace(groups=rows * g.groups, rows=False)
