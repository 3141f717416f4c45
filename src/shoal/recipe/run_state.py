"""What the recipe knows as it goes along, and what all of its steps do."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import Tensor, nn

from shoal.augment import Augment
from shoal.core import keyed
from shoal.core.dimensions import DIMENSIONS
from shoal.core.errors import Interrupted
from shoal.core.events import (
    ClockRead,
    DecisionMade,
    Event,
    Finding,
    FindingRaised,
    MemberInfo,
    Range,
    StepFinished,
    StepProgress,
)
from shoal.experiment import Architecture, Runner, Threads
from shoal.experiment.cache import Arrays, TaskCache
from shoal.population import Member, Population
from shoal.population.batches import steps_per_epoch
from shoal.recipe.allocator import BudgetAllocator
from shoal.recipe.problem import Options, Problem
from shoal.task import Part

Floats = NDArray[np.float64]

SCHEDULE, WARMUP = "cosine", 0.05
MOST_VALUES, FEWEST_ROWS = 1 << 21, 32  # of what many networks evaluate at once: rows of volumes are long


@dataclass(frozen=True)
class Candidate:
    """A trained member that the ensemble may use."""

    id: int
    values: Mapping[str, JsonValue]
    architecture: Architecture
    network: nn.Module
    outputs: Tensor  # [N, C] on the validation rows
    score: float


@dataclass
class RunState:
    """The state of one run. Steps read it and write what they decided."""

    problem: Problem
    options: Options
    allocator: BudgetAllocator
    stopped: Callable[[], bool]
    cache: TaskCache
    network: Architecture
    batch_size: int
    init: str = "torch"
    optimizer: str = "adamw"
    ranges: dict[str, Range] = field(default_factory=dict)
    augment: Augment = field(default_factory=Augment)  # at its full strength: the search chooses the share
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
        return steps_per_epoch(len(self.problem.train), self.batch_size)

    def order(self, step: int) -> torch.Tensor:
        """A random order of the training rows, the same for each run of this seed."""
        return keyed.permutation(keyed.key(self.options.seed, keyed.Purpose.SAMPLE, step), len(self.problem.train))

    @property
    def runner(self) -> Runner:
        """Where the networks of the search are trained."""
        return self.options.runner or Threads(self.problem.device)

    def few(self, most: int, values: int = MOST_VALUES) -> int:
        """So many rows, or fewer where each holds many numbers."""
        return max(FEWEST_ROWS, min(most, values // self.problem.train.x[0].numel()))

    def sample(self, step: int, rows: int) -> Part:
        """Some training rows at random."""
        return self.problem.train.take(self.order(step)[:rows])

    def population(self, members: Sequence[Member]) -> Population:
        """A fresh population of the current network."""
        return Population(
            self.network.build,
            members,
            loss=self.problem.loss.name,
            device=self.problem.device,
            dtype=getattr(torch, self.options.precision),
            plans=self.cache.plans,
        )

    def key(self, members: Sequence[Member], **also: JsonValue) -> str:
        """A digest of all that the result of a piece of work depends on, but for the data and the seed of the run."""
        asked = {
            "network": self.network.document(),
            "members": [member.model_dump(mode="json") for member in members],
            "batch_size": self.batch_size,
            "precision": self.options.precision,
            **also,
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()

    def read_clock(self) -> Generator[Event, None, float]:
        """Seconds since the start, as the event says; for a budget in trials no clock is read and nothing is told."""
        if self.allocator.timed:
            yield ClockRead(elapsed_s=self.allocator.read())
        return self.allocator.elapsed_s

    def check_interrupt(self, step: int) -> None:
        """Leave the run if the user asked for that.

        Raises:
            Interrupted: they did.
        """
        if self.stopped():
            raise Interrupted(f"Stopped by the user at step {step}.")

    def progress(self, step: int, done: float, doing: str) -> StepProgress:
        """How far the running step is."""
        left = self.allocator.left_s()
        return StepProgress(
            step=step,
            done=min(done, 1.0),
            best=self.best_score(),
            left_s=None if left is None else max(left, 0.0),
            doing=doing,
        )


def once(state: RunState, piece: str, key: str, work: Generator[Event, None, Arrays]) -> Generator[Event, None, Arrays]:
    """Do a piece of work, or answer with what it returned before the run was interrupted.

    Args:
        state: the run.
        piece: its name, unique in the run.
        key: of `RunState.key`.
        work: begun only when the answer is not known; it must not read the clock.
    """
    kept = state.cache.recall(piece, key)
    if kept is not None:
        return kept.arrays
    arrays = yield from work
    state.cache.keep(piece, key, arrays)
    return arrays


def finished(step: int, verdict: Finding, number: str, started: float, round_: int = 1) -> StepFinished:
    """The end of a step that began at `started`, by `time.perf_counter`."""
    return StepFinished(
        step=step,
        round=round_,
        level=verdict.level,
        verdict=verdict.phrase,
        number=number,
        seconds=time.perf_counter() - started,
    )


def decided(step: int, found: Finding, action: str) -> list[Event]:
    """What was found as an entry of the decision log and, where something is wrong, as a finding for the user."""
    said = found.model_copy(update={"phrase": "", "fix": ""})
    events: list[Event] = [DecisionMade(decision=said.model_copy(update={"step": step, "action": action}))]
    if found.level in ("warning", "problem"):
        events.append(FindingRaised(finding=said.model_copy(update={"fix": found.fix or action})))
    return events


def member_of(state: RunState, number: int, values: Mapping[str, float]) -> Member:
    """A member with these hyperparameters; its seed follows from the run's seed and its number."""
    settings: dict[str, Any] = dict(values)
    if "augment" in values:
        settings["augment"] = state.augment.weakened(values["augment"])
    if state.optimizer == "nesterov":
        settings.setdefault("momentum", 0.9)
    return Member(
        seed=(state.options.seed * 1_000_003 + number) % 2**63,
        optimizer=state.optimizer,
        init=state.init,
        schedule=SCHEDULE,
        warmup=WARMUP,
        **settings,
    )


def infos(ids: Sequence[int], members: Sequence[Member], values: Sequence[Mapping[str, float]]) -> list[MemberInfo]:
    """Members as events name them: what was set, under its name; of the augmentation its share, and the structure."""
    found = []
    for number, member, searched in zip(ids, members, values, strict=True):
        shown = member.model_dump(mode="json", exclude_unset=True, exclude_none=True)
        shown |= {name: value for name, value in searched.items() if name == "augment" or DIMENSIONS[name].structural}
        found.append(MemberInfo(id=number, values=shown))
    return found
