"""Ask and tell: a searcher proposes trials, is told what they scored, and says which rows to end early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shoal.core.dimensions import DIMENSIONS, Value
from shoal.population import EpochRecord
from shoal.search.halving import Halving
from shoal.search.space import Space, draw


@dataclass(frozen=True)
class Trial:
    """One setting to be trained."""

    number: int  # unique in the search
    values: Mapping[str, Value]

    def structure(self) -> dict[str, Value]:
        """The values that decide the network and the batches."""
        return {name: value for name, value in self.values.items() if DIMENSIONS[name].structural}


class Searcher(Protocol):
    """Chooses what to try. It never trains: whoever does asks it, and tells it."""

    def ask(self, n: int) -> list[Trial]:
        """The next trials; each is asked for once."""

    def tell(self, trial: Trial, scores: Sequence[float]) -> None:
        """What a trial scored on each fold: higher is better, NaN where it diverged."""

    def stop(self, record: EpochRecord) -> Sequence[int]:
        """Rows of a population that are to end after this epoch."""


@dataclass
class RandomSearch:
    """Independent draws; see `draw`. Trial n is the same however many are asked for at once.

    Args:
        space: by name; dimensions that have no meaning beside a trial's other values are left out of it.
        seed: of the search.
        first: settings to try before any draw.
        start: number of the first trial.
        fixed: values of dimensions that are not searched; they decide which others have a meaning.
        halving: ends the worse half of a population early.
    """

    space: Space
    seed: int
    first: Sequence[Mapping[str, Value]] = ()
    start: int = 0
    fixed: Mapping[str, Value] = field(default_factory=dict)
    halving: Halving | None = None
    asked: int = 0  # how many trials so far

    def ask(self, n: int) -> list[Trial]:
        """See `Searcher`."""
        self.asked += n
        return [Trial(self.start + k, self._values(k)) for k in range(self.asked - n, self.asked)]

    def tell(self, trial: Trial, scores: Sequence[float]) -> None:
        """See `Searcher`: a draw depends on no other, so nothing is learned of it."""

    def stop(self, record: EpochRecord) -> Sequence[int]:
        """See `Searcher`."""
        return () if self.halving is None else self.halving.stop(record)

    def _values(self, k: int) -> Mapping[str, Value]:
        if k < len(self.first):
            return self.first[k]
        return draw(self.space, self.seed, self.start + k, self.fixed)


def by_structure(trials: Sequence[Trial]) -> list[tuple[dict[str, Value], list[Trial]]]:
    """Trials that can stand in one population, with what they share, in the order in which they first come."""
    found: list[tuple[dict[str, Value], list[Trial]]] = []
    for trial in trials:
        structure = trial.structure()
        alike = next((members for shared, members in found if shared == structure), None)
        if alike is None:
            found.append((structure, [trial]))
        else:
            alike.append(trial)
    return found
