"""From a design to jobs, and from what they trained to what came of each level."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from shoal.comparison.design import Compared, Design
from shoal.comparison.paired import Floats
from shoal.core import keyed
from shoal.core.errors import InputError
from shoal.experiment import Architecture, Job, Runner, TaskCache, Trained, Training
from shoal.population import Member
from shoal.task import Part, Split


@dataclass(frozen=True)
class Doing:
    """How far a comparison is."""

    done: float  # share of the whole, 0 to 1
    level: Hashable  # the first of those that are trained
    networks: int  # that are trained together


@dataclass(frozen=True)
class _Trial:
    level: Hashable
    replicate: int
    fold: int


@dataclass
class _Structure:
    """Trials that can stand in one population: of one architecture, on the same folds, in equal batches."""

    architecture: Architecture
    folds: Sequence[Split]
    batch_size: int
    trials: list[_Trial] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)

    def alike(self, other: _Structure) -> bool:
        """Trials of the other can stand in this one's population."""
        same_rows = self.folds is other.folds and self.batch_size == other.batch_size
        return same_rows and self.architecture == other.architecture


def run(
    design: Design, runner: Runner | None = None, cache: TaskCache | None = None
) -> Generator[Doing, None, Compared]:
    """Train every level with every seed on every fold, levels of one structure as one population.

    Args:
        design: what.
        runner: where; by default in this process.
        cache: what was done before, and where it is kept.

    Yields:
        How far it is, before each structure and after each of its epochs.

    Returns:
        What came of it.
    """
    compared = _empty(design)
    done = 0
    for number, structure in enumerate(_structures(design)):
        folds = structure.folds
        judged: Sequence[Part | None] = [split.validation for split in folds]
        if design.choose_epoch:
            folds, judged = zip(*(_halves(split, design.order_seed) for split in folds), strict=True)
        job = Job(
            architecture=structure.architecture,
            members=tuple(structure.members),
            loss=design.loss,
            epochs=design.epochs,
            batch_size=structure.batch_size,
            folds=tuple(trial.fold for trial in structure.trials),
            patience=design.epochs if design.choose_epoch else None,
            order_seed=design.order_seed,
        )
        here = len(job.members)
        first, share = structure.trials[0].level, 1 / design.networks
        yield Doing(done * share, first, here)
        with Training(job, folds, runner, cache, f"structure {number}") as training:
            for epoch, _ in enumerate(training, 1):
                yield Doing((done + here * epoch / design.epochs) * share, first, here)
        _read(compared, structure, training.trained, judged)
        done += here
    return compared


def _empty(design: Design) -> Compared:
    shape = len(design.seeds), design.folds
    compared = Compared(design)
    for level in design.levels:
        compared.loss[level], compared.score[level] = np.full(shape, np.nan), np.full(shape, np.nan)
        compared.curve[level] = np.full((design.epochs, *shape), np.nan)
    return compared


def _structures(design: Design) -> list[_Structure]:
    found: list[_Structure] = []
    for name, level in design.levels.items():
        for number, split in enumerate(level.folds):
            own = _Structure(level.architecture(split), level.folds, level.batch_size or design.batch_size)
            structure = next((each for each in found if each.alike(own)), None)
            if structure is None:
                structure = own
                found.append(structure)
            for replicate, seed in enumerate(design.seeds):
                structure.trials.append(_Trial(name, replicate, number))
                structure.members.append(level.member.model_copy(update={"seed": seed}))
    return found


def _halves(split: Split, seed: int) -> tuple[Split, Part]:
    """The rows that choose an epoch, and those that score it: two random halves of the validation rows."""
    held = split.validation
    if held is None or len(held) < 2:
        raise InputError("There are fewer than two validation rows: some must choose the epoch, and others score it.")
    order = keyed.permutation(keyed.key(seed, keyed.Purpose.SAMPLE, len(held)), len(held))
    half = len(held) // 2
    return replace(split, validation=held.take(order[:half])), held.take(order[half:])


def _read(compared: Compared, structure: _Structure, trained: Trained, judged: Sequence[Part | None]) -> None:
    """Write what a structure's networks reached."""
    design = compared.design
    if design.choose_epoch:
        loss, score = _judged(trained, judged)
    else:
        loss, score = trained.last_of("validation_loss"), trained.last_of("validation_score")
    fine = loss < design.ruined  # false for NaN too
    curves = np.stack([record.validation_score for record in trained.records])
    for k, trial in enumerate(structure.trials):
        place = trial.replicate, trial.fold
        compared.loss[trial.level][place] = loss[k] if fine[k] else np.nan
        compared.score[trial.level][place] = score[k] if fine[k] else np.nan
        compared.curve[trial.level][: len(curves), place[0], place[1]] = curves[:, k]


def _judged(trained: Trained, judged: Sequence[Part | None]) -> tuple[Floats, Floats]:
    """Loss and score [K] of each network, with the weights of its best epoch, on rows that did not choose it."""
    members = range(len(trained.job.members))
    loss, score = np.full(len(members), np.nan), np.full(len(members), np.nan)
    for number, part in enumerate(judged):
        rows = [k for k in members if trained.job.fold_of(k) == number]
        if rows and part is not None:
            loss[rows], score[rows] = trained.population[rows].evaluate(part.x, part.y)
    return loss, score
