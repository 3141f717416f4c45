"""AdamP: AdamW that takes out of its step what would only lengthen scale-invariant weights.

    p  = Adam's direction
    channel by channel, then for the whole parameter w:  if max |cos(w, g)| < delta / sqrt(dim w):
        p <- p - w^ (w^ . p)   with w^ = w / (||w|| + eps),   and weight_decay <- wd_ratio weight_decay
    theta <- theta (1 - lr weight_decay) - lr p

A weight followed by a normalization is orthogonal to its gradient; the part of a step along it changes nothing but its
length, and a longer weight means a smaller effective learning rate. Parameters of one dimension (biases, scales) are
never projected. A channel is a slice along the first axis, and all channels must pass for the channel form; both forms,
and wd_ratio, are those of the authors' program. `nesterov` = 1 puts beta1 m + (1 - beta1) g in m's place. Two copies of
theta.

Source: Heo et al. 2021, "AdamP: slowing down the slowdown for momentum optimizers on scale-invariant weights",
algorithm 2.
"""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from shoal.optim import adam
from shoal.optim.adam import DEFAULTS, SLOTS, moments, scale
from shoal.optim.formula import Coefficients, Hyper, Rule, State
from shoal.optim.moments import decaying_mean
from shoal.optim.penalties import strength
from shoal.optim.sums import row_sum


def _by_row(hyper: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
    further = {name: hyper[name] for name in ("delta", "wd_ratio", "nesterov")}
    return {**adam.by_row(hyper, step, rows)[0], **further}, {}


def _by_weight(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    new = moments(grad, state, c)
    ahead = decaying_mean(new["exp_avg"], grad, c["beta1"], c["one_minus_beta1"])
    direction = torch.where(c["nesterov"] > 0, ahead, new["exp_avg"]) / scale(new, c)
    return direction * c["step_size"], new


def _cosine(product: Tensor, square: Tensor, grad_square: Tensor, eps: Tensor) -> Tensor:
    return product.abs() / (torch.maximum(square.sqrt(), eps) * torch.maximum(grad_square.sqrt(), eps))


def _project(theta: Tensor, grad: Tensor, step: Tensor, c: Coefficients, shape: tuple[int, ...]) -> Tensor:
    """The step without its part along theta, where the test says so; there it also takes back decay beyond wd_ratio.

    theta, grad and step are [K, n].
    """
    if len(shape) < 2 or theta.shape[1] == 0:
        return step
    channels, size = shape[0], theta.shape[1] // shape[0]
    by = (theta.shape[0], channels, size)
    products = (theta * theta, grad * grad, theta * grad, theta * step)
    by_channel = torch.stack([row_sum(product.reshape(by)) for product in products])  # (4, K, C)
    whole = row_sum(by_channel).unsqueeze(-1)  # (4, K, 1)
    eps, delta = c["eps"], c["delta"]

    def along(sums: Tensor) -> Tensor:
        return sums[3] / (sums[0].sqrt() + eps).square()

    def cosine(sums: Tensor) -> Tensor:
        return _cosine(sums[2], sums[0], sums[1], eps)

    channelwise = cosine(by_channel).amax(dim=1, keepdim=True) < delta / sqrt(size)  # (K, 1)
    layerwise = cosine(whole) < delta / sqrt(channels * size)
    amount = torch.where(channelwise, along(by_channel), torch.where(layerwise, along(whole), 0.0))  # (K, C)
    step = step - (theta.reshape(by) * amount.unsqueeze(-1)).flatten(1)
    if "decoupled_decay" in c:
        kept_back = torch.where(channelwise | layerwise, 1 - c["wd_ratio"], 0.0)
        step = step - theta * (strength(c, "decoupled_decay") * kept_back)
    return step


ADAMP = Rule(
    "adamp",
    slots=SLOTS,
    defaults={**DEFAULTS, "delta": 0.1, "wd_ratio": 0.1, "nesterov": 0.0},
    by_row=_by_row,
    by_weight=_by_weight,
    by_parameter=_project,
    decoupled=True,
)
