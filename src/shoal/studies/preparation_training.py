"""One population for each preparation: the same seeds, batches and learning rates; differences seed by seed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from shoal.core import process
from shoal.core.errors import InputError
from shoal.nn.networks import Mlp
from shoal.population import Member, Population
from shoal.studies.preparation_inputs import Inputs
from shoal.studies.record import Options
from shoal.studies.subject import Subject
from shoal.task import Fold

Floats = NDArray[np.float64]

RATES = tuple(10.0**power for power in (*range(-9, -4), *(half / 2 for half in range(-8, 3))))  # 1e-9 to 10
BLOWN_UP = 10.0  # times the loss of chance: a network that ends beyond that counts as diverged
NEARLY = 0.9  # of the way from no skill to the best score: a learning rate that works
REPLICATES = 8
EPOCHS, STEPS = 8, 300  # the more of both: few rows are seen more often
BATCH = 64
WIDTH = 64


@dataclass(frozen=True)
class Trained:
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


def train(subject: Subject, given: Inputs, options: Options) -> Trained:
    """All seeds at all learning rates, as one population.

    Raises:
        InputError: the user's network is made for other rows.
    """
    replicates = options.replicates or REPLICATES
    fold, shape = given.fold, given.fold.shape
    if subject.make_net is not None:
        _check(subject.make_net, shape, subject.task.outputs, subject.model)
    members = [
        Member(seed=options.seed + seed, optimizer="momentum", momentum=0.9, lr=rate, schedule="cosine")
        for seed in range(replicates)
        for rate in RATES
    ]
    built_in = Mlp(inputs=fold.inputs, outputs=subject.task.outputs, width=WIDTH, depth=1)
    make_net = subject.make_net or built_in.build
    population = Population(make_net, members, loss=subject.task.loss.name, device=options.device)
    records = population.train(
        fold.train.x,
        fold.train.y,
        epochs=options.epochs or max(EPOCHS, ceil(STEPS / ceil(len(fold.train) / BATCH))),
        batch_size=BATCH,
        validation=(fold.validation.x, fold.validation.y),
        order_seed=options.seed,
    )
    last = deque(records, maxlen=1)
    loss = score = np.full(len(members), np.nan)
    if last:
        chance = 1.0 if subject.task.outputs == 1 else log(subject.task.outputs)  # numbers are standardised
        fine = last[0].validation_loss < BLOWN_UP * chance  # also false for NaN
        fine &= np.array([status != "diverged" for status in population.status])
        loss, score = (np.where(fine, found, np.nan) for found in (last[0].validation_loss, last[0].validation_score))
    return Trained(given, loss.reshape(replicates, -1), score.reshape(replicates, -1), _base(subject, fold))


def _base(subject: Subject, fold: Fold) -> float:
    """What always giving the training rows' commonest class, or their mean, scores on the validation rows."""
    if subject.task.outputs == 1:
        return 0.0
    return float((fold.validation.y == fold.train.y.bincount().argmax()).double().mean())


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
