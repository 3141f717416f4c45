"""Where the rows of a job are computed."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import torch

from shoal.experiment.architecture import Architecture
from shoal.experiment.data import Data
from shoal.experiment.job import Job
from shoal.losses import Loss
from shoal.population import EpochRecord, Population, saving
from shoal.population.plan import Plans
from shoal.population.saving import State

Records = Generator[EpochRecord, None, None]


class Running(Protocol):
    """A job under way."""

    def epochs(self) -> Iterator[EpochRecord]:
        """The records that are still to come; between two of them the caller may do what follows."""

    def stop(self, rows: Sequence[int], record: EpochRecord) -> EpochRecord:
        """Prune rows; the record with their new status."""

    def save(self, path: Path) -> None:
        """Write all that it takes to go on after the last record.

        Raises:
            RunError: the disk refuses.
        """

    def end(self) -> Population:
        """All rows as they are to be kept; nothing is computed any more."""

    def leave(self) -> None:
        """Give back what the job takes, whatever state it is in; a job that has ended has nothing left to give."""


class Runner(Protocol):
    """Computes jobs. Which one does changes no number beyond what law 2 allows."""

    def check(self, architecture: Architecture, loss: Loss) -> None:
        """See that it can compute such networks.

        Raises:
            InputError: it cannot.
        """

    def begin(self, job: Job, data: Data, plans: Plans) -> Running:
        """A job from its first epoch on.

        Args:
            job: what.
            data: its rows.
            plans: how such work was computed before.

        Raises:
            InputError: the network cannot take the rows.
        """

    def go_on(self, job: Job, data: Data, plans: Plans, path: Path) -> Running:
        """A job from where it was saved."""

    def read(self, job: Job, plans: Plans, path: Path) -> Population:
        """What was kept of a job that had ended."""


def fresh(job: Job, plans: Plans, device: str = "cpu") -> Population:
    """A job's members before they are trained."""
    return Population(
        job.architecture.build,
        job.members,
        loss=job.loss,
        device=device,
        dtype=getattr(torch, job.precision),
        plans=plans,
    )


def restored(job: Job, state: State, plans: Plans, device: str = "cpu") -> Population:
    """A job's members as they stood."""
    own = job.loss if job.loss.own else None
    return Population.of_state(state, job.architecture.build, device=device, plans=plans, loss=own)


def records(job: Job, population: Population, data: Data) -> Records:
    """The training of a job's members from the first epoch on."""
    return population.train(
        **data.arguments(),
        epochs=job.epochs,
        batch_size=job.batch_size,
        patience=job.patience,
        order_seed=job.order_seed,
        pixels=data.pixels,
    )


def ended(population: Population, records: Records) -> Population:
    """The population after its training, each row with the weights that it is to keep."""
    records.close()  # every row gets the weights of its best epoch back
    if (training := population.training) is not None:  # resumed right before its end: the loop had not begun again
        training.best.restore(population, range(len(population)))
        population.training = None
    return population


class Threads:
    """In this process: the executor spreads blocks of rows over its threads.

    Args:
        device: where the matrix lives.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device

    def check(self, architecture: Architecture, loss: Loss) -> None:
        """See `Runner`: it can compute all."""

    def begin(self, job: Job, data: Data, plans: Plans) -> Running:
        """See `Runner`."""
        population = fresh(job, plans, self.device)
        return _InThreads(population, records(job, population, data))

    def go_on(self, job: Job, data: Data, plans: Plans, path: Path) -> Running:
        """See `Runner`."""
        population = self.read(job, plans, path)
        return _InThreads(population, population.resume(**data.arguments()))

    def read(self, job: Job, plans: Plans, path: Path) -> Population:
        """See `Runner`."""
        return restored(job, saving.read(path), plans, self.device)


class _InThreads:
    """See `Running`."""

    def __init__(self, population: Population, records: Records) -> None:
        self._population, self._records = population, records

    def epochs(self) -> Iterator[EpochRecord]:
        return self._records

    def stop(self, rows: Sequence[int], record: EpochRecord) -> EpochRecord:
        self._population.stop(rows, "pruned")
        return record.with_status(self._population.status)

    def save(self, path: Path) -> None:
        self._population.save(path)

    def end(self) -> Population:
        return ended(self._population, self._records)

    def leave(self) -> None:
        self._records.close()
