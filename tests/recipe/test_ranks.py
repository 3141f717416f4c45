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
from shoal.recipe.trials import Group, Trials
from shoal.search.searcher import Trial

NETWORK = Given(lambda: nn.Linear(3, 2), "linear")


def test_equal_scores_are_told_apart_by_the_loss() -> None:
    """98 validation rows know few scores: half of a coarse round scores alike."""
    population = Population(lambda: nn.Linear(3, 2), [Member(seed=k, optimizer="sgd", lr=0.1) for k in range(5)])
    (record,) = population.train(torch.arange(24.0).reshape(8, 3), torch.arange(8) % 2, epochs=1, batch_size=8)
    measured = replace(
        record,
        best_score=np.array([0.7, 0.8, 0.7, nan, 0.7]),
        best_loss=np.array([0.5, 0.9, 0.3, 0.1, 0.4]),
    )
    job = Job(NETWORK, population.members, losses.find("cross_entropy"), epochs=2, batch_size=8)
    trained = Trained(job, (record, measured), tuple(range(5)), population)
    assert trained.best() == 1
    group = Group("coarse", tuple(Trial(k + 1, {}) for k in range(5)), trained)
    *ranks, unscored, last = Trials("coarse", (group,)).ranks()
    assert ranks == [-3.0, 0.0, -1.0] and isnan(unscored) and last == -2.0


def test_trials_of_several_structures_are_ranked_together() -> None:
    def group(name: str, first: int, scores: list[float]) -> Group:
        population = Population(lambda: nn.Linear(3, 2), [Member(seed=k, optimizer="sgd", lr=0.1) for k in range(2)])
        (record,) = population.train(torch.arange(24.0).reshape(8, 3), torch.arange(8) % 2, epochs=1, batch_size=8)
        measured = replace(record, best_score=np.array(scores), best_loss=np.array([0.5, 0.4]))
        job = Job(NETWORK, population.members, losses.find("cross_entropy"), epochs=1, batch_size=8)
        order = (1, 0) if scores[1] > scores[0] else (0, 1)
        trials = (Trial(first, {"width": first}), Trial(first + 1, {"width": first}))
        return Group(name, trials, Trained(job, (record, measured), order, population[list(order)]))

    trials = Trials("coarse", (group("a", 8, [0.7, 0.9]), group("b", 16, [0.8, 0.7])))
    assert trials.ids == [8, 9, 16, 17] and [each["width"] for each in trials.values] == [8, 8, 16, 16]
    assert trials.best() == 1 and trials.ranks() == [-3.0, 0.0, -1.0, -2.0]  # equal scores: the lower loss
    assert trials.population_of(1) == "a" and trials.population_of(2) == "b"
    assert trials.scores() == [0.7, 0.9, 0.8, 0.7]
    x, y = torch.randn(5, 3), torch.arange(5) % 2
    best = trials.groups[0].trained.population[0].evaluate(x, y)[1][0]
    assert trials.train_score(1, x, y) == best
