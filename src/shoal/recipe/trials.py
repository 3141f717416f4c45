"""The one way in which the steps train a population of the search, and what is left of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from shoal.core.errors import Interrupted
from shoal.core.events import EpochFinished, Event, PopulationStarted
from shoal.experiment import Job, Trained, Training, parameters, ranking
from shoal.population import EpochRecord
from shoal.recipe.run_state import Candidate, RunState, infos, member_of
from shoal.search import edges
from shoal.search.halving import Halving

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
    state: RunState,
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
        state: the run.
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
    values = [edges.bounded(each, state.options.ranges) for each in values]
    ids = list(range(state.next_id, state.next_id + len(values)))
    state.next_id += len(values)
    members = [member_of(state, ids[0] if paired else number, v) for number, v in zip(ids, values, strict=True)]
    yield PopulationStarted(
        population=name,
        step=step,
        round=round_,
        network=state.network.document(),
        parameters=parameters(state.network),
        batch_size=state.batch_size,
        members=infos(ids, members, values),
    )
    job = Job(
        architecture=state.network,
        members=tuple(members),
        loss=state.problem.loss,
        epochs=epochs,
        batch_size=state.batch_size,
        patience=max(4, epochs // 2),
        order_seed=state.options.seed,
        keep=KEPT_CANDIDATES,
        precision=state.options.precision,
    )
    started = yield from state.read_clock()
    trained, interrupted = yield from _carry_out(state, name, step, job, ids, Halving(epochs) if halve else None)
    state.members_trained += len(ids)
    state.epochs_trained += trained.epochs
    state.allocator.learned(state.allocator.elapsed_s - started, trained.epochs * state.steps_per_epoch())
    state.allocator.spend(len(ids))
    trials = Trials(name, ids, values, trained)
    _keep_candidates(state, trials)
    if interrupted is not None:
        raise interrupted
    return trials


def _carry_out(
    state: RunState, name: str, step: int, job: Job, ids: Sequence[int], halving: Halving | None
) -> Generator[Event, None, tuple[Trained, Interrupted | None]]:
    """Train the job and tell each epoch; it ends before its time with the budget, or when the user asks for that."""
    yield state.progress(step, 0.0, f"{len(ids)} networks, {job.epochs} epochs")
    interrupted: Interrupted | None = None
    with Training(job, [state.problem.split], state.runner, state.cache, name) as training:
        for number, record in enumerate(training, 1):
            if halving is not None:
                record = training.prune(halving.stop(record))
            yield _epoch_event(name, ids, record)
            yield from state.read_clock()
            yield state.progress(step, number / job.epochs, f"{len(ids)} networks, epoch {number} of {job.epochs}")
            try:
                state.check_interrupt(step)
            except Interrupted as error:
                interrupted = error
                training.pause()
            else:
                if state.allocator.timed and state.allocator.exhausted():
                    training.end()
    return training.trained, interrupted


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


def _keep_candidates(state: RunState, trials: Trials) -> None:
    """Add the population's best members to those that the ensemble may use."""
    trained, scores = trials.trained, trials.trained.scores()
    if not any(np.isfinite(scores[row]) for row in trained.rows):
        return
    outputs = trained.outputs([state.problem.split])
    for place, row in enumerate(trained.rows):
        if not np.isfinite(scores[row]):
            continue
        state.candidates.append(
            Candidate(
                id=trials.ids[row],
                values=infos([trials.ids[row]], [trained.job.members[row]], [trials.values[row]])[0].values,
                architecture=trained.job.architecture,
                network=trained.population.network(place).float().cpu(),  # as it is saved, and where its rows are
                outputs=outputs[place],
                score=scores[row],
            )
        )
