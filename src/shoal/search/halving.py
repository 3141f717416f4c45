"""Which trials of a population end early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from shoal.population import EpochRecord


@dataclass(frozen=True)
class Halving:
    """The worse half of the rows ends after a share of the epochs: one rung of successive halving.

    Jamieson & Talwalkar 2016, Non-stochastic Best Arm Identification and Hyperparameter Optimization.

    Args:
        epochs: of the whole training.
        at: share of them after which the worse half ends.
        least: rows that go on at least.
    """

    epochs: int
    at: float = 0.25
    least: int = 3

    def stop(self, record: EpochRecord) -> Sequence[int]:
        """The rows that end after this epoch: none, unless it is the one."""
        if record.epoch != max(1, round(self.at * self.epochs)) or record.epoch >= self.epochs:
            return ()
        running = [row for row, status in enumerate(record.status) if status == "ok"]
        ranked = sorted(running, key=lambda row: (-record.best_score[row], record.best_loss[row], row))
        return ranked[max(self.least, ceil(len(ranked) / 2)) :]
