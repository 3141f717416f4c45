"""The members' settings as columns: one entry for each row of a block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from shoal.optim import clip
from shoal.population.member import Member
from shoal.population.template import Template


@dataclass(frozen=True)
class RowSettings:
    """Settings of c rows; [c] each, but the optimizer's hyperparameters, [c, 1]."""

    seeds: Tensor  # int64, on the CPU
    hyper: dict[str, Tensor]  # float64 [c, 1]; weight_decay [c, P] with the exempt columns at 0
    smoothing: Tensor
    rates: dict[str, Tensor]  # dropout, by layer
    l1: Tensor  # [c, P], exempt columns at 0
    clip: Tensor
    clip_value: Tensor
    input_noise: Tensor
    weight_noise: Tensor
    dropconnect: Tensor
    noisy_inputs: bool  # any row has input noise
    noisy_weights: bool
    drops_weights: bool
    shaped: bool  # any row changes its gradient before the optimizer sees it

    @property
    def perturbed(self) -> bool:
        """Any row takes its gradient elsewhere than at theta."""
        return self.noisy_weights or self.drops_weights

    def shape_gradient(self, gradient: Tensor, theta: Tensor) -> Tensor:
        """Gradient [c, P] with the L1 penalty's, l1 sign(theta), then clipped by value and by norm."""
        if not self.shaped:
            return gradient
        gradient = gradient + self.l1 * torch.sign(theta)
        return clip.by_norm(clip.by_value(gradient, self.clip_value), self.clip)[0]


def row_settings(
    template: Template, members: Sequence[Member], device: torch.device, dtype: torch.dtype
) -> RowSettings:
    """Columns of these members' settings; what a member leaves open is filled in from the network."""

    def column(values: Sequence[float | None]) -> Tensor:
        return torch.tensor([inf if value is None else value for value in values], dtype=dtype, device=device)

    hyper = [member.hyper() for member in members]
    columns = {
        name: torch.tensor([[values[name]] for values in hyper], dtype=torch.float64, device=device)
        for name in hyper[0]
    }
    if "weight_decay" in columns:
        columns["weight_decay"] = columns["weight_decay"].to(dtype) * template.decayed
    return RowSettings(
        seeds=torch.tensor([member.seed for member in members], dtype=torch.int64),
        hyper=columns,
        smoothing=column([member.label_smoothing for member in members]),
        rates={
            name: column([rate if member.dropout is None else member.dropout for member in members])
            for name, rate in template.dropouts.items()
        },
        l1=column([member.l1 for member in members]).unsqueeze(1) * template.decayed,
        clip=column([member.clip for member in members]),
        clip_value=column([member.clip_value for member in members]),
        input_noise=column([member.input_noise for member in members]),
        weight_noise=column([member.weight_noise for member in members]),
        dropconnect=column([member.dropconnect for member in members]),
        noisy_inputs=any(member.input_noise for member in members),
        noisy_weights=any(member.weight_noise for member in members),
        drops_weights=any(member.dropconnect for member in members),
        shaped=any(member.l1 or member.clip or member.clip_value for member in members),
    )
