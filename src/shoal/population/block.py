"""A block: the rows that are computed together, by one thread, with one optimizer rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from shoal import augment, optim
from shoal.augment import Pixels
from shoal.core.errors import InputError, RunError
from shoal.core.events import Kind
from shoal.losses import Loss
from shoal.optim.averages import Average, toward
from shoal.population import graphs
from shoal.population.batches import Batches
from shoal.population.draws import Draws, epoch_draws
from shoal.population.examples import BlockExamples
from shoal.population.forward import Forward, Single, Stacked
from shoal.population.member import Member
from shoal.population.noise import Noise, noisy_inputs
from shoal.population.plan import Plan
from shoal.population.probe import refused
from shoal.population.settings import row_settings
from shoal.population.template import Template

AVERAGE = "average"  # its slot among the optimizer's state


@dataclass
class Measured:
    """What one epoch of a block measured, in training mode, by row: sums while it goes on, means at its end."""

    loss: Tensor  # [c]
    score: Tensor  # [c]
    finite: Tensor  # bool [c]: every loss of the epoch was a number
    lr: Tensor  # [c]: the learning rate of the last step

    @staticmethod
    def zeros(like: Tensor) -> Measured:
        """Nothing measured yet, for the rows of theta."""
        zero = torch.zeros(len(like), dtype=like.dtype, device=like.device)
        return Measured(zero, zero.clone(), torch.ones_like(zero, dtype=torch.bool), zero.clone())


@dataclass(frozen=True)
class Epoch:
    """The inputs of one epoch of a block."""

    examples: BlockExamples
    batches: Batches
    first: Tensor  # int64 [c], gradient steps before this training began: schedules count from there
    total: int  # gradient steps of the whole training
    scale: Tensor | None = None  # float64 [c], a further factor on the learning rates


@dataclass(frozen=True)
class GradientStep:
    """The inputs of one gradient step; tensors on the block's device."""

    batch: Tensor  # [B, ...] that all rows share, or [c, B, ...] where `by_row`
    target: Tensor  # [c, B, ...]
    draws: Draws
    coefficients: dict[str, Tensor]  # [c, 1] each: the optimizer's numbers by row
    counts: dict[str, Tensor]  # [c, 1] each: the counters in the optimizer's state after the step
    share: Tensor  # float64 [c, 1]: what the new weights weigh in their average
    by_row: bool
    weight: Tensor | None = None  # [c, B] of the examples
    mixed: tuple[Tensor, ...] = ()  # of mixup: the other targets [c, B, ...]; the shares of own and other

    def tensors(self) -> list[Tensor]:
        """Everything that changes from step to step."""
        numbers = [*self.coefficients.values(), *self.counts.values(), self.share]
        weights = [] if self.weight is None else [self.weight]
        return [self.batch, self.target, *numbers, *weights, *self.mixed, *self.draws.tensors()]

    def clone(self) -> GradientStep:
        """The same in memory of its own."""
        batch, target = self.batch.clone(), self.target.clone(memory_format=torch.contiguous_format)
        coefficients, counts = (
            {name: value.clone() for name, value in each.items()} for each in (self.coefficients, self.counts)
        )
        mixed = tuple(each.clone() for each in self.mixed)
        weight = None if self.weight is None else self.weight.clone()
        share, draws = self.share.clone(), self.draws.clone()
        return GradientStep(batch, target, draws, coefficients, counts, share, self.by_row, weight, mixed)


@dataclass(frozen=True)
class Piece:
    """Rows of a block whose gradients are taken at once."""

    rows: slice
    forward: Forward
    into: list[Tensor]  # [rows, *shape] of each parameter: where its gradient goes


