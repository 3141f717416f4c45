"""Convolution and its two gradients as functions that autograd, `torch.func` and `torch.compile` go through.

y = F(x, w), dL/dx = I(delta, w) and dL/dw = W(x, delta) are three faces of one form that is linear in each of x, w and
delta: <delta, F(x, w)> = <I(delta, w), x> = <W(x, delta), w>. So the derivative of each is made of the other two, and
derivatives of any order need nothing else. Under `vmap`, K kernels become the population form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, unflatten
from torch.autograd import Function

from shoal.nn.functional import choice as sums
from shoal.nn.functional import stacked
from shoal.nn.functional.choice import Choice
from shoal.nn.functional.correlation import by_channel
from shoal.nn.functional.geometry import Geometry, Shape

Grads = tuple[Tensor | None, ...]


class Correlate(Function):
    """F(x, w) + b."""

    @staticmethod
    def forward(x: Tensor, w: Tensor, b: Tensor | None, g: Geometry, choice: Choice) -> Tensor:
        """See `choice.correlate`."""
        return sums.correlate(x, w, b, g, choice.correlate)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the two factors."""
        x, w, _, ctx.g, ctx.choice = inputs
        ctx.shape = output.shape
        ctx.save_for_backward(x, w)
        ctx.save_for_forward(x, w)  # for the tangents below

    @staticmethod
    def backward(ctx: Any, delta: Tensor) -> Grads:
        """dL/dx = I(delta, w), dL/dw = W(x, delta), dL/db = the sum of delta over all but the outputs."""
        x, w = ctx.saved_tensors
        g, choice, needs = ctx.g, ctx.choice, ctx.needs_input_grad
        plain = needs[0] and needs[1] and not torch.is_grad_enabled() and untraced()
        both = sums.both_gradients(x, w, delta, g, choice) if plain else None
        by_x, by_w = both or (None, None)
        if both is None:
            by_x = input_gradient(delta, w, _spatial(x, g), g, choice) if needs[0] else None
            by_w = weight_gradient(x, delta, _spatial(w, g), g, choice) if needs[1] else None
        by_b = delta.sum((-g.rank - 2, *range(-g.rank, 0))) if needs[2] else None
        return by_x, by_w, by_b, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, w: Tensor, b: Tensor | None, g: Geometry, choice: Choice) -> Any:
        """K kernels, K inputs, K biases, or any of these together."""
        rows, (x_at, w_at, b_at) = info.batch_size, in_dims[:3]
        if g.rows:  # rows of rows
            biases = None if b is None else _merged(b, b_at, rows)
            y = correlate(_merged(x, x_at, rows), _merged(w, w_at, rows), biases, g, choice)
            return unflatten(y, 0, (rows, -1)), 0
        if w_at is not None:
            b = None if b is None else _by_row(b, b_at, rows)
            return correlate_rows(x if x_at is None else x.movedim(x_at, 0), w.movedim(w_at, 0), b, g, choice), 0
        own = None if b_at is not None else b
        if x_at is None:
            y = correlate(x, w, own, g, choice).unsqueeze(0)
        else:
            y = unflatten(correlate(x.movedim(x_at, 0).flatten(0, 1), w, own, g, choice), 0, (rows, -1))
        return (y if b is None or b_at is None else y + by_channel(b.movedim(b_at, 0), g.rank)), 0


