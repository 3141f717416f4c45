"""Numbers by row: right to rounding, and the same bits in any company."""

from __future__ import annotations

import pytest
import torch

from shoal.optim import RULES, Rule, at_step, fresh_state, rule
from shoal.optim.moments import bias_correction, power
from tests.optim.problem import hyper, shared


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 15, 17, 33, 65])
def test_bias_corrections_have_the_same_bits_in_any_company(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    beta = 0.8 + 0.2 * torch.rand(2000, 1, generator=generator, dtype=torch.float64)
    step = torch.randint(1, 3000, (2000, 1), generator=generator).double()
    assert torch.equal(
        torch.cat([bias_correction(*part) for part in zip(beta.split(count), step.split(count), strict=True)]),
        bias_correction(beta, step),
    )
    assert torch.equal(torch.cat([power(0.96, part) for part in step.split(count)]), power(0.96, step))


def test_bias_corrections_are_right() -> None:
    for beta in (0.0, 0.5, 0.9, 0.999, 0.999999):
        for step in (1, 2, 10, 12345):
            ours = float(bias_correction(torch.tensor([[beta]], dtype=torch.float64), torch.tensor([[float(step)]])))
            assert ours == pytest.approx(1 - beta**step, rel=1e-10)
    assert float(power(0.96, torch.tensor([[2.5]], dtype=torch.float64))) == pytest.approx(0.96**2.5, rel=1e-14)


def test_centred_rmsprop_survives_a_constant_gradient() -> None:
    """The variance is then 0, and rounding puts v - m^2 below it."""
    each = rule("rmsprop_centered")
    grad = torch.randn(1, 500, generator=torch.Generator().manual_seed(1))
    theta, state = torch.zeros(1, 500), fresh_state(each, 1, 500)
    hyper = {name: torch.tensor([[value]], dtype=torch.float64) for name, value in each.defaults.items()}
    hyper["alpha"] = torch.full((1, 1), 0.5, dtype=torch.float64)
    below = 0
    for t in range(60):
        theta, state = each.update(theta, grad, state, hyper, torch.tensor([[t + 1.0]]))
        below += int((state["square_avg"] - state["grad_avg"] ** 2 < 0).sum())
    assert below > 0
    assert torch.isfinite(theta).all()


@pytest.mark.parametrize("each", RULES.values(), ids=RULES)
def test_numbers_of_many_steps_at_once_have_the_bits_of_one_by_one(each: Rule) -> None:
    rows, steps = 5, 30
    own = {**hyper(each, rows), **shared(rows)}
    step = torch.arange(1.0, steps + 1).view(-1, 1, 1) + torch.tensor([[0.0], [3], [40], [0], [700]]).double()
    lr = own["lr"] * torch.linspace(1, 0.1, steps, dtype=torch.float64).view(-1, 1, 1)
    state = {name: value * 0.3 for name, value in fresh_state(each, rows, 1).items() if name in each.row_start}
    together, after = each.coefficients({**own, "lr": lr}, step, state, torch.float32)
    for t in range(steps):
        alone, state = each.coefficients({**own, "lr": lr[t]}, step[t], state, torch.float32)
        assert alone.keys() == together.keys() and state.keys() == after.keys()
        assert all(torch.equal(value, at_step(together, t)[name]) for name, value in alone.items())
        assert all(torch.equal(value, at_step(after, t)[name]) for name, value in state.items())
