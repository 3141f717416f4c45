"""The worse half of a population ends early."""

from __future__ import annotations

import torch
from torch import nn

from shoal import losses
from shoal.experiment import Given, Job, Trained, Training
from shoal.population import Member
from shoal.search.halving import Halving
from shoal.task import Part, Split

EPOCHS = 8


def halved(members: int, **settings: float) -> Trained:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    rows = Part(x, (x[:, 0] > 0).long())
    job = Job(
        architecture=Given(lambda: nn.Linear(4, 2), "linear"),
        members=tuple(Member(seed=k, optimizer="sgd", lr=0.001 * 4**k) for k in range(members)),
        loss=losses.find("cross_entropy"),
        epochs=EPOCHS,
        batch_size=8,
    )
    rule = Halving(EPOCHS, **settings)  # type: ignore[arg-type]
    with Training(job, [Split(train=rows.take(torch.arange(40)), validation=rows.take(torch.arange(40, 60)))]) as run:
        for record in run:
            run.prune(rule.stop(record))
    return run.trained


def test_the_worse_half_ends_after_a_quarter_of_the_epochs() -> None:
    found = halved(8)
    assert [record.status.count("pruned") for record in found.records] == [0, *[4] * 7]
    second = found.records[1]
    kept = [k for k in range(8) if found.last.status[k] == "ok"]
    worst = min(second.best_score[kept])
    assert all(second.best_score[k] <= worst for k in range(8) if k not in kept)


def test_three_at_least_go_on_and_nobody_ends_after_the_last_epoch() -> None:
    assert halved(4).last.status.count("pruned") == 1
    assert halved(3).last.status.count("pruned") == 0
    assert halved(6, least=5).last.status.count("pruned") == 1
    assert halved(6, at=1.0).last.status.count("pruned") == 0
