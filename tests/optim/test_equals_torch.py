"""Each rule against its reference over 100 steps, by displacement; wrong variants must fail the same comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
from torch import Tensor

from shoal.optim import RULES, Hyper, Rule, rule
from shoal.optim.formula import Coefficients, State
from shoal.optim.moments import decaying_mean
from tests.optim.problem import LAYOUT, STEPS, Losses, agree, displacement, gap, hyper, torch_displacement
from tests.optim.references import REFERENCES, LiteralAdamP
from tests.oracle import optim_nesterov

LOSSES = Losses()


@pytest.fixture(autouse=True)
def double_by_default() -> Iterator[None]:
    """torch keeps NAdam's mu_product in the default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@cache
def reference(name: str, dtype: torch.dtype = torch.float64) -> Tensor:
    torch.set_default_dtype(dtype)
    return torch_displacement(REFERENCES[name], LOSSES, hyper(rule(name)), dtype=dtype)


@pytest.mark.parametrize("name", RULES)
def test_equals_the_reference_in_float64(name: str) -> None:
    ours, theirs = displacement(rule(name), LOSSES, hyper(rule(name))), reference(name)
    assert theirs.abs().amax(dim=1).min() > 0.05  # there is something to compare
    assert agree(ours, theirs), gap(ours, theirs)


@pytest.mark.parametrize("name", [name for name in RULES if name != "adamp"])
def test_equals_torch_in_float32_to_rounding(name: str) -> None:
    ours = displacement(rule(name), LOSSES, hyper(rule(name)), dtype=torch.float32)
    theirs = reference(name, torch.float32)
    exact = reference(name)
    assert gap(ours.double(), theirs.double()) < 2e-4
    assert gap(ours.double(), exact) < 2 * gap(theirs.double(), exact) + 1e-6  # as near to the truth as torch is


def test_adamp_takes_every_branch() -> None:
    taken: set[str] = set()

    class Watched(LiteralAdamP):
        def step(self) -> None:
            super().step()
            taken.update(oracle.projected[-1] for oracle in self.oracles)

    torch_displacement(Watched, LOSSES, hyper(rule("adamp")))
    assert taken == {"never", "channels", "whole", "no"}


# --- deliberately wrong variants --------------------------------------------------------------------------------------

ByWeight = Callable[[Tensor, State, Coefficients], tuple[Tensor, State]]


def _with(name: str, by_weight: ByWeight) -> Rule:
    return dataclasses.replace(rule(name), by_weight=by_weight)


