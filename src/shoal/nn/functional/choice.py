"""Which form of a sum is computed: the caller's, or the one that a rule without a clock names.

All forms give the same numbers up to rounding. The rule looks at shapes, strides, type and device alone, so a run
repeats itself bit for bit; where it draws its lines was measured with float32 and float64 on two CPU cores.
`measurement` asks a clock instead.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from shoal.core.errors import InputError
from shoal.nn.functional import correlation, stacked, unfolding
from shoal.nn.functional.geometry import Geometry, Shape

FORMS = (*correlation.FORMS, "unfold")
"""How one network's sums can be computed."""

FORMULATIONS = stacked.FORMULATIONS
"""How the sums of K networks with an input each can be computed."""


class Choice(NamedTuple):
    """A form or formulation for each of the three sums; None leaves one to the rule."""

    correlate: str | None = None
    input_gradient: str | None = None
    weight_gradient: str | None = None


NO_CHOICE = Choice()


def chosen(formulation: str | Choice | None) -> Choice:
    """What a caller's argument means.

    Args:
        formulation: one name for all three sums, a choice, or None for the rule. A name that exists for one network
            only (`taps`) or for many only (`rows`) is passed over where the other is computed.

    Raises:
        InputError: a name is unknown.
    """
    if formulation is None:
        return NO_CHOICE
    choice = Choice(*(formulation,) * 3) if isinstance(formulation, str) else formulation
    for name in choice:
        if name is not None and name not in FORMS and name not in FORMULATIONS:
            known = ", ".join(sorted({*FORMS, *FORMULATIONS}))
            raise InputError(f"formulation={name!r} is unknown: use one of {known}.")
    return choice


def correlate(x: Tensor, w: Tensor, b: Tensor | None, g: Geometry, wish: str | None = None) -> Tensor:
    """y of one network, or of each of K where `g.rows`; see `correlation`."""
    if g.rows:
        formulation = wish if wish in FORMULATIONS else _rule_of_rows("correlate", x, w.shape, g)
        return stacked.correlate(x, w, b, g, formulation, correlate)
    form = wish if wish in FORMS else _rule("correlate", x, w.shape, g)
    if form == "unfold":
        return unfolding.correlate(x[None], w[None], None if b is None else b[None], g)[0]
    return correlation.correlate(x, w, b, g, form)


def input_gradient(delta: Tensor, w: Tensor, size: Shape, g: Geometry, wish: str | None = None) -> Tensor:
    """dL/dx of one network, or of each of K where `g.rows`; see `correlation`."""
    if g.rows:
        formulation = wish if wish in FORMULATIONS else _rule_of_rows("input_gradient", delta, w.shape, g)
        return stacked.input_gradient(delta, w, size, g, formulation, input_gradient)
    form = wish if wish in FORMS else _rule("input_gradient", delta, w.shape, g)
    if form == "unfold":
        return unfolding.input_gradient(delta[None], w[None], size, g)[0]
    return correlation.input_gradient(delta, w, size, g, form)


