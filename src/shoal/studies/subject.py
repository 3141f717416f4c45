"""What a study works on: data that are read, split and prepared, and the user's network where one was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shoal import data, losses, prepare
from shoal.core.events import Kind
from shoal.core.keyed import Purpose, key, permutation
from shoal.data import Dataset
from shoal.prepare.part import Part
from shoal.resample import Plan, hold_out


def some(part: Part, rows: int, seed: int) -> Part:
    """At most so many rows, drawn without replacement by a keyed order."""
    if rows >= len(part):
        return part
    return part.take(permutation(key(seed, Purpose.SAMPLE, len(part)), len(part))[:rows])


@dataclass(frozen=True)
class Subject:
    """Training and validation rows. The test rows are set aside by the plan and not read."""

    dataset: Dataset
    plan: Plan
    preparation: prepare.Preparation  # fitted on the training rows
    train: Part
    validation: Part
    make_net: Callable[[], nn.Module] | None = None  # the user's own
    model: str = ""  # what the user calls it

    @property
    def kind(self) -> Kind:
        """Table, image, signal or volume."""
        return self.dataset.kind

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one prepared row: (D,), or (C, *size)."""
        return tuple(self.train.x.shape[1:])

    @property
    def inputs(self) -> int:
        """Numbers in one prepared row."""
        return prod(self.shape)

    @property
    def outputs(self) -> int:
        """Classes, or 1."""
        return 1 if self.dataset.classes is None else len(self.dataset.classes)

    @property
    def loss(self) -> losses.Loss:
        """Cross-entropy for classes, squared error for numbers."""
        return losses.find("squared_error" if self.dataset.classes is None else "cross_entropy")

    @classmethod
    def read(
        cls,
        source: Any,
        *,
        seed: int = 0,
        most_rows: int | None = None,
        make_net: Callable[[], nn.Module] | None = None,
        model: str = "",
        **reading: Any,
    ) -> Subject:
        """Read, split and prepare.

        Args:
            source: anything that `shoal.data.read` takes.
            seed: of the split.
            most_rows: keep at most so many training rows (a fixed draw), and half as many validation rows.
            make_net: the user's network.
            model: its name.
            reading: target, time, group, drop, kind, ..., as `shoal.data.read` takes them.

        Raises:
            InputError: the data cannot be used.
        """
        dataset = data.read(source, **reading)
        plan = hold_out(dataset, seed=seed)
        kept = _thinned(plan.train, most_rows, seed)
        preparation = prepare.fit(dataset, kept)
        target = prepare.TargetScaling.fit(dataset, kept)

        def part(rows: NDArray[np.int64]) -> Part:
            x = preparation.transform(dataset.features.take(rows)).x
            return Part(torch.from_numpy(x), torch.from_numpy(target.encode(dataset.target[rows])))

        half = None if most_rows is None else max(1, most_rows // 2)
        return cls(dataset, plan, preparation, part(kept), part(_thinned(plan.validation, half, seed)), make_net, model)


def _thinned(rows: NDArray[np.int64], most: int | None, seed: int) -> NDArray[np.int64]:
    if most is None or len(rows) <= most:
        return rows
    order = permutation(key(seed, Purpose.SAMPLE, len(rows)), len(rows)).numpy()
    return np.sort(rows[order[:most]])
