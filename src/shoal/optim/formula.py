"""What an optimizer rule is: numbers by row, a step by weight, and the state that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from shoal.core.errors import InputError
from shoal.core.layout import Layout
from shoal.optim import clip, penalties

Hyper = Mapping[str, Tensor]
"""Hyperparameters by torch.optim's names, each [K, 1].

weight_decay is anything that broadcasts to [K, P]. Besides a rule's own (`Rule.defaults`) there may be, for every rule:

    decoupled_weight_decay   0 or 1 by row: weight decay beside the gradient; without it, where the rule has it
    l1, decoupled_l1         strength of the L1 penalty, and 0 or 1 by row: beside the gradient
    decay_factor             [P]: what the penalties of each weight are multiplied by, 0 where they do not act
    lr_factor                [P]: what the learning rate of each weight is multiplied by
    clip_value               largest component of the gradient; infinity is off
    grad_factor              what the gradient is multiplied by, such as `clip.factor`

What is not there costs nothing. Gradients are clipped by value, then multiplied, then penalties join them.
"""

State = dict[str, Tensor]
"""What a rule remembers: slots [K, P] and row slots [K, 1] by name."""

Coefficients = dict[str, Tensor]
"""The numbers that a move needs, each [K, 1] in theta's type (strengths of penalties also [K, P] or [1, P])."""

OPTIONAL = (*penalties.NAMES, *clip.NAMES)
"""What `Hyper` may hold besides a rule's own hyperparameters."""


