"""Networks after each preparation: the same seeds, batches and learning rates; differences seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping
from dataclasses import dataclass
from math import ceil, log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shoal.comparison import Design, Level
from shoal.comparison import run as compare
from shoal.core import process
from shoal.core.errors import InputError
from shoal.experiment import Architecture, BuiltIn, Given, Threads
from shoal.nn.networks import Mlp
from shoal.population import Member
from shoal.studies.preparation_inputs import Inputs
from shoal.studies.record import Progress, StudyOptions
from shoal.studies.subject import Subject
from shoal.studies.watched import told
from shoal.task import Split

Floats = NDArray[np.float64]

RATES = tuple(10.0**power for power in (*range(-9, -4), *(half / 2 for half in range(-8, 3))))  # 1e-9 to 10
BLOWN_UP = 10.0  # times the loss of chance: a network that ends beyond that counts as diverged
NEARLY = 0.9  # of the way from no skill to the best score: a learning rate that works
REPLICATES = 8
EPOCHS, STEPS = 8, 300  # the more of both: few rows are seen more often
BATCH = 64
WIDTH = 64


@dataclass(frozen=True)
class Reached:
    """What one preparation's networks reached, [R seeds, L learning rates]; NaN where one diverged or blew up."""

    inputs: Inputs
    loss: Floats
    score: Floats
    base: float  # score of answering without looking: the commonest class, or the mean

    def chosen(self) -> NDArray[np.int64]:
        """For each seed, the learning rate with the highest mean score of the other seeds, if none diverged there.

        So no network is judged at a rate that was chosen by its own result. Empty where every rate diverged somewhere.
        """
        stable = np.isfinite(self.score).all(axis=0)
        if not stable.any():
            return np.zeros(0, dtype=np.int64)
        others = np.where(stable, self.score.sum(axis=0) - self.score, -np.inf)
        return np.asarray(others.argmax(axis=1), dtype=np.int64)

    def best(self) -> tuple[Floats, Floats]:
        """Loss and score [R] of each seed at its chosen learning rate; empty where all diverge."""
        rates = self.chosen()
        seeds = np.arange(len(rates))
        return self.loss[seeds, rates], self.score[seeds, rates]

    @property
    def rate(self) -> float | None:
        """The learning rate that most seeds have; None where all diverge."""
        rates = self.chosen()
        return RATES[int(np.bincount(rates).argmax())] if len(rates) else None

    @property
    def workable(self) -> tuple[float, float] | None:
        """The lowest and the highest learning rate that lead nearly all the way from `base` to the best mean score."""
        scores = np.where(np.isfinite(self.score).all(axis=0), self.score.mean(axis=0), -np.inf)
        if not scores.max() > self.base:
            return None
        good = np.flatnonzero(scores >= self.base + NEARLY * (scores.max() - self.base))
        return RATES[int(good[0])], RATES[int(good[-1])]


def train(
    subject: Subject, given: Mapping[str, Inputs], options: StudyOptions
) -> Generator[Progress, None, dict[str, Reached]]:
    """All seeds at all learning rates after each preparation.

    Args:
        subject: the data, and the user's network where one was given.
        given: preparations by name.
        options: seeds and epochs.

    Raises:
        InputError: the user's network is made for other rows.
    """
    loss, outputs = subject.task.loss, subject.task.outputs
    if subject.make_net is not None:
        for each in given.values():
            _check(subject.make_net, each.fold.shape, outputs, subject.model)

    def architecture(split: Split) -> Architecture:
        if subject.make_net is not None:
            return Given(subject.make_net, subject.model)
        return BuiltIn(Mlp(inputs=split.train.x[0].numel(), outputs=outputs, width=WIDTH, depth=1))

    folds = {how: [each.fold] for how, each in given.items()}
    rows = max(len(fold.train) for (fold,) in folds.values())
    design = Design(
        levels={
            (how, rate): Level(
                Member(optimizer="momentum", momentum=0.9, lr=rate, schedule="cosine"), architecture, folds[how]
            )
            for how in given
            for rate in RATES
        },
        seeds=[options.seed + seed for seed in range(options.replicates or REPLICATES)],
        loss=loss,
        epochs=options.epochs or max(EPOCHS, ceil(STEPS / ceil(rows / BATCH))),
        batch_size=BATCH,
        order_seed=options.seed,
        ruined=BLOWN_UP * (1.0 if outputs == 1 else log(outputs)),  # chance; numbers are standardised
    )
    compared = yield from told(compare(design, Threads(options.device)), lambda level: str(level[0]), 0.02, 0.95)

    def by_rate(found: Mapping[Hashable, Floats], how: str) -> Floats:
        return np.stack([found[how, rate].mean(axis=1) for rate in RATES], axis=1)

    return {
        how: Reached(
            each,
            by_rate(compared.loss, how),
            by_rate(compared.score, how),
            loss.baseline(each.fold.train.y, each.fold.validation.y),
        )
        for how, each in given.items()
    }


def _check(make_net: Callable[[], nn.Module], shape: tuple[int, ...], outputs: int, name: str) -> None:
    """Refuse a network that cannot take the study's rows."""
    with process.torch_generator(), torch.no_grad():
        try:
            answer = tuple(make_net().eval()(torch.zeros(2, *shape)).shape)
        except Exception as error:  # whatever the user's own code raises
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(
                f"the model {name} cannot take rows of shape {list(shape)}, which this study makes (every number "
                f"is one input here): {reason}"
            ) from error
    if answer != (2, outputs):
        raise InputError(f"the model {name} answers two rows with {list(answer)}: it must be [2, {outputs}].")