def _no_bias_correction(name: str) -> Rule:
    """As if each row had made very many steps; NAdam's product of momenta is then 0."""
    right = rule(name)

    def by_row(h: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
        late = {slot: value * 0 for slot, value in rows.items()}
        return right.by_row(h, step * 0 + 1e7, late)[0], late

    return dataclasses.replace(right, by_row=by_row)


def _without(name: str, coefficient: str, value: float) -> Rule:
    """One coefficient replaced by a constant."""
    right = rule(name)

    def by_row(h: Hyper, step: Tensor, rows: State) -> tuple[Coefficients, State]:
        c, new = right.by_row(h, step, rows)
        return {**c, coefficient: torch.full_like(c[coefficient], value)}, new

    return dataclasses.replace(right, by_row=by_row)


def _decay_misplaced(name: str) -> Rule:
    """Beside the gradient where it belongs inside, inside where it belongs beside."""
    return dataclasses.replace(rule(name), decoupled=not rule(name).decoupled)


def _eps_inside(name: str) -> Rule:
    """sqrt(v + eps) in place of sqrt(v) + eps."""
    right = rule(name)
    second = {"adagrad": "sum"}.get(name, "square_avg" if name.startswith("rmsprop") else "exp_avg_sq")

    def by_weight(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
        step, new = right.by_weight(grad, state, c)
        v = new.get("max_exp_avg_sq", new[second])
        if "grad_avg" in new:
            v = v - new["grad_avg"] ** 2
        over = c.get("rsqrt", torch.ones_like(c["eps"]))
        good, bad = v.sqrt() * over + c["eps"], (v * over**2 + c["eps"]).sqrt()
        if "momentum_buffer" in new:
            b = state["momentum_buffer"] * c["momentum"] + grad / bad
            return b * c["lr"], {**new, "momentum_buffer": b}
        return step * good / bad, new

    return _with(name, by_weight)


class _DecayAfter(Rule):
    """Weights shrunk after the step."""

    def move(
        self, theta: Tensor, grad: Tensor, slots: State, c: Coefficients, shape: tuple[int, ...] = ()
    ) -> tuple[Tensor, State]:
        moved, new = super().move(theta, grad, slots, {**c, "coupled_decay": torch.zeros_like(c["coupled_decay"])})
        return moved * (1 - c["lr"] * c["coupled_decay"]), new


def _decay_after(name: str) -> Rule:
    right = rule(name)
    return _DecayAfter(**{field.name: getattr(right, field.name) for field in dataclasses.fields(right)})


def _adadelta_eps_outside(g: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    v = decaying_mean(state["square_avg"], g * g, c["rho"], c["rest"])
    delta = (state["acc_delta"].sqrt() + c["eps"]) / (v.sqrt() + c["eps"]) * g
    u = decaying_mean(state["acc_delta"], delta * delta, c["rho"], c["rest"])
    return delta * c["lr"], {"square_avg": v, "acc_delta": u}


def _radam_no_eps(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    return rule("radam").by_weight(grad, state, {**c, "eps": torch.zeros_like(c["eps"])})


def _amsgrad_forgets(grad: Tensor, state: State, c: Coefficients) -> tuple[Tensor, State]:
    return rule("amsgrad").by_weight(grad, {**state, "max_exp_avg_sq": state["exp_avg_sq"] * 0}, c)


def _adamp_as_one(theta: Tensor, grad: Tensor, step: Tensor, c: Coefficients, shape: tuple[int, ...]) -> Tensor:
    """Every parameter as a single channel."""
    return rule("adamp").by_parameter(theta, grad, step, c, (1, theta.shape[1]) if len(shape) > 1 else shape)


BIAS_CORRECTED = ("adam", "amsgrad", "adamw", "adamw_amsgrad", "nadam", "radam", "adamp")
WITH_ROOT_AND_EPS = (
    *("adagrad", "rmsprop", "rmsprop_momentum", "rmsprop_centered", "rmsprop_centered_momentum"),
    *("adam", "amsgrad", "adamw", "adamw_amsgrad"),
)

WRONG: dict[str, tuple[str, Rule]] = {
    **{f"{name}: no bias correction": (name, _no_bias_correction(name)) for name in BIAS_CORRECTED},
    **{f"{name}: eps inside the root": (name, _eps_inside(name)) for name in WITH_ROOT_AND_EPS},
    **{f"{name}: decay misplaced": (name, _decay_misplaced(name)) for name in RULES if name != "sgd"},
    "sgd: decay after the step": ("sgd", _decay_after("sgd")),
    "momentum: Nesterov's step": ("momentum", _with("momentum", rule("nesterov").by_weight)),
    "momentum: first gradient dampened": ("momentum", dataclasses.replace(rule("momentum"), by_row=lambda h, s, r: (
        rule("momentum").by_row(h, s + 1, r)))),
    "nesterov: plain momentum": ("nesterov", _with("nesterov", rule("momentum").by_weight)),
    "adagrad: lr decays one step early": ("adagrad", dataclasses.replace(rule("adagrad"), by_row=lambda h, s, r: (
        rule("adagrad").by_row(h, s + 1, r)))),
    "adadelta: eps outside the roots": ("adadelta", _with("adadelta", _adadelta_eps_outside)),
    "amsgrad: forgets the maximum": ("amsgrad", _with("amsgrad", _amsgrad_forgets)),
    "nadam: no momentum warm-up": ("nadam", dataclasses.replace(rule("nadam"), by_row=lambda h, s, r: (
        rule("nadam").by_row({**h, "momentum_decay": h["momentum_decay"] * 0}, s, r)))),
    "radam: always rectified": ("radam", _without("radam", "rectified", 1.0)),
    "radam: never rectified": ("radam", _without("radam", "rectified", 0.0)),
    "radam: no eps": ("radam", _with("radam", _radam_no_eps)),
    "adamp: never projects": ("adamp", _without("adamp", "delta", 0.0)),
    "adamp: full decay where projected": ("adamp", _without("adamp", "wd_ratio", 1.0)),
    "adamp: no channels": ("adamp", dataclasses.replace(rule("adamp"), by_parameter=_adamp_as_one)),
}  # fmt: skip


@pytest.mark.parametrize("label", WRONG)
def test_a_wrong_variant_is_rejected(label: str) -> None:
    name, wrong = WRONG[label]
    ours, theirs = displacement(wrong, LOSSES, hyper(rule(name))), reference(name)
    assert not agree(ours, theirs)
    assert gap(ours, theirs) > 1e-6  # and not by a hair
    assert torch.isfinite(ours).all()  # nor because it blew up


def test_every_rule_has_a_wrong_variant() -> None:
    assert {name for name, _ in WRONG.values()} == set(RULES)


# --- Nesterov ---------------------------------------------------------------------------------------------------------


def test_nesterov_takes_the_literal_form_s_gradients() -> None:
    lr, rho = 0.05, 0.9
    curvature, start = LOSSES.curvature[0], LOSSES.start[0]

    def gradient(point: list[float]) -> list[float]:
        x = torch.tensor(point)
        return (curvature @ x + 0.3 * torch.sin(x)).tolist()

    literal = torch.tensor(optim_nesterov.points_of_gradient(start.tolist(), gradient, lr, rho, STEPS))
    column = {name: torch.tensor([[value]]) for name, value in rule("nesterov").defaults.items()}
    column |= {"lr": torch.tensor([[lr]]), "momentum": torch.tensor([[rho]])}
    theta, state = start.unsqueeze(0), {"momentum_buffer": torch.zeros(1, len(start))}
    visited = [theta[0]]
    for t in range(STEPS):
        grad = torch.tensor(gradient(theta[0].tolist())).unsqueeze(0)
        theta, state = rule("nesterov").update(theta, grad, state, column, torch.tensor([[t + 1.0]]), LAYOUT)
        visited.append(theta[0])
    assert agree(torch.stack(visited)[1:] - start, literal[1:] - start)
    assert not agree(torch.stack(visited)[1:-1] - start, literal[2:] - start)  # one step late is not equal