def weight_gradient(x: Tensor, delta: Tensor, kernel: Shape, g: Geometry, wish: str | None = None) -> Tensor:
    """dL/dw of one network, or of each of K where `g.rows`; see `correlation`."""
    w_shape = (*delta.shape[: g.rows], delta.shape[1 + g.rows], x.shape[1 + g.rows] // g.groups, *kernel)
    if g.rows:
        formulation = wish if wish in FORMULATIONS else _rule_of_rows("weight_gradient", x, w_shape, g)
        return stacked.weight_gradient(x, delta, kernel, g, formulation, weight_gradient)
    form = wish if wish in FORMS else _rule("weight_gradient", x, w_shape, g)
    if form == "unfold":
        return unfolding.weight_gradient(x[None], delta[None], kernel, g)[0]
    return correlation.weight_gradient(x, delta, kernel, g, form)


def both_gradients(x: Tensor, w: Tensor, delta: Tensor, g: Geometry, choice: Choice) -> tuple[Tensor, Tensor] | None:
    """dL/dx and dL/dw of K networks where the library takes both of a row in one call; None where it does not."""
    if not g.rows:
        return None
    for what, operand in (("input_gradient", delta), ("weight_gradient", x)):
        wish = getattr(choice, what)
        formulation = wish if wish in FORMULATIONS else _rule_of_rows(what, operand, w.shape, g)
        if formulation != "rows" or _rule(what, operand[0], w.shape[1:], g) != "library":
            return None
    return stacked.library_gradients(x, w, delta, g)


def ruled(x: Tensor, w: Tensor, delta: Tensor, g: Geometry) -> Choice:
    """What the rule names for the three sums of one network, or of K where `g.rows`."""
    rule = _rule_of_rows if g.rows else _rule
    return Choice(
        correlate=rule("correlate", x, w.shape, g),
        input_gradient=rule("input_gradient", delta, w.shape, g),
        weight_gradient=rule("weight_gradient", x, w.shape, g),
    )


def _rule(what: str, operand: Tensor, w_shape: Shape, g: Geometry) -> str:
    """The form for one network. `operand` is the input, or delta where the gradient by the input is asked for."""
    return form_for(what, operand.device.type, operand.dtype, operand.stride(1) == 1, w_shape, g)


def form_for(what: str, device: str, dtype: torch.dtype, by_channel: bool, w_shape: Shape, g: Geometry) -> str:
    """The form that the rule names for a sum of one network.

    Args:
        what: a field of `Choice`.
        device: the device's type.
        dtype: of all tensors.
        by_channel: the channels of a place lie next to each other in memory; the library knows that layout best.
        w_shape: [O, C / groups, *kernel].
        g: how the kernel lies.
    """
    if device != "cpu":
        return "library"
    outputs, per_group, *kernel = w_shape
    if g.groups == outputs and per_group == 1 and outputs > 1:
        return "library" if by_channel and dtype == torch.float32 else _rule_of_depthwise(what, dtype, g)
    if dtype != torch.float32 or by_channel:
        return "library"
    if g.groups > 1:  # narrow groups do not fill the library's blocks of 8 channels
        narrow = g.rank == 2 and per_group <= 4 and outputs <= 8 * g.groups
        return "channels_last" if narrow and (what == "weight_gradient" or per_group > 1) else "library"
    if what == "weight_gradient" and g.rank == 3 and per_group >= 4 and max(g.stride) == 1 < max(kernel):
        return "correlation"
    if g.rank == 2 and per_group <= 3 and what != "input_gradient":  # few inputs, very many outputs: a wide product
        least = (32 if what == "weight_gradient" else 96) if per_group == 1 else 40 * per_group
        wide = outputs >= least and (what == "weight_gradient" or prod(kernel) <= 9)
        return "unfold" if wide else "library"
    return "library"


def _rule_of_depthwise(what: str, dtype: torch.dtype, g: Geometry) -> str:
    if dtype == torch.float64:
        return "taps"
    if dtype != torch.float32:
        return "library"
    if what == "input_gradient":
        return "correlation" if g.rank == 3 else "library"
    if what == "weight_gradient" and (g.rank == 1 or (g.rank == 3 and max(g.stride) == 1)):
        return "taps"
    return "library"


SMALL_PRODUCTS = 2_000_000  # of a row: below this, calling the library costs more than its work
CACHED_NUMBERS = 4_000_000  # of all rows: more are arranged in memory, not in the cache
SHARED_NUMBERS = 8_000_000  # of all outputs for one input


def _rule_of_rows(what: str, operand: Tensor, w_shape: Shape, g: Geometry) -> str:
    """The formulation for K networks with an input each."""
    if operand.device.type != "cpu":
        return "grouped"
    _, outputs, per_group, *kernel = w_shape
    if max(kernel) == max(g.stride) == 1 and max(g.padding) == 0 and g.groups == 1:
        return "unfold"  # the columns are the input itself
    if per_group == g.groups == 1 and g.rank == 2 and prod(kernel) <= 9 and what != "input_gradient":
        return "unfold"
    products = _products(operand.shape, w_shape, g, 1 if what == "input_gradient" else prod(g.stride))
    cached = _numbers(operand.shape, w_shape, g) <= CACHED_NUMBERS
    whole_blocks = per_group % 8 == 0 and outputs % (8 * g.groups) == 0
    if (products < SMALL_PRODUCTS and (cached or g.rank != 2)) or (whole_blocks and cached and g.rank < 3):
        return "grouped"
    if per_group == g.groups == 1 and what == "input_gradient" and g.rank < 3:
        return "grouped"
    return "rows"


def as_one(x: Tensor, w_shape: Shape, g: Geometry, wish: str | None = None) -> bool:
    """Whether K kernels on one input x [B, C, *size] are computed as one kernel of K * O outputs, or row by row.

    One kernel wins where the input is what costs: few channels, a stride, three axes, little work, or a GPU.
    """
    if wish in FORMULATIONS:
        return False
    if x.device.type == "cpu" and g.rank == 2 and _numbers((w_shape[0], *x.shape), w_shape, g) > SHARED_NUMBERS:
        return False
    if x.device.type != "cpu" or g.groups > 1 or w_shape[2] <= 4 or g.rank == 3 or max(g.stride) > 1:
        return True
    return _products((1, *x.shape), w_shape, g, 1) < SMALL_PRODUCTS


def _numbers(operand: Shape, w_shape: Shape, g: Geometry) -> int:
    """How many numbers all rows read or write, whichever are more, for inputs [K, B, C, *size]."""
    return operand[0] * operand[1] * max(w_shape[1], w_shape[2] * g.groups) * prod(operand[-g.rank :]) // prod(g.stride)


def _products(operand: Shape, w_shape: Shape, g: Geometry, apart: int) -> int:
    """About how many multiplications one row of inputs [K, B, C, *size] takes, every `apart`-th place being used."""
    return operand[1] * prod(w_shape[1:]) * prod(operand[-g.rank :]) // apart
