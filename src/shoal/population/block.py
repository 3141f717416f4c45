"""A block: the rows that are computed together, by one thread, in one call per layer.

A block of one row runs the plain module; a block of several runs it under `torch.func.vmap`. Both see the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from shoal import optim
from shoal.core import keyed
from shoal.losses import Loss
from shoal.nn.dropout import Dropout
from shoal.optim import schedules
from shoal.population.batches import Batches
from shoal.population.member import Member
from shoal.population.noise import Noise
from shoal.population.settings import row_settings
from shoal.population.template import Template

EVALUATION_BATCH = 1024


@dataclass
class EpochSums:
    """What one epoch of a block measured, in training mode: per row, sums over the rows of the data."""

    loss: Tensor  # [c]
    score: Tensor  # [c]
    weight: float
    finite: Tensor  # bool [c]: every loss of the epoch was a number
    lr: Tensor  # [c]: the learning rate of the last step


@dataclass
class Block:
    """Working state of c rows that share one optimizer rule. `rows` are their numbers in the population."""

    template: Template
    rows: list[int]
    members: list[Member]
    theta: Tensor  # [c, P], contiguous
    buffers: dict[str, Tensor]  # each [c, ...]
    state: dict[str, Tensor]  # optimizer state
    steps: Tensor  # int64 [c]: gradient steps done
    loss: Loss
    grad: Tensor = field(init=False)

    def __post_init__(self) -> None:
        c, device, dtype = len(self.rows), self.theta.device, self.theta.dtype
        self.rule = optim.rule(self.members[0].optimizer)
        self.network = self.template.copy_skeleton()
        self.grad = torch.zeros_like(self.theta)

        self.set = row_settings(self.template, self.members, device, dtype)
        self.point = self.theta.clone() if self.set.perturbed else self.theta  # where the gradient is taken
        self.leaves = {name: view.requires_grad_() for name, view in self.template.layout.views(self.point).items()}
        self.dropouts = {name: m for name, m in self.network.named_modules() if isinstance(m, Dropout)}
        for name, layer in self.dropouts.items():
            layer.active = bool((self.set.rates[name] > 0).any())
        self.paired = len(set(zip(self.set.seeds.tolist(), self.steps.tolist(), strict=True))) == 1
        self.no_keys = torch.zeros(c, 2, dtype=torch.int32, device=device)
        if c == 1:
            self._fill_module()

    def _fill_module(self) -> None:
        """Let the plain module's parameters and buffers be views of the block's only row."""
        for name, leaf in self.leaves.items():
            owner, _, attribute = name.rpartition(".")
            parameter = torch.nn.Parameter(leaf.detach()[0])
            setattr(self.network.get_submodule(owner), attribute, parameter)
            self.leaves[name] = parameter
        for name, stack in self.buffers.items():
            owner, _, attribute = name.rpartition(".")
            module = self.network.get_submodule(owner)
            if attribute in module._parameters:
                module._parameters[attribute] = torch.nn.Parameter(stack[0], requires_grad=False)
            else:
                module._buffers[attribute] = stack[0]
        for name, layer in self.dropouts.items():
            layer.p = self.set.rates[name][0]

    def forward(self, x: Tensor, keys: Mapping[str, Tensor] | None = None, by_row: bool = False) -> Tensor:
        """Outputs [c, B, ...]; training mode when dropout `keys` are given.

        Args:
            x: a batch [B, ...] that all rows share, or [c, B, ...] where `by_row`.
            keys: int32 [c, 2] of each dropout layer.
            by_row: each row has a batch of its own.
        """
        if self.network.training != (keys is not None):
            self.network.train(keys is not None)
        if len(self.rows) == 1:
            for name, key in (keys or {}).items():
                self.dropouts[name].key = key[0]
            return self.network(x[0] if by_row else x).unsqueeze(0)  # type: ignore[no-any-return]
        filling = {**self.leaves, **self.buffers, **{f"{name}.p": rate for name, rate in self.set.rates.items()}}
        drawn = {f"{name}.key": keys[name] if keys else self.no_keys for name in self.set.rates}
        if self.paired:  # one seed: the masks' random words are drawn once for all rows
            drawn = {name: key[0] for name, key in drawn.items()}

        def one(row: dict[str, Tensor], key: dict[str, Tensor], batch: Tensor) -> Tensor:
            return functional_call(self.network, {**row, **key}, (batch,))  # type: ignore[no-any-return]

        in_dims = (0, None if self.paired else 0, 0 if by_row else None)
        return vmap(one, in_dims=in_dims)(filling, drawn, x)

    def train_epoch(self, x: Tensor, y: Tensor, batches: Batches, first: Tensor, total: int) -> EpochSums:
        """One epoch of gradient steps.

        Each step takes the gradient at a point, shapes it, and moves theta; see `noise` and `settings`.

        Args:
            x: the data [N, ...].
            y: targets [N] or [N, C].
            batches: the epoch's index streams.
            first: int64 [c], gradient steps before this training began: schedules count from there.
            total: gradient steps of the whole training.
        """
        c, device = len(self.rows), self.theta.device
        sums = EpochSums(
            torch.zeros(c, dtype=self.theta.dtype, device=device),
            torch.zeros(c, dtype=self.theta.dtype, device=device),
            float(batches.weights.sum()),
            torch.ones(c, dtype=torch.bool, device=device),
            self.set.hyper["lr"][:, 0],
        )
        noise, by_row = Noise(self.set, self.template), self.set.noisy_inputs or batches.by_row
        numbers = self.steps.unsqueeze(1) + torch.arange(batches.steps)  # (c, T)
        keys = {
            name: keyed.key(self.set.seeds.unsqueeze(1), keyed.Purpose.DROPOUT, layer, numbers).to(device)  # (c, T, 2)
            for layer, name in enumerate(self.set.rates)
        }
        factors = self._schedule_factors(numbers - first.unsqueeze(1), total)  # (c, T)
        for t in range(batches.steps):
            rows, weight = batches.at(t), batches.weights[t]
            batch, target = x[rows], y[rows] if batches.by_row else y[rows].expand(c, *y[rows].shape)
            if self.set.noisy_inputs:
                batch = noise.inputs(batch, self.steps, batches.by_row)
            if self.set.perturbed:
                self.point.copy_(noise.weights(self.theta, self.steps))
            outputs = self.forward(batch, {n: key[:, t] for n, key in keys.items()}, by_row)
            losses = self.loss.value(outputs, target, self.set.smoothing)  # (c, B)
            mean = (losses * weight).sum(dim=1) / weight.sum()
            gradients = torch.autograd.grad(mean.sum(), list(self.leaves.values()), allow_unused=True)
            with torch.no_grad():
                self._collect(gradients)
                gradient = self.set.shape_gradient(noise.chain(self.grad, self.steps), self.theta)
                self.steps += 1
                hyper = {**self.set.hyper, "lr": self.set.hyper["lr"] * factors[:, t : t + 1]}
                step = self.steps.to(device, torch.float64).unsqueeze(1)
                optim.apply(self.rule, self.theta, gradient, self.state, hyper, step, self.template.layout)
                sums.loss += (losses * weight).sum(dim=1)
                sums.score += (self.loss.score(outputs, target) * weight).sum(dim=1)
                sums.finite &= torch.isfinite(mean)
        if self.set.perturbed:
            self.point.copy_(self.theta)
        sums.finite &= torch.isfinite(self.theta).all(dim=1)
        sums.lr = self.set.hyper["lr"][:, 0] * factors[:, -1]
        return sums

    def _collect(self, gradients: Sequence[Tensor | None]) -> None:
        """Write each parameter's gradient into its columns of grad [c, P]."""
        for into, gradient in zip(self.template.layout.views(self.grad).values(), gradients, strict=True):
            if gradient is None:
                into.zero_()
            else:
                into.copy_(gradient)

    def _schedule_factors(self, numbers: Tensor, total: int) -> Tensor:
        """The multiplier of the learning rate at each step; int64 [c, T] to [c, T]."""
        codes = torch.tensor([[schedules.code(member.schedule)] for member in self.members])
        warmup = torch.tensor([[member.warmup * total] for member in self.members], dtype=torch.float64)
        return schedules.factor(codes, numbers, total, warmup).to(self.theta.device)

    @torch.no_grad()
    def evaluate(self, x: Tensor, y: Tensor, batch_size: int = EVALUATION_BATCH) -> tuple[Tensor, Tensor]:
        """Mean loss without smoothing and mean score in evaluation mode, each [c]."""
        c = len(self.rows)
        loss = torch.zeros(c, dtype=self.theta.dtype, device=self.theta.device)
        score = torch.zeros_like(loss)
        for start in range(0, len(x), batch_size):
            outputs = self.forward(x[start : start + batch_size])
            target = y[start : start + batch_size]
            target = target.expand(c, *target.shape)
            loss += self.loss.value(outputs, target, torch.zeros_like(loss)).sum(dim=1)
            score += self.loss.score(outputs, target).sum(dim=1)
        return loss / len(x), score / len(x)

    @torch.no_grad()
    def predict(self, x: Tensor, batch_size: int = EVALUATION_BATCH) -> Tensor:
        """Outputs [c, N, ...] in evaluation mode."""
        parts = [self.forward(x[start : start + batch_size]) for start in range(0, len(x), batch_size)]
        return torch.cat(parts, dim=1)