@dataclass
class Block:
    """Working state of c rows that share one optimizer rule. `rows` are their numbers in the population."""

    template: Template
    rows: list[int]
    members: list[Member]
    theta: Tensor  # [c, P], contiguous
    buffers: dict[str, Tensor]  # each [c, ...]
    state: dict[str, Tensor]  # optimizer state, and `average` [c, P] where the rows keep one
    steps: Tensor  # int64 [c]: gradient steps done
    loss: Loss
    plan: Plan
    grad: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.rule = optim.rule(self.members[0].optimizer)
        self.grad = torch.zeros_like(self.theta)
        self.settings = row_settings(self.template, self.members, self.theta.device, self.theta.dtype)
        self.noise = Noise(self.settings, self.template)
        self.point = self.theta.clone() if self.settings.perturbed else self.theta  # where the gradient is taken
        self.sums = Measured.zeros(self.theta)
        self.begun = self.state[AVERAGE].any(dim=1) if self.settings.averaged else self.sums.finite.logical_not()
        self.idle: dict[int, list[int]] = {}  # by a piece's first row: parameters without a gradient in the last step
        self.pieces = self._pieces(len(self.rows) if self.plan.sequential else 1)
        self._run: Callable[[GradientStep], None] = graphs.captured(self._step, self.theta.device)

    def _pieces(self, count: int) -> list[Piece]:
        """The rows in `count` pieces that are computed one after the other: more of them need less memory."""
        c = len(self.rows)
        self.idle.clear()
        width = -(-c // count)
        pieces: list[Piece] = []
        for start in range(0, c, width):
            rows = slice(start, min(start + width, c))
            point, buffers = self.point[rows], {name: stack[rows] for name, stack in self.buffers.items()}
            rates = {name: rate[rows] for name, rate in self.settings.rates.items()}
            into = list(self.template.layout.views(self.grad[rows]).values())
            if self.plan.sequential or c == 1:
                forward: Forward = Single(self.template, point, buffers, rates, self.plan.channels_last)
            else:
                seeds = zip(self.settings.seeds[rows].tolist(), self.steps[rows].tolist(), strict=True)
                forward = Stacked(self.template, point, buffers, rates, len(set(seeds)) == 1)
            pieces.append(Piece(rows, forward, into))
        return pieces

    def train_epoch(self, epoch: Epoch) -> Measured:
        """One epoch of gradient steps; means over the rows of the data.

        Each step takes the gradient at a point, shapes it, and moves theta; see `noise` and `settings`.
        """
        self.sums.loss.zero_()
        self.sums.score.zero_()
        self.sums.finite.fill_(True)
        for step in self._steps(epoch):
            self._run(step)
            self.steps += 1
        if self.settings.perturbed:
            self.point.copy_(self.theta)
        finite = self.sums.finite & torch.isfinite(self.theta).all(dim=1)
        mean = epoch.examples.mean
        return Measured(mean(self.sums.loss), mean(self.sums.score), finite, self.sums.lr)

    def _steps(self, epoch: Epoch) -> Iterator[GradientStep]:
        device, examples, batches = self.theta.device, epoch.examples, epoch.batches
        numbers = self.steps.unsqueeze(1) + torch.arange(batches.steps)  # (c, T)
        draws = epoch_draws(self.settings, list(self.template.dropouts), numbers, device)
        since = numbers - epoch.first.unsqueeze(1)
        factors = self.settings.schedule_factors(since, epoch.total)
        if epoch.scale is not None:
            factors = factors * epoch.scale.unsqueeze(1)
        lr = self.settings.hyper["lr"] * factors.T.unsqueeze(2).to(device)  # (T, c, 1)
        self.sums.lr = lr[-1, :, 0]
        counts = {name: self.state[name] for name in self.rule.row_start}
        count = (numbers + 1).T.unsqueeze(2).to(device)
        coefficients, after = self.rule.coefficients({**self.settings.hyper, "lr": lr}, count, counts, self.theta.dtype)
        shares = self._shares(since, epoch.total).to(device)
        change = augmentation(self.members, examples.x.shape[1:], examples.pixels)
        for t in range(batches.steps):
            batch, target, weight = examples.at(batches.at(t))
            by_row = examples.by_row
            mixed: tuple[Tensor, ...] = ()
            if change is not None:
                changed = change(batch, self.settings.seeds, numbers[:, t], by_row=by_row)
                batch, by_row = changed.inputs, changed.by_row
                if changed.partner is not None and changed.lam is not None:
                    own_share, other_share = changed.lam, 1 - changed.lam
                    if weight is not None:  # each target counts by the weight of the example that it belongs to
                        own_share = own_share * weight
                        other_share = other_share * torch.gather(weight, 1, changed.partner)
                        weight = None
                    mixed = _of_partners(target, changed.partner), own_share, other_share
            own, slots = optim.at_step(coefficients, t), optim.at_step(after, t)
            yield GradientStep(batch, target, draws.at(t), own, slots, shares[:, t : t + 1], by_row, weight, mixed)

    def _step(self, step: GradientStep) -> None:
        """One gradient step: everything on the device, written in place."""
        if self.settings.perturbed:
            self.point.copy_(self.noise.weights(self.theta, step.draws))
        mean = self._gradients(step)
        with torch.no_grad():
            gradient = self.noise.chain(self.grad, step.draws)
            restore_idle = self._save_idle(step)
            optim.advance(
                self.rule,
                self.theta,
                gradient,
                {name: self.state[name] for name in self.rule.slots},
                {**step.coefficients, **self.settings.gradient_factor(gradient)},
                self.template.layout,
                average=Average(self.state[AVERAGE], step.share) if self.settings.averaged else None,
                compiled=self.plan.compiled,
            )
            restore_idle()
            for name, value in step.counts.items():
                self.state[name].copy_(value)
            self.sums.finite &= torch.isfinite(mean)

    def _gradients(self, step: GradientStep) -> Tensor:
        """Write the gradient of every row's mean loss; returns those means [c]. Halves the pieces when memory ends."""
        while True:
            before = {name: self.buffers[name].clone() for name in self.buffers if name not in self.template.aliases}
            try:
                parts = [self._piece_gradients(piece, step) for piece in self.pieces]
                mean, loss, score = (torch.cat(each) for each in zip(*parts, strict=True))
                self.sums.loss += loss
                self.sums.score += score
                return mean
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                if len(self.pieces) == len(self.rows):
                    raise RunError(
                        f"Not enough memory for one network of {self.template.layout.parameters} parameters and a "
                        f"batch of {step.target.shape[1]} rows: make the batch or the network smaller."
                    ) from error
                for name, values in before.items():  # a forward pass that failed may have updated running statistics
                    self.buffers[name].copy_(values)
                self.pieces = self._pieces(2 * len(self.pieces))

    @torch.enable_grad()
    def _piece_gradients(self, piece: Piece, step: GradientStep) -> tuple[Tensor, Tensor, Tensor]:
        """Write the gradients of some rows; mean loss [c], and sums of loss and score over the batch."""
        rows, forward = piece.rows, piece.forward
        batch = step.batch[rows] if step.by_row else step.batch
        if len(self.pieces) > 1:
            batch = batch.clone()  # a network may write into its inputs
        draws, target = step.draws.rows(rows), step.target[rows]
        by_row = step.by_row or draws.input_noise is not None
        batch = noisy_inputs(batch, draws, self.settings.input_noise[rows], step.by_row)
        forward.refresh()
        outputs = self._call(forward, batch, draws.dropout, by_row)
        smoothing = None if self.settings.smoothing is None else self.settings.smoothing[rows]
        mixed = tuple(each[rows] for each in step.mixed)
        losses = _mix(lambda answer: self.loss.value(outputs, answer, smoothing), target, mixed)  # (c, B)
        losses = losses if step.weight is None else losses * step.weight[rows]
        mean = losses.mean(dim=1)
        gradients: Sequence[Tensor | None] = torch.autograd.grad(mean.sum(), forward.leaves, allow_unused=True)
        self.idle[rows.start] = [number for number, gradient in enumerate(gradients) if gradient is None]
        with torch.no_grad():
            for into, gradient in zip(piece.into, gradients, strict=True):
                if gradient is None:
                    into.zero_()
                else:
                    into.copy_(gradient.to_dense() if gradient.is_sparse else gradient)
            score = _mix(lambda answer: self.loss.score(outputs, answer), target, mixed)
            score = (score if step.weight is None else score * step.weight[rows]).sum(dim=1)
        return mean.detach(), losses.detach().sum(dim=1), score

    def _save_idle(self, step: GradientStep) -> Callable[[], None]:
        """Save the parameters without a gradient; the returned function restores them after the optimizer's step.

        As in torch, such a parameter and its state must stay as they are, but penalties and momentum would move them.
        Nothing is copied for a network that uses all its parameters.
        """
        before: list[tuple[Tensor, Tensor]] = []
        averages: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        ends = [*self.template.layout.offsets[1:], self.template.layout.parameters]
        for piece in self.pieces:
            for number in self.idle.get(piece.rows.start, ()):
                part = piece.rows, slice(self.template.layout.offsets[number], ends[number])
                theta = self.theta[part].clone()
                before.append((self.theta[part], theta))
                before += [(self.state[slot][part], self.state[slot][part].clone()) for slot in self.rule.slots]
                if self.settings.averaged:
                    average, share = self.state[AVERAGE][part], step.share[piece.rows].to(theta.dtype)
                    averages.append((average, average.clone(), theta, share))

        def restore_idle() -> None:
            for place, values in before:
                place.copy_(values)
            for place, former, theta, share in averages:
                place.copy_(toward(former, theta, share))

        return restore_idle

    def _call(self, forward: Forward, x: Tensor, keys: dict[str, Tensor] | None, by_row: bool) -> Tensor:
        """Outputs in theta's type; the layers inside compute in the plan's.

        Raises:
            InputError: the network cannot take the batch.
        """
        try:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.plan.bfloat16):
                return forward(x, keys, by_row).to(self.theta.dtype)
        except Exception as error:  # whatever the user's own forward raises
            if _out_of_memory(error):
                raise
            raise refused(list(x.shape[1:] if by_row else x.shape), error) from error

    def _shares(self, since: Tensor, total: int) -> Tensor:
        """The share of each step's weights in the running average, [c, T]; marks the rows that have started theirs."""
        if not self.settings.averaged:
            return torch.zeros(since.shape, dtype=torch.float64)
        shares = self.settings.average_shares(since, total)
        self.begun |= (shares > 0).any(dim=1).to(self.begun.device)
        return shares

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """While entered, rows that have started an average of their weights compute with it."""
        if not self.settings.averaged:
            yield
            return
        point = self.point.clone()
        self.point.copy_(torch.where(self.begun.unsqueeze(1), self.state[AVERAGE], point))
        try:
            yield
        finally:
            self.point.copy_(point)

    @torch.no_grad()
    def outputs(self, examples: BlockExamples) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
        """Outputs [c, b, ...] of every row for slices of the examples, in evaluation mode; targets and weights."""
        batch_size, n = self.plan.evaluation_batch, len(examples)
        for piece in self.pieces:
            piece.forward.refresh()
        for start in range(0, n, batch_size):
            x, target, weight = examples.at(slice(start, min(start + batch_size, n)))
            by_row = examples.by_row
            given = [(x[piece.rows] if by_row else x).clone() for piece in self.pieces]  # a network may write into it
            parts = [
                self._call(piece.forward, own, None, by_row) for piece, own in zip(self.pieces, given, strict=True)
            ]
            yield torch.cat(parts), target, weight

    def evaluate(self, examples: BlockExamples) -> tuple[Tensor, Tensor]:
        """Mean loss without smoothing and mean score in evaluation mode, each [c]."""
        sums = Measured.zeros(self.theta)
        for outputs, target, weight in self.outputs(examples):
            loss, score = self.loss.value(outputs, target, None), self.loss.score(outputs, target)
            sums.loss += (loss if weight is None else loss * weight).sum(dim=1)
            sums.score += (score if weight is None else score * weight).sum(dim=1)
        return examples.mean(sums.loss), examples.mean(sums.score)

    def predict(self, x: Tensor) -> Tensor:
        """Outputs [c, N, ...] in evaluation mode."""
        unknown = BlockExamples(x, x, len(self.rows))
        return torch.cat([outputs for outputs, _, _ in self.outputs(unknown)], dim=1)


