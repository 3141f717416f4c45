"""Convolution and its two gradients, for one network or for K at once: what `shoal.nn.functional` offers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from shoal.core.errors import InputError
from shoal.nn.functional import autograd, stacked
from shoal.nn.functional.choice import Choice, chosen, form_for
from shoal.nn.functional.correlation import along
from shoal.nn.functional.geometry import (
    Geometry,
    Ints,
    Placement,
    Shape,
    by_axis,
    check_numbers,
    placed,
    rank_of,
    whole_groups,
)


def conv(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
    flip: bool = False,
    *,
    rows: bool = False,
    formulation: str | Choice | None = None,
) -> Tensor:
    """Cross-correlation of an input with kernels in 1, 2 or 3 dimensions, by the rank of x; convolution with `flip`.

        y_i = b + sum_j w_j x~_{s i + d j}          (with `flip`, w_{k-1-j} for w_j)

    where x~ is x between its zeros, and the sum also runs over a group's input channels. Along each axis y has
    floor((n + 2p - d(k - 1) - 1) / s) + 1 entries.

    Args:
        x: input [B, C, *size] with 1 to 3 spatial axes, any floating-point type.
        w: kernels [O, C / groups, *kernel] of the same type.
        b: bias [O].
        stride: s, at least 1; one number or one by axis.
        padding: p zeros on both sides; or `valid` (none), or `same` (y is as large as x; stride 1 only).
        dilation: d, at least 1.
        groups: channels are cut into groups that do not see each other; C of them is a depthwise convolution.
        flip: turn the kernel around, as mathematics and `scipy.signal.convolve` define convolution.
        rows: the population form: w is [K, O, ...], b is [K, O], and x is [K, B, C, ...] or one [B, C, ...] for all.
        formulation: how to compute it, for one sum or by `Choice`; the numbers are the same up to rounding.

    Returns:
        y [B, O, *out]; with `rows`, [K, B, O, *out].

    Raises:
        InputError: shapes, settings, types or devices do not fit; the message states the shapes.

    What holds: linear in (x, b) and in (w, b); at stride 1 a shift of x shifts y, away from the borders; row k of a
    population is what that row gives alone. Derivatives of any order, forward mode, `torch.func.vmap` (K kernels become
    the population form) and `torch.compile` go through it.

    >>> conv(torch.ones(1, 1, 28, 28), torch.ones(4, 1, 3, 3)).shape
    torch.Size([1, 4, 26, 26])
    """
    if formulation is None and not rows and not flip and autograd.untraced():
        try:
            signature = x.shape, x.stride(), x.dtype, x.device
            g = _left_to_library(*signature, w.shape, stride, padding, dilation, groups, torch.is_grad_enabled())
            if g is not None and not _autocast():
                return torch.convolution(x, w, b, g.stride, g.padding, g.dilation, False, (0,) * g.rank, g.groups)
        except (InputError, RuntimeError, TypeError, AttributeError):  # said below in our own words; lists are no keys
            pass
    x, w, b = _cast(x, w, b)
    at = _checked({"input": x, "kernel": w, "bias": b}, x.shape, w.shape, stride, padding, dilation, groups, rows)
    if b is not None and b.shape != w.shape[: 1 + rows]:
        raise InputError(f"bias {list(b.shape)}, kernel {list(w.shape)}: the bias must be {list(w.shape[: 1 + rows])}.")
    w, choice = _turned(w, at, flip), chosen(formulation)
    if rows:
        return autograd.correlate_rows(_with_beyond(x, at), w, b, at.geometry, choice)
    return autograd.correlate(_with_beyond(x, at), w, b, at.geometry, choice)


def conv_input_grad(
    delta: Tensor,
    w: Tensor,
    input_size: Ints,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
    flip: bool = False,
    *,
    rows: bool = False,
    formulation: str | Choice | None = None,
) -> Tensor:
    """The gradient of a loss by the input of `conv`, from delta = dL/dy.

        dL/dx~_n = sum_j w_j delta_i, over the i with s i + d j = n

    a full convolution of delta, spread with s - 1 zeros, with the flipped kernel; for s = d = 1, counted from 1:
    dL/dx_n = sum_j delta_{n-j+1} w_j.

    Args:
        delta: dL/dy [B, O, *out]; with `rows`, [K, B, O, *out].
        w: kernels as in `conv`.
        input_size: *size of x, one number or one by axis; or the whole shape of x. With `rows`, a whole shape
            [B, C, *size] says that all rows see one input: its gradient is the sum over the rows.
        stride: as in `conv`, and so are padding, dilation, groups, flip, rows and formulation.
        padding: see `conv`.
        dilation: see `conv`.
        groups: see `conv`.
        flip: see `conv`.
        rows: see `conv`.
        formulation: see `conv`.

    Returns:
        dL/dx, of x's shape.

    Raises:
        InputError: shapes, settings, types or devices do not fit; the message states the shapes.

    >>> conv_input_grad(torch.ones(1, 1, 3), torch.tensor([[[1.0, 2.0, 4.0]]]), 5)
    tensor([[[1., 3., 7., 6., 4.]]])
    """
    delta, w, _ = _cast(delta, w)
    shape = _input_shape(delta, w, input_size, groups, rows)
    at = _checked({"delta": delta, "kernel": w}, shape, w.shape, stride, padding, dilation, groups, rows)
    _check_delta(delta, shape, w.shape, at)
    g, choice = at.geometry, chosen(formulation)
    size = tuple(n + q for n, q in zip(shape[-g.rank :], at.beyond, strict=True))
    w = _turned(w, at, flip)
    if rows and len(shape) < delta.dim():  # one input for all rows
        delta, w = stacked.outputs_as_one(delta, groups), stacked.kernels_as_one(w, groups)
        rows = False
    gradient = autograd.input_gradient(delta, w, size, g._replace(rows=rows), choice)
    return gradient[along(slice(0, n) for n in shape[-g.rank :])] if any(at.beyond) else gradient


def conv_weight_grad(
    x: Tensor,
    delta: Tensor,
    kernel_size: Ints,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
    flip: bool = False,
    *,
    rows: bool = False,
    formulation: str | Choice | None = None,
) -> Tensor:
    """The gradient of a loss by the kernels of `conv`, from delta = dL/dy.

        dL/dw_j = sum_i delta_i x~_{s i + d j}

    a correlation of input and delta, summed over the batch; for s = d = 1, counted from 1: sum_i delta_i x_{i+j-1}.

    Args:
        x: input as in `conv`.
        delta: dL/dy [B, O, *out]; with `rows`, [K, B, O, *out].
        kernel_size: *kernel of w, one number or one by axis.
        stride: as in `conv`, and so are padding, dilation, groups, flip, rows and formulation.
        padding: see `conv`.
        dilation: see `conv`.
        groups: see `conv`.
        flip: see `conv`.
        rows: see `conv`.
        formulation: see `conv`.

    Returns:
        dL/dw, of w's shape.

    Raises:
        InputError: shapes, settings, types or devices do not fit; the message states the shapes.

    >>> conv_weight_grad(torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]]), torch.ones(1, 1, 3), 3)
    tensor([[[ 6.,  9., 12.]]])
    """
    x, delta, _ = _cast(x, delta)
    w_shape = _kernel_shape(x, delta, kernel_size, groups, rows)
    at = _checked({"input": x, "delta": delta}, x.shape, w_shape, stride, padding, dilation, groups, rows)
    _check_delta(delta, x.shape, w_shape, at)
    g, choice, padded = at.geometry, chosen(formulation), _with_beyond(x, at)
    kernel = w_shape[-g.rank :]
    if rows:
        return _turned(autograd.weight_gradient_rows(padded, delta, kernel, g, choice), at, flip)
    return _turned(autograd.weight_gradient(padded, delta, kernel, g, choice), at, flip)


@lru_cache(maxsize=4096, typed=True)
def _left_to_library(
    x_shape: Shape,
    x_stride: Shape,
    dtype: torch.dtype,
    device: torch.device,
    w_shape: Shape,
    stride: Ints,
    padding: Ints | str,
    dilation: Ints,
    groups: int,
    gradients: bool,
) -> Geometry | None:
    """The geometry of a call whose sums, with both gradients or without, the rule leaves to the library: its own
    function, which torch knows to differentiate, then costs least. None for every other call.
    """
    g, beyond = placed(x_shape, w_shape, stride, padding, dilation, groups)
    if any(beyond) or not dtype.is_floating_point:
        return None
    sums = Choice._fields if gradients else ("correlate",)
    forms = (form_for(what, device.type, dtype, x_stride[1] == 1, tuple(w_shape), g) for what in sums)
    return g if all(form == "library" for form in forms) else None


_autocast: Callable[[], bool] = getattr(torch._C, "_is_any_autocast_enabled", lambda: True)


def _cast(*tensors: Tensor | None) -> tuple[Any, ...]:
    """The tensors as autocast wants them, where it is on; three of them, a missing third one None."""
    for tensor in (*tensors[:2], *(t for t in tensors[2:] if t is not None)):
        if not isinstance(tensor, Tensor):
            raise InputError(f"a convolution takes tensors, not {type(tensor).__name__}.")
    first = tensors[0]
    if first is not None and torch.is_autocast_enabled(first.device.type) and first.dtype != torch.float64:
        dtype = torch.get_autocast_dtype(first.device.type)
        tensors = tuple(t.to(dtype) if t is not None and t.is_floating_point() else t for t in tensors)
    return (*tensors, *(None,) * (3 - len(tensors)))


def _checked(
    tensors: dict[str, Tensor | None],
    x_shape: Shape,
    w_shape: Shape,
    stride: Ints,
    padding: Ints | str,
    dilation: Ints,
    groups: int,
    rows: bool,
) -> Placement:
    check_numbers(tensors)
    return placed(x_shape, w_shape, stride, padding, dilation, groups, rows)


def _check_delta(delta: Tensor, x_shape: Shape, w_shape: Shape, at: Placement) -> None:
    rank = at.geometry.rank
    size = [n + q for n, q in zip(x_shape[-rank:], at.beyond, strict=True)]
    out = at.geometry.output_size(size, w_shape[-rank:])
    wanted = (*w_shape[: -rank - 2], x_shape[-rank - 2], w_shape[-rank - 2], *out)
    if delta.shape != wanted:
        raise InputError(
            f"delta {list(delta.shape)}, input {list(x_shape)}, kernel {list(w_shape)}: the output of this"
            f" convolution, and so its delta, is {list(wanted)}."
        )


def _input_shape(delta: Tensor, w: Tensor, input_size: Ints, groups: int, rows: bool) -> Shape:
    """x's whole shape."""
    names = f"delta {list(delta.shape)}, kernel {list(w.shape)}"
    rank = rank_of(names, tuple(delta.shape), tuple(w.shape), rows)
    if not isinstance(input_size, int) and len(tuple(input_size)) > rank:
        return tuple(input_size)
    size = by_axis("input_size", input_size, rank, 1, names)
    return (*delta.shape[: 1 + rows], w.shape[1 + rows] * whole_groups(groups, names), *size)


def _kernel_shape(x: Tensor, delta: Tensor, kernel_size: Ints, groups: int, rows: bool) -> Shape:
    """w's whole shape; channels that are no multiple of the groups are left for `placed` to refuse."""
    names = f"input {list(x.shape)}, delta {list(delta.shape)}"
    rank = rank_of(names, tuple(x.shape), tuple(delta.shape), rows)
    kernel = by_axis("kernel_size", kernel_size, rank, 1, names)
    outputs = (*delta.shape[:rows], delta.shape[1 + rows])
    return (*outputs, x.shape[-rank - 1] // whole_groups(groups, names), *kernel)


def _turned(w: Tensor, at: Placement, flip: bool) -> Tensor:
    return w.flip(tuple(range(-at.geometry.rank, 0))) if flip else w


def _with_beyond(x: Tensor, at: Placement) -> Tensor:
    """x with the zeros that `same` adds at the far end only."""
    return pad(x, [n for q in reversed(at.beyond) for n in (0, q)]) if any(at.beyond) else x
