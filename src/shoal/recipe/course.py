"""What the recipe knows as it goes along, and the one way in which its steps train a population of the search."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import nn

from shoal.core import keyed
from shoal.core.errors import Interrupted
from shoal.core.events import (
    Decision,
    DecisionMade,
    EpochFinished,
    Event,
    Finding,
    FindingRaised,
    MemberInfo,
    PopulationStarted,
    Range,
    StepFinished,
    StepProgress,
)
from shoal.diagnose.verdict import Verdict
from shoal.ensemble.calibration import fit_temperature, probabilities
from shoal.population import EpochRecord, Member, Population
from shoal.recipe.pace import Pace
from shoal.recipe.problem import Architecture, Options, Part, Problem

Floats = NDArray[np.float64]

SCHEDULE, WARMUP = "cosine", 0.05
KEPT_CANDIDATES = 12  # of each population: what the ensemble may choose from
PRUNE_AT = 0.25  # share of the epochs after which the worse half of a refined round ends (successive halving)
LEAST_KEPT = 3


@dataclass(frozen=True)
class Candidate:
    """A trained member that the ensemble may use."""

    id: int
    values: Mapping[str, JsonValue]
    architecture: Architecture
    network: nn.Module
    outputs: Floats  # [N, C] on the validation rows: probabilities, or standardised numbers
    score: float
    temperature: float  # of its probabilities; 1 for numbers


@dataclass
class Course:
    """The state of one run. Steps read it and write what they decided."""

    problem: Problem
    options: Options
    pace: Pace
    stopped: Callable[[], bool]
    network: Architecture
    batch_size: int
    init: str = "torch"
    optimizer: str = "adamw"
    ranges: dict[str, Range] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    members_trained: int = 0
    epochs_trained: float = 0.0
    next_id: int = 1

    def best(self) -> Candidate:
        """The candidate with the highest validation score."""
        return max(self.candidates, key=lambda candidate: candidate.score)

    def best_score(self) -> float | None:
        """Its score, or None before there is one."""
        return self.best().score if self.candidates else None

    def steps_per_epoch(self) -> int:
        """Gradient steps of one pass over the training rows."""
        return ceil(len(self.problem.train) / self.batch_size)

    def order(self, step: int) -> torch.Tensor:
        """A random order of the training rows, the same for each run of this seed."""
        return keyed.permutation(keyed.key(self.options.seed, keyed.Purpose.SAMPLE, step), len(self.problem.train))

    def sample(self, step: int, rows: int) -> Part:
        """Some training rows at random."""
        return self.problem.train.take(self.order(step)[:rows])

    def population(self, members: Sequence[Member]) -> Population:
        """A fresh population of the current network."""
        return Population(self.network.build, members, loss=self.problem.loss.name, device=self.problem.device)

    def check_interrupt(self, step: int) -> None:
        """Leave the run if the user asked for that.

        Raises:
            Interrupted: they did.
        """
        if self.stopped():
            raise Interrupted(f"Stopped by the user at step {step}.")

    def progress(self, step: int, done: float, doing: str) -> StepProgress:
        """How far the running step is."""
        left = self.pace.left_s()
        return StepProgress(
            step=step,
            done=min(done, 1.0),
            best=self.best_score(),
            left_s=None if left is None else max(left, 0.0),
            doing=doing,
        )


def finished(step: int, verdict: Verdict, number: str, started: float, round_: int = 1) -> StepFinished:
    """The end of a step that began at `started`, by `time.perf_counter`."""
    return StepFinished(
        step=step,
        round=round_,
        level=verdict.level,
        verdict=verdict.phrase,
        number=number,
        seconds=time.perf_counter() - started,
    )


@dataclass(frozen=True)
class Trained:
    """A population of the search after its training; lists are by member."""

    name: str
    population: Population
    ids: list[int]
    values: list[dict[str, float]]
    records: list[EpochRecord]
    architecture: Architecture

    @property
    def last(self) -> EpochRecord:
        """The last epoch's record."""
        return self.records[-1]

    def scores(self) -> list[float]:
        """Best validation score of each member, NaN where it has none."""
        return [float(s) if np.isfinite(s) else float("nan") for s in self.last.best_score]

    def best(self) -> int:
        """The member with the highest validation score (between equal scores the lower loss)."""
        scores = np.nan_to_num(np.asarray(self.scores()), nan=-np.inf)
        return int(np.lexsort((self.last.best_loss, -scores))[0])

    def curve(self, member: int, of: Literal["loss", "score", "validation_loss"]) -> list[float]:
        """What was measured of a member by epoch, as long as it was trained."""
        return [float(getattr(r, of)[member]) for r in self.records if member in r.trained]


