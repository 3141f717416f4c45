"""The one way in which the steps train a population of the search, and what is left of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from shoal.core.errors import Interrupted
from shoal.core.events import EpochFinished, Event, PopulationStarted
from shoal.experiment import Answer, Halving, Job, Trained, parameters, ranking, run
from shoal.population import EpochRecord
from shoal.recipe.course import Candidate, Course, infos, member_of
from shoal.search import edges

KEPT_CANDIDATES = 12  # of each population: what the ensemble may choose from


@dataclass(frozen=True)
class Trials:
    """A population of the search after its training; lists are by trial."""

    name: str
    ids: list[int]
    values: list[dict[str, float]]
    trained: Trained  # its population: the best `KEPT_CANDIDATES` in the order of their ranking

    def standings(self) -> list[float]:
        """Minus the place of each trial in the ranking, NaN where it has no score: few rows give many equal scores."""
        places = {trial: place for place, trial in enumerate(ranking(self.trained.last))}
        scores = self.trained.scores()
        return [-float(places[k]) if np.isfinite(score) else float("nan") for k, score in enumerate(scores)]


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
) -> Generator[Event, None, Trials]:
    """Train one population of the search, and keep its best members as candidates.

    Args:
        course: the run.
        name: of the population.
        step: of the recipe.
        round_: of the loop.
        values: hyperparameters of each trial; none is trained outside a range that the user gave.
        epochs: passes over the training rows.
        paired: all trials share one seed, so that they differ by their hyperparameters alone.
        halve: end the worse half after a quarter of the epochs.

    Returns:
        The trials, the best with the weights of their best epoch.
    """
    values = [edges.bounded(each, course.options.ranges) for each in values]
    ids = list(range(course.next_id, course.next_id + len(values)))
    course.next_id += len(values)
    members = [member_of(course, ids[0] if paired else number, v) for number, v in zip(ids, values, strict=True)]
    yield PopulationStarted(
        population=name,
        step=step,
        round=round_,
        network=course.network.document(),
        parameters=parameters(course.network),
        batch_size=course.batch_size,
        members=infos(ids, members, values),
    )
    job = Job(
        architecture=course.network,
        members=tuple(members),
        loss=course.problem.loss,
        epochs=epochs,
        batch_size=course.batch_size,
        patience=max(4, epochs // 2),
        order_seed=course.options.seed,
        halving=Halving() if halve else None,
        keep=KEPT_CANDIDATES,
        precision=course.options.precision,
    )
    started = yield from course.read_clock()
    trained, interrupted = yield from _carry_out(course, name, step, job, ids)
    course.members_trained += len(ids)
    course.epochs_trained += trained.epochs
    course.pace.learned(course.pace.elapsed_s - started, trained.epochs * course.steps_per_epoch())
    course.pace.spend(len(ids))
    trials = Trials(name, ids, values, trained)
    _keep_candidates(course, trials)
    if interrupted is not None:
        raise interrupted
    return trials


def _carry_out(
    course: Course, name: str, step: int, job: Job, ids: Sequence[int]
) -> Generator[Event, None, tuple[Trained, Interrupted | None]]:
    """Train the job and tell each epoch; it ends before its time with the budget, or when the user asks for that."""
    yield course.progress(step, 0.0, f"{len(ids)} networks, {job.epochs} epochs")
    interrupted: Interrupted | None = None
    with closing(run(job, [course.problem.split], course.runner, course.cache, name)) as training:
        answer: Answer | None = None
        for number in range(1, job.epochs + 2):
            try:
                record = training.send(answer)
            except StopIteration as end:
                return end.value, interrupted
            yield _epoch_event(name, ids, record)
            yield from course.read_clock()
            yield course.progress(step, number / job.epochs, f"{len(ids)} networks, epoch {number} of {job.epochs}")
            try:
                course.check_interrupt(step)
            except Interrupted as error:
                interrupted, answer = error, Answer(then="pause")
            else:
                over = course.pace.timed and course.pace.exhausted()
                answer = Answer(then="end") if over else None
    raise AssertionError("a job has no more records than epochs")


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


def _keep_candidates(course: Course, trials: Trials) -> None:
    """Add the population's best members to those that the ensemble may use."""
    trained, scores = trials.trained, trials.trained.scores()
    if not any(np.isfinite(scores[row]) for row in trained.rows):
        return
    outputs = trained.outputs([course.problem.split])
    for place, row in enumerate(trained.rows):
        if not np.isfinite(scores[row]):
            continue
        course.candidates.append(
            Candidate(
                id=trials.ids[row],
                values=infos([trials.ids[row]], [trained.job.members[row]], [trials.values[row]])[0].values,
                architecture=trained.job.architecture,
                network=trained.population.network(place).float().cpu(),  # as it is saved, and where its rows are
                outputs=outputs[place],
                score=scores[row],
            )
        )
