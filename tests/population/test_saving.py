"""Saved, loaded and continued equals uninterrupted, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shoal.core.errors import InputError
from shoal.population import Member, Population, saving
from shoal.population.plan import Plan, current_names
from tests.population.networks import convolutional, dense, pictures, table
from tests.population.test_laws import member


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_goes_on_from_a_file_as_if_it_had_not_stopped(tmp_path: Path, dtype: torch.dtype) -> None:
    """All optimizers, schedules and noises at once; NAdam keeps a state by row."""
    members = [member(k) for k in range(6)] + [Member(seed=9, optimizer="nadam", lr=0.01)]
    x, y = pictures()
    x = x.to(dtype)
    whole = Population(convolutional, members, dtype=dtype)
    for _ in range(2):
        list(whole.train(x, y, epochs=2, batch_size=8))
    first = Population(convolutional, members, dtype=dtype)
    list(first.train(x, y, epochs=2, batch_size=8))
    first.save(tmp_path / "half.safetensors")
    second = Population.load(tmp_path / "half.safetensors", convolutional)
    records = list(second.train(x, y, epochs=2, batch_size=8))
    assert records[0].epoch == 3
    assert torch.equal(second.theta, whole.theta)
    assert second.members == whole.members
    assert torch.equal(second.steps, whole.steps)
    for name in whole.buffers:
        assert torch.equal(second.buffers[name], whole.buffers[name])


def test_statuses_survive(tmp_path: Path) -> None:
    population = Population(dense, [Member(seed=k) for k in range(3)])
    population.stop([1])
    population.save(tmp_path / "p.safetensors")
    assert Population.load(tmp_path / "p.safetensors", dense).status == ["ok", "pruned", "ok"]


def test_a_plan_saved_by_its_former_names_is_read(tmp_path: Path) -> None:
    x, y = table(24)
    population = Population(dense, [Member(seed=k) for k in range(3)])
    loop = population.train(x, y, epochs=2, batch_size=8)
    next(loop)
    state = population.state_now()
    plan = state.document["training"]["plan"]
    plan.update(rows=3, workers=1, looped=True, bytes=plan.pop("peak_bytes"))
    del plan["sequential"]
    saving.write(state, tmp_path / "p.safetensors")
    loop.close()
    found = Population.load(tmp_path / "p.safetensors", dense).training
    assert found is not None and found.plan == Plan(**current_names(plan))
    assert found.plan.sequential


def test_files_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.safetensors"
    population = Population(dense, [Member()])
    population.save(path)
    with pytest.raises(InputError, match="another network"):
        Population.load(path, lambda: nn.Linear(5, 3))
    with pytest.raises(InputError, match="does not exist"):
        Population.load(tmp_path / "q.safetensors", dense)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="damaged"):
        Population.load(path, dense)
    np.savez(tmp_path / "n.npz", a=np.zeros(3))
    with pytest.raises(InputError, match="damaged"):
        Population.load(tmp_path / "n.npz", dense)
