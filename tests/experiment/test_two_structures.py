"""One task on five folds, two structures as two populations, and an ensemble of their out-of-fold answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

from shoal import data
from shoal.ensemble import combination
from shoal.experiment import BuiltIn, Job, Trained, run
from shoal.nn.networks import Mlp, Resnet
from shoal.population import Member
from shoal.resample import SplitIndices, hold_out
from shoal.task import Task

FOLDS, SEEDS = 5, 2


def five_folds() -> Task:
    """Digits; what hold-out leaves for training and validation is five folds."""
    dataset = data.read("digits")
    plan = hold_out(dataset, seed=0)
    rest = np.sort(np.concatenate([plan.train, plan.validation]))
    parts = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rest, dataset.target[rest])
    plans = [SplitIndices(rest[a], rest[b], plan.test, f"fold {k}") for k, (a, b) in enumerate(parts)]
    return Task(dataset, plans)


def out_of_fold(task: Task, trained: Trained) -> tuple[Tensor, Tensor]:
    """What each seed's five networks say of rows that they were not trained on, [seeds, N, C], and the truth."""
    folds = [task.fold(number) for number in range(FOLDS)]
    outputs = trained.outputs(folds)
    by_seed = [torch.cat(outputs[seed * FOLDS : (seed + 1) * FOLDS]) for seed in range(SEEDS)]
    return torch.stack(by_seed), torch.cat([fold.validation.y for fold in folds])


@pytest.mark.timeout(600)
def test_two_structures_are_trained_on_five_folds_and_answer_together() -> None:
    task = five_folds()
    folds = [task.fold(number) for number in range(FOLDS)]
    channels, *size = folds[0].shape
    networks = {
        "mlp": BuiltIn(Mlp(inputs=folds[0].inputs, outputs=10, width=64, depth=1)),
        "resnet": BuiltIn(Resnet(channels=channels, size=tuple(size), outputs=10, width=8, stages=2)),
    }
    members = tuple(Member(seed=seed, optimizer="adamw", lr=1e-2) for seed in range(SEEDS) for _ in range(FOLDS))
    answers, truth = [], torch.empty(0)
    for name, network in networks.items():
        job = Job(
            architecture=network,
            members=members,
            loss=task.loss,
            epochs=10,
            batch_size=64,
            folds=tuple(range(FOLDS)) * SEEDS,
            patience=10,
        )
        trained = run(job, folds)
        found, truth = out_of_fold(task, trained)
        answers += list(found)
        accuracy = (found.argmax(-1) == truth).double().mean(-1)
        assert accuracy.min() > 0.9, (name, accuracy)
        if name == "mlp":  # the third fold's networks are those that are trained on that fold alone
            mine = [k for k, fold in enumerate(job.folds) if fold == 2]
            alone = run(replace(job, members=tuple(members[k] for k in mine), folds=()), [folds[2]])
            assert torch.allclose(trained.population.theta[mine], alone.population.theta, atol=1e-3)
    fitted = combination.fit(answers, truth, categorical=True)
    together = fitted.combination.predict(answers[k] for k in fitted.members)
    losses = [-np.log(softmax(each)[np.arange(len(truth)), truth]).mean() for each in answers]
    combined = -np.log(together[np.arange(len(truth)), truth.numpy()]).mean()
    assert {k // SEEDS for k in fitted.members} == {0, 1}  # both structures have a say
    assert combined < 0.9 * min(losses)


def softmax(outputs: Tensor) -> np.ndarray:  # type: ignore[type-arg]
    return outputs.double().softmax(-1).numpy()
