"""One definition of what several networks answer: the literal mean, the module, and the saved model agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from shoal.ensemble import combination
from shoal.ensemble.calibration import fit_temperature
from shoal.ensemble.combination import Combination

COUNTS, TEMPERATURES = (3, 1, 2), (0.5, 1.0, 4.0)


def outputs(members: int = 3, rows: int = 7, classes: int = 4) -> Tensor:
    return 3 * torch.randn(members, rows, classes, generator=torch.Generator().manual_seed(1))


def test_the_mean_is_that_of_calibrated_probabilities() -> None:
    given = outputs()
    found = Combination(COUNTS, TEMPERATURES, categorical=True).predict(given)
    expected = np.zeros((7, 4))
    for logits, count, temperature in zip(given.numpy().astype(np.float64), COUNTS, TEMPERATURES, strict=True):
        powers = np.exp(logits / temperature)
        expected += count / 6 * powers / powers.sum(axis=1, keepdims=True)
    assert np.abs(found - expected).max() < 1e-15
    numbers = Combination(COUNTS, (1.0, 1.0, 1.0), categorical=False).predict(given)
    assert np.abs(numbers - np.average(given.double().numpy(), axis=0, weights=COUNTS)).max() < 1e-15


@pytest.mark.parametrize("categorical", [True, False])
def test_the_module_answers_the_same_bits_and_keeps_its_networks(categorical: bool) -> None:
    networks = []
    for seed in range(3):
        torch.manual_seed(seed)
        networks.append(nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4)).eval())
    of = Combination(COUNTS, TEMPERATURES if categorical else (1.0,) * 3, categorical)
    x = torch.randn(9, 5, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        apart, together = of.predict(network(x) for network in networks), of.module(networks)(x)
    assert together.dtype == torch.float64 and np.array_equal(apart, together.numpy())
    assert set(of.module(networks).state_dict()) == {
        f"networks.{k}.{name}" for k in range(3) for name in ("0.weight", "0.bias", "2.weight", "2.bias")
    }


def test_fitting_calibrates_each_candidate_and_joins_those_that_err_on_different_rows() -> None:
    """Two candidates are right on different halves of the rows: by their mean, every row is."""
    y = torch.tensor([0, 1] * 20)
    right = torch.nn.functional.one_hot(y, 2).float() * 2 - 1
    weak = torch.where(torch.arange(40).unsqueeze(1) < 20, 3.0, -0.2)
    first, second = right * weak, right * weak.flip(0)
    fitted = combination.fit([first, second], y, categorical=True)
    assert fitted.members == (0, 1)
    assert fitted.combination.temperatures == (fit_temperature(first, y), fit_temperature(second, y))
    answer = fitted.combination.predict([first, second])
    assert (answer.argmax(axis=1) == y.numpy()).all() and fitted.path[-1] == 1.0
    numbers = combination.fit([right, -right], right, categorical=False)
    assert numbers.members == (0,) and numbers.combination.temperatures == (1.0,)
