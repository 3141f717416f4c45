"""The answer of several networks: the weighted mean of their calibrated answers, defined here alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shoal.ensemble.calibration import fit_temperature, probabilities
from shoal.ensemble.greedy import RowScores, select

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Combination:
    """The mean of M members' answers, weighted by their counts.

    An answer is softmax(outputs / temperature) for classes and the outputs themselves for numbers, in float64.
    """

    counts: tuple[int, ...]  # how often each member counts
    temperatures: tuple[float, ...]  # of each member's probabilities; 1 for numbers
    categorical: bool

    def predict(self, outputs: Iterable[Tensor]) -> Floats:
        """The mean answers.

        Args:
            outputs: of each member in turn, [N, C]; a generator needs one of them in memory at a time.

        Returns:
            [N, C]: probabilities, or standardised numbers.
        """
        return self.mean(outputs).cpu().numpy()

    def mean(self, outputs: Iterable[Tensor]) -> Tensor:
        """The same as a tensor, through which gradients pass."""
        total = torch.zeros(())
        for each, count, temperature in zip(outputs, self.counts, self.temperatures, strict=True):
            total = total + count * answers(each, temperature, self.categorical)
        return total / sum(self.counts)

    def module(self, networks: Sequence[nn.Module]) -> Combined:
        """The members' networks and their mean as one module.

        Args:
            networks: of each member, inputs [N, ...] to outputs [N, C].
        """
        return Combined(self, networks)


class Combined(nn.Module):
    """Prepared inputs [N, ...] to mean answers, float64 [N, C]: an ordinary module, to be saved or exported."""

    def __init__(self, combination: Combination, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.combination = combination

    def forward(self, x: Tensor) -> Tensor:
        """The mean answers."""
        return self.combination.mean(network(x) for network in self.networks)


def answers(outputs: Tensor, temperature: float, categorical: bool) -> Tensor:
    """One network's raw outputs [..., C] as what is averaged, in float64.

    >>> answers(torch.tensor([0.0, 0.0]), 2.0, True).tolist()
    [0.5, 0.5]
    """
    return probabilities(outputs, temperature) if categorical else outputs.double()


@dataclass(frozen=True)
class Fitted:
    """An ensemble chosen among candidates, and how good it became as it grew."""

    members: tuple[int, ...]  # numbers of the candidates
    combination: Combination
    path: tuple[float, ...]  # score after each addition


def fit(outputs: Sequence[Tensor], y: Tensor, categorical: bool) -> Fitted:
    """Calibrate candidates and choose those whose mean is best, by these rows; see `calibration` and `greedy`.

    Args:
        outputs: of each candidate, [N, C].
        y: int64 [N] classes, or standardised numbers [N, C].
        categorical: whether classes are asked for.
    """
    temperatures = [fit_temperature(each, y) if categorical else 1.0 for each in outputs]
    found = torch.stack([answers(each, t, categorical) for each, t in zip(outputs, temperatures, strict=True)])
    chosen = select(found.cpu().numpy(), row_scores(y, categorical))
    combination = Combination(chosen.counts, tuple(temperatures[k] for k in chosen.members), categorical)
    return Fitted(chosen.members, combination, chosen.path)


def row_scores(y: Tensor, categorical: bool) -> RowScores:
    """A function from mean answers [N, C] to (score, -loss) of each row, [2, N], against targets y.

    Scores are hits for classes and, for numbers, minus the squared error; see `losses`.
    """
    truth = y.cpu().numpy()

    def of_classes(mean: Floats) -> Floats:
        hit = mean.argmax(axis=1) == truth
        return np.stack([hit.astype(float), np.log(np.clip(mean[np.arange(len(truth)), truth], 1e-12, None))])

    def of_numbers(mean: Floats) -> Floats:
        error = -((mean - truth) ** 2).mean(axis=1)
        return np.stack([error, error])

    return of_classes if categorical else of_numbers
