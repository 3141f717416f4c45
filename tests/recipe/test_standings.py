"""How the members of a round are ranked."""

from __future__ import annotations

from dataclasses import replace
from math import isnan, nan

import numpy as np
import torch
from torch import nn

from shoal.population import Member, Population
from shoal.recipe.trained import Trained


def test_equal_scores_are_told_apart_by_the_loss() -> None:
    """98 validation rows know few scores: half of a coarse round scores alike."""
    population = Population(lambda: nn.Linear(3, 2), [Member(seed=k, optimizer="sgd", lr=0.1) for k in range(5)])
    (record,) = population.train(torch.arange(24.0).reshape(8, 3), torch.arange(8) % 2, epochs=1, batch_size=8)
    measured = replace(
        record,
        best_score=np.array([0.7, 0.8, 0.7, nan, 0.7]),
        best_loss=np.array([0.5, 0.9, 0.3, 0.1, 0.4]),
    )
    members = list(population.members)
    trained = Trained("coarse", [1, 2, 3, 4, 5], members, [{}] * 5, [record, measured], population)
    assert trained.best() == 1
    *standings, unscored, last = trained.standings()
    assert standings == [-3.0, 0.0, -1.0] and isnan(unscored) and last == -2.0