class InputGradient(Function):
    """I(delta, w)."""

    @staticmethod
    def forward(delta: Tensor, w: Tensor, size: Shape, g: Geometry, choice: Choice) -> Tensor:
        """See `choice.input_gradient`."""
        return sums.input_gradient(delta, w, size, g, choice.input_gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the two factors."""
        delta, w, ctx.size, ctx.g, ctx.choice = inputs
        ctx.save_for_backward(delta, w)
        ctx.save_for_forward(delta, w)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> Grads:
        """By delta: F(v, w). By w: W(v, delta)."""
        delta, w = ctx.saved_tensors
        by_delta = correlate(v, w, None, ctx.g, ctx.choice) if ctx.needs_input_grad[0] else None
        by_w = weight_gradient(v, delta, _spatial(w, ctx.g), ctx.g, ctx.choice) if ctx.needs_input_grad[1] else None
        return by_delta, by_w, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, delta: Tensor, w: Tensor, size: Shape, g: Geometry, choice: Choice) -> Any:
        """K kernels, K deltas, or both."""
        rows, (delta_at, w_at) = info.batch_size, in_dims[:2]
        if g.rows or w_at is None:
            kernels = _merged(w, w_at, rows) if g.rows else w
            merged = input_gradient(_merged(delta, delta_at, rows), kernels, size, g, choice)
            return unflatten(merged, 0, (rows, -1)), 0
        delta, w = _by_row(delta, delta_at, rows), w.movedim(w_at, 0)
        return input_gradient(delta, w, size, g._replace(rows=True), choice), 0


class WeightGradient(Function):
    """W(x, delta)."""

    @staticmethod
    def forward(x: Tensor, delta: Tensor, kernel: Shape, g: Geometry, choice: Choice) -> Tensor:
        """See `choice.weight_gradient`."""
        return sums.weight_gradient(x, delta, kernel, g, choice.weight_gradient)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the two factors."""
        x, delta, ctx.kernel, ctx.g, ctx.choice = inputs
        ctx.save_for_backward(x, delta)
        ctx.save_for_forward(x, delta)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> Grads:
        """By x: I(delta, u). By delta: F(x, u)."""
        x, delta = ctx.saved_tensors
        by_x = input_gradient(delta, u, _spatial(x, ctx.g), ctx.g, ctx.choice) if ctx.needs_input_grad[0] else None
        by_delta = correlate(x, u, None, ctx.g, ctx.choice) if ctx.needs_input_grad[1] else None
        return by_x, by_delta, None, None, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, delta: Tensor, kernel: Shape, g: Geometry, choice: Choice) -> Any:
        """K inputs, K deltas, or both."""
        rows, (x_at, delta_at) = info.batch_size, in_dims[:2]
        if g.rows:
            merged = weight_gradient(_merged(x, x_at, rows), _merged(delta, delta_at, rows), kernel, g, choice)
            return unflatten(merged, 0, (rows, -1)), 0
        x = x if x_at is None else x.movedim(x_at, 0)
        return weight_gradient_rows(x, _by_row(delta, delta_at, rows), kernel, g, choice), 0


# --- with forward mode: torch.compile does not trace functions that define it -----------------------------------------


class CorrelateWithTangent(Correlate):
    """F, also in forward mode."""

    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor | None, w_dot: Tensor | None, b_dot: Tensor | None, *_: None) -> Tensor:
        """dy = F(dx, w) + F(x, dw) + db."""
        x, w = ctx.saved_tensors
        rest = (None, ctx.g, ctx.choice)
        by_b = None if b_dot is None else by_channel(b_dot, ctx.g.rank).expand(ctx.shape)
        return _added(
            None if x_dot is None else correlate(x_dot, w, *rest),
            None if w_dot is None else correlate(x, w_dot, *rest),
            by_b,
        )


class InputGradientWithTangent(InputGradient):
    """I, also in forward mode."""

    @staticmethod
    def jvp(ctx: Any, delta_dot: Tensor | None, w_dot: Tensor | None, *_: None) -> Tensor:
        """I(d delta, w) + I(delta, dw)."""
        delta, w = ctx.saved_tensors
        rest = (ctx.size, ctx.g, ctx.choice)
        return _added(
            None if delta_dot is None else input_gradient(delta_dot, w, *rest),
            None if w_dot is None else input_gradient(delta, w_dot, *rest),
        )


class WeightGradientWithTangent(WeightGradient):
    """W, also in forward mode."""

    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor | None, delta_dot: Tensor | None, *_: None) -> Tensor:
        """W(dx, delta) + W(x, d delta)."""
        x, delta = ctx.saved_tensors
        rest = (ctx.kernel, ctx.g, ctx.choice)
        return _added(
            None if x_dot is None else weight_gradient(x_dot, delta, *rest),
            None if delta_dot is None else weight_gradient(x, delta_dot, *rest),
        )


