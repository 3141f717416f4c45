"""Temperature scaling finds the temperature that was planted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression

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
        chosen = probabilities(logits, temperature)[torch.arange(len(truth)), truth]
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


def overconfident(seed: int, apart: float, validation: int) -> tuple[torch.Tensor, ...]:
    """Logits of a model that fits 240 rows of three normal classes as perfectly as it can, on validation and new rows.

    Args:
        seed: of the rows.
        apart: standard deviations from the origin to each class, along an axis of its own.
        validation: rows; 3000 new ones come with them.
    """
    rng = np.random.default_rng(seed)

    def rows(number: int) -> tuple[np.ndarray, np.ndarray]:
        y = np.arange(number) % 3
        return apart * np.eye(4)[y] + rng.normal(size=(number, 4)), y

    fitted = LogisticRegression(C=10_000, max_iter=150).fit(*rows(240))
    parts = []
    for number in (validation, 3000):
        x, y = rows(number)
        parts += [torch.from_numpy(fitted.decision_function(x)), torch.from_numpy(y)]
    return tuple(parts)


def by_prior_alone(logits: torch.Tensor, truth: torch.Tensor) -> float:
    """The likeliest temperature with log T ~ N(0, 0.5^2) and no row that was not seen."""

    def loss(log_temperature: float) -> float:
        likelihood = torch.nn.functional.cross_entropy(logits / np.exp(log_temperature), truth, reduction="sum")
        return float(likelihood) + log_temperature**2 / (2 * 0.5**2)

    return float(np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded").x))


def log_loss(logits: torch.Tensor, truth: torch.Tensor, temperature: float) -> float:
    chosen = probabilities(logits, temperature).numpy()[np.arange(len(truth)), truth.numpy()]
    return float(-np.log(np.clip(chosen, 1e-12, None)).mean())


@pytest.mark.filterwarnings("ignore")  # of a fit that does not end: the classes can be separated
def test_with_few_or_perfect_rows_fresh_rows_lose_less_than_by_a_prior_alone() -> None:
    """Over 16 simulated tables whose 52 validation rows are mostly all right; the mean gain is beyond its own noise."""
    gains = []
    for seed in range(16):
        logits, truth, new, new_truth = overconfident(seed, 4.0, 52)
        before, now = by_prior_alone(logits, truth), fit_temperature(logits, truth)
        gains.append(log_loss(new, new_truth, before) - log_loss(new, new_truth, now))
    assert np.mean(gains) > 2 * np.std(gains) / np.sqrt(len(gains)) > 0
    assert np.mean(gains) > 0.01


@pytest.mark.filterwarnings("ignore")
def test_with_many_rows_nothing_changes() -> None:
    for seed, apart in ((0, 3.0), (1, 3.0), (2, 2.0)):
        logits, truth, new, new_truth = overconfident(seed, apart, 1200)
        losses = [log_loss(new, new_truth, fit(logits, truth)) for fit in (by_prior_alone, fit_temperature)]
        assert losses[1] == pytest.approx(losses[0], abs=0.002)


@pytest.mark.parametrize("rows", [3, 30, 300])
def test_however_sure_the_network_right_answers_do_not_prove_certainty(rows: int) -> None:
    """All right and sure of it, 1 - 1e-5. About 0.17 of a row is expected to be wrong all the same, and of few rows the
    prior says that temperatures are near 1; by that prior alone the doubt would be 1e-5 still."""
    logits, truth = 12 * torch.eye(3).repeat(rows // 3, 1), torch.arange(3).repeat(rows // 3)
    doubt = 1 - probabilities(logits, fit_temperature(logits, truth)).amax(dim=1).mean().item()
    assert 0.1 < doubt / (0.25 * 2 / 3 / (rows + 0.25)) < 1.5
    assert doubt > 30 * (1 - probabilities(logits, by_prior_alone(logits, truth)).amax(dim=1).mean().item())
