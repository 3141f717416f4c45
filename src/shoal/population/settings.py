"""The members' settings as columns: one entry for each row of a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from shoal.optim import averages, clip, schedules
from shoal.population.member import Member
from shoal.population.template import Template


@dataclass(frozen=True)
class RowSettings:
    """Settings of c rows; [c] each, but the optimizer's hyperparameters, [c, 1]."""

    members: tuple[Member, ...]
    seeds: Tensor  # int64, on the CPU
    hyper: dict[str, Tensor]  # float64 [c, 1], as `optim.Hyper` names them; factors are [P]
    smoothing: Tensor | None  # None where no row smooths its labels
    rates: dict[str, Tensor]  # dropout, by layer
    clip: Tensor
    input_noise: Tensor
    weight_noise: Tensor
    dropconnect: Tensor
    noisy_inputs: bool  # any row has input noise
    noisy_weights: bool
    drops_weights: bool
    clipped: bool  # any row's gradient is clipped by its norm
    averaged: bool  # every row keeps an average of its weights

    @property
    def perturbed(self) -> bool:
        """Any row takes its gradient elsewhere than at theta."""
        return self.noisy_weights or self.drops_weights

    def gradient_factor(self, gradient: Tensor) -> dict[str, Tensor]:
        """What clipping by norm multiplies each row's gradient by, under its name among the hyperparameters."""
        if not self.clipped:
            return {}
        limit = self.hyper.get("clip_value")
        return {"grad_factor": clip.factor(gradient, self.clip, None if limit is None else limit[:, 0])[0]}

    def schedule_factors(self, numbers: Tensor, total: int) -> Tensor:
        """The multiplier of the learning rate at each step; int64 [c, T], counted from 0, to float64 [c, T]."""
        codes = torch.tensor([[schedules.code(member.schedule)] for member in self.members])
        warmup = torch.tensor([[member.warmup * total] for member in self.members], dtype=torch.float64)
        gamma = torch.tensor([[member.gamma] for member in self.members], dtype=torch.float64)
        return schedules.factor(codes, numbers, total, warmup, gamma=gamma)

    def average_shares(self, numbers: Tensor, total: int) -> Tensor:
        """What the weights of each step weigh in the row's average; int64 [c, T] to float64 [c, T]."""
        start = torch.tensor([[int(member.average_from * total)] for member in self.members])
        decay = torch.tensor([[member.average_decay] for member in self.members], dtype=torch.float64)
        exponential = torch.tensor([[member.average == "ema"] for member in self.members])
        count = numbers - start
        shares = torch.where(exponential, averages.ema_share(decay, count), averages.swa_share(count))
        return torch.where(count < 0, 0.0, shares)


def row_settings(
    template: Template, members: Sequence[Member], device: torch.device, dtype: torch.dtype
) -> RowSettings:
    """Columns of these members' settings; what a member leaves open is filled in from the network."""

    def column(values: Sequence[float | None]) -> Tensor:
        return torch.tensor([inf if value is None else value for value in values], dtype=dtype, device=device)

    smoothing = [member.label_smoothing for member in members]
    return RowSettings(
        members=tuple(members),
        seeds=torch.tensor([member.seed for member in members], dtype=torch.int64),
        hyper=_hyper(template, members, device),
        smoothing=column(smoothing) if any(smoothing) else None,
        rates={
            name: column([rate if member.dropout is None else member.dropout for member in members])
            for name, rate in template.dropouts.items()
        },
        clip=column([member.clip for member in members]),
        input_noise=column([member.input_noise for member in members]),
        weight_noise=column([member.weight_noise for member in members]),
        dropconnect=column([member.dropconnect for member in members]),
        noisy_inputs=any(member.input_noise for member in members),
        noisy_weights=any(member.weight_noise for member in members),
        drops_weights=any(member.dropconnect for member in members),
        clipped=any(member.clip for member in members),
        averaged=members[0].average != "none",
    )


def _hyper(template: Template, members: Sequence[Member], device: torch.device) -> dict[str, Tensor]:
    """Hyperparameters as the optimizer takes them; what no row asks for is left out, because it would cost a pass."""

    def column(values: Sequence[float]) -> Tensor:
        return torch.tensor([[value] for value in values], dtype=torch.float64, device=device)

    own = [member.hyper() for member in members]
    columns = {name: column([values[name] for values in own]) for name in own[0]}
    columns["decay_factor"] = template.decay_factor
    if template.lr_factor is not None:
        columns["lr_factor"] = template.lr_factor
    if any(member.decoupled_weight_decay is not None for member in members):
        decoupled = members[0].rule().decoupled
        given = [member.decoupled_weight_decay for member in members]
        columns["decoupled_weight_decay"] = column([decoupled if switch is None else switch for switch in given])
    if any(member.l1 for member in members):
        columns["l1"] = column([member.l1 for member in members])
    if any(member.decoupled_l1 for member in members):
        columns["decoupled_l1"] = column([member.decoupled_l1 for member in members])
    if any(member.clip_value for member in members):
        columns["clip_value"] = column([inf if m.clip_value is None else m.clip_value for m in members])
    return columns