def augmentation(
    members: Sequence[Member], shape: Sequence[int], pixels: Pixels | None = None
) -> augment.Augmentation | None:
    """How these members' samples of a shape are changed while training, or None when nothing is changed.

    Raises:
        InputError: an operation means nothing for such samples.
    """
    changes = [member.augmentation() for member in members]
    if not any(change.active for change in changes):
        return None
    kinds: tuple[Kind, ...] = ("table", "signal", "image", "volume")
    if not 1 <= len(shape) <= len(kinds):
        raise InputError(f"augment: samples of shape {list(shape)} are no table, signal, image or volume.")
    return augment.Augmentation(changes, kinds[len(shape) - 1], shape, pixels)


def _of_partners(target: Tensor, partner: Tensor) -> Tensor:
    """The targets [c, B, ...] of the samples [c, B] that were mixed in."""
    index = partner.reshape(*partner.shape, *(1,) * (target.dim() - 2)).expand(target.shape)
    return torch.gather(target, 1, index)


def _mix(value: Callable[[Tensor], Tensor], target: Tensor, mixed: tuple[Tensor, ...]) -> Tensor:
    """A loss or score [c, B]; where samples were mixed, the weighted sum of those against both targets."""
    if not mixed:
        return value(target)
    other, own_share, other_share = mixed
    return own_share * value(target) + other_share * value(other)


def _out_of_memory(error: Exception) -> bool:
    """torch raises OutOfMemoryError on a GPU, a plain RuntimeError of its allocator on a CPU."""
    of_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    return of_cpu or isinstance(error, torch.OutOfMemoryError)
