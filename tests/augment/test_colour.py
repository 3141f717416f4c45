"""Colours against Pillow and colorsys."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from shoal.augment import Augment, Augmentation, Pixels, draws
from shoal.augment.draws import Slot
from tests.oracle import augment_literal as literal

SEED, STEP, B = 2, 0, 12


def uniforms() -> NDArray[np.float64]:
    return draws.uniforms(torch.tensor([SEED]), torch.tensor([STEP]), B)[0].numpy()


def augmented(x: torch.Tensor, augment: Augment, pixels: Pixels | None = None) -> torch.Tensor:
    return Augmentation([augment], "image", x.shape[1:], pixels)(x, torch.tensor([SEED]), torch.tensor([STEP])).inputs


def pictures() -> torch.Tensor:
    """Colours whose changed values stay within 0 and 1, so that nobody clips."""
    return torch.as_tensor(np.random.default_rng(0).uniform(0.3, 0.7, size=(B, 3, 8, 9)))


def factor(u: float, strength: float) -> float:
    return 1 + (2 * u - 1) * strength


@pytest.mark.parametrize("name", ["brightness", "saturation"])
def test_brightness_and_saturation_equal_pillow(name: str) -> None:
    x = pictures()
    got = augmented(x, Augment(**{name: 0.4})).numpy()
    for b, u in enumerate(uniforms()):
        image = np.round(x[b].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        expected = getattr(literal, name)(image, factor(u[Slot[name.upper()]], 0.4)) / 255
        assert np.abs(got[b].transpose(1, 2, 0) - expected).max() < 2.6 / 255  # Pillow rounds bytes, luma twice
        assert abs(factor(u[Slot[name.upper()]], 0.4) - 1) < 0.03 or np.abs(got[b] - x[b].numpy()).max() > 0.01


def test_contrast_is_about_mid_grey() -> None:
    x = pictures()
    got = augmented(x, Augment(contrast=0.4)).numpy()
    for b, u in enumerate(uniforms()):
        expected = literal.contrast(x[b].permute(1, 2, 0).numpy(), factor(u[Slot.CONTRAST], 0.4))
        np.testing.assert_allclose(got[b].transpose(1, 2, 0), expected, atol=1e-12)


def test_hue_turns_the_chroma_as_colorsys_does() -> None:
    x = pictures()
    got = augmented(x, Augment(hue=120)).numpy()
    for b, u in enumerate(uniforms()):
        angle = (2 * u[Slot.HUE] - 1) * 120
        for y, column in np.ndindex(8, 9):
            expected = literal.hue(tuple(x[b, :, y, column].tolist()), angle)
            np.testing.assert_allclose(got[b, :, y, column], expected, atol=0.02)  # its constants have two digits


def test_hue_runs_from_red_over_yellow_to_green() -> None:
    red = torch.tensor([0.6, 0.4, 0.4], dtype=torch.float64).reshape(1, 3, 1, 1).expand(B, 3, 2, 2)
    got = augmented(red, Augment(hue=150))
    for b, u in enumerate(uniforms()):
        hue, *_ = colorsys.rgb_to_hsv(*got[b, :, 0, 0].tolist())
        turned = ((hue * 360 + 180) % 360) - 180
        angle = (2 * u[Slot.HUE] - 1) * 150
        assert abs(turned - angle) < 30  # the plane of chroma is not HSV's hexagon


def test_greys_stay_grey_and_luma_stays() -> None:
    x = pictures()
    luma = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
    got = augmented(x, Augment(hue=180, saturation=1.0))
    torch.testing.assert_close(torch.einsum("c,bchw->bhw", luma, got), torch.einsum("c,bchw->bhw", luma, x))
    grey = x[:, :1].expand(-1, 3, -1, -1)
    torch.testing.assert_close(augmented(grey, Augment(hue=180, saturation=1.0)), grey)


def test_one_matrix_equals_the_operations_one_by_one() -> None:
    x = pictures()
    each = {"brightness": 0.2, "contrast": 0.3, "saturation": 0.5, "hue": 60}
    step = x
    for name, strength in each.items():
        step = augmented(step, Augment(**{name: strength}))
    torch.testing.assert_close(augmented(x, Augment(**each)), step, atol=1e-12, rtol=0)


def test_standardised_inputs_change_as_their_pixels_do() -> None:
    x, mean, std = pictures(), (0.4, 0.5, 0.45), (0.2, 0.25, 0.22)
    shape = (1, 3, 1, 1)
    m, s = (torch.tensor(each, dtype=torch.float64).reshape(shape) for each in (mean, std))
    for augment in (Augment(brightness=0.3, contrast=0.3, saturation=0.5, hue=90), Augment(brightness=0.3)):
        expected = (augmented(x, augment) - m) / s
        torch.testing.assert_close(augmented((x - m) / s, augment, Pixels(mean=mean, std=std)), expected)


def test_one_channel_brightens() -> None:
    x = pictures()[:, :1]
    got = augmented(x, Augment(brightness=0.5, contrast=0.2)).numpy()
    for b, u in enumerate(uniforms()):
        f, c = factor(u[Slot.BRIGHTNESS], 0.5), factor(u[Slot.CONTRAST], 0.2)
        np.testing.assert_allclose(got[b], (x[b].numpy() * f - 0.5) * c + 0.5, atol=1e-12)
