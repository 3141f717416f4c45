"""Geometry against SciPy, one operation at a time and all of them composed."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from shoal.augment import Augment, Augmentation, Pixels, draws
from shoal.augment.draws import Slot
from tests.oracle import augment_literal as literal

SEED, STEP = 11, 3
H, W = 27, 34


def uniforms(samples: int) -> NDArray[np.float64]:
    return draws.uniforms(torch.tensor([SEED]), torch.tensor([STEP]), samples)[0].numpy()


def augmented(x: torch.Tensor, augment: Augment, kind: str = "image", pixels: Pixels | None = None) -> torch.Tensor:
    plan = Augmentation([augment], kind, x.shape[1:], pixels)  # type: ignore[arg-type]
    return plan(x, torch.tensor([SEED]), torch.tensor([STEP])).inputs


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(5).normal(size=shape)).to(dtype)


def either(u: float, strength: float) -> float:
    return (2 * u - 1) * strength


def between(u: float, low: float, high: float) -> float:
    return exp(log(low) + u * (log(high) - log(low)))


LITERAL = {
    "rotate": (Augment(rotate=40), lambda i, u, p: literal.rotate(i, either(u[Slot.ANGLE], 40), p)),
    "scale": (
        Augment(scale=(0.7, 1.6)),
        lambda i, u, p: literal.scale(i, between(u[Slot.SCALE], 0.7, 1.6), p),
    ),
    "shear": (Augment(shear=25), lambda i, u, p: literal.shear(i, either(u[Slot.SHEAR], 25), p)),
    "stretch": (
        Augment(stretch=(0.6, 1.5)),
        lambda i, u, p: literal.stretch(i, between(u[Slot.STRETCH], 0.6, 1.5), p),
    ),
    "distort": (Augment(distort=0.4), lambda i, u, p: literal.distort(i, either(u[Slot.DISTORT], 0.4), p)),
    "crop": (
        Augment(crop=0.5),
        lambda i, u, p: literal.crop(
            i,
            1 - 0.5 * u[Slot.CROP],
            either(u[Slot.CROP_AT], 0.25 * u[Slot.CROP]) * W,
            either(u[Slot.CROP_AT + 1], 0.25 * u[Slot.CROP]) * H,
            p,
        ),
    ),
}


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("name", LITERAL)
def test_an_operation_equals_scipy(name: str, padding: str) -> None:
    augment, oracle = LITERAL[name]
    x = noise(6, 2, H, W)
    got = augmented(x, augment.model_copy(update={"padding": padding})).numpy()
    for b, u in enumerate(uniforms(6)):
        for c in range(2):
            np.testing.assert_allclose(got[b, c], oracle(x[b, c].numpy(), u, padding), atol=1e-9)


def test_nearest_equals_scipy() -> None:
    x = noise(6, 1, H, W)
    got = augmented(x, Augment(rotate=40, interpolation="nearest")).numpy()
    for b, u in enumerate(uniforms(6)):
        np.testing.assert_array_equal(got[b, 0], literal.rotate(x[b, 0].numpy(), either(u[Slot.ANGLE], 40), order=0))


def test_bicubic_equals_the_sixteen_neighbours_one_by_one() -> None:
    x = noise(2, 1, 15, 18)
    got = augmented(x, Augment(rotate=40, interpolation="bicubic")).numpy()
    for b, u in enumerate(uniforms(2)):
        expected = literal.rotate_by_cubic_convolution(x[b, 0].numpy(), either(u[Slot.ANGLE], 40))
        np.testing.assert_allclose(got[b, 0], expected, atol=1e-9)


def test_flips_and_whole_pixels_keep_every_bit() -> None:
    x = noise(40, 3, H, W, dtype=torch.float32)
    got = augmented(x, Augment(hflip=0.5, vflip=0.3, translate=0.2)).numpy()
    seen = set()
    for b, u in enumerate(uniforms(40)):
        dx, dy = round(either(u[Slot.TRANSLATE], 0.2) * W), round(either(u[Slot.TRANSLATE + 1], 0.2) * H)
        image = x[b].numpy()
        image = image[:, :, ::-1] if u[Slot.HFLIP] < 0.5 else image
        image = image[:, ::-1] if u[Slot.VFLIP] < 0.3 else image
        for c in range(3):
            np.testing.assert_array_equal(got[b, c], literal.translate(image[c], dx, dy))
        seen.add((u[Slot.HFLIP] < 0.5, u[Slot.VFLIP] < 0.3))
    assert len(seen) == 4


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_whole_pixels_are_what_the_warp_gives(padding: str) -> None:
    x = noise(12, 2, H, W)
    exact = augmented(x, Augment(hflip=0.5, translate=0.6, padding=padding))  # type: ignore[arg-type]
    through_the_grid = augmented(x, Augment(hflip=0.5, translate=0.6, rotate=1e-12, padding=padding))  # type: ignore[arg-type]
    torch.testing.assert_close(exact, through_the_grid, atol=1e-6, rtol=0)


SEVERAL = Augment(distort=0.1, hflip=0.5, stretch=(0.85, 1.2), shear=12, rotate=25, scale=(0.8, 1.25), crop=0.2)


def smooth(size: int, waves: float) -> NDArray[np.float64]:
    """Waves that fade towards the border, so that nothing is lost outside."""
    y, x = (np.mgrid[:size, :size] - (size - 1) / 2) / (size / 2)
    return np.cos(waves * x) * np.sin(waves * y + 1) * np.exp(-6 * (x**2 + y**2))


def one_by_one(image: NDArray[np.float64], u: NDArray[np.float64], order: int = 1) -> NDArray[np.float64]:
    size, s = len(image), SEVERAL
    kept = 1 - s.crop * u[Slot.CROP]
    image = literal.distort(image, either(u[Slot.DISTORT], s.distort), order=order)
    image = image[:, ::-1] if u[Slot.HFLIP] < 0.5 else image
    image = literal.stretch(image, between(u[Slot.STRETCH], *s.stretch), order=order)
    image = literal.shear(image, either(u[Slot.SHEAR], s.shear), order=order)
    image = literal.rotate(image, either(u[Slot.ANGLE], s.rotate), order=order)
    image = literal.scale(image, between(u[Slot.SCALE], *s.scale), order=order)
    at = [either(u[Slot.CROP_AT + axis], 0.5 * (1 - kept)) * size for axis in (0, 1)]
    return literal.crop(image, kept, *at, order=order)


def test_the_composed_warp_equals_the_operations_one_by_one() -> None:
    image = smooth(96, 4.0)
    got = augmented(torch.as_tensor(image).expand(8, 1, 96, 96), SEVERAL).numpy()
    for b, u in enumerate(uniforms(8)):
        expected = one_by_one(image, u, order=3)  # cubic splines: no visible error of their own
        assert np.abs(got[b, 0] - expected).max() < 0.01 * np.abs(image).max()
        assert np.abs(got[b, 0] - image).max() > 0.1


def test_the_composed_warp_is_sharper() -> None:
    """Energy of neighbouring differences that is left, against cubic splines on fine detail."""
    image = smooth(96, 40.0)
    got = augmented(torch.as_tensor(image).expand(8, 1, 96, 96), SEVERAL).numpy()

    def energy(picture: NDArray[np.float64]) -> float:
        return float((np.diff(picture, axis=0) ** 2).sum() + (np.diff(picture, axis=1) ** 2).sum())

    composed, stepwise = [], []
    for b, u in enumerate(uniforms(8)):
        truth = energy(one_by_one(image, u, order=5))
        composed.append(energy(got[b, 0]) / truth)
        stepwise.append(energy(one_by_one(image, u)) / truth)
    assert all(c > s for c, s in zip(composed, stepwise, strict=True))
    assert np.mean(composed) > 0.75 > 0.5 > np.mean(stepwise)


def test_black_comes_in_from_outside_where_inputs_are_standardised() -> None:
    raw = torch.rand(5, 3, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.4, 0.5, 0.3]), torch.tensor([0.2, 0.3, 0.1])
    shape = (1, 3, 1, 1)
    standard = (raw - mean.reshape(shape)) / std.reshape(shape)
    pixels = Pixels(mean=tuple(mean.tolist()), std=tuple(std.tolist()))
    for augment in (Augment(rotate=45), Augment(translate=0.4)):
        expected = (augmented(raw, augment) - mean.reshape(shape)) / std.reshape(shape)
        torch.testing.assert_close(augmented(standard, augment, pixels=pixels), expected, atol=1e-6, rtol=1e-6)


def test_a_volume_turns_about_a_random_axis_as_scipy_turns_it() -> None:
    x = noise(4, 1, 9, 11, 10)
    got = augmented(x, Augment(rotate=50), "volume").numpy()
    for b, u in enumerate(uniforms(4)):
        z, turn = 2 * u[Slot.AXIS] - 1, 2 * np.pi * u[Slot.AXIS + 1]
        axis = np.array([np.sqrt(1 - z * z) * np.cos(turn), np.sqrt(1 - z * z) * np.sin(turn), z])
        expected = literal.rotate_volume(x[b, 0].numpy(), axis, either(u[Slot.ANGLE], 50))
        np.testing.assert_allclose(got[b, 0], expected, atol=1e-9)


def test_a_volume_is_flipped_along_each_axis_of_its_own() -> None:
    x = noise(64, 2, 4, 5, 6)
    got = augmented(x, Augment(hflip=0.5, vflip=0.5, dflip=0.5), "volume")
    for b, u in enumerate(uniforms(64)):
        axes = [axis for axis, slot in ((3, Slot.HFLIP), (2, Slot.VFLIP), (1, Slot.DFLIP)) if u[slot] < 0.5]
        assert torch.equal(got[b], x[b].flip(axes))


def test_a_signal_shifts_stretches_and_turns_round() -> None:
    x = noise(16, 2, 50)
    shifted = augmented(x, Augment(translate=0.2), "signal")
    stretched = augmented(x, Augment(scale=(0.5, 2.0)), "signal")
    turned = augmented(x, Augment(hflip=0.5), "signal")
    middle = 24.5
    for b, u in enumerate(uniforms(16)):
        steps = round(either(u[Slot.TRANSLATE], 0.2) * 50)
        for c in range(2):
            signal = x[b, c].numpy()
            moved = [signal[t - steps] if 0 <= t - steps < 50 else 0.0 for t in range(50)]
            np.testing.assert_array_equal(shifted[b, c].numpy(), moved)
            padded = np.concatenate([[0.0], signal, [0.0]])
            at = (np.arange(50) - middle) / between(u[Slot.SCALE], 0.5, 2.0) + middle
            expected = np.interp(at + 1, np.arange(52), padded, left=0.0, right=0.0)
            np.testing.assert_allclose(stretched[b, c].numpy(), expected, atol=1e-9)
        assert torch.equal(turned[b], x[b].flip(-1) if u[Slot.HFLIP] < 0.5 else x[b])
