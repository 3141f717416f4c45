"""The one way in which the steps train trials of the search, and what is left of them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from torch import Tensor

from shoal.core.dimensions import DIMENSIONS
from shoal.core.errors import Interrupted
from shoal.core.events import EpochFinished, Event, MemberInfo, PopulationStarted
from shoal.experiment import Architecture, Job, Trained, Training, parameters, ranked
from shoal.population import EpochRecord
from shoal.population.batches import steps_per_epoch
from shoal.recipe.run_state import Candidate, RunState, infos, member_of
from shoal.search import edges
from shoal.search.searcher import Searcher, Trial, by_structure

KEPT_CANDIDATES = 12  # of each round: what the ensemble may choose from


@dataclass(frozen=True)
class Group:
    """Trials of one structure: a population after its training."""

    name: str  # of the population
    trials: tuple[Trial, ...]
    trained: Trained  # its best rows, in the order of their ranking


@dataclass(frozen=True)
class Trials:
    """What a round of the search trained, in groups; lists are by trial, in the order of the groups."""

    name: str
    groups: tuple[Group, ...]

    @property
    def ids(self) -> list[int]:
        """Numbers of the trials, unique in the run."""
        return [trial.number for group in self.groups for trial in group.trials]

    @property
    def values(self) -> list[dict[str, float]]:
        """Hyperparameters of each trial."""
        return [numbers(trial.values) for group in self.groups for trial in group.trials]

    @property
    def status(self) -> list[str]:
        """How each trial ended."""
        return [status for group in self.groups for status in group.trained.last.status]

    @property
    def epochs(self) -> int:
        """Of the longest training."""
        return max(len(group.trained.records) for group in self.groups)

    def scores(self) -> list[float]:
        """Best validation score of each trial, NaN where it has none."""
        return [score for group in self.groups for score in group.trained.scores()]

    def best_epochs(self) -> list[int]:
        """The epoch of that score."""
        return [int(epoch) for group in self.groups for epoch in group.trained.last.best_epoch]

    def best(self) -> int:
        """The trial with the highest score (between equal ones the lower loss)."""
        return self._order()[0]

    def ranks(self) -> list[float]:
        """Minus the place of each trial from the best on, NaN where it has no score: few rows know few scores."""
        places = {trial: place for place, trial in enumerate(self._order())}
        return [-float(places[k]) if np.isfinite(score) else float("nan") for k, score in enumerate(self.scores())]

    def infos(self) -> list[MemberInfo]:
        """The trials as the report shows them."""
        members = [member for group in self.groups for member in group.trained.job.members]
        return infos(self.ids, members, self.values)

    def population_of(self, trial: int) -> str:
        """The name of its population."""
        group, _ = self._place(trial)
        return group.name

    def curve(self, trial: int, of: Literal["loss", "score", "validation_loss", "validation_score"]) -> list[float]:
        """What was measured of a trial by epoch."""
        group, member = self._place(trial)
        return group.trained.curve(member, of)

    def train_score(self, trial: int, x: Tensor, y: Tensor) -> float:
        """What a trial's best weights score on some rows; it must be the best of its population."""
        group, member = self._place(trial)
        return float(group.trained.population[group.trained.rows.index(member)].evaluate(x, y)[1][0])

    def _order(self) -> list[int]:
        """Trials from the best on; those without a score come last."""
        losses = np.concatenate([group.trained.last.best_loss for group in self.groups])
        return ranked(np.array(self.scores()), losses)

    def _place(self, trial: int) -> tuple[Group, int]:
        for group in self.groups:
            if trial < len(group.trials):
                return group, trial
            trial -= len(group.trials)
        raise IndexError(trial)


