"""The lock-step training loop: a generator of records. Whoever consumes them decides what happens next."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
from torch import Tensor

from shoal.population import executor
from shoal.population.batches import epoch_batches
from shoal.population.best import Best
from shoal.population.block import Block, EpochSums
from shoal.population.matrix import Matrix
from shoal.population.record import EpochRecord, scatter

Data = tuple[Tensor, Tensor]


def train(
    population: Matrix,
    data: Data,
    held_out: Data | None,
    epochs: int,
    batch_size: int,
    patience: int | None,
    order_seed: int,
    views: Sequence[Tensor] | None,
) -> Generator[EpochRecord, None, None]:
    """Train the rows whose status is `ok`; see `Population.train`."""
    x, y = data
    best = Best(len(population))
    first = population.steps.clone()
    blocks: list[Block] = []
    plan: executor.Plan | None = None
    try:
        for _ in range(epochs):
            active = [row for row, status in enumerate(population.status) if status == "ok"]
            if not active:
                return
            plan = plan or population.plan(active, x[: min(batch_size, len(x))])  # kept while rows leave: same bits
            if sorted({row for block in blocks for row in block.rows}) != active:
                population.take_state(blocks)
                blocks = population.blocks(active, plan, views)

            def one_epoch(block: Block) -> EpochSums:
                n = len(x) if views is None else len(views[block.rows[0]])
                batches = epoch_batches(n, batch_size, order_seed, population.epochs, population.dtype, x.device)
                if views is not None:
                    batches = batches.through([views[row] for row in block.rows])
                return block.train_epoch(x, y, batches, first[block.rows], epochs * batches.steps)

            with executor.pool(plan.workers) as run:
                sums = run(one_epoch, blocks)
                scores = [] if held_out is None else run(lambda block: block.evaluate(*held_out), blocks)
            population.take_weights(blocks)
            population.epochs += 1
            for block, measured in zip(blocks, sums, strict=True):
                population.stop(
                    [row for row, ok in zip(block.rows, measured.finite, strict=True) if not ok], "diverged"
                )
            record = _record(population, blocks, sums, scores, (y, None if held_out is None else held_out[1]), best)
            if patience is not None:
                best.keep([row for row in active if best.epoch[row] == record.epoch], population)
                late = [row for row in active if record.epoch - best.epoch[row] >= patience]
                population.stop([row for row in late if population.status[row] == "ok"], "stopped")
            yield record.with_status(population.status)
    finally:
        population.take_state(blocks)
        best.restore(population)


def _record(
    population: Matrix,
    blocks: Sequence[Block],
    sums: Sequence[EpochSums],
    scores: Sequence[tuple[Tensor, Tensor]],
    targets: tuple[Tensor, Tensor | None],
    best: Best,
) -> EpochRecord:
    """What the blocks measured as arrays [K]; updates `best`."""
    members, rows, metric = len(population), [block.rows for block in blocks], population.loss.metric
    validation_loss = validation_score = np.full(members, np.nan)
    if targets[1] is not None:
        validation_loss = scatter(members, rows, [loss for loss, _ in scores])
        mean = scatter(members, rows, [score for _, score in scores])
        validation_score = metric(mean, population.loss.target_variance(targets[1]))
        best.update(population.epochs, validation_score, validation_loss)
    return EpochRecord(
        epoch=population.epochs,
        loss=scatter(members, rows, [measured.loss / measured.weight for measured in sums]),
        score=metric(
            scatter(members, rows, [measured.score / measured.weight for measured in sums]),
            population.loss.target_variance(targets[0]),
        ),
        validation_loss=validation_loss,
        validation_score=validation_score,
        lr=scatter(members, rows, [measured.lr for measured in sums]),
        best_epoch=best.epoch.copy(),
        best_score=best.score.copy(),
        best_loss=best.loss.copy(),
        status=tuple(population.status),
    )