@dataclass(frozen=True)
class Rule:
    """An optimizer as two pure functions and the state between them.

    The numbers that differ by row only (bias corrections, step sizes) are worked out in float64 by `by_row`, rounded
    once to theta's type, and used by `by_weight`, which is plain tensor arithmetic. So the rule costs one pass over
    memory when compiled, and a caller may cut theta into pieces and hand each to `move`. Weight decay, L1 and clipping
    stand in `move`, once for all rules.

    Attributes:
        name: as in `RULES`.
        slots: names of the state matrices [K, P], zero at the start; the names are torch.optim's.
        defaults: hyperparameters and torch.optim's defaults; their names are the keys that `Hyper` must have.
        by_row: (hyper, step, row state) to (coefficients, new row state), all [K, 1] in float64.
        by_weight: (gradient, slots, coefficients) to (step, new slots), element by element; theta <- theta - step.
        by_parameter: (theta, gradient, step, coefficients, shape) to step, for rules that look at a whole parameter:
            [K, n] of one parameter at a time, and its shape without K.
        row_start: names of the state [K, 1] and the values that it starts from.
        decoupled: where weight decay acts unless a row says otherwise.
    """

    name: str
    slots: tuple[str, ...]
    defaults: Mapping[str, float]
    by_row: Callable[[Hyper, Tensor, State], tuple[Coefficients, State]]
    by_weight: Callable[[Tensor, State, Coefficients], tuple[Tensor, State]]
    by_parameter: Callable[[Tensor, Tensor, Tensor, Coefficients, tuple[int, ...]], Tensor] | None = None
    row_start: Mapping[str, float] = field(default_factory=dict)
    decoupled: bool = False

    @property
    def row_slots(self) -> tuple[str, ...]:
        """Names of the state of shape [K, 1]."""
        return tuple(self.row_start)

    @property
    def copies(self) -> int:
        """Extra copies of theta that the rule keeps in memory."""
        return len(self.slots)

    @property
    def elementwise(self) -> bool:
        """Whether theta may be cut anywhere; else only between parameters."""
        return self.by_parameter is None

    def coefficients(self, hyper: Hyper, step: Tensor, rows: State, dtype: torch.dtype) -> tuple[Coefficients, State]:
        """The numbers by row of one step, or of T steps at once: they cost more than a small row's move.

        Args:
            hyper: every name of `defaults`, and any of `OPTIONAL`; lr, and whatever else changes from step to step, may
                be [T, K, 1].
            step: [K, 1], 1 at a row's first update; or [T, K, 1], consecutive in each row.
            rows: the row slots before the first step, [K, 1].
            dtype: theta's.

        Returns:
            coefficients in `dtype`, and the new row slots in float64; for T steps what differs between them is
            [T, K, 1], with the bits of T single calls: `at_step` takes one of them.
        """
        numbers = {name: hyper[name].to(torch.float64) for name in self.defaults if name != "weight_decay"}
        found, new_rows = self.by_row(numbers, step.to(torch.float64), rows)
        found |= {name: hyper[name] for name in clip.NAMES if name in hyper}
        rounded = {name: value.to(dtype) for name, value in found.items()}
        return {**rounded, **penalties.coefficients(hyper, self.decoupled, dtype)}, new_rows

    def move(
        self, theta: Tensor, grad: Tensor, slots: State, c: Coefficients, shape: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        """One step of a piece of theta, as a pure function.

        Args:
            theta: weights [k, p]; of one parameter when the rule is not elementwise.
            grad: gradient [k, p].
            slots: each [k, p].
            c: as `coefficients` made them, cut to the piece.
            shape: the parameter's, without k; only rules that are not elementwise look at it.

        Returns:
            new theta and new slots.
        """
        gradient = penalties.coupled(clip.shaped(grad, c), theta, c)
        step, new = self.by_weight(gradient, slots, c)
        if self.by_parameter is not None:
            step = self.by_parameter(theta, gradient, step, c, shape)
        return penalties.descended(theta, step, c), new

    def update(
        self, theta: Tensor, grad: Tensor, state: State, hyper: Hyper, step: Tensor, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        """One step of every row, as a pure function.

        Args:
            theta: weights [K, P].
            grad: gradient [K, P] at theta.
            state: slots [K, P] and row slots [K, 1], as `fresh_state` or the last update made them.
            hyper: see `Hyper`; float64 is best, because 1 - beta2 has few digits in float32.
            step: [K, 1], each row's own count, 1 at its first update.
            layout: where the parameters lie; only rules that are not elementwise need it.

        Returns:
            new theta and new state; nothing is changed in place.

        Raises:
            InputError: the rule needs a layout and got none.

        What holds: rows never mix; the result for a row does not depend, bit for bit on CPU, on the other rows.
        """
        coefficients, rows = self.coefficients(hyper, step, {name: state[name] for name in self.row_start}, theta.dtype)
        slots = {name: state[name] for name in self.slots}
        if self.elementwise:
            new_theta, new_slots = self.move(theta, grad, slots, coefficients)
            return new_theta, {**new_slots, **rows}
        moved = []
        for shape, columns in self.parameters(theta, layout):
            part = {name: slot[:, columns] for name, slot in slots.items()}
            numbers = {name: cut(value, slice(None), columns) for name, value in coefficients.items()}
            moved.append(self.move(theta[:, columns], grad[:, columns], part, numbers, shape))
        new_theta = torch.cat([piece for piece, _ in moved], dim=1)
        new_slots = {name: torch.cat([piece[name] for _, piece in moved], dim=1) for name in slots}
        return new_theta, {**new_slots, **rows}

    def parameters(self, theta: Tensor, layout: Layout | None) -> list[tuple[tuple[int, ...], slice]]:
        """Shape and columns of each parameter.

        Raises:
            InputError: there is no layout, or it is of another number of parameters.
        """
        if layout is None or layout.parameters != theta.shape[1]:
            has = "none was given" if layout is None else f"the one given has {layout.parameters}"
            raise InputError(f"{self.name} needs the layout of theta's {theta.shape[1]} columns; {has}.")
        ends = [*layout.offsets[1:], layout.parameters]
        return [
            (shape, slice(start, end)) for shape, start, end in zip(layout.shapes, layout.offsets, ends, strict=True)
        ]


def at_step(values: Mapping[str, Tensor], t: int) -> dict[str, Tensor]:
    """One step's of the numbers that were worked out for T steps."""
    return {name: value[t] if value.dim() == 3 else value for name, value in values.items()}


def cut(value: Tensor, rows: slice, columns: slice) -> Tensor:
    """The part of a [K or 1, P or 1] tensor that belongs to a piece of theta; axes of length 1 stay."""
    return value[rows if value.shape[0] != 1 else slice(None), columns if value.shape[1] != 1 else slice(None)]
