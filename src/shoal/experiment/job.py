"""What is trained, as a value: nothing is read from anywhere else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from pydantic import JsonValue

from shoal.core.errors import InputError
from shoal.core.settings import Precision
from shoal.experiment.architecture import Architecture
from shoal.losses import Loss
from shoal.population import Member, member


@dataclass(frozen=True)
class Job:
    """One population to be trained.

    Args:
        architecture: of every member.
        members: K of them.
        loss: what is minimised.
        epochs: passes over each member's training rows.
        batch_size: rows of a mini-batch.
        folds: which fold each member is trained and scored on, K numbers; none: all are on fold 0.
        patience: end a member when its validation score has not improved for so many epochs; each then has the weights
            of its best epoch. None trains to the end and keeps the last weights.
        order_seed: of the order of the mini-batches.
        keep: so many of the best members are kept with their weights, in the order of their ranking; None keeps all, in
            their own order.
        precision: of the arithmetic.

    Raises:
        InputError: there are not as many folds as members, or a member cannot be trained so: it is named by its place
            here, wherever it would be computed.
    """

    architecture: Architecture
    members: tuple[Member, ...]
    loss: Loss
    epochs: int
    batch_size: int
    folds: tuple[int, ...] = ()
    patience: int | None = None
    order_seed: int = 0
    keep: int | None = None
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        member.check(self.members)
        if self.folds and len(self.folds) != len(self.members):
            raise InputError(f"There are {len(self.folds)} folds for {len(self.members)} members: give one for each.")

    def fold_of(self, row: int) -> int:
        """The number of a member's fold."""
        return self.folds[row] if self.folds else 0

    def digest(self) -> str:
        """A digest of all that its result depends on, but for the data and the code of the user's own network."""
        asked: dict[str, JsonValue] = {
            "network": self.architecture.document(),
            "members": [each.model_dump(mode="json") for each in self.members],
            "loss": self.loss.name,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "folds": list(self.folds),
            "patience": self.patience,
            "order_seed": self.order_seed,
            "keep": self.keep,
            "precision": self.precision,
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
