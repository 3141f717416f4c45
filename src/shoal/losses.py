"""Losses and scores, always by member: outputs [K, B, C] to values [K, B] or [K].

A loss goes down, a score goes up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoal.core.errors import InputError, first_line

Floats = NDArray[np.float64]


def cross_entropy(outputs: Tensor, target: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """-sum_c q_c log p_c with p = softmax(outputs) and q = (1 - s) onehot(target) + s / C.

    Args:
        outputs: logits [K, B, C].
        target: class numbers, int64 [K, B].
        smoothing: label smoothing s of each row, [K] (Szegedy et al. 2016); None where all are 0.

    Returns:
        [K, B].
    """
    by_class = outputs.transpose(1, 2)  # (K, C, B)
    if by_class.is_contiguous():  # as a chain's last layer writes them: torch's passes then run along the batch
        log_p = torch.log_softmax(by_class, dim=1)
    else:
        log_p = torch.log_softmax(outputs, dim=-1).transpose(1, 2)
    hit = torch.gather(log_p, 1, target.unsqueeze(1)).squeeze(1)
    if smoothing is None:
        return -hit
    s = smoothing.unsqueeze(-1)
    return -((1.0 - s) * hit + torch.where(s > 0, s * log_p.mean(dim=1), 0.0))  # a class ruled out has log p = -inf


def squared_error(outputs: Tensor, target: Tensor, smoothing: Tensor | None = None) -> Tensor:
    """Mean over the outputs of (output - target)^2; `smoothing` has no meaning here and is not read.

    Args:
        outputs: [K, B, C].
        target: [K, B, C].
        smoothing: not read.

    Returns:
        [K, B].
    """
    return (outputs - target).square().mean(dim=-1)


def hits(outputs: Tensor, target: Tensor) -> Tensor:
    """1 where the largest logit is the target's, else 0; [K, B, C] and [K, B] to [K, B]. Its mean is the accuracy.

    NaN where a logit is NaN: that is no answer, though `argmax` names a class.
    """
    largest, answer = outputs.max(dim=-1)
    return (answer == target).to(outputs.dtype).masked_fill(largest.isnan(), torch.nan)


def explained(outputs: Tensor, target: Tensor) -> Tensor:
    """Minus the squared error; [K, B, C] twice to [K, B]. With targets of variance 1 its mean plus 1 is R^2."""
    return -(outputs - target).square().mean(dim=-1)


def all_equal(y: Tensor) -> bool:
    """Whether targets [N] or [N, C] are the same in every row: then there is no variance to explain."""
    return bool((y == y[:1]).all())


@dataclass(frozen=True)
class Loss:
    """A loss, the score of a row of the data that goes with it, and the metric that is reported."""

    name: str
    value: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    score: Callable[[Tensor, Tensor], Tensor]
    metric_name: str
    categorical: bool
    own: bool = False  # the user's, which no name can find again

    def check(self, output_shape: Sequence[int], y: Tensor) -> None:
        """Refuse targets that a network's outputs cannot be compared with.

        Args:
            output_shape: of one row of the data, without the batch.
            y: targets as `Population.train` takes them.

        Raises:
            InputError: the shapes differ, or a class number has no output.
        """
        shape = list(output_shape)
        if self.categorical:
            if len(shape) != 1:
                raise InputError(f"{self.name} needs logits [B, C], but the network answers each row with {shape}.")
            low, high = int(y.min()), int(y.max())
            if low < 0 or high >= shape[0]:
                raise InputError(
                    f"y has the class number {low if low < 0 else high}, but the network has {shape[0]} outputs: "
                    f"classes are numbered 0 to {shape[0] - 1}."
                )
        elif self.score is explained and (len(shape) != 1 or shape != list(y.shape[1:])):
            raise InputError(
                f"{self.name} needs outputs [B, C] and as many targets, but the network answers each row with {shape} "
                f"and y has {list(y.shape[1:])} for each."
            )

    def try_on(self, outputs: Tensor, y: Tensor) -> None:
        """See that a loss of the user's own can be computed, has a gradient, and treats every member alone.

        Args:
            outputs: of a network to some rows, [K, B, ...] with K >= 2.
            y: the targets of these rows, [B, ...].

        Raises:
            InputError: it fails, returns another shape, has no gradient, or mixes members.
        """
        target = y.expand(len(outputs), *y.shape)
        with torch.enable_grad():
            given = outputs.detach().clone().requires_grad_()
            try:
                values = self.value(given, target, None)
            except InputError:
                raise
            except Exception as error:  # whatever the user's own function raises
                classes = not self.categorical and bool((y == y.round()).all())
                way_out = (
                    f"; if y are class numbers, give losses.custom({self.name}, categorical=True)" if classes else ""
                )
                raise InputError(
                    f"The loss {self.name} failed for outputs {outputs.dtype} {list(outputs.shape)} and targets "
                    f"{target.dtype} {list(target.shape)}: {first_line(error)}{way_out}"
                ) from error
            (gradient,) = torch.autograd.grad(values[0].sum(), given, allow_unused=True)
        if gradient is not None and bool((gradient[1:] != 0).any()):
            raise InputError(
                f"The loss {self.name} mixes members: what it returns for one depends on the outputs of another, so "
                "take no mean, sum or maximum over the first axis."
            )

    def target_variance(self, y: Tensor, weights: Tensor | None = None) -> float:
        """Variance of numeric targets [N, C] (weights [N]), which R^2 is measured against; 1 for all other scores.

        It is 1 as well where all targets are equal: R^2 has no meaning there, and 1 - (squared error) stands for it. Of
        standardised targets that is the R^2 against the rows that they were standardised by.
        """
        if self.score is not explained or all_equal(y):
            return 1.0
        if weights is None:
            return float(y.var(dim=0, correction=0).mean())
        share = (weights / weights.sum()).unsqueeze(1)
        return float((share * (y - (share * y).sum(dim=0)).square()).sum(dim=0).mean())

    def baseline(self, train_y: Tensor, y: Tensor) -> float:
        """The score on the targets `y` of always answering the majority class, or the mean, of `train_y`.

        Args:
            train_y: targets of the training rows, int64 [N] or standardised numbers [N, C].
            y: targets of the rows that are scored.
        """
        if self.categorical:
            return float((y == train_y.bincount().argmax()).double().mean())
        squared = (y.double() - train_y.double().mean(dim=0)).square().mean()
        return float(1 - squared / self.target_variance(y.double()))

    def metric(self, mean_score: Floats, variance: float | Floats) -> Floats:
        """The mean score (accuracy for classes), or R^2 = 1 + mean score / variance."""
        return 1.0 + mean_score / variance if self.score is explained else mean_score


LOSSES = {
    "cross_entropy": Loss("cross_entropy", cross_entropy, hits, "accuracy", True),
    "squared_error": Loss("squared_error", squared_error, explained, "r2", False),
}


OF_TORCH = {
    **dict.fromkeys(("CrossEntropyLoss", "cross_entropy"), "cross_entropy"),
    **dict.fromkeys(("MSELoss", "mse_loss", "mse", "l2"), "squared_error"),
}
"""Losses of this module by their names in torch, where each takes a mean and classes are the second axis."""


def custom(function: Callable[[Tensor, Tensor], Tensor], *, categorical: bool = False) -> Loss:
    """A loss of the user's own; its score is minus its mean.

    Args:
        function: (outputs [K, B, ...], targets [K, B, ...]) to the loss of each row of the batch, [K, B]. It must treat
            every member alone: no mean or maximum over the first axis.
        categorical: the targets are class numbers and reach it as int64 [K, B], the outputs are logits [K, B, C]; else
            targets are numbers in the outputs' type, [K, B, ...], those of one number a row [K, B, 1].
    """
    name = getattr(function, "__name__", type(function).__name__)

    def value(outputs: Tensor, target: Tensor, smoothing: Tensor | None) -> Tensor:
        values = function(outputs.contiguous(), target)  # of which a user may take a `view`
        if not isinstance(values, Tensor) or values.shape != outputs.shape[:2]:
            got = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise InputError(
                f"The loss {name} returned {got} for outputs {list(outputs.shape)} and targets {list(target.shape)}: "
                f"it must return one value for each member and row, {list(outputs.shape[:2])}."
            )
        if torch.is_grad_enabled() and outputs.requires_grad and not values.requires_grad:
            raise InputError(f"The loss {name} has no gradient: it must be computed from the outputs, undetached.")
        return values

    def score(outputs: Tensor, target: Tensor) -> Tensor:
        return -value(outputs, target, None)

    return Loss(name, value, score, f"minus {name}", categorical=categorical, own=True)


def find(name: str | Callable[[Tensor, Tensor], Tensor] | Loss) -> Loss:
    """The loss of that name, or of the user's own function; see `custom`. A loss is itself.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if isinstance(name, Loss):
        return name
    if isinstance(name, str) and name in LOSSES:
        return LOSSES[name]
    called = name if isinstance(name, str) else getattr(name, "__name__", type(name).__name__)
    ours = OF_TORCH.get(called)
    if ours and (isinstance(name, str) or getattr(name, "__module__", "").startswith("torch.nn")):
        raise InputError(f"loss={called} is called {ours!r} here, and is by member and row: give loss={ours!r}.")
    if callable(name):
        return custom(name)
    raise InputError(f"loss={name!r} is not known: use one of {', '.join(LOSSES)}.")
