"""Schedules against torch.optim.lr_scheduler."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from shoal.core.errors import InputError
from shoal.optim import schedules
from shoal.optim.schedules import KINDS, code, factor, fresh_plateau, plateau

TOTAL = 60
Make = Callable[[torch.optim.Optimizer, int], LRScheduler]

TORCH: dict[str, Make] = {
    "constant": lambda o, total: lr_scheduler.ConstantLR(o, factor=1.0),
    "step": lambda o, total: lr_scheduler.StepLR(o, step_size=-(-total // 3), gamma=0.1),
    "cosine": lambda o, total: lr_scheduler.CosineAnnealingLR(o, T_max=total),
    "linear": lambda o, total: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=total),
    "one_cycle": lambda o, total: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=total),
}


def by_torch(make: Make, total: int, warmup: int = 0) -> torch.Tensor:
    """The learning rate at each step of an optimizer with lr = 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0, momentum=0.9)
    if warmup:
        rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
        both = [rise, make(optimizer, total - warmup)]
        scheduler: LRScheduler = lr_scheduler.SequentialLR(optimizer, both, milestones=[warmup])
    else:
        scheduler = make(optimizer, total)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():  # SequentialLR steps its parts in a way that they warn about
            warnings.simplefilter("ignore", UserWarning)
            scheduler.step() if len(rates) < total else None
    return torch.tensor(rates, dtype=torch.float64)


@pytest.mark.parametrize("kind", TORCH)
@pytest.mark.parametrize("total", [7, TOTAL, 200])
def test_equals_torch(kind: str, total: int) -> None:
    ours = factor(kind, torch.arange(total), total)
    torch.testing.assert_close(ours, by_torch(TORCH[kind], total), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [kind for kind in TORCH if kind != "one_cycle"])
@pytest.mark.parametrize("warmup", [1, 13])
def test_warm_up_then_schedule_equals_torch_s_sequence(kind: str, warmup: int) -> None:
    ours = factor(kind, torch.arange(TOTAL), TOTAL, warmup)
    torch.testing.assert_close(ours, by_torch(TORCH[kind], TOTAL, warmup), rtol=1e-9, atol=1e-12)
    assert ours[0] == 1 / (warmup + 1) and ours[warmup] == 1


def test_the_settings_equal_torch_s() -> None:
    steps = torch.arange(TOTAL)
    pairs = {
        "cosine": (lambda o, t: lr_scheduler.CosineAnnealingLR(o, T_max=t, eta_min=0.2), {"final": 0.2}),
        "linear": (lambda o, t: lr_scheduler.LinearLR(o, 1.0, 0.3, total_iters=t), {"final": 0.3}),
        "step": (lambda o, t: lr_scheduler.StepLR(o, 6, gamma=0.7), {"gamma": 0.7, "drop_frac": 0.1}),
        "one_cycle": (
            lambda o, t: lr_scheduler.OneCycleLR(
                o, max_lr=1.0, total_steps=t, pct_start=0.45, div_factor=5.0, final_div_factor=20.0
            ),
            {"rise_frac": 0.45, "start": 0.2, "end": 0.01},
        ),
    }
    for kind, (make, settings) in pairs.items():
        torch.testing.assert_close(factor(kind, steps, TOTAL, **settings), by_torch(make, TOTAL), rtol=1e-9, atol=1e-12)


def test_rows_of_different_kinds_equal_rows_alone() -> None:
    codes = torch.tensor([code(kind) for kind in KINDS] * 3)
    generator = torch.Generator().manual_seed(0)
    step = torch.randint(0, 90, codes.shape, generator=generator)
    total = torch.randint(50, 90, codes.shape, generator=generator)
    warmup = torch.rand(codes.shape, generator=generator, dtype=torch.float64) * 12
    gamma = torch.rand(codes.shape, generator=generator, dtype=torch.float64) * 0.8 + 0.1
    together = factor(codes, step, total, warmup, gamma=gamma)
    for row, each in enumerate(codes):
        alone = factor(KINDS[each], step[row : row + 1], int(total[row]), float(warmup[row]), gamma=float(gamma[row]))
        assert torch.equal(alone, together[row : row + 1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("total", "warmup"), [(1, 0.0), (2, 0.5), (3, 3.0), (4, 9.0), (10, 2.5)])
def test_short_trainings_and_past_the_end(kind: str, total: int, warmup: float) -> None:
    multiplier = factor(kind, torch.arange(total + 30), total, warmup)
    assert torch.isfinite(multiplier).all() and (multiplier >= 0).all() and (multiplier <= 1 + 1e-12).all()
    if kind != "one_cycle":
        assert multiplier[0] > 0
    settled = multiplier[max(total, 10) :]
    assert (settled == settled[0]).all()


def test_an_unknown_kind_is_named_with_the_closest() -> None:
    with pytest.raises(InputError, match=r"no schedule 'cosin'.*`cosine`"):
        schedules.factor("cosin", torch.arange(3), 3)


def test_plateau_equals_torch_by_row() -> None:
    generator = torch.Generator().manual_seed(2)
    epochs, rows = 80, 4
    falling = torch.exp(-torch.arange(epochs) / 9.0).unsqueeze(1) + 0.05
    losses = falling + 0.01 * torch.randn(epochs, rows, generator=generator, dtype=torch.float64)
    losses[10, 2] = torch.nan
    settings = {
        "gamma": [0.1, 0.5, 0.7, 0.9],
        "patience": [2, 0, 3, 5],
        "threshold": [1e-4, 1e-2, 0.0, 1e-3],
        "cooldown": [0, 2, 1, 4],
        "lowest": [0.0, 1e-3, 0.2, 0.0],
    }
    theirs = torch.ones(epochs, rows, dtype=torch.float64)
    for row in range(rows):
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        own = {name: values[row] for name, values in settings.items()}
        scheduler = lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=own["gamma"], patience=own["patience"], threshold=own["threshold"],
            cooldown=own["cooldown"], min_lr=own["lowest"], eps=0.0,
        )  # fmt: skip
        for epoch in range(epochs):
            scheduler.step(losses[epoch, row])
            theirs[epoch, row] = optimizer.param_groups[0]["lr"]
    state = fresh_plateau(rows)
    columns = {name: torch.tensor(values) for name, values in settings.items()}
    for epoch in range(epochs):
        state = plateau(state, losses[epoch], **columns)
        torch.testing.assert_close(state.factor, theirs[epoch], rtol=1e-6, atol=0.0)
    assert (state.factor < 1).all()
