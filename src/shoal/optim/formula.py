"""What an optimizer rule is: numbers by row, a move by element, and the state that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from shoal.core.errors import InputError
from shoal.core.layout import Layout

Hyper = Mapping[str, Tensor]
"""Hyperparameters by torch.optim's names, each [K, 1]; weight_decay is anything that broadcasts to [K, P]."""

State = dict[str, Tensor]
"""What a rule remembers: slots [K, P] and row slots [K, 1] by name."""

Coefficients = dict[str, Tensor]
"""The numbers that a move needs, each [K, 1] in theta's type (weight_decay as in `Hyper`)."""


@dataclass(frozen=True)
class Rule:
    """An optimizer as two pure functions and the state between them.

    The numbers that differ by row only (bias corrections, step sizes) are worked out in float64 by `by_row`, rounded
    once to theta's type, and used by `move`, which is plain tensor arithmetic. So the rule costs one pass over memory
    when compiled, and a caller may cut theta into pieces and hand each to `move`.

    Attributes:
        name: as in `RULES`.
        slots: names of the state matrices [K, P], zero at the start; the names are torch.optim's.
        defaults: hyperparameters and torch.optim's defaults; their names are the keys that `Hyper` must have.
        by_row: (hyper, step, row state) to (coefficients, new row state), all [K, 1] in float64.
        move: (theta, grad, slots, coefficients) to (new theta, new slots). Elementwise rules see [k, p] pieces of
            any size; the others see one whole parameter at a time, [K, *shape].
        row_start: names of the state [K, 1] and the values that it starts from.
        elementwise: False when `move` needs whole parameters, as AdamP does for its norms.
    """

    name: str
    slots: tuple[str, ...]
    defaults: Mapping[str, float]
    by_row: Callable[[Hyper, Tensor, State], tuple[Coefficients, State]]
    move: Callable[[Tensor, Tensor, State, Coefficients], tuple[Tensor, State]]
    row_start: Mapping[str, float] = field(default_factory=dict)
    elementwise: bool = True

    @property
    def row_slots(self) -> tuple[str, ...]:
        """Names of the state of shape [K, 1]."""
        return tuple(self.row_start)

    @property
    def copies(self) -> int:
        """Extra copies of theta that the rule keeps in memory."""
        return len(self.slots)

    def coefficients(self, hyper: Hyper, step: Tensor, rows: State, dtype: torch.dtype) -> tuple[Coefficients, State]:
        """The numbers by row of one step.

        Args:
            hyper: every name of `defaults`.
            step: [K, 1], 1 at a row's first update.
            rows: the row slots, [K, 1].
            dtype: theta's.

        Returns:
            coefficients in `dtype`, and the new row slots in float64.
        """
        numbers = {name: hyper[name].to(torch.float64) for name in self.defaults if name != "weight_decay"}
        found, new_rows = self.by_row(numbers, step.to(torch.float64), rows)
        rounded = {name: value.to(dtype) for name, value in found.items()}
        weight_decay = hyper["weight_decay"].to(dtype)
        rounded["weight_decay"] = weight_decay if weight_decay.dim() == 2 else weight_decay.reshape(1, -1)
        return rounded, new_rows

    def update(
        self, theta: Tensor, grad: Tensor, state: State, hyper: Hyper, step: Tensor, layout: Layout | None = None
    ) -> tuple[Tensor, State]:
        """One step of every row, as a pure function.

        Args:
            theta: weights [K, P].
            grad: gradient [K, P] at theta.
            state: slots [K, P] and row slots [K, 1], as `fresh_state` or the last update made them.
            hyper: each [K, 1]; float64 is best, because 1 - beta2 has few digits in float32. weight_decay may be
                anything that broadcasts to [K, P].
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
        moved = [self.move(*piece) for piece in self.parameters(theta, grad, slots, coefficients, layout)]

        def join(pieces: list[Tensor]) -> Tensor:
            return torch.cat([piece.reshape(theta.shape[0], -1) for piece in pieces], dim=1)

        new_theta = join([piece for piece, _ in moved])
        new_slots = {name: join([piece[name] for _, piece in moved]) for name in slots}
        return new_theta, {**new_slots, **rows}

    def parameters(
        self, theta: Tensor, grad: Tensor, slots: State, coefficients: Coefficients, layout: Layout | None
    ) -> list[tuple[Tensor, Tensor, State, Coefficients]]:
        """The arguments of `move` for each parameter, as views [K, *shape].

        Raises:
            InputError: there is no layout, or it is of another number of parameters.
        """
        if layout is None or layout.parameters != theta.shape[1]:
            has = "none was given" if layout is None else f"the one given has {layout.parameters}"
            raise InputError(f"{self.name} needs the layout of theta's {theta.shape[1]} columns; {has}.")
        views, gradients = layout.views(theta), layout.views(grad)
        state = {name: layout.views(slot) for name, slot in slots.items()}
        pieces = []
        for name, offset in zip(layout.names, layout.offsets, strict=True):
            columns = slice(offset, offset + views[name][0].numel())
            pieces.append(
                (
                    views[name],
                    gradients[name],
                    {slot: state[slot][name] for slot in slots},
                    {key: cut(value, slice(None), columns) for key, value in coefficients.items()},
                )
            )
        return pieces


def cut(value: Tensor, rows: slice, columns: slice) -> Tensor:
    """The part of a [K or 1, P or 1] tensor that belongs to a piece of theta; axes of length 1 stay."""
    return value[rows if value.shape[0] != 1 else slice(None), columns if value.shape[1] != 1 else slice(None)]