class CorrelateAtOnce(Function):
    """F for plain eager calls: with the context in `forward`, a call costs a third less, but knows no `torch.func`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, g: Geometry, choice: Choice) -> Tensor:
        """See `choice.correlate`."""
        y = sums.correlate(x, w, b, g, choice.correlate)
        Correlate.setup_context(ctx, (x, w, b, g, choice), y)
        return y

    backward = staticmethod(Correlate.backward)
    jvp = staticmethod(CorrelateWithTangent.jvp)


# --- the three, each by the function that fits the moment -------------------------------------------------------------


def correlate(x: Tensor, w: Tensor, b: Tensor | None, g: Geometry, choice: Choice) -> Tensor:
    """F(x, w) + b, differentiable."""
    plain = untraced()
    if plain and not torch.is_grad_enabled():
        return sums.correlate(x, w, b, g, choice.correlate)
    function = CorrelateAtOnce if plain else _traced(Correlate, CorrelateWithTangent)
    return function.apply(x, w, b, g, choice)  # type: ignore[no-any-return, no-untyped-call]


def input_gradient(delta: Tensor, w: Tensor, size: Shape, g: Geometry, choice: Choice) -> Tensor:
    """I(delta, w), differentiable."""
    if untraced() and not torch.is_grad_enabled():
        return sums.input_gradient(delta, w, size, g, choice.input_gradient)
    function = _traced(InputGradient, InputGradientWithTangent)
    return function.apply(delta, w, size, g, choice)  # type: ignore[no-any-return, no-untyped-call]


def weight_gradient(x: Tensor, delta: Tensor, kernel: Shape, g: Geometry, choice: Choice) -> Tensor:
    """W(x, delta), differentiable."""
    if untraced() and not torch.is_grad_enabled():
        return sums.weight_gradient(x, delta, kernel, g, choice.weight_gradient)
    function = _traced(WeightGradient, WeightGradientWithTangent)
    return function.apply(x, delta, kernel, g, choice)  # type: ignore[no-any-return, no-untyped-call]


_transforms_active: Callable[[], bool] = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


def untraced() -> bool:
    """Nobody traces or maps: neither `torch.compile` nor `torch.func`."""
    return not torch.compiler.is_compiling() and not _transforms_active()


def _traced(compiled: type[Function], mapped: type[Function]) -> type[Function]:
    return compiled if torch.compiler.is_compiling() else mapped


def correlate_rows(x: Tensor, w: Tensor, b: Tensor | None, g: Geometry, choice: Choice) -> Tensor:
    """y [K, B, O, ...] of w [K, O, ...], b [K, O] and x [K, B, C, ...] or one x [B, C, ...] for all rows."""
    if x.dim() == w.dim():
        return correlate(x, w, b, g._replace(rows=True), choice)
    if not sums.as_one(x, w.shape, g, choice.correlate):
        return correlate(x.expand(len(w), *x.shape), w, b, g._replace(rows=True), choice)
    kernel = stacked.kernels_as_one(w, g.groups)
    y = correlate(x, kernel, None if b is None else stacked.kernels_as_one(b, g.groups), g, choice)
    return stacked.outputs_apart(y, len(w), g.groups)


def weight_gradient_rows(x: Tensor, delta: Tensor, kernel: Shape, g: Geometry, choice: Choice) -> Tensor:
    """dL/dw [K, O, ...] of delta [K, B, O, ...] and x [K, B, C, ...] or one x [B, C, ...] for all rows."""
    if x.dim() == delta.dim():
        return weight_gradient(x, delta, kernel, g._replace(rows=True), choice)
    w_shape = (len(delta), delta.shape[2], x.shape[1] // g.groups, *kernel)
    if not sums.as_one(x, w_shape, g, choice.weight_gradient):
        return weight_gradient(x.expand(len(delta), *x.shape), delta, kernel, g._replace(rows=True), choice)
    gradient = weight_gradient(x, stacked.outputs_as_one(delta, g.groups), kernel, g, choice)
    return stacked.kernels_apart(gradient, len(delta), g.groups)


def _spatial(tensor: Tensor, g: Geometry) -> Shape:
    return tuple(tensor.shape[-g.rank :])


def _by_row(tensor: Tensor, at: int | None, rows: int) -> Tensor:
    """The mapped axis first; a view of `rows` copies where there is none."""
    return tensor.expand(rows, *tensor.shape) if at is None else tensor.movedim(at, 0)


def _merged(tensor: Tensor, at: int | None, rows: int) -> Tensor:
    """The mapped axis joined with the first one."""
    return _by_row(tensor, at, rows).flatten(0, 1)


def _added(*parts: Tensor | None) -> Tensor:
    first, *others = (part for part in parts if part is not None)
    for other in others:
        first = first + other
    return first
