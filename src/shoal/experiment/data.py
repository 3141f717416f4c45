"""The rows of some folds as one population is given them: one tensor, and each member's own view of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shoal.augment import Pixels
from shoal.core.errors import InputError
from shoal.experiment.job import Job
from shoal.task import Part, Split

Folds = Sequence[Split] | Mapping[int, Split]


@dataclass(frozen=True)
class Data:
    """What the members of a job are trained and scored on."""

    train: Part
    validation: Part | None
    views: tuple[Tensor, ...] | None = None  # rows of `train` by member; None: all
    validation_views: tuple[Tensor, ...] | None = None
    pixels: tuple[Pixels, ...] | None = None  # by member

    @classmethod
    def of(cls, job: Job, folds: Folds) -> Data:
        """Of a job; each fold that it names stands once in memory.

        Raises:
            InputError: a fold is not there, or is prepared to rows of another shape than the first.
        """
        wanted = sorted({job.fold_of(member) for member in range(len(job.members))})
        splits = {number: _find(folds, number) for number in wanted}
        first = splits[wanted[0]]
        for number, split in splits.items():
            if split.train.x.shape[1:] != first.train.x.shape[1:]:
                raise InputError(
                    f"Fold {number} is prepared to rows of shape {list(split.train.x.shape[1:])} and fold {wanted[0]} "
                    f"to {list(first.train.x.shape[1:])}: one network cannot take both, so give each its own job."
                )
        for what, given in (
            ("validation rows", [split.validation is not None for split in splits.values()]),
            ("what their pixels mean", [split.pixels is not None for split in splits.values()]),
        ):
            if any(given) and not all(given):
                raise InputError(f"Some folds have {what} and others do not: give it for all, or for none.")
        by_member = tuple(p for k in range(len(job.members)) if (p := splits[job.fold_of(k)].pixels) is not None)
        if len(splits) == 1:
            return cls(first.train, first.validation, pixels=by_member or None)
        train, views = _joined({number: split.train for number, split in splits.items()})
        held = {number: split.validation for number, split in splits.items() if split.validation is not None}
        validation, held_out = _joined(held) if held else (None, {})
        of_member = [job.fold_of(member) for member in range(len(job.members))]
        return cls(
            train,
            validation,
            tuple(views[number] for number in of_member),
            tuple(held_out[number] for number in of_member) if held else None,
            by_member or None,
        )

    def arguments(self) -> dict[str, Any]:
        """As `Population.train` and `Population.resume` take them."""
        return {
            "x": self.train.x,
            "y": self.train.y,
            "validation": None if self.validation is None else (self.validation.x, self.validation.y),
            "views": self.views,
            "validation_views": self.validation_views,
        }


def _find(folds: Folds, number: int) -> Split:
    try:
        if number >= 0:
            return folds[number]
    except (IndexError, KeyError):
        pass
    raise InputError(f"There is no fold {number}: there are {len(folds)}, numbered from 0.")


def _joined(parts: Mapping[int, Part]) -> tuple[Part, dict[int, Tensor]]:
    """Parts one below the other, and which rows of the whole each of them is."""
    whole = Part(torch.cat([part.x for part in parts.values()]), torch.cat([part.y for part in parts.values()]))
    rows = torch.split(torch.arange(len(whole)), [len(part) for part in parts.values()])
    return whole, dict(zip(parts, rows, strict=True))
