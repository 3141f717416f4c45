"""The one way to train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Self

from shoal.experiment.cache import NoCache, TaskCache, pack, unpack
from shoal.experiment.data import Data, Folds
from shoal.experiment.job import Job
from shoal.experiment.runner import Runner, Running, Threads
from shoal.experiment.trained import Trained, ranking
from shoal.population import EpochRecord, Population


class Training:
    """A job under way: a loop over the records of its epochs, in which it may be pruned, ended or paused.

        with Training(job, folds, runner, cache, "coarse") as training:
            for record in training:
                if enough(record):
                    training.end()
        trained = training.trained

    What the cache holds of the job is not computed again: the records that were kept come first, and the same is
    expected to be done at each of them as when they were new; it is not done twice.

    Args:
        job: what.
        folds: the rows, by the number of the fold.
        runner: where; by default in this process.
        cache: what was done before, and where this is kept.
        piece: the job's name in the cache.
    """

    def __init__(
        self, job: Job, folds: Folds, runner: Runner | None = None, cache: TaskCache | None = None, piece: str = ""
    ) -> None:
        self._job, self._folds, self._runner = job, folds, runner or Threads()
        self._cache, self._piece, self._key = cache or NoCache(), piece, job.digest()
        self._records: list[EpochRecord] = []
        self._record: EpochRecord | None = None  # the one that the loop is at
        self._running: Running | None = None
        self._begun = False
        self._new = False  # it was computed now
        self._then: Literal["go on", "end", "pause"] = "go on"
        self._trained: Trained | None = None

    def __iter__(self) -> Iterator[EpochRecord]:
        """A record after each epoch; the next epoch begins when the next record is asked for.

        Raises:
            InputError: the folds do not fit the job, or the network the rows.
        """
        if self._begun:
            raise RuntimeError("A training is one loop: make another Training of the job to go through it again.")
        self._begun = True
        kept = self._cache.recall(self._piece, self._key)
        before = [] if kept is None else unpack(kept)
        finished: Population | None = None
        try:
            if kept is not None and kept.done:
                finished = self._runner.read(self._job, self._cache.plans, kept.networks())
            elif kept is not None:
                data = Data.of(self._job, self._folds)
                self._running = self._runner.go_on(self._job, data, self._cache.plans, kept.networks())
            else:
                self._running = self._runner.begin(self._job, Data.of(self._job, self._folds), self._cache.plans)
            self._records = before
            for record in self._epochs(before):
                self._record = record
                yield record
                if self._then != "go on":
                    break
                if self._new and self._cache.due():
                    self._keep(self._running, done=False)
            self._trained = self._read(finished)
        finally:
            self.close()

    def prune(self, rows: Sequence[int]) -> EpochRecord:
        """Train some members no further; the record, with their new status."""
        if self._record is None:
            raise RuntimeError("There is no record yet: prune in the loop over the training.")
        if rows and self._new and self._running is not None:
            self._records[-1] = self._record = self._running.stop(rows, self._record)
        return self._record

    def end(self) -> None:
        """This is all: the last record was the last one."""
        self._then = "end"

    def pause(self) -> None:
        """Keep what was done in the cache: another training of the job goes on from here."""
        self._then = "pause"

    @property
    def trained(self) -> Trained:
        """What the job left; what is trained of it so far, where it was paused.

        Raises:
            RuntimeError: the loop has not come to its end.
        """
        if self._trained is None:
            raise RuntimeError("The training has not come to its end: loop over its records first.")
        return self._trained

    def close(self) -> None:
        """Give back what a training takes, however it ended."""
        running, self._running = self._running, None
        if running is not None:
            running.leave()

    def __enter__(self) -> Self:
        """Use the training in a `with` statement: it is closed when the block is left."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _epochs(self, before: Sequence[EpochRecord]) -> Iterator[EpochRecord]:
        yield from tuple(before)
        if self._running is None:
            return
        for record in self._running.epochs():
            self._new = True
            self._records.append(record)
            yield record

    def _read(self, finished: Population | None) -> Trained:
        order = ranking(self._records[-1])[: self._job.keep]
        rows = tuple(range(len(self._job.members)) if self._job.keep is None else order)
        if finished is not None:
            return Trained(self._job, tuple(self._records), rows, finished)
        assert self._running is not None
        if self._then == "pause":
            self._keep(self._running, done=False)
        population = self._running.end()
        best = population if self._job.keep is None else population[list(rows)]
        if self._then != "pause":
            self._keep(best, done=True)
        return Trained(self._job, tuple(self._records), rows, best)

    def _keep(self, networks: Running | Population | None, *, done: bool) -> None:
        self._cache.keep(self._piece, self._key, *pack(self._records), networks, done=done)


def run(
    job: Job, folds: Folds, runner: Runner | None = None, cache: TaskCache | None = None, piece: str = ""
) -> Trained:
    """Train a job to its end, whatever its records say; see `Training`, which is for whoever watches.

    Raises:
        InputError: the folds do not fit the job, or the network the rows.
    """
    with Training(job, folds, runner, cache, piece) as training:
        for _ in training:
            pass
    return training.trained
