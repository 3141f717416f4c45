"""How the members of a round are ranked."""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan

import numpy as np
import torch
from torch import nn

from shoal import losses
from shoal.experiment import Given, Job, Trained
from shoal.population import Member, Population
from shoal.recipe.trials import Trials


def test_equal_scores_are_told_apart_by_the_loss() -> None:
    """98 validation rows know few scores: half of a coarse round scores alike."""
    population = Population(lambda: nn.Linear(3, 2), [Member(seed=k, optimizer="sgd", lr=0.1) for k in range(5)])
    (record,) = population.train(torch.arange(24.0).reshape(8, 3), torch.arange(8) % 2, epochs=1, batch_size=8)
    measured = replace(
        record,
        best_score=np.array([0.7, 0.8, 0.7, nan, 0.7]),
        best_loss=np.array([0.5, 0.9, 0.3, 0.1, 0.4]),
    )
    network = Given(lambda: nn.Linear(3, 2), "linear")
    job = Job(network, population.members, losses.find("cross_entropy"), epochs=2, batch_size=8)
    trained = Trained(job, (record, measured), tuple(range(5)), population)
    assert trained.best() == 1
    *standings, unscored, last = Trials("coarse", [1, 2, 3, 4, 5], [{}] * 5, trained).standings()
    assert standings == [-3.0, 0.0, -1.0] and isnan(unscored) and last == -2.0
