"""Random problems on which rules are compared: K rows, each with its own loss and its own hyperparameters."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from torch import Tensor

from shoal.core.layout import Layout
from shoal.optim import Rule, fresh_state

LAYOUT = Layout.of([("conv.weight", (3, 2, 2, 2)), ("conv.bias", (3,)), ("dense.weight", (4, 5)), ("scale", ())])
ROWS, PARAMETERS, STEPS = 6, LAYOUT.parameters, 100

DECAYED = torch.cat([torch.ones(24), torch.zeros(3), torch.ones(20), torch.zeros(1)]).double()  # not on bias and scale

# (low, high, on a logarithmic scale); weight decay and eps are large enough that a misplaced one shows
DRAWS = {
    "lr": (3e-3, 3e-2, True),
    "momentum": (0.5, 0.95, False),
    "dampening": (0.0, 0.5, False),
    "weight_decay": (1e-2, 3e-1, True),
    "beta1": (0.6, 0.95, False),
    "beta2": (0.8, 0.999, False),
    "eps": (1e-6, 1e-3, True),
    "rho": (0.7, 0.99, False),
    "alpha": (0.7, 0.99, False),
    "lr_decay": (1e-3, 1e-1, True),
    "momentum_decay": (1e-3, 1e-1, True),
    "delta": (0.05, 3.0, True),
    "wd_ratio": (0.05, 0.9, False),
    "l1": (1e-3, 1e-1, True),
    "clip_value": (0.3, 3.0, True),
}
LARGER_LR = {"adagrad": 3.0, "adadelta": 30.0}


def hyper(rule: Rule, rows: int = ROWS, seed: int = 0) -> dict[str, Tensor]:
    """Random hyperparameters, different in each row; switches are on in every other row."""
    generator = torch.Generator().manual_seed(seed)
    drawn = {}
    for name in rule.defaults:
        u = torch.rand(rows, 1, generator=generator, dtype=torch.float64)
        if name not in DRAWS:
            drawn[name] = (torch.arange(rows, dtype=torch.float64) % 2).unsqueeze(1)
            continue
        low, high, logarithmic = DRAWS[name]
        drawn[name] = low * (high / low) ** u if logarithmic else low + (high - low) * u
    drawn["lr"] = drawn["lr"] * LARGER_LR.get(rule.name, 1.0)
    if rule.name == "nesterov":
        drawn["dampening"] = torch.zeros(rows, 1, dtype=torch.float64)  # torch allows no other
    if rule.name == "radam":
        drawn["beta2"][0] = 0.5  # rho_inf = 3: this row is never rectified
    return drawn


def shared(rows: int = ROWS, seed: int = 7) -> dict[str, Tensor]:
    """What every rule takes besides its own hyperparameters: penalties at all four combinations of places, clipping."""
    generator = torch.Generator().manual_seed(seed)
    u = torch.rand(2, rows, 1, generator=generator, dtype=torch.float64)
    number = torch.arange(rows, dtype=torch.float64).unsqueeze(1)
    return {
        "decoupled_weight_decay": number % 2,
        "l1": DRAWS["l1"][0] * (DRAWS["l1"][1] / DRAWS["l1"][0]) ** u[0],
        "decoupled_l1": (number // 2) % 2,
        "clip_value": torch.where(number % 3 == 2, torch.inf, 0.3 + 2.7 * u[1]),
        "decay_factor": DECAYED,
    }


class Losses:
    """A convex quadratic with a ripple and a noisy linear term by row, 1/2 x' A x + 0.3 (1 - cos x) - b_t' x."""

    def __init__(self, rows: int = ROWS, parameters: int = PARAMETERS, seed: int = 1) -> None:
        generator = torch.Generator().manual_seed(seed)
        root = torch.randn(rows, parameters, parameters, generator=generator, dtype=torch.float64) / parameters**0.5
        self.curvature = root @ root.mT
        self.noise = torch.randn(STEPS, rows, parameters, generator=generator, dtype=torch.float64)
        self.start = torch.randn(rows, parameters, generator=generator, dtype=torch.float64)

    def gradient(self, row: int, theta: Tensor, t: int) -> Tensor:
        """Of one row [P], so that it cannot depend on the others."""
        dtype = theta.dtype
        return self.curvature[row].to(dtype) @ theta + 0.3 * torch.sin(theta) - self.noise[t, row].to(dtype)


def displacement(
    rule: Rule,
    losses: Losses,
    hyper: dict[str, Tensor],
    rows: list[int] | None = None,
    steps: int = STEPS,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """theta_n - theta_0 of the rows, trained together by `rule.update`."""
    rows = list(range(len(losses.start))) if rows is None else rows
    start = losses.start[rows].to(dtype)
    own = {name: value if name == "decay_factor" else value[rows] for name, value in hyper.items()}
    theta, state = start.clone(), fresh_state(rule, len(rows), start.shape[1], dtype=dtype)
    for t in range(steps):
        grad = torch.stack([losses.gradient(row, theta[k], t) for k, row in enumerate(rows)])
        theta, state = rule.update(theta, grad, state, own, torch.full((len(rows), 1), t + 1.0), LAYOUT)
    return theta - start


def torch_displacement(
    make: Callable[[list[Tensor], dict[str, float]], torch.optim.Optimizer],
    losses: Losses,
    hyper: dict[str, Tensor],
    steps: int = STEPS,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """theta_n - theta_0 of K networks with a torch optimizer each."""
    moved = []
    for row, start in enumerate(losses.start.to(dtype)):
        parameters = [p.detach()[0].clone().requires_grad_() for p in LAYOUT.views(start.unsqueeze(0)).values()]
        optimizer = make(parameters, {n: float(value[row]) for n, value in hyper.items() if n != "decay_factor"})
        for t in range(steps):
            theta = torch.cat([p.detach().reshape(-1) for p in parameters])
            pieces = losses.gradient(row, theta, t).split([prod(p.shape) for p in parameters])
            for p, piece in zip(parameters, pieces, strict=True):
                p.grad = piece.view(p.shape).clone()
            optimizer.step()
        moved.append(torch.cat([p.detach().reshape(-1) for p in parameters]) - start)
    return torch.stack(moved)


def agree(ours: Tensor, reference: Tensor, rtol: float = 1e-9) -> bool:
    """Whether two displacements are equal; an element near zero is judged by the largest of its row."""
    size = reference.abs().amax(dim=1, keepdim=True)
    return bool(((ours - reference).abs() <= rtol * reference.abs() + 1e-2 * rtol * size).all())


def gap(ours: Tensor, reference: Tensor) -> float:
    """The largest difference in any row, relative to the largest displacement of that row."""
    return float(((ours - reference).abs().amax(dim=1) / reference.abs().amax(dim=1)).max())