def numbers(values: Mapping[str, object]) -> dict[str, float]:
    """The values of a trial of the recipe: all of its dimensions are numbers."""
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def train(
    state: RunState,
    name: str,
    step: int,
    round_: int,
    searcher: Searcher,
    count: int,
    epochs: int,
    *,
    paired: bool = False,
) -> Generator[Event, None, Trials]:
    """Train trials of the search, those of one structure as one population, and keep the best as candidates.

    Args:
        state: the run.
        name: of the round.
        step: of the recipe.
        round_: of the loop.
        searcher: is asked for the trials, told how they did, and says which end early; none is trained outside a range
            that the user gave.
        count: how many trials.
        epochs: passes over the training rows.
        paired: all trials share one seed, so that they differ by their hyperparameters alone.

    Returns:
        The trials, the best with the weights of their best epoch. Where the budget in time ends first, those of the
        structures that were not begun are left out.
    """
    asked = searcher.ask(count)
    first = state.next_id
    state.next_id += count
    trials = [
        replace(trial, number=first + k, values=edges.bounded(numbers(trial.values), state.options.ranges))
        for k, trial in enumerate(asked)
    ]
    groups: list[Group] = []
    interrupted: Interrupted | None = None
    structures = by_structure(trials)
    for structure, alike in structures:
        if groups and (interrupted or (state.allocator.timed and state.allocator.exhausted())):
            break
        said = ", ".join(f"{key} {value}" for key, value in structure.items()) if len(structures) > 1 else ""
        seeds = [first if paired else trial.number for trial in alike]
        named = f"{name}, {said}" if said else name
        group, interrupted = yield from _population(state, named, step, round_, searcher, alike, seeds, epochs)
        groups.append(group)
    done = Trials(name, tuple(groups))
    scored = dict(zip(done.ids, done.scores(), strict=True))
    for trial, mine in zip(asked, trials, strict=True):
        if mine.number in scored:
            searcher.tell(trial, [scored[mine.number]])
    _keep_candidates(state, done)
    if interrupted is not None:
        raise interrupted
    return done


def _population(
    state: RunState,
    name: str,
    step: int,
    round_: int,
    searcher: Searcher,
    trials: Sequence[Trial],
    seeds: Sequence[int],
    epochs: int,
) -> Generator[Event, None, tuple[Group, Interrupted | None]]:
    """Train the trials of one structure."""
    values, ids = [numbers(trial.values) for trial in trials], [trial.number for trial in trials]
    structure = trials[0].structure()
    network = _network(state.network, numbers(structure))
    batch_size = int(numbers(structure).get("batch_size", state.batch_size))
    members = [member_of(state, seed, _own(each)) for seed, each in zip(seeds, values, strict=True)]
    yield PopulationStarted(
        population=name,
        step=step,
        round=round_,
        network=network.document(),
        parameters=parameters(network),
        batch_size=batch_size,
        members=infos(ids, members, values),
    )
    job = Job(
        architecture=network,
        members=tuple(members),
        loss=state.problem.loss,
        epochs=epochs,
        batch_size=batch_size,
        patience=max(4, epochs // 2),
        order_seed=state.options.seed,
        keep=KEPT_CANDIDATES,
        precision=state.options.precision,
    )
    started = yield from state.read_clock()
    trained, interrupted = yield from _carry_out(state, name, step, job, ids, searcher)
    state.members_trained += len(ids)
    state.epochs_trained += trained.epochs
    steps = steps_per_epoch(len(state.problem.train), batch_size)
    state.allocator.learned(state.allocator.elapsed_s - started, trained.epochs * steps)
    state.allocator.spend(len(ids))
    return Group(name, tuple(trials), trained), interrupted


def _own(values: Mapping[str, float]) -> dict[str, float]:
    """Hyperparameters of the member itself, not of its network or batches."""
    return {name: value for name, value in values.items() if not DIMENSIONS[name].structural}


def _network(usual: Architecture, structure: Mapping[str, float]) -> Architecture:
    """The network of a structure: the usual one with another size."""
    sizes = {name: int(value) for name, value in structure.items() if name in usual.sizes()}
    return usual.resized(**sizes) if sizes else usual


def _carry_out(
    state: RunState, name: str, step: int, job: Job, ids: Sequence[int], searcher: Searcher
) -> Generator[Event, None, tuple[Trained, Interrupted | None]]:
    """Train the job and tell each epoch; it ends before its time with the budget, or when the user asks for that."""
    yield state.progress(step, 0.0, f"{len(ids)} networks, {job.epochs} epochs")
    interrupted: Interrupted | None = None
    with Training(job, [state.problem.split], state.runner, state.cache, name) as training:
        for number, record in enumerate(training, 1):
            record = training.prune(searcher.stop(record))
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
    """Add the best trials of a round to the networks that the ensemble may use."""
    best = {trials.ids[k] for k, rank in enumerate(trials.ranks()) if -rank < KEPT_CANDIDATES}
    for group in trials.groups:
        trained, scores = group.trained, group.trained.scores()
        places = [place for place, row in enumerate(trained.rows) if group.trials[row].number in best]
        if not places:
            continue
        outputs = trained.outputs([state.problem.split])
        for place in places:
            row = trained.rows[place]
            trial, member = group.trials[row], trained.job.members[row]
            state.candidates.append(
                Candidate(
                    id=trial.number,
                    values=infos([trial.number], [member], [numbers(trial.values)])[0].values,
                    architecture=trained.job.architecture,
                    network=trained.population.network(place).float().cpu(),  # as it is saved, and where its rows are
                    outputs=outputs[place],
                    score=scores[row],
                )
            )
