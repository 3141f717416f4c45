"""Temperature scaling finds the temperature that was planted."""

from __future__ import annotations

import pytest
import torch

from shoal.ensemble.calibration import fit_temperature, probabilities


@pytest.mark.parametrize("planted", [0.3, 1.0, 4.0])
def test_the_planted_temperature_is_found(planted: float) -> None:
    """Labels drawn from softmax(logits / T): the fit must find T, and no other temperature has a lower loss."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(20_000, 4, generator=generator)
    truth = torch.multinomial(torch.softmax(logits / planted, dim=1), 1, generator=generator).squeeze(1)
    found = fit_temperature(logits, truth)
    assert found == pytest.approx(planted, rel=0.05)

    def loss(temperature: float) -> float:
        chosen = torch.from_numpy(probabilities(logits, temperature))[torch.arange(len(truth)), truth]
        return float(-chosen.log().mean())

    assert loss(found) <= min(loss(found * factor) for factor in (0.9, 0.99, 1.01, 1.1))


def test_a_few_right_answers_do_not_prove_certainty() -> None:
    """Without the prior the temperature would fall to its bound; with more rows it may fall further."""
    logits, truth = torch.eye(3) * 2, torch.arange(3)
    few, many = (fit_temperature(logits.repeat(n, 1), truth.repeat(n)) for n in (5, 500))
    assert 0.3 < few < 1.0
    assert many < few


def test_constant_answers_keep_their_temperature() -> None:
    assert fit_temperature(torch.zeros(9, 3), torch.arange(3).repeat(3)) == pytest.approx(1.0, abs=0.01)
