"""A task: the rows of a data set, what is asked of them, and plans of who trains and who is asked.

Everything that is fitted (preparation, scale of the target) is fitted on a plan's training rows, once for each plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from shoal import losses, prepare
from shoal.core.errors import InputError
from shoal.core.events import Kind
from shoal.data import Dataset
from shoal.resample import SplitIndices, draw, hold_out
from shoal.task.part import Part, Split
from shoal.task.sealed import Sealed

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Fold(Split):
    """The prepared rows of one plan, and what was fitted on its training rows."""

    validation: Part
    plan: SplitIndices
    preparation: prepare.Preparation
    target: prepare.TargetScaling

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one prepared row: (D,), or (C, *size)."""
        return tuple(self.train.x.shape[1:])

    @property
    def inputs(self) -> int:
        """Numbers in one prepared row."""
        return prod(self.shape)


class Task:
    """A data set with plans; hold-out is one plan.

    Args:
        dataset: rows with a target.
        plans: one for each fold; all have the same test rows.
        preparation: how inputs are prepared, as `prepare.fit` takes it.

    Raises:
        InputError: a plan has no training or validation rows, a row that is not there, or one row in two of its parts;
            or plans differ in their test rows.
    """

    def __init__(self, dataset: Dataset, plans: Sequence[SplitIndices], preparation: str = "auto") -> None:
        _check(dataset, plans)
        self.dataset, self.plans, self.preparation = dataset, tuple(plans), preparation
        self._folds: dict[int, Fold] = {}
        self.test = Sealed(lambda: self.part(self.plans[0].test), len(self.plans[0].test))

    @classmethod
    def hold_out(
        cls, dataset: Dataset, *, seed: int = 0, preparation: str = "auto", most_rows: int | None = None
    ) -> Task:
        """With one plan, by the rule that the data ask for.

        Args:
            dataset: rows with a target.
            seed: of the split, and of the draw.
            preparation: how inputs are prepared.
            most_rows: keep at most so many training rows (a fixed draw), and half as many validation rows.

        Raises:
            InputError: there are too few rows or groups; see `resample.hold_out`.
        """
        plan = hold_out(dataset, seed=seed)
        if most_rows is not None:
            fewer = draw(plan.train, most_rows, seed), draw(plan.validation, max(1, most_rows // 2), seed)
            plan = replace(plan, train=fewer[0], validation=fewer[1])
        return cls(dataset, [plan], preparation)

    @property
    def kind(self) -> Kind:
        """Table, image, signal or volume."""
        return self.dataset.kind

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Their names; None where numbers are asked for."""
        return self.dataset.classes

    @property
    def outputs(self) -> int:
        """Of a network: classes, or 1."""
        return 1 if self.classes is None else len(self.classes)

    @property
    def loss(self) -> losses.Loss:
        """Cross-entropy for classes, squared error for numbers."""
        return losses.find("squared_error" if self.classes is None else "cross_entropy")

    @property
    def metric(self) -> str:
        """Name of the score: it goes up."""
        return self.loss.metric_name

    def fold(self, number: int = 0) -> Fold:
        """The prepared rows of one plan, made once.

        Raises:
            InputError: its training rows cannot be prepared, or have one target value only.
        """
        if number not in self._folds:
            plan = self.plans[number]
            preparation = prepare.fit(self.dataset, plan.train, self.preparation)
            target = prepare.TargetScaling.fit(self.dataset, plan.train)
            train, validation = (self._part(rows, preparation, target) for rows in (plan.train, plan.validation))
            self._folds[number] = Fold(
                train=train, validation=validation, plan=plan, preparation=preparation, target=target
            )
        return self._folds[number]

    def part(self, rows: Rows, fold: int = 0) -> Part:
        """Any rows of the data set, prepared as a fold's are."""
        fitted = self.fold(fold)
        return self._part(rows, fitted.preparation, fitted.target)

    def _part(self, rows: Rows, preparation: prepare.Preparation, target: prepare.TargetScaling) -> Part:
        x = preparation.transform(self.dataset.features.take(rows)).x
        return Part(torch.from_numpy(x), torch.from_numpy(target.encode(self.dataset.target[rows])))


def _check(dataset: Dataset, plans: Sequence[SplitIndices]) -> None:
    if not plans:
        raise InputError(f"{dataset.source}: a task needs at least one plan of training and validation rows.")
    for number, plan in enumerate(plans):
        where = f"{dataset.source}: plan {number}" if len(plans) > 1 else f"{dataset.source}: the plan"
        parts = {"training": plan.train, "validation": plan.validation, "test": plan.test}
        for name, rows in parts.items():
            if name != "test" and not len(rows):
                raise InputError(f"{where} has no {name} rows.")
            wrong = rows[(rows < 0) | (rows >= dataset.rows)]
            if len(wrong):
                raise InputError(f"{where} has row {wrong[0]} among its {name} rows; there are {dataset.rows} rows.")
        for first, second in (("training", "validation"), ("training", "test"), ("validation", "test")):
            both = np.intersect1d(parts[first], parts[second])
            if len(both):
                raise InputError(
                    f"{where} has row {both[0]} ({len(both)} in all) both among its {first} and its {second} rows."
                )
        if not np.array_equal(np.sort(plan.test), np.sort(plans[0].test)):
            raise InputError(f"{where} has other test rows than plan 0: what one fold trains on would test another.")
