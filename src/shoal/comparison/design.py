"""What is compared with what, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np

from shoal.comparison.paired import Estimate, Floats, difference
from shoal.core.errors import InputError
from shoal.experiment import Architecture
from shoal.losses import Loss
from shoal.population import Member
from shoal.task import Split


@dataclass(frozen=True)
class Level:
    """One of the settings that are compared."""

    member: Member  # all but its seed, which is the replicate's
    architecture: Callable[[Split], Architecture]  # for the rows of a fold; levels of equal ones form one population
    folds: Sequence[Split]  # as many for every level
    batch_size: int | None = None  # its own; levels of equal ones form one population


@dataclass(frozen=True)
class Design:
    """Every level, with every seed, on every fold.

    Args:
        levels: by name. Where levels share folds they share the very object.
        seeds: of the replicates: the same for every level, so that what a seed decides cancels in a difference.
        loss: what is minimised.
        epochs: of each training.
        batch_size: rows of a mini-batch.
        order_seed: of the order of the mini-batches.
        choose_epoch: half of the validation rows choose each network's epoch, and the other half score it there; else
            all of them score what the last epoch left.
        ruined: a network whose loss ends at so much or more counts as diverged.

    Raises:
        InputError: there is nothing to compare, or levels have different numbers of folds.
    """

    levels: Mapping[Hashable, Level]
    seeds: Sequence[int]
    loss: Loss
    epochs: int
    batch_size: int
    order_seed: int = 0
    choose_epoch: bool = False
    ruined: float = inf

    def __post_init__(self) -> None:
        if not self.levels or not self.seeds:
            raise InputError("A comparison needs at least one level and one seed.")
        if len({len(level.folds) for level in self.levels.values()}) > 1:
            raise InputError("The levels of a comparison have different numbers of folds: give each as many.")

    @property
    def folds(self) -> int:
        """Of every level."""
        return len(next(iter(self.levels.values())).folds)

    @property
    def networks(self) -> int:
        """That are trained in all."""
        return len(self.levels) * len(self.seeds) * self.folds


@dataclass(frozen=True)
class Compared:
    """What a design came to: by level [R seeds, F folds], NaN where a training diverged."""

    design: Design
    loss: dict[Hashable, Floats] = field(default_factory=dict)
    score: dict[Hashable, Floats] = field(default_factory=dict)
    curve: dict[Hashable, Floats] = field(default_factory=dict)  # [T, R, F]: scores after each epoch

    def by_seed(self, level: Hashable) -> Floats:
        """The scores of a level, [R]: means over the folds."""
        return np.asarray(self.score[level].mean(axis=1))

    def gain(self, level: Hashable, other: Hashable, confidence: float = 0.95) -> Estimate:
        """By how much a level scores above another: a mean over seeds, paired by seed and fold."""
        return difference(self.by_seed(level), self.by_seed(other), confidence)
