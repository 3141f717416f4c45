"""Where a kernel lies on its input: sizes, padding, and the checks that name the shapes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from shoal.core.errors import InputError

Ints = int | Sequence[int]
Shape = tuple[int, ...]


class Geometry(NamedTuple):
    """What a convolution does besides its numbers; one entry by spatial axis.

    Attributes:
        stride: step of the kernel over the input, at least 1.
        padding: zeros added on both sides, at least 0.
        dilation: distance between neighbouring taps of the kernel, at least 1.
        groups: channels are cut into this many groups that do not see each other.
        rows: inputs and kernels have a leading axis K, and row k of one meets row k of the other.
    """

    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int = 1
    rows: bool = False

    @property
    def rank(self) -> int:
        """Number of spatial axes: 1, 2 or 3."""
        return len(self.stride)

    def output_size(self, size: Sequence[int], kernel: Sequence[int]) -> Shape:
        """floor((n + 2p - d(k - 1) - 1) / s) + 1 along each axis.

        >>> Geometry((1, 1), (0, 0), (1, 1)).output_size((28, 28), (3, 3))
        (26, 26)
        """
        return tuple(
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, kernel, self.stride, self.padding, self.dilation, strict=True)
        )

    def unreached(self, size: Sequence[int], kernel: Sequence[int]) -> Shape:
        """Positions at the far end of the padded input that a stride leaves out, along each axis."""
        return tuple(
            (n + 2 * p - d * (k - 1) - 1) % s
            for n, k, s, p, d in zip(size, kernel, self.stride, self.padding, self.dilation, strict=True)
        )


class Placement(NamedTuple):
    """A geometry, and the zeros that it cannot say: those at the far end only, as `same` adds for an even kernel."""

    geometry: Geometry
    beyond: Shape


def placed(
    x_shape: Shape, w_shape: Shape, stride: Ints, padding: Ints | str, dilation: Ints, groups: int, rows: bool = False
) -> Placement:
    """Check the shapes and settings of a convolution.

    Args:
        x_shape: [B, C, *size]; with `rows`, that or [K, B, C, *size].
        w_shape: [O, C / groups, *kernel]; with `rows`, [K, O, C / groups, *kernel].
        stride: at least 1, one number or one by axis.
        padding: at least 0, one number or one by axis, `same` or `valid`.
        dilation: at least 1, one number or one by axis.
        groups: divides both channel counts.
        rows: the kernel has a leading axis K, and the input may have it.

    Returns:
        a geometry for one network (without `rows`) and what it cannot say.

    Raises:
        InputError: anything does not fit; the message states both shapes.
    """
    if torch.compiler.is_compiling():  # sizes may be symbols there, which a cache cannot hold
        return _placed(x_shape, w_shape, stride, padding, dilation, groups, rows)
    try:
        return _remembered(x_shape, w_shape, stride, padding, dilation, groups, rows)
    except TypeError:  # a list cannot be a key
        return _placed(x_shape, w_shape, stride, padding, dilation, groups, rows)


def _placed(
    x_shape: Shape, w_shape: Shape, stride: Ints, padding: Ints | str, dilation: Ints, groups: int, rows: bool
) -> Placement:
    names = f"input {list(x_shape)}, kernel {list(w_shape)}"
    rank = rank_of(names, x_shape, w_shape, rows)
    if len(x_shape) == rank + 3 and x_shape[0] != w_shape[0]:
        raise InputError(f"{names}: there are {x_shape[0]} rows of inputs but {w_shape[0]} rows of kernels.")
    strides = by_axis("stride", stride, rank, 1, names)
    dilations = by_axis("dilation", dilation, rank, 1, names)
    kernel, size = tuple(w_shape[-rank:]), tuple(x_shape[-rank:])
    pads, beyond = _padding(padding, strides, dilations, kernel, names)
    channels, outputs, per_group = x_shape[-rank - 1], w_shape[-rank - 2], w_shape[-rank - 1]
    whole_groups(groups, names)
    if min(channels, outputs) < 1:
        raise InputError(f"{names}: a convolution needs at least one input channel and one output.")
    if outputs % groups or channels != per_group * groups:
        raise InputError(
            f"{names}, groups {groups}: the input's channels ({channels}) must be those of the kernel ({per_group})"
            f" times the groups, and the outputs ({outputs}) divisible by the groups."
        )
    for n, k, p, q, d in zip(size, kernel, pads, beyond, dilations, strict=True):
        if k < 1 or n + 2 * p + q < d * (k - 1) + 1:
            raise InputError(
                f"{names}, padding {list(pads)}, dilation {list(dilations)}: a kernel that spans {d * (k - 1) + 1}"
                f" does not fit into a padded input of {n + 2 * p + q}."
            )
    return Placement(Geometry(strides, pads, dilations, groups), beyond)


_remembered = lru_cache(maxsize=4096, typed=True)(_placed)  # True is no number of groups, though True == 1


def _padding(padding: Ints | str, stride: Shape, dilation: Shape, kernel: Shape, names: str) -> tuple[Shape, Shape]:
    none = (0,) * len(kernel)
    if not isinstance(padding, str):
        return by_axis("padding", padding, len(kernel), 0, names), none
    if padding == "valid":
        return none, none
    if padding != "same":
        raise InputError(f"padding={padding!r} is none of a number, 'same' and 'valid'.")
    if max(stride) > 1:
        raise InputError(f"{names}: padding='same' needs a stride of 1, not {list(stride)}: pad by numbers instead.")
    total = tuple(d * (k - 1) for k, d in zip(kernel, dilation, strict=True))
    return tuple(t // 2 for t in total), tuple(t % 2 for t in total)


def rank_of(names: str, operand: Shape, whole: Shape, rows: bool) -> int:
    """Number of spatial axes.

    Args:
        names: how a message calls the two.
        operand: shape of the input or of delta; with `rows` it may lack the axis K.
        whole: shape of the kernel or of delta, with its axis K where there are `rows`.
        rows: a population.

    Raises:
        InputError: the ranks do not fit.
    """
    rank = len(whole) - 2 - rows
    if not 1 <= rank <= 3 or len(operand) not in ((rank + 2, rank + 3) if rows else (rank + 2,)):
        wanted = "[K, B, C, ...] or one [B, C, ...], and [K, O, C, ...]" if rows else "[B, C, ...] and [O, C, ...]"
        raise InputError(f"{names}: a convolution needs {wanted}, each with the same 1 to 3 spatial axes.")
    return rank


def by_axis(name: str, value: Ints, rank: int, least: int, names: str) -> Shape:
    """A setting as one number for each axis.

    Args:
        name: what a message calls it.
        value: one number or one by axis.
        rank: number of spatial axes.
        least: the smallest number allowed.
        names: the shapes, for a message.

    Raises:
        InputError: it is too small, not whole, or of another length.
    """
    numbers = (value,) * rank if isinstance(value, int) else tuple(value) if isinstance(value, Sequence) else ()
    if len(numbers) == 1:
        numbers *= rank
    if len(numbers) != rank or not all(isinstance(n, int | torch.SymInt) and n is not True for n in numbers):
        raise InputError(f"{names}: {name}={value!r} must be one whole number, or one for each of {rank} axes.")
    if min(numbers) < least:
        raise InputError(f"{names}: {name}={value!r} must be at least {least} along every axis.")
    return numbers


def whole_groups(groups: int, names: str) -> int:
    """The number of groups.

    Args:
        groups: at least 1.
        names: the shapes, for a message.

    Raises:
        InputError: it is no whole number of at least 1.
    """
    if not isinstance(groups, int) or groups is True or groups < 1:
        raise InputError(f"{names}: groups={groups!r} must be a whole number of at least 1.")
    return groups


def check_numbers(tensors: dict[str, Tensor | None]) -> None:
    """Refuse what is not one real floating-point type on one device.

    Args:
        tensors: by the names that a message should give them.

    Raises:
        InputError: a tensor holds integers, booleans or complex numbers, or types or devices differ; with the shapes.
    """
    given = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    first = next(iter(given.values()))
    if first.is_floating_point() and all(t.dtype == first.dtype and t.device == first.device for t in given.values()):
        return
    listed = ", ".join(f"{name} {list(t.shape)} of {t.dtype} on {t.device}" for name, t in given.items())
    raise InputError(f"{listed}: a convolution needs one floating-point type (float32, say) on one device.")
