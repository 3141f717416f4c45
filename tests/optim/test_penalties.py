"""Weight decay, L1 and clipping by value, at either place and different in every row, around every rule."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from math import prod

import pytest
import torch
from torch import Tensor

from shoal.optim import RULES, Rule, columns, penalties, rule
from tests.optim.problem import DECAYED, LAYOUT, Losses, agree, displacement, gap, hyper, shared, torch_displacement
from tests.optim.references import Values, WithPenaltiesOutside

LOSSES = Losses()
MASKS = [
    DECAYED[offset : offset + prod(shape)].view(shape)
    for shape, offset in zip(LAYOUT.shapes, LAYOUT.offsets, strict=True)
]
STEPS = 40
every_rule = pytest.mark.parametrize("name", RULES)


@pytest.fixture(autouse=True)
def double_by_default() -> Iterator[None]:
    """torch keeps NAdam's mu_product in the default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def mixed(name: str) -> dict[str, Tensor]:
    return {**hyper(rule(name)), **shared()}


def reference(name: str) -> Tensor:
    def make(parameters: list[Tensor], h: Values) -> WithPenaltiesOutside:
        return WithPenaltiesOutside(name, parameters, h, MASKS)

    return torch_displacement(make, LOSSES, mixed(name), steps=STEPS)


@every_rule
def test_every_rule_equals_torch_with_the_penalties_written_around_it(name: str) -> None:
    ours, theirs = displacement(rule(name), LOSSES, mixed(name), steps=STEPS), reference(name)
    assert agree(ours, theirs), gap(ours, theirs)
    no_penalty = displacement(rule(name), LOSSES, {**mixed(name), "decay_factor": DECAYED * 0}, steps=STEPS)
    assert gap(no_penalty, theirs) > 1e-3  # the penalties have something to do


def _threshold_without_lr(theta: Tensor, step: Tensor, c: dict[str, Tensor]) -> Tensor:
    return right_descent(theta, step, {**c, "decoupled_l1": c["decoupled_l1"] * 1.01})


def _threshold_before_the_step(theta: Tensor, step: Tensor, c: dict[str, Tensor]) -> Tensor:
    threshold = penalties.strength(c, "decoupled_l1")
    without = {name: value for name, value in c.items() if name != "decoupled_l1"}
    return right_descent(theta - torch.clamp(theta, -threshold, threshold), step, without)


def _everything_penalised(theta: Tensor, step: Tensor, c: dict[str, Tensor]) -> Tensor:
    return right_descent(theta, step, {name: value for name, value in c.items() if name != "decay_factor"})


right_descent = penalties.descended


@pytest.mark.parametrize("wrong", [_threshold_without_lr, _threshold_before_the_step, _everything_penalised])
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_wrong_place_is_rejected(name: str, wrong: object, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = reference(name)
    monkeypatch.setattr(penalties, "descended", wrong)
    ours = displacement(rule(name), LOSSES, mixed(name), steps=STEPS)
    assert not agree(ours, theirs) and gap(ours, theirs) > 1e-6


@every_rule
def test_what_is_off_changes_no_number(name: str) -> None:
    """A row without penalties has the same numbers beside rows that have them."""
    each = rule(name)
    own = {**hyper(each), "weight_decay": hyper(each)["weight_decay"] * 0}
    zero = torch.zeros(6, 1)
    off = {**own, "l1": zero, "clip_value": zero + torch.inf, "grad_factor": zero + 1, "decay_factor": DECAYED}
    for places in (zero, zero + 1):
        with_switches = {**off, "decoupled_weight_decay": places, "decoupled_l1": places}
        for dtype in (torch.float32, torch.float64):
            plain = displacement(each, LOSSES, own, steps=20, dtype=dtype)
            assert torch.equal(displacement(each, LOSSES, with_switches, steps=20, dtype=dtype), plain)


@every_rule
def test_the_switch_is_the_rule_s_own_place_by_row(name: str) -> None:
    each = rule(name)
    for place in (False, True):
        switch = {"decoupled_weight_decay": torch.full((6, 1), float(place))}
        placed: Rule = dataclasses.replace(each, decoupled=place)
        ours = displacement(each, LOSSES, {**hyper(each), **switch}, steps=20)
        assert agree(ours, displacement(placed, LOSSES, hyper(each), steps=20), rtol=1e-12)


def test_the_soft_threshold_makes_weights_exactly_zero() -> None:
    theta = torch.tensor([[0.05, -0.05, 0.5, -0.5, 0.0]])
    c = penalties.coefficients(
        {"lr": torch.tensor([[0.1]]), "l1": torch.tensor([[1.0]]), "decoupled_l1": torch.tensor([[1.0]])},
        False,
        torch.float64,
    )
    moved = penalties.descended(theta, torch.zeros_like(theta), c)
    torch.testing.assert_close(moved, torch.tensor([[0.0, 0.0, 0.4, -0.4, 0.0]]))
    assert (moved[0, :2] == 0).all()


def test_columns_take_them_and_refuse_nonsense() -> None:
    made = columns(rule("sgd"), 2, {"l1": [0.1, 0.0], "decoupled_l1": 1, "clip_value": float("inf")})
    assert made["l1"].tolist() == [[0.1], [0.0]] and made["clip_value"].tolist() == [[float("inf")]] * 2
    for name, value, allowed in (
        ("l1", -1.0, "at least 0"),
        ("decoupled_l1", 0.5, "must be 0 or 1"),
        ("clip_value", float("nan"), "at least 0"),
    ):
        with pytest.raises(ValueError, match=allowed):
            columns(rule("sgd"), 1, {name: value})
