"""`shoal bench augment`: augmentation with settings drawn for each sample, against kornia and torchvision v2.

The same operations at the same strengths on the same batch of colour images: `warp` rotates, translates, scales and
shears; `geometry` also flips and crops; `colour` changes brightness, contrast, saturation and hue; `all` does all of
that and blanks a box. Shoal composes the geometric ones into one interpolation and the colours into one matrix, its
peers apply one after the other. kornia draws for each sample by itself; torchvision's transforms draw once a call, so
they are called sample by sample. `quick`: 32 pixels alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from shoal.augment import Augment, Augmentation, draws
from shoal.augment.draws import Slot
from shoal.bench.case import Case
from shoal.bench.timing import against, clocked, not_installed
from shoal.core.errors import RunError

TARGET = 2.0
SIZES = {28: 128, 32: 128, 64: 64, 224: 16}  # pixels: images in a batch
WARP = {"rotate": 15.0, "translate": 0.1, "scale": (0.9, 1.1), "shear": 8.0}
GEOMETRY = WARP | {"hflip": 0.5, "vflip": 0.5, "crop": 0.2}
COLOUR = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 18.0}
TASKS: dict[str, dict[str, Any]] = {
    "warp": WARP,
    "geometry": GEOMETRY,
    "colour": COLOUR,
    "all": GEOMETRY | COLOUR | {"cutout": 0.3},
}
Change = Callable[[Tensor], Tensor]
SEEDS = torch.tensor([0])


def cases(quick: bool) -> Iterator[Case]:
    """Every task at every size.

    Args:
        quick: one size, few repeats.

    Raises:
        RunError: a peer turns an image otherwise than Shoal, so that nothing could be compared.
    """
    missing = {"kornia": not_installed("kornia"), "torchvision v2": _torchvision_is_missing()}
    makers = {"kornia": _kornia, "torchvision v2": _torchvision}
    repeats = 3 if quick else 9
    for size, count in SIZES.items():
        if quick and size != 32:
            continue
        x = torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(size))
        if not missing["kornia"]:
            _check_agreement(x)
        for task, strengths in TASKS.items():
            name = f"{task}, {count} images of {size} pixels"
            peers = {peer: make(task, size) for peer, make in makers.items() if not missing[peer]}
            for peer, reason in missing.items():
                if reason:
                    yield Case.missing(name, peer, reason, TARGET)
            yield from against(
                name,
                clocked(_ours(strengths, x)),
                {peer: clocked(partial(change, x)) for peer, change in peers.items()},
                repeats,
                targets=dict.fromkeys(peers, TARGET),
            )


def _ours(strengths: dict[str, Any], x: Tensor) -> Callable[[], Tensor]:
    plan, step = Augmentation([Augment(**strengths)], "image", x.shape[1:]), torch.tensor([0])

    def change() -> Tensor:
        step.add_(1)
        return plan(x, SEEDS, step).inputs

    return change


def _kornia(task: str, size: int) -> Change:
    import kornia.augmentation as K

    affine = K.RandomAffine(15.0, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=(-8.0, 8.0), p=1.0)
    flips = [K.RandomHorizontalFlip(p=0.5), K.RandomVerticalFlip(p=0.5)]
    crop = K.RandomResizedCrop((size, size), scale=(0.64, 1.0), ratio=(1.0, 1.0), p=1.0, cropping_mode="resample")
    colour = K.ColorJitter(0.2, 0.2, 0.2, 0.05, p=1.0)
    erase = K.RandomErasing(scale=(0.09, 0.09001), ratio=(1.0, 1.0001), p=1.0)
    geometry = [*flips, affine, crop]
    chosen = {"warp": [affine], "geometry": geometry, "colour": [colour], "all": [*geometry, colour, erase]}[task]
    sequence: Change = torch.nn.Sequential(*chosen)
    return sequence


def _torchvision(task: str, size: int) -> Change:
    transforms = import_module("torchvision.transforms")
    v2 = transforms.v2

    how = transforms.InterpolationMode.BILINEAR
    affine = v2.RandomAffine(15.0, translate=(0.1, 0.1), scale=(0.9, 1.1), shear=(-8.0, 8.0), interpolation=how)
    flips = [v2.RandomHorizontalFlip(0.5), v2.RandomVerticalFlip(0.5)]
    crop = v2.RandomResizedCrop((size, size), scale=(0.64, 1.0), ratio=(1.0, 1.0), antialias=False)
    colour = v2.ColorJitter(0.2, 0.2, 0.2, 0.05)
    erase = v2.RandomErasing(p=1.0, scale=(0.09, 0.09001), ratio=(1.0, 1.0001))
    geometry = [*flips, affine, crop]
    chosen = {"warp": [affine], "geometry": geometry, "colour": [colour], "all": [*geometry, colour, erase]}[task]
    one = v2.Compose(chosen)
    return lambda x: torch.stack([one(image) for image in x])


def _torchvision_is_missing() -> str:
    """Why torchvision cannot be used, or nothing.

    Beside a torch for the CPU its compiled operators do not load, and the import fails on their names. The transforms
    need none of them: those names are declared, and the import is tried again.
    """
    if reason := not_installed("torchvision"):
        return reason
    import sys

    for _ in range(8):
        try:
            import_module("torchvision.transforms.v2")
        except RuntimeError as error:
            found = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if found is None:
                return f"torchvision cannot be imported: {error}"
            torch.library.define(f"torchvision::{found[1]}", "(Tensor input) -> Tensor")
            for name in [name for name in sys.modules if name.startswith("torchvision")]:
                del sys.modules[name]
        else:
            return ""
    return "torchvision cannot be imported: too many of its operators are missing"


def _check_agreement(x: Tensor) -> None:
    """Turned by the same angles, the images must be the same."""
    from kornia.geometry.transform import rotate

    ours = Augmentation([Augment(rotate=30.0)], "image", x.shape[1:])(x, SEEDS, torch.tensor([0])).inputs
    u = draws.uniforms(SEEDS, torch.tensor([0]), len(x))[0, :, Slot.ANGLE]
    theirs = rotate(x, ((2.0 * u - 1.0) * 30.0).to(x.dtype), align_corners=True)
    away = float((ours - theirs).abs().max())
    if not away < 1e-3:
        raise RunError(f"kornia and Shoal turn an image differently, by up to {away:.3g}: nothing can be compared.")
