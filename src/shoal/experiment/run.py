"""The one way to train."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from shoal.experiment.cache import NoCache, TaskCache, pack, unpack
from shoal.experiment.data import Data, Folds
from shoal.experiment.job import Job
from shoal.experiment.runner import Runner, Running, Threads
from shoal.experiment.trained import Trained, ranking
from shoal.population import EpochRecord, Population


@dataclass(frozen=True)
class Answer:
    """What whoever reads a record wants to happen next."""

    prune: Sequence[int] = ()  # members that are trained no further
    then: Literal["go on", "end", "pause"] = "go on"  # end: this is all; pause: a later call goes on from here


GO_ON = Answer()


def run(
    job: Job,
    folds: Folds,
    runner: Runner | None = None,
    cache: TaskCache | None = None,
    piece: str = "",
) -> Generator[EpochRecord, Answer | None, Trained]:
    """Train a job.

    What the cache holds of it is not computed again: the records that were kept come first, and the same answers to
    them are expected.

    Args:
        job: what.
        folds: the rows, by the number of the fold.
        runner: where; by default in this process.
        cache: what was done before, and where this is kept.
        piece: the job's name in the cache.

    Yields:
        A record after each epoch; `send` takes an `Answer`, and `next` means go on.

    Returns:
        What was trained.

    Raises:
        InputError: the folds do not fit the job, or the network the rows.
    """
    work = _Work(job, folds, runner or Threads(), cache or NoCache(), piece)
    answer = GO_ON
    try:
        for record in work.epochs():
            answer = (yield record) or GO_ON
            work.prune(answer.prune, record)
            if answer.then != "go on":
                break
            work.keep_if_due()
        return work.end(paused=answer.then == "pause")
    finally:
        work.leave()


class _Work:
    """A job: its epochs that were kept before, and those still to do."""

    def __init__(self, job: Job, folds: Folds, runner: Runner, cache: TaskCache, piece: str) -> None:
        self._job, self._cache, self._piece, self._key = job, cache, piece, job.digest()
        kept = cache.recall(piece, self._key)
        self._kept = [] if kept is None else unpack(kept)
        self._records = list(self._kept)
        self._finished: Population | None = None
        self._running: Running | None = None
        if kept is not None and kept.done:
            self._finished = runner.read(job, cache.plans, kept.networks())
        elif kept is not None:
            self._running = runner.go_on(job, Data.of(job, folds), cache.plans, kept.networks())
        else:
            self._running = runner.begin(job, Data.of(job, folds), cache.plans)

    def epochs(self) -> Iterator[EpochRecord]:
        yield from self._kept
        self._kept = []  # from here on answers count
        if self._running is None:
            return
        for record in self._running.epochs():
            halving = self._job.halving
            if halving is not None and halving.due(len(self._records) + 1, self._job.epochs):
                record = self._running.stop(halving.worse(record), record)
            self._records.append(record)
            yield record

    def prune(self, rows: Sequence[int], record: EpochRecord) -> None:
        if rows and self._running is not None and not self._kept:
            self._records[-1] = self._running.stop(rows, record)

    def keep_if_due(self) -> None:
        if self._running is not None and not self._kept and self._cache.due():
            self._keep(self._running, done=False)

    def end(self, *, paused: bool) -> Trained:
        order = ranking(self._records[-1])[: self._job.keep]
        rows = list(range(len(self._job.members))) if self._job.keep is None else order
        if self._running is None:
            assert self._finished is not None
            return Trained(self._job, tuple(self._records), tuple(rows), self._finished)
        if paused:
            self._keep(self._running, done=False)
        population = self._running.end()
        best = population if self._job.keep is None else population[rows]
        if not paused:
            self._keep(best, done=True)
        return Trained(self._job, tuple(self._records), tuple(rows), best)

    def leave(self) -> None:
        """Give back what a training takes, however it ended."""
        if self._running is not None:
            self._running.leave()

    def _keep(self, networks: Running | Population, *, done: bool) -> None:
        self._cache.keep(self._piece, self._key, *pack(self._records), networks, done=done)


def finish(training: Generator[EpochRecord, Answer | None, Trained]) -> Trained:
    """Carry a job out to its end, whatever its records say."""
    while True:
        try:
            next(training)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
