"""Cutout, mixup, cutmix, channel drop, gain and noise against literal versions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from shoal.augment import Augment, Augmentation, draws
from shoal.augment.draws import Slot
from tests.oracle import augment_literal as literal

SEEDS, STEPS = torch.tensor([6]), torch.tensor([4])
SHAPE = (2, 11, 14)


def batch(samples: int = 30) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(3).normal(size=(samples, *SHAPE)))


@pytest.mark.parametrize("share", [0.2, 0.55, 1.0])
def test_cutout_equals_loops(share: float) -> None:
    x = batch()
    got = Augmentation([Augment(cutout=share)], "image", SHAPE)(x, SEEDS, STEPS).inputs.numpy()
    for b, u in enumerate(draws.uniforms(SEEDS, STEPS, 30)[0].numpy()):
        expected = literal.cutout(x[b].numpy(), share, u[Slot.CUTOUT], u[Slot.CUTOUT + 1])
        np.testing.assert_array_equal(got[b], expected)


def test_mixup_equals_the_literal_version() -> None:
    x = batch()
    seen = Augmentation([Augment(mixup=0.4)], "image", SHAPE)(x, SEEDS, STEPS)
    assert seen.partner is not None and seen.lam is not None
    partner, lam = seen.partner[0].numpy(), seen.lam[0].numpy()
    assert sorted(partner) == list(range(30))
    np.testing.assert_allclose(seen.inputs.numpy(), literal.mixup(x.numpy(), partner, lam), atol=1e-14)
    assert ((lam > 0) & (lam < 1)).all() and lam.std() > 0.1


def test_cutmix_equals_the_literal_version() -> None:
    x = batch()
    seen = Augmentation([Augment(cutmix=1.0)], "image", SHAPE)(x, SEEDS, STEPS)
    assert seen.partner is not None and seen.lam is not None
    u = draws.uniforms(SEEDS, STEPS, 30)[0].numpy()
    beta = draws.beta(SEEDS, STEPS, 30, torch.ones(1, 30, dtype=torch.float64))[0].numpy()
    mixed, lam = literal.cutmix(x.numpy(), seen.partner[0].numpy(), beta, u[:, Slot.CUTMIX], u[:, Slot.CUTMIX + 1])
    np.testing.assert_array_equal(seen.inputs.numpy(), mixed)
    np.testing.assert_allclose(seen.lam[0].numpy(), lam, atol=1e-14)
    assert 0.3 < lam.mean() < 0.95


def test_mixup_and_cutmix_take_turns() -> None:
    x = batch(200)
    both = Augmentation([Augment(cutmix=1.0, mixup=1.0)], "image", SHAPE)(x, SEEDS, STEPS)
    alone = [
        Augmentation([augment], "image", SHAPE)(x, SEEDS, STEPS)
        for augment in (Augment(cutmix=1.0), Augment(mixup=1.0))
    ]
    pasted = draws.uniforms(SEEDS, STEPS, 200)[0, :, Slot.MIX_KIND] < 0.5
    assert 70 < int(pasted.sum()) < 130
    assert both.lam is not None
    for sample in range(200):
        one = alone[0] if pasted[sample] else alone[1]
        assert one.lam is not None
        assert torch.equal(both.inputs[sample], one.inputs[sample])
        assert both.lam[0, sample] == one.lam[0, sample]


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 4.0])
def test_lambda_has_the_beta_distribution(alpha: float) -> None:
    n = 20_000
    lam = draws.beta(SEEDS, STEPS, n, torch.full((1, n), alpha, dtype=torch.float64))[0].numpy()
    lower = lam[lam < 0.5]  # near 1 there are fewer floating-point numbers than a small alpha asks for
    assert abs(len(lower) / n - 0.5) < 0.015
    assert stats.kstest(lower, lambda at: 2 * stats.beta(alpha, alpha).cdf(at)).pvalue > 1e-3
    assert stats.kstest(lower, lambda at: 2 * stats.beta(alpha * 1.3, alpha * 1.3).cdf(at)).pvalue < 1e-3


def test_the_loss_of_mixed_labels_is_the_loss_of_mixed_targets() -> None:
    """It is the cross-entropy against lam onehot(y) + (1 - lam) onehot(y[partner])."""
    x, y = batch(), torch.arange(30) % 4
    seen = Augmentation([Augment(mixup=1.0)], "image", SHAPE)(x, SEEDS, STEPS)
    assert seen.partner is not None and seen.lam is not None
    logits = torch.as_tensor(np.random.default_rng(0).normal(size=(30, 4)))
    lam, other = seen.lam[0], y[seen.partner[0]]
    ce = torch.nn.functional.cross_entropy
    mixed = lam * ce(logits, y, reduction="none") + (1 - lam) * ce(logits, other, reduction="none")
    onehot = torch.nn.functional.one_hot
    soft = lam[:, None] * onehot(y, 4) + (1 - lam)[:, None] * onehot(other, 4)
    torch.testing.assert_close(mixed, ce(logits, soft, reduction="none"))


def test_gain_channel_drop_and_noise() -> None:
    x = torch.as_tensor(np.random.default_rng(0).normal(size=(2000, 3, 20)))
    u = draws.uniforms(SEEDS, STEPS, 2000)[0]
    gained = Augmentation([Augment(gain=0.3)], "signal", (3, 20))(x, SEEDS, STEPS).inputs
    torch.testing.assert_close(gained, x * (1 + (2 * u[:, Slot.GAIN] - 1) * 0.3)[:, None, None])
    dropped = Augmentation([Augment(channel_drop=0.25)], "signal", (3, 20))(x, SEEDS, STEPS).inputs
    gone = (dropped == 0).all(dim=-1)
    assert torch.equal(dropped[~gone], x[~gone])
    assert abs(float(gone.double().mean()) - 0.25) < 0.03
    noisy = Augmentation([Augment(noise=0.5)], "signal", (3, 20))(x, SEEDS, STEPS).inputs - x
    assert stats.kstest(noisy.flatten().numpy(), stats.norm(0, 0.5).cdf).pvalue > 1e-3
