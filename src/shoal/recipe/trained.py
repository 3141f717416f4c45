"""The one way in which the steps train a population of the search, and what is left of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np

from shoal.core.errors import Interrupted
from shoal.core.events import EpochFinished, Event, PopulationStarted
from shoal.population import EpochRecord, Member, Population
from shoal.recipe.course import Candidate, Course, infos, member_of
from shoal.recipe.journal import pack, unpack
from shoal.search import edges

KEPT_CANDIDATES = 12  # of each population: what the ensemble may choose from
PRUNE_AT = 0.25  # share of the epochs after which the worse half of a refined round ends (successive halving)
LEAST_KEPT = 3


@dataclass(frozen=True)
class Trained:
    """A population of the search after its training; lists are by member."""

    name: str
    ids: list[int]
    members: list[Member]
    values: list[dict[str, float]]
    records: list[EpochRecord]
    leaders: Population  # the best `KEPT_CANDIDATES` in the order of `ranking`, with the weights of their best epoch

    @property
    def last(self) -> EpochRecord:
        """The last epoch's record."""
        return self.records[-1]

    def scores(self) -> list[float]:
        """Best validation score of each member, NaN where it has none."""
        return [float(s) if np.isfinite(s) else float("nan") for s in self.last.best_score]

    def standings(self) -> list[float]:
        """Minus the place of each member in the ranking, NaN where it has no score: few rows give many equal scores."""
        places = {member: place for place, member in enumerate(ranking(self.last))}
        return [-float(places[k]) if np.isfinite(score) else float("nan") for k, score in enumerate(self.scores())]

    def best(self) -> int:
        """The member with the highest validation score (between equal scores the lower loss)."""
        return ranking(self.last)[0]

    def curve(self, member: int, of: Literal["loss", "score", "validation_loss"]) -> list[float]:
        """What was measured of a member by epoch, as long as it was trained."""
        return [float(getattr(r, of)[member]) for r in self.records if member in r.trained]


def ranking(record: EpochRecord) -> list[int]:
    """Members by their best validation score, then by the lower loss; those that have none come last."""
    scores = np.where(np.isfinite(record.best_score), record.best_score, -np.inf)
    return [int(row) for row in np.lexsort((record.best_loss, -scores))]


def train(
    course: Course,
    name: str,
    step: int,
    round_: int,
    values: Sequence[dict[str, float]],
    epochs: int,
    *,
    paired: bool = False,
    halve: bool = False,
) -> Generator[Event, None, Trained]:
    """Train one population of the search, and keep its best members as candidates.

    Args:
        course: the run.
        name: of the population.
        step: of the recipe.
        round_: of the loop.
        values: hyperparameters of each member; none is trained outside a range that the user gave.
        epochs: passes over the training rows.
        paired: all members share one seed, so that they differ by their hyperparameters alone.
        halve: end the worse half after a quarter of the epochs.

    Returns:
        The trained population, its leaders with the weights of their best epoch.
    """
    values = [edges.bounded(each, course.options.ranges) for each in values]
    ids = list(range(course.next_id, course.next_id + len(values)))
    course.next_id += len(values)
    members = [member_of(course, ids[0] if paired else number, v) for number, v in zip(ids, values, strict=True)]
    training = _Training(course, name, members, epochs, halve)
    yield PopulationStarted(
        population=name,
        step=step,
        round=round_,
        network=course.network.document(),
        parameters=training.population.parameters,
        batch_size=course.batch_size,
        members=infos(ids, members, values),
    )
    started = yield from course.read_clock()
    yield course.progress(step, 0.0, f"{len(ids)} networks, {epochs} epochs")
    interrupted: Interrupted | None = None
    try:
        for number, record in enumerate(training.epochs(), start=1):
            yield _epoch_event(name, ids, record)
            yield from course.read_clock()
            yield course.progress(step, number / epochs, f"{len(ids)} networks, epoch {number} of {epochs}")
            course.check_interrupt(step)
            if course.pace.timed and course.pace.exhausted():
                break
    except Interrupted as error:
        interrupted = error
    leaders = training.end(interrupted=interrupted is not None)
    member_epochs = sum(len(record.trained) for record in training.records)
    course.members_trained += len(ids)
    course.epochs_trained += member_epochs
    course.pace.learned(course.pace.elapsed_s - started, member_epochs * course.steps_per_epoch())
    course.pace.spend(len(ids))
    trained = Trained(name, ids, members, values, training.records, leaders)
    _keep_candidates(course, trained)
    if interrupted is not None:
        raise interrupted
    return trained