def decided(step: int, verdict: Verdict, action: str) -> list[Event]:
    """A verdict as an entry of the decision log and, where something is wrong, as a finding."""
    decision = Decision(
        step=step,
        code=verdict.code,
        verdict=verdict.sentence,
        evidence=verdict.evidence,
        action=action,
        level=verdict.level,
    )
    events: list[Event] = [DecisionMade(decision=decision)]
    if verdict.level in ("warning", "problem"):
        finding = Finding(
            code=verdict.code,
            sentence=verdict.sentence,
            level=verdict.level,
            evidence=verdict.evidence,
            fix=verdict.fix or action,
        )
        events.append(FindingRaised(finding=finding))
    return events


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
        values: hyperparameters of each member.
        epochs: passes over the training rows.
        paired: all members share one seed, so that they differ by their hyperparameters alone.
        halve: end the worse half after a quarter of the epochs.

    Returns:
        The trained population, each row with the weights of its best epoch.
    """
    problem, started = course.problem, time.perf_counter()
    ids = list(range(course.next_id, course.next_id + len(values)))
    course.next_id += len(values)
    members = [member_of(course, ids[0] if paired else number, v) for number, v in zip(ids, values, strict=True)]
    population = course.population(members)
    yield PopulationStarted(
        population=name,
        step=step,
        round=round_,
        network=course.network.document(),
        parameters=population.parameters,
        batch_size=course.batch_size,
        members=infos(ids, members),
    )
    records: list[EpochRecord] = []
    member_epochs = 0
    loop = population.train(
        problem.train.x,
        problem.train.y,
        epochs=epochs,
        batch_size=course.batch_size,
        validation=(problem.validation.x, problem.validation.y),
        patience=max(4, epochs // 2),
        order_seed=course.options.seed,
    )
    yield course.progress(step, 0.0, f"{len(ids)} networks, {epochs} epochs")
    interrupted: Interrupted | None = None
    try:
        for number, record in enumerate(loop, start=1):
            if halve and number == max(1, round(PRUNE_AT * epochs)) and number < epochs:
                population.stop(_worse_half(record), "pruned")
                record = record.with_status(population.status)
            records.append(record)
            member_epochs += len(record.trained)
            yield _epoch_event(name, ids, record)
            yield course.progress(step, number / epochs, f"{len(ids)} networks, epoch {number} of {epochs}")
            course.check_interrupt(step)
            if course.pace.timed and course.pace.exhausted():
                break
    except Interrupted as error:
        interrupted = error
    finally:
        loop.close()  # every row gets the weights of its best epoch back
        course.members_trained += len(ids)
        course.epochs_trained += member_epochs
    course.pace.learned(time.perf_counter() - started, member_epochs * course.steps_per_epoch())
    course.pace.spend(len(ids))
    trained = Trained(name, population, ids, list(values), records, course.network)
    _keep_candidates(course, trained)
    if interrupted is not None:
        raise interrupted
    return trained


def member_of(course: Course, number: int, values: Mapping[str, float]) -> Member:
    """A member with these hyperparameters; its seed follows from the run's seed and its number."""
    settings: dict[str, Any] = dict(values)
    if course.optimizer == "nesterov":
        settings.setdefault("momentum", 0.9)
    return Member(
        seed=course.options.seed * 1_000_003 + number,
        optimizer=course.optimizer,
        init=course.init,
        schedule=SCHEDULE,
        warmup=WARMUP,
        **settings,
    )


def infos(ids: Sequence[int], members: Sequence[Member]) -> list[MemberInfo]:
    """Members as events name them: what was set, under its name."""
    return [
        MemberInfo(id=number, values=member.model_dump(mode="json", exclude_none=True))
        for number, member in zip(ids, members, strict=True)
    ]


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
    scores = np.nan_to_num(np.asarray(trained.scores()), nan=-np.inf)
    order = [int(row) for row in np.lexsort((trained.last.best_loss, -scores)) if np.isfinite(scores[row])]
    rows = order[:KEPT_CANDIDATES]
    if not rows:
        return
    problem = course.problem
    outputs = trained.population[rows].predict(problem.validation.x)
    for number, row in enumerate(rows):
        temperature = 1.0 if problem.classes is None else fit_temperature(outputs[number], problem.validation.y)
        course.candidates.append(
            Candidate(
                id=trained.ids[row],
                values=infos([trained.ids[row]], [trained.population.members[row]])[0].values,
                architecture=trained.architecture,
                network=trained.population.network(row).cpu(),  # where the rows that it will answer are
                outputs=answers(outputs[number], problem, temperature),
                score=float(scores[row]),
                temperature=temperature,
            )
        )


def answers(outputs: torch.Tensor, problem: Problem, temperature: float) -> Floats:
    """Raw outputs [..., C] as what is averaged: probabilities for classes, the numbers themselves otherwise."""
    return probabilities(outputs, temperature) if problem.classes is not None else outputs.double().cpu().numpy()


def row_scores(problem: Problem, y: torch.Tensor) -> Callable[[Floats], Floats]:
    """A function from mean answers [N, C] to (score, -loss) of each row, [2, N], against targets y.

    Scores are hits for classes and, for numbers, minus the squared error; see `losses`.
    """
    truth = y.cpu().numpy()

    def classes(mean: Floats) -> Floats:
        hit = mean.argmax(axis=1) == truth
        return np.stack([hit.astype(float), np.log(np.clip(mean[np.arange(len(truth)), truth], 1e-12, None))])

    def numbers(mean: Floats) -> Floats:
        error = -((mean - truth) ** 2).mean(axis=1)
        return np.stack([error, error])

    return classes if problem.classes is not None else numbers
