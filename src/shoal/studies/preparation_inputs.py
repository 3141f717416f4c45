"""The rows of the preparation study, and what each preparation makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.data import ArrayFeatures, Dataset
from shoal.resample import SplitIndices, draw
from shoal.studies.subject import Subject
from shoal.task import Fold, Task

Floats = NDArray[np.float64]

MOST_ROWS = 2000  # training rows; half as many where a row is wide
WIDE = 128  # values of a row
MOST_TURNED = 1024  # values of a row, above which its covariance is not taken apart: images are reduced until they fit


@dataclass(frozen=True)
class StudyRows:
    """Training rows first, then validation rows; images perhaps smaller than they were."""

    dataset: Dataset
    plan: SplitIndices
    turns: bool  # PCA and whitening are within reach
    reduced: str = ""  # how images were made smaller, in words


@dataclass(frozen=True)
class Inputs:
    """What a network sees after one preparation, and how hard that is to descend on."""

    how: str
    fold: Fold
    condition: float  # largest over smallest eigenvalue of the covariance, axes without variance left out
    with_mean: float  # the same of the second moments of (x, 1), which is what a linear layer descends on
    flat: int  # axes without variance
    largest: float  # eigenvalue of these second moments: steps above 2 / largest make a linear layer diverge


def rows_of(subject: Subject, seed: int) -> StudyRows:
    """A fixed draw of training and validation rows.

    Raises:
        InputError: a table without number columns.
    """
    dataset, plan = subject.task.dataset, subject.fold.plan
    if dataset.kind == "table" and not any(c.cells in ("number", "ordered") for c in dataset.schema.features()):
        raise InputError(f"{dataset.source} has no number columns: there is nothing to centre, scale or turn.")
    most = MOST_ROWS if subject.fold.inputs <= WIDE else MOST_ROWS // 2
    train, validation = draw(plan.train, most, seed), draw(plan.validation, most, seed)
    chosen = np.concatenate([train, validation])
    features, reduced = dataset.features.take(chosen), ""
    if isinstance(features, ArrayFeatures):
        array = features.array
        while dataset.kind == "image" and prod(array.shape[1:]) > MOST_TURNED and min(array.shape[1:3]) >= 8:
            array = _halved(array)
            reduced = f"images were reduced to {array.shape[2]} x {array.shape[1]} pixels"
        features = ArrayFeatures(array)
    small = replace(dataset, features=features, target=dataset.target[chosen], given_split=None)
    everything = np.arange(len(chosen))
    parts = SplitIndices(everything[: len(train)], everything[len(train) :], everything[:0], f"{plan.method}, fewer")
    width = prod(features.array.shape[1:]) if isinstance(features, ArrayFeatures) else 0
    return StudyRows(small, parts, width <= MOST_TURNED, reduced)


def inputs(rows: StudyRows, how: str) -> Inputs:
    """One preparation, fitted on the training rows."""
    fold = Task(rows.dataset, [rows.plan], how).fold()
    numbers = fold.preparation.numbers
    x = fold.train.x.numpy().reshape(len(fold.train), -1)
    if numbers is not None:  # the numbers that were prepared, without categories and flags
        x = x[:, : len(numbers.names()) - sum(numbers.impute.indicator)]
    x = x[:, :MOST_TURNED].astype(np.float64)
    moments = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    condition, flat, _ = _condition(np.atleast_2d(np.cov(x.T)))
    with_mean, _, largest = _condition(moments.T @ moments / len(x))
    return Inputs(how=how, fold=fold, condition=condition, with_mean=with_mean, flat=flat, largest=largest)


def _condition(matrix: Floats) -> tuple[float, int, float]:
    values = np.linalg.eigvalsh(matrix)
    real = values > 1e-13 * max(values[-1], 0.0)  # inputs are float32: what is below is their rounding
    if not real.any():
        return 1.0, len(values), 0.0
    return float(values[-1] / values[real][0]), int((~real).sum()), float(values[-1])


def _halved(images: NDArray[np.generic]) -> NDArray[np.generic]:
    """[N, H, W(, C)] to half the height and width, each pixel the mean of four."""
    even = images[:, : images.shape[1] // 2 * 2, : images.shape[2] // 2 * 2].astype(np.float64)
    return (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4
