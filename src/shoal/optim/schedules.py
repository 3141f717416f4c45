"""Learning-rate schedules: the multiplier of each row's lr at each of its steps.

With w = warmup, s = step - w and S = total - w (see `factor`):

    warm-up (s < 0)  (step + 1) / (w + 1)
    constant         1
    step             gamma ^ floor(s / ceil(drop_frac S))
    cosine           final + (1 - final) (1 + cos(pi s / S)) / 2
    linear           1 + (final - 1) s / S
    one_cycle        from start up to 1 during rise_frac of the steps and down to end, both as half a cosine; it is its
                     own warm-up, so `warmup` does not act on it
    plateau          1; multiply by `Plateau.factor`

They equal torch.optim.lr_scheduler's StepLR, CosineAnnealingLR, LinearLR and OneCycleLR (its rate over max_lr), and,
with a warm-up of w whole steps, SequentialLR of LinearLR(1 / (w + 1), total_iters=w) and those.

Sources: Loshchilov & Hutter 2017, "SGDR" (cosine); Smith & Topin 2018, "Super-convergence" (one cycle); Goyal et al.
2017, "Accurate, large minibatch SGD" (warm-up).
"""

from __future__ import annotations

from math import pi
from typing import NamedTuple

import torch
from torch import Tensor

from shoal.core.errors import InputError
from shoal.core.names import did_you_mean

KINDS = ("constant", "step", "cosine", "linear", "one_cycle", "plateau")
"""The schedules; a kind's code is its place here."""


def code(kind: str) -> int:
    """The number of a schedule, for rows of different kinds.

    Raises:
        InputError: there is no such schedule; the message has the closest names.

    >>> code("cosine")
    2
    """
    if kind not in KINDS:
        raise InputError(f"There is no schedule {kind!r}{did_you_mean(kind, KINDS)}")
    return KINDS.index(kind)


def factor(
    kind: str | Tensor,
    step: Tensor | int,
    total: Tensor | float,
    warmup: Tensor | float = 0.0,
    *,
    final: Tensor | float = 0.0,
    gamma: Tensor | float = 0.1,
    drop_frac: Tensor | float = 1 / 3,
    rise_frac: Tensor | float = 0.3,
    start: Tensor | float = 1 / 25,
    end: Tensor | float = 1 / 250_000,
) -> Tensor:
    """What the learning rate is multiplied by at a step.

    The formulas stand at the top of the file. Tensors broadcast with each other: [K], or [K, T] for many steps.

    Args:
        kind: a name for all rows, or integer codes (see `code`) by row.
        step: updates that the row has made; 0 at its first.
        total: updates that it will make.
        warmup: updates of the warm-up, a fraction of one allowed; 0 is none.
        final: multiplier at the end of cosine and linear.
        gamma: what each drop of `step` leaves, above 0.
        drop_frac: share of the steps between two drops of `step`.
        rise_frac: share of the steps in which one_cycle rises.
        start: one_cycle's first multiplier.
        end: one_cycle's last multiplier.

    Returns:
        float64 of the broadcast shape. Past `total` the last value stays.

    Raises:
        InputError: there is no schedule of that name.

    >>> factor("cosine", torch.tensor([0, 50, 100]), 100).tolist()
    [1.0, 0.5, 0.0]
    """
    device = next((each.device for each in (step, kind, total, warmup) if isinstance(each, Tensor)), None)
    codes = torch.as_tensor(code(kind) if isinstance(kind, str) else kind, device=device)
    now, last, w = (torch.as_tensor(each, dtype=torch.float64, device=device) for each in (step, total, warmup))
    since = (now - w).clamp(min=0)
    span = (last - w).clamp(min=1)
    done = (since / span).clamp(max=1)
    drops = torch.floor(torch.minimum(since, span - 1) / torch.ceil(drop_frac * span))
    dropped = torch.where(drops > 0, torch.exp(drops * torch.log(_number(gamma, now))), 1.0)
    shapes = {
        "step": dropped,
        "cosine": final + (1 - final) * (1 + torch.cos(pi * done)) / 2,
        "linear": 1 + (final - 1) * done,
    }
    multiplier = torch.ones_like(done)
    for name, shape in shapes.items():
        multiplier = torch.where(codes == code(name), shape, multiplier)
    multiplier = torch.where(now < w, (now + 1) / (w + 1), multiplier)
    return torch.where(codes == code("one_cycle"), _one_cycle(now, last, rise_frac, start, end), multiplier)


def _one_cycle(
    now: Tensor, last: Tensor, rise_frac: Tensor | float, start: Tensor | float, end: Tensor | float
) -> Tensor:
    peak = rise_frac * last - 1  # the step at which the multiplier is 1, as torch counts it
    up = torch.where(peak > 0, now / torch.where(peak > 0, peak, 1.0), 1.0)
    down = ((now - peak) / (last - 1 - peak).clamp(min=1e-300)).clamp(max=1)
    rising = 1 + (start - 1) / 2 * (torch.cos(pi * up) + 1)
    falling = end + (1 - end) / 2 * (torch.cos(pi * down) + 1)
    return torch.where(now <= peak, rising, falling)


def _number(value: Tensor | float, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64, device=like.device)


class Plateau(NamedTuple):
    """What reduce-on-plateau remembers, each [K]."""

    factor: Tensor  # multiplier of lr
    best: Tensor  # lowest loss so far
    bad: Tensor  # epochs since it was reached
    resting: Tensor  # epochs for which bad ones do not count


def fresh_plateau(rows: int, device: torch.device | str = "cpu") -> Plateau:
    """The state of K rows before their first epoch: factor 1, nothing seen."""
    zeros = torch.zeros(rows, dtype=torch.int64, device=device)
    ones = torch.ones(rows, dtype=torch.float64, device=device)
    return Plateau(factor=ones, best=ones * torch.inf, bad=zeros, resting=zeros)


def plateau(
    state: Plateau,
    loss: Tensor,
    *,
    gamma: Tensor | float = 0.1,
    patience: Tensor | int = 10,
    threshold: Tensor | float = 1e-4,
    cooldown: Tensor | int = 0,
    lowest: Tensor | float = 0.0,
) -> Plateau:
    """Reduce on plateau: after more than `patience` epochs without a better loss, multiply the factor by gamma.

    Args:
        state: of the last epoch, or `fresh_plateau`.
        loss: validation loss of this epoch [K]; NaN counts as not better.
        gamma: below 1; one for all or [K], as are the others.
        patience: bad epochs that are let pass.
        threshold: better means below best (1 - threshold).
        cooldown: epochs after a reduction in which bad ones do not count.
        lowest: the factor does not fall below it.

    Returns:
        the new state; its `factor` multiplies lr.

    What holds: each row as torch.optim.lr_scheduler.ReduceLROnPlateau(mode="min", threshold_mode="rel", eps=0).
    """
    loss = loss.to(torch.float64)
    better = loss < state.best * (1 - threshold)
    best = torch.where(better, loss, state.best)
    bad = torch.where(better | (state.resting > 0), 0, state.bad + 1)
    resting = (state.resting - 1).clamp(min=0)
    reduce = bad > patience
    reduced = torch.maximum(state.factor * gamma, _number(lowest, loss))
    return Plateau(
        factor=torch.where(reduce, reduced, state.factor),
        best=best,
        bad=torch.where(reduce, 0, bad),
        resting=torch.where(reduce, cooldown, resting),
    )
