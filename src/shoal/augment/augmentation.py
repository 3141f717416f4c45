"""From a batch to the batch that each member of a block sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from shoal.augment import draws
from shoal.augment.colour import Pixels
from shoal.augment.operations import Operations
from shoal.augment.settings import Augment, check
from shoal.augment.strengths import strengths
from shoal.core.errors import InputError
from shoal.core.events import Kind

_RANKS: dict[Kind, int] = {"table": 0, "signal": 1, "image": 2, "volume": 3}


class Augmented(NamedTuple):
    """A batch after its changes.

    Where samples were mixed, the loss of a sample is lam loss(y) + (1 - lam) loss(y[partner]).
    """

    inputs: Tensor  # [B, ...] where every member sees the same, else [c, B, ...]
    by_row: bool
    partner: Tensor | None  # int64 [c, B]: whom a sample was mixed with; itself where it was not
    lam: Tensor | None  # [c, B], 1 where it was not mixed


class Augmentation:
    """The augmentation of c members on batches of one kind.

    A pure function of (seeds, steps, batch): no state is kept, and the numbers of a member do not depend on the others.
    Members of one seed share their draws, whatever their strengths; equal members share one batch in memory.

    Args:
        augments: of each member, c of them.
        kind: of the data.
        shape: of one sample, channels first.
        pixels: what the inputs' numbers mean; colours and black borders need it where inputs are standardised.
        extreme: every operation at an end of its range, flips certain.

    Raises:
        InputError: an operation means nothing for this kind of data; the message names the member.
    """

    def __init__(
        self,
        augments: Sequence[Augment],
        kind: Kind,
        shape: Sequence[int],
        pixels: Pixels | None = None,
        *,
        extreme: bool = False,
    ) -> None:
        self.augments, self.shape, self.extreme = tuple(augments), tuple(shape), extreme
        self.pixels = pixels or Pixels()
        if len(self.shape) != _RANKS[kind] + 1:
            raise InputError(f"augment: a sample of kind {kind} has {_RANKS[kind] + 1} axes, not {list(self.shape)}.")
        for augment in dict.fromkeys(self.augments):
            check(augment, kind, self.shape)
        first = {augment: row for row, augment in reversed(list(enumerate(self.augments)))}
        self._settings = [first[augment] for augment in self.augments]  # the first member with the same
        self._strengths = strengths(self.augments)
        self.active = any(self._strengths.operations)

    def __call__(self, batch: Tensor, seeds: Tensor, steps: Tensor, *, by_row: bool = False) -> Augmented:
        """The batch as each member sees it.

        Args:
            batch: floating-point [B, ...] that all members share, or [c, B, ...] where `by_row`.
            seeds: int64 [c].
            steps: int64 [c]: gradient steps that each member has done.
            by_row: each member has a batch of its own.

        Returns:
            On the batch's device, in its type. Without any strength the batch itself, not copied.

        Raises:
            InputError: samples of another shape than the plan is for, or whole numbers.

        Cost: beside the result one sampling grid, r numbers for each pixel of the members that are warped.
        """
        if not self.active:
            return Augmented(batch, by_row, None, None)
        if tuple(batch.shape[1 + by_row :]) != self.shape or not batch.is_floating_point():
            raise InputError(
                f"augment: the plan is for samples {list(self.shape)} of floating-point numbers, the batch is "
                f"{batch.dtype} {list(batch.shape)}."
            )
        seen: dict[tuple[int, ...], int] = {}  # a different batch for each (seed, step, settings)
        who = [
            seen.setdefault((*key, row) if by_row else key, len(seen))
            for row, key in enumerate(zip(seeds.tolist(), steps.tolist(), self._settings, strict=True))
        ]
        changed, partner, lam = self._distinct(batch, list(seen), by_row)
        members = torch.tensor(who, device=batch.device)
        if len(seen) < len(who) and partner is not None and lam is not None:
            partner, lam = partner[members], lam[members]
        if len(seen) == 1 and not by_row:
            return Augmented(changed[0], False, partner, lam)
        return Augmented(changed[members] if len(seen) < len(who) else changed, True, partner, lam)

    def _distinct(
        self, batch: Tensor, rows: Sequence[tuple[int, ...]], by_row: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The batches [u, B, ...] of rows (seed, step, number of the settings, ...) that differ."""
        seeds, steps = (torch.tensor([row[part] for row in rows]) for part in (0, 1))
        samples = batch.shape[1] if by_row else batch.shape[0]
        operations = Operations(
            strengths=self._strengths.of([row[2] for row in rows]),
            seeds=seeds,
            steps=steps,
            u=draws.uniforms(seeds, steps, samples, extreme=self.extreme),
            size=tuple(reversed(self.shape[1:])),
            pixels=self.pixels,
        )
        x = batch if by_row else batch.expand(len(rows), *batch.shape)
        x = operations.colours(operations.geometry(x))
        return operations.mixed(operations.blanks(operations.amplitudes(x)))
