"""What long work returned, kept so that a run that was killed need not do it again.

The recipe is deterministic given what its trainings return and what its clock reads. The readings are events; what the
trainings return is kept here. So the recipe is resumed by running it again from the start: work that was finished is
answered at once, work that was under way goes on, and no step needs to know that it happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from shoal.core.errors import RunError
from shoal.population import EpochRecord
from shoal.population.matrix import PLANS
from shoal.population.plan import Plans

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Kept:
    """What is known of one piece of work."""

    arrays: Arrays
    document: Mapping[str, JsonValue]
    population: Path | None  # as its `save` wrote it
    done: bool  # False: it was under way

    def networks(self) -> Path:
        """The file of the networks of a training.

        Raises:
            RunError: there is none.
        """
        if self.population is None:
            raise RunError("The checkpoint holds no networks where networks were trained: remove it and resume again.")
        return self.population


class Networks(Protocol):
    """A population, or a training under way."""

    def save(self, path: Path) -> None:
        """Write everything that it takes to go on."""


class TaskCache(Protocol):
    """Where finished and unfinished pieces of work are kept; a piece has a name that is unique in the run."""

    @property
    def plans(self) -> Plans:
        """How populations were computed, so that they are computed so again."""

    def recall(self, piece: str, key: str) -> Kept | None:
        """What was kept of a piece whose question had this key; None where it has to be done from the start."""

    def due(self) -> bool:
        """It is time to keep the piece that is under way."""

    def keep(
        self,
        piece: str,
        key: str,
        arrays: Arrays,
        document: Mapping[str, JsonValue] | None = None,
        population: Networks | None = None,
        *,
        done: bool = True,
    ) -> None:
        """Keep a piece; that it cannot be kept is no failure of the run."""


class NoCache:
    """Keeps nothing: all work is done.

    Args:
        plans: how populations were computed before; by default in this process.
    """

    def __init__(self, plans: Plans | None = None) -> None:
        self.plans = PLANS if plans is None else plans

    def recall(self, piece: str, key: str) -> Kept | None:
        """None."""
        return None

    def due(self) -> bool:
        """False."""
        return False

    def keep(
        self,
        piece: str,
        key: str,
        arrays: Arrays,
        document: Mapping[str, JsonValue] | None = None,
        population: Networks | None = None,
        *,
        done: bool = True,
    ) -> None:
        """Nothing."""


def pack(records: Sequence[EpochRecord]) -> tuple[dict[str, NDArray[Any]], dict[str, JsonValue]]:
    """Epochs as arrays [T, K] by field, and what is no array as JSON."""
    arrays: dict[str, NDArray[Any]] = {}
    document: dict[str, JsonValue] = {}
    for each in fields(EpochRecord):
        values = [getattr(record, each.name) for record in records]
        if values and isinstance(values[0], np.ndarray):
            arrays[each.name] = np.stack(values)
        else:
            document[each.name] = [list(value) if isinstance(value, tuple) else value for value in values]
    return arrays, document


def unpack(kept: Kept) -> list[EpochRecord]:
    """The epochs that `pack` took apart."""
    columns: dict[str, Any] = dict(kept.arrays)
    for name, values in kept.document.items():
        if not isinstance(values, list):
            raise TypeError(f"{name} is no list")
        columns[name] = [tuple(value) if isinstance(value, list) else value for value in values]
    count = len(columns["epoch"])
    return [EpochRecord(**{name: column[t] for name, column in columns.items()}) for t in range(count)]
