"""What each rule is compared with: torch.optim's optimizer of the same settings, or a literal version."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tests.oracle import optim_adamp

Values = dict[str, float]
Make = Callable[[list[Tensor], Values], torch.optim.Optimizer]


def _betas(h: Values) -> Values:
    rest = {name: value for name, value in h.items() if name not in ("beta1", "beta2")}
    return {**rest, "betas": (h["beta1"], h["beta2"])}


class LiteralAdamP:
    """The oracle with the interface that `torch_displacement` drives."""

    def __init__(self, parameters: list[Tensor], h: Values) -> None:
        self.parameters = parameters
        self.oracles = [optim_adamp.AdamP(tuple(p.shape), **h) for p in parameters]

    def step(self) -> None:
        for p, oracle in zip(self.parameters, self.oracles, strict=True):
            moved = oracle.step(p.detach().reshape(-1).tolist(), p.grad.reshape(-1).tolist())
            p.data = torch.tensor(moved, dtype=p.dtype).view(p.shape)


REFERENCES: dict[str, Make] = {
    "sgd": lambda p, h: torch.optim.SGD(p, **h),
    "momentum": lambda p, h: torch.optim.SGD(p, **h),
    "nesterov": lambda p, h: torch.optim.SGD(p, **h, nesterov=True),
    "adagrad": lambda p, h: torch.optim.Adagrad(p, **h),
    "adadelta": lambda p, h: torch.optim.Adadelta(p, **h),
    "rmsprop": lambda p, h: torch.optim.RMSprop(p, **h),
    "rmsprop_momentum": lambda p, h: torch.optim.RMSprop(p, **h),
    "rmsprop_centered": lambda p, h: torch.optim.RMSprop(p, **h, centered=True),
    "rmsprop_centered_momentum": lambda p, h: torch.optim.RMSprop(p, **h, centered=True),
    "adam": lambda p, h: torch.optim.Adam(p, **_betas(h)),
    "amsgrad": lambda p, h: torch.optim.Adam(p, **_betas(h), amsgrad=True),
    "adamw": lambda p, h: torch.optim.AdamW(p, **_betas(h)),
    "adamw_amsgrad": lambda p, h: torch.optim.AdamW(p, **_betas(h), amsgrad=True),
    "nadam": lambda p, h: torch.optim.NAdam(p, **_betas(h)),
    "radam": lambda p, h: torch.optim.RAdam(p, **_betas(h)),
    "adamp": LiteralAdamP,
}


class WithPenaltiesOutside:
    """A reference without penalties, and the penalties and clipping written around it, weight by weight.

    AdamP weakens its own decoupled decay, so that one is left to the oracle.
    """

    def __init__(self, name: str, parameters: list[Tensor], h: Values, penalised: list[Tensor]) -> None:
        self.h, self.parameters, self.penalised = h, parameters, penalised
        self.inside, self.beside = (h["weight_decay"] * share for share in (1 - h["decoupled_weight_decay"], 1))
        self.beside -= self.inside
        own = {n: v for n, v in h.items() if n not in ("decoupled_weight_decay", "l1", "decoupled_l1", "clip_value")}
        self.own_decay = name == "adamp"
        self.inner = [
            REFERENCES[name]([p], {**own, "weight_decay": self.beside * float(mask.max()) if self.own_decay else 0.0})
            for p, mask in zip(parameters, penalised, strict=True)
        ]

    def step(self) -> None:
        h = self.h
        for p, mask, inner in zip(self.parameters, self.penalised, self.inner, strict=True):
            w = p.detach()
            g = p.grad.clamp(-h["clip_value"], h["clip_value"])
            p.grad = g + mask * (self.inside * w + h["l1"] * (1 - h["decoupled_l1"]) * torch.sign(w))
            if not self.own_decay:
                p.data = w * (1 - h["lr"] * self.beside * mask)
            inner.step()
            threshold = h["lr"] * h["l1"] * h["decoupled_l1"] * mask
            p.data = torch.sign(p.detach()) * (p.detach().abs() - threshold).clamp(min=0)
