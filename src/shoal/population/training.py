"""The lock-step training loop: a generator of records. Whoever consumes them decides what happens next."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from shoal.augment import Pixels
from shoal.optim import schedules
from shoal.population.batches import epoch_batches, steps_per_epoch
from shoal.population.best import Best
from shoal.population.block import Block, Epoch, Measured
from shoal.population.examples import BlockExamples, Examples
from shoal.population.executor import Workers
from shoal.population.matrix import Matrix
from shoal.population.plan import Plan
from shoal.population.record import EpochRecord, Floats, scatter


@dataclass
class TrainingState:
    """The state of a training besides the matrix: its settings, and what it needs to continue after any epoch."""

    epochs: int  # of each row
    batch_size: int
    patience: int | None
    order_seed: int
    first_step: Tensor  # int64 [K]: gradient steps of each row before this training
    first_epoch: Tensor  # int64 [K]: epochs before it
    best: Best
    plateau: schedules.Plateau
    pixels: tuple[Pixels, ...] | None  # what the inputs of each row mean
    data_shape: tuple[int, ...] = ()  # of x
    validated: bool = False  # rows are scored after each epoch
    plan: Plan | None = None

    @staticmethod
    def begin(
        population: Matrix,
        epochs: int,
        batch_size: int,
        patience: int | None,
        order_seed: int = 0,
        pixels: Pixels | Sequence[Pixels] | None = None,
    ) -> TrainingState:
        """A new training that starts from the present weights and counts of the rows."""
        rows = len(population)
        return TrainingState(
            epochs=epochs,
            batch_size=batch_size,
            patience=patience,
            order_seed=order_seed,
            first_step=population.steps.clone(),
            first_epoch=population.epochs.clone(),
            best=Best(rows),
            plateau=schedules.fresh_plateau(rows),
            pixels=(pixels,) * rows if isinstance(pixels, Pixels) else None if pixels is None else tuple(pixels),
        )

    def active(self, population: Matrix) -> list[int]:
        """Rows of status `ok` that have epochs left."""
        left = (self.first_epoch + self.epochs - population.epochs).tolist()
        return [row for row, status in enumerate(population.status) if status == "ok" and left[row] > 0]

    def restore_best(self, population: Matrix, everyone: bool = False) -> None:
        """Restore the best weights of the rows that have finished, or of all rows in training where `everyone`."""
        staying = set() if everyone else set(self.active(population))
        working = {row for block in population.working for row in block.rows}
        self.best.restore(population, sorted(working - staying))

    def enter(self, rows: Sequence[int]) -> None:
        """Forget the progress of these rows, which new members have taken over."""
        chosen, fresh = list(rows), schedules.fresh_plateau(len(rows))
        self.first_step[chosen] = 0
        self.first_epoch[chosen] = 0
        self.best.forget(chosen)
        for slot, values in zip(self.plateau, fresh, strict=True):
            slot[chosen] = values


def run(
    population: Matrix, training: TrainingState, examples: Examples, validation: Examples | None
) -> Generator[EpochRecord, None, None]:
    """Train the rows whose status is `ok` until none has epochs left; see `Population.train`."""
    before: list[int] = []
    variances = examples.variance(population.loss), None if validation is None else validation.variance(population.loss)
    scored = None if validation is None else _Validation.of(examples, validation)
    workers: Workers | None = None
    try:
        while active := training.active(population):
            if training.plan is None:  # kept to the end, also when rows finish: the bits stay the same
                steps = training.epochs * steps_per_epoch(examples.longest(active), training.batch_size)
                training.plan = population.plan(active, examples.data, training.batch_size, steps)
            workers = workers or Workers(training.plan.workers)
            if active != before or not population.working:
                training.restore_best(population)
                population.drop_blocks()
                population.make_blocks(active, training.plan, examples)
            blocks = population.working
            sums, scores = _epoch(population, training, workers, examples, scored)
            population.take_weights(blocks)
            for block, measured in zip(blocks, sums, strict=True):
                population.stop(
                    [row for row, ok in zip(block.rows, measured.finite.tolist(), strict=True) if not ok], "diverged"
                )
            rows_of = [block.rows for block in blocks]
            record = _record(population, training.best, active, rows_of, sums, scores, variances)
            _after(population, training, active, record, scored=validation is not None)
            yield record.with_status(population.status)
            before = active
    finally:
        if workers is not None:
            workers.close()
        population.take_weights(population.working)  # weights and state of one step, after an error inside an epoch too
        training.restore_best(population, everyone=True)
        population.drop_blocks()


def _epoch(
    population: Matrix,
    training: TrainingState,
    workers: Workers,
    examples: Examples,
    validation: _Validation | None,
) -> tuple[list[Measured], list[tuple[Tensor, Tensor]]]:
    """One epoch of every block, and its scores on the validation rows."""

    def train(block: Block) -> Measured:
        uniform, *_ = examples.group(block.rows[0])
        own, epoch = examples.of(block.rows, uniform=uniform), int(population.epochs[block.rows[0]])
        batches = epoch_batches(len(own), training.batch_size, training.order_seed, epoch, population.device)
        first, scale = training.first_step[block.rows], training.plateau.factor[block.rows]
        total = training.epochs * batches.steps
        return block.train_epoch(Epoch(own, batches, first, total, scale))

    def score(block: Block) -> tuple[Tensor, Tensor]:
        with block.averaged():
            return block.evaluate(validation.by(block.rows))  # type: ignore[union-attr]

    sums = workers.map(train, population.working)
    scores = [] if validation is None else workers.map(score, population.working)
    for block in population.working:
        population.epochs[block.rows] = population.epochs[block.rows[0]] + 1
    return sums, scores


@dataclass(frozen=True)
class _Validation:
    """The validation examples, block by block."""

    examples: Examples
    groups: tuple[object, ...]  # the group of each member in training, which its block is formed by
    uniform: dict[object, bool]  # whether all members of a group are scored on one view

    @staticmethod
    def of(trained: Examples, validation: Examples) -> _Validation:
        groups = tuple(trained.group(row) for row in range(trained.members))
        return _Validation(validation, groups, validation.uniform(groups))

    def by(self, rows: Sequence[int]) -> BlockExamples:
        """The validation examples of the rows of a block."""
        return self.examples.of(rows, uniform=self.uniform[self.groups[rows[0]]], width=self.examples.width)


def _after(
    population: Matrix, training: TrainingState, active: Sequence[int], record: EpochRecord, *, scored: bool
) -> None:
    """Early stopping and reduce-on-plateau, each by row."""
    best, patience = training.best, training.patience
    loss = record.validation_loss if scored else record.loss
    members = population.members
    moved = schedules.plateau(
        training.plateau,
        torch.from_numpy(loss),
        gamma=torch.tensor([member.gamma for member in members], dtype=torch.float64),
        patience=torch.tensor([member.plateau_patience for member in members]),
    )
    reduced = torch.tensor([member.schedule == "plateau" for member in members])
    reduced &= ~torch.from_numpy(np.isnan(record.lr))
    training.plateau = schedules.Plateau(
        *(torch.where(reduced, new, old) for new, old in zip(moved, training.plateau, strict=True))
    )
    if patience is not None:
        best.keep([row for row in active if best.epoch[row] == population.epochs[row]], population)
        late = [row for row in active if int(population.epochs[row]) - int(best.epoch[row]) >= patience]
        population.stop([row for row in late if population.status[row] == "ok"], "stopped")
    training.restore_best(population)


def _record(
    population: Matrix,
    best: Best,
    active: Sequence[int],
    rows: Sequence[Sequence[int]],
    sums: Sequence[Measured],
    scores: Sequence[tuple[Tensor, Tensor]],
    variances: tuple[float | Floats, float | Floats | None],
) -> EpochRecord:
    """Join what the blocks measured into arrays [K]; updates `best`."""
    members, metric = len(population), population.loss.metric
    validation_loss = validation_score = np.full(members, np.nan)
    if variances[1] is not None:
        validation_loss = scatter(members, rows, [loss for loss, _ in scores])
        mean = scatter(members, rows, [score for _, score in scores])
        validation_score = metric(mean, variances[1])
        best.update(population.epochs, validation_score, validation_loss)
    return EpochRecord(
        epoch=int(population.epochs[list(active)].max()),
        epochs=population.epochs.numpy().copy(),
        loss=scatter(members, rows, [measured.loss for measured in sums]),
        score=metric(scatter(members, rows, [measured.score for measured in sums]), variances[0]),
        validation_loss=validation_loss,
        validation_score=validation_score,
        lr=scatter(members, rows, [measured.lr for measured in sums]),
        best_epoch=best.epoch.copy(),
        best_score=best.score.copy(),
        best_loss=best.loss.copy(),
        status=tuple(population.status),
    )
