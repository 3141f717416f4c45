"""What a job left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from shoal.core.errors import InputError
from shoal.experiment.data import Folds
from shoal.experiment.job import Job
from shoal.population import EpochRecord, Population
from shoal.population.record import Floats


@dataclass(frozen=True)
class Trained:
    """A job after its training; what is by member is in the order of the job's members."""

    job: Job
    records: tuple[EpochRecord, ...]
    rows: tuple[int, ...]  # which members the rows of `population` are
    population: Population  # with the weights of their best epochs, or the last ones where the job has no patience

    @property
    def last(self) -> EpochRecord:
        """The last epoch's record."""
        return self.records[-1]

    @property
    def diverged(self) -> list[bool]:
        """Members that did."""
        return [status == "diverged" for status in self.last.status]

    @property
    def epochs(self) -> int:
        """Passes over the training rows, of all members together."""
        return sum(len(record.trained) for record in self.records)

    def scores(self) -> list[float]:
        """Best validation score of each member, NaN where it has none."""
        return [float(s) if np.isfinite(s) else float("nan") for s in self.last.best_score]

    def last_of(self, of: Literal["validation_loss", "validation_score"]) -> Floats:
        """A measurement after the last epoch [K]; NaN of members that diverged, or ended before."""
        return np.where(self.diverged, np.nan, getattr(self.last, of))

    def best(self) -> int:
        """The member with the highest validation score (between equal scores the lower loss)."""
        return ranking(self.last)[0]

    def curve(self, member: int, of: Literal["loss", "score", "validation_loss", "validation_score"]) -> list[float]:
        """What was measured of a member by epoch, as long as it was trained."""
        return [float(getattr(r, of)[member]) for r in self.records if member in r.trained]

    def outputs(self, folds: Folds) -> list[Tensor]:
        """What each row of `population` answers on its own validation rows, [N, C] each.

        Args:
            folds: as the job was given them.

        Raises:
            InputError: they have no validation rows.
        """
        found: dict[int, Tensor] = {}
        numbers = [self.job.fold_of(member) for member in self.rows]
        for number in dict.fromkeys(numbers):
            places = [place for place, of in enumerate(numbers) if of == number]
            held = folds[number].validation
            if held is None:
                raise InputError(f"Fold {number} has no validation rows: nothing can be answered on them.")
            together = self.population[places].predict(held.x)
            found |= dict(zip(places, together, strict=True))
        return [found[place] for place in range(len(numbers))]


def ranking(record: EpochRecord) -> list[int]:
    """Members by their best validation score, then by the lower loss; those that have none come last."""
    return ranked(record.best_score, record.best_loss)


def ranked(scores: Floats, losses: Floats) -> list[int]:
    """Places from the highest score on, then by the lower loss; those without a score come last."""
    known = np.where(np.isfinite(scores), scores, -np.inf)
    return [int(place) for place in np.lexsort((losses, -known))]