class _Training:
    """The epochs of one population: those that were kept before the run was interrupted, then those still to do."""

    def __init__(self, course: Course, name: str, members: Sequence[Member], epochs: int, halve: bool) -> None:
        self._course, self._name, self._total, self._halve = course, name, epochs, halve
        self._key = course.key(members, epochs=epochs, halve=halve)
        kept = course.journal.recall(name, self._key)
        self._done = kept is not None and kept.done
        self.records = [] if kept is None else unpack(kept)
        self.population = course.population(members) if kept is None else course.load(kept)
        problem = course.problem
        held_out = problem.validation.x, problem.validation.y
        if self.population.training is not None:
            self._loop = self.population.resume(problem.train.x, problem.train.y, validation=held_out)
        else:
            self._loop = self.population.train(
                problem.train.x,
                problem.train.y,
                epochs=epochs,
                batch_size=course.batch_size,
                validation=held_out,
                patience=max(4, epochs // 2),
                order_seed=course.options.seed,
                pixels=problem.pixels,
            )

    def epochs(self) -> Iterator[EpochRecord]:
        """All epochs, from the first one on."""
        yield from tuple(self.records)
        if self._done:
            return
        for record in self._loop:
            number = len(self.records) + 1
            if self._halve and number == max(1, round(PRUNE_AT * self._total)) and number < self._total:
                self.population.stop(_worse_half(record), "pruned")
                record = record.with_status(self.population.status)
            self.records.append(record)
            yield record
            if self._course.journal.due():
                self._keep(self.population, done=False)

    def end(self, *, interrupted: bool) -> Population:
        """The best members, each with the weights of its best epoch; kept, unless the training shall go on later."""
        if self._done:
            return self.population
        if interrupted:
            self._keep(self.population, done=False)
        self._loop.close()  # every row gets the weights of its best epoch back
        if self.population.training is not None:  # resumed right before its end: the loop had not begun again
            self.population.training.best.restore(self.population, range(len(self.population)))
        leaders = self.population[ranking(self.records[-1])[:KEPT_CANDIDATES]]
        if not interrupted:
            self._keep(leaders, done=True)
        return leaders

    def _keep(self, population: Population, *, done: bool) -> None:
        self._course.journal.keep(self._name, self._key, *pack(self.records), population, done=done)


def _worse_half(record: EpochRecord) -> list[int]:
    """Rows still training, but for the better half (three at least)."""
    running = [row for row, status in enumerate(record.status) if status == "ok"]
    ranked = sorted(running, key=lambda row: (-record.best_score[row], record.best_loss[row], row))
    return ranked[max(LEAST_KEPT, ceil(len(ranked) / 2)) :]


def _epoch_event(name: str, ids: Sequence[int], record: EpochRecord) -> EpochFinished:
    rows = record.trained
    return EpochFinished(
        population=name,
        epoch=record.epoch,
        members=[ids[row] for row in rows],
        train_loss=record.loss[rows].tolist(),
        train_score=record.score[rows].tolist(),
        validation_loss=record.validation_loss[rows].tolist(),
        validation_score=record.validation_score[rows].tolist(),
        lr=record.lr[rows].tolist(),
        status=[record.status[row] for row in rows],
    )


def _keep_candidates(course: Course, trained: Trained) -> None:
    """Add the population's best members to those that the ensemble may use."""
    scores, problem, leaders = trained.scores(), course.problem, trained.leaders
    rows = [row for row in ranking(trained.last)[: len(leaders)] if np.isfinite(scores[row])]
    if not rows:
        return
    outputs = leaders[: len(rows)].predict(problem.validation.x)
    for number, row in enumerate(rows):
        course.candidates.append(
            Candidate(
                id=trained.ids[row],
                values=infos([trained.ids[row]], [trained.members[row]], [trained.values[row]])[0].values,
                architecture=course.network,
                network=leaders.network(number).float().cpu(),  # as it is saved, and where the rows are that it answers
                outputs=outputs[number],
                score=scores[row],
            )
        )
