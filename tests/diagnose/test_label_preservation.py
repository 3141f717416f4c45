"""Which augmentations change what the data mean: planted pictures, then real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from shoal.augment import Augment, Pixels, parse
from shoal.core.errors import InputError
from shoal.diagnose import label_preservation as lp

SIDE, EACH = 12, 40


def planted() -> tuple[torch.Tensor, torch.Tensor, tuple[str, ...]]:
    """`top` and `bottom` are each other upside down; `left` is one bar, `right` two bars on the other side."""
    generator = np.random.default_rng(0)
    x = generator.normal(0, 0.25, size=(4 * EACH, 1, SIDE, SIDE)).astype(np.float32)
    y = np.repeat(np.arange(4), EACH)
    for image, label in zip(x[:, 0], y, strict=True):
        jitter = int(generator.integers(-1, 2))
        if label < 2:
            row = (2 if label == 0 else SIDE - 3) + jitter
            image[row - 1 : row + 2, 3:9] += 2.0
        elif label == 2:
            image[:, 2 + jitter] += 2.0
        else:
            image[:, [8 + jitter, 10 + jitter]] += 2.0
    return torch.from_numpy(x), torch.from_numpy(y), ("top", "bottom", "left", "right")


@pytest.fixture(scope="module")
def judged() -> dict[str, lp.Preservation]:
    x, y, classes = planted()
    asked = lp.apart(parse("hflip,vflip,rotate=180,brightness=0.1"))
    effort = lp.Effort(rows=250, probes=1, steps=60)
    return {each.operation: each for each in lp.judge(x, y, classes, "image", asked, effort=effort)}


def test_what_turns_one_class_into_another_is_excluded(judged: dict[str, lp.Preservation]) -> None:
    found = judged["vflip"]
    assert found.action == "exclude" and found.verdict.code == "SHL403"
    pairs = {(pair.of, pair.taken_for) for pair in found.answers[0].harmful}
    assert pairs == {("top", "bottom"), ("bottom", "top")}
    for pair in found.answers[0].harmful:
        assert pair.moved > 0.8 and pair.stays > 0.2
        assert pair.moved_interval[0] < pair.moved < pair.moved_interval[1]
        assert pair.rows == EACH
    assert "top for bottom" in found.verdict.sentence


def test_what_only_looks_so_because_it_is_unfamiliar_is_kept(judged: dict[str, lp.Preservation]) -> None:
    """A bar on the other side is taken for the two bars there, until a probe has seen it."""
    found = judged["hflip"]
    assert [(pair.of, pair.taken_for) for pair in found.answers[0].pairs if pair.moved > 0.3]
    assert found.action == "keep" and found.verdict.code == "SHL401"
    assert "unfamiliar" in found.verdict.sentence


def test_two_flips_are_also_judged_together(judged: dict[str, lp.Preservation]) -> None:
    assert judged["turn"].action == "exclude"


def test_a_range_is_weakened_to_what_is_harmless(judged: dict[str, lp.Preservation]) -> None:
    found = judged["rotate"]
    assert found.action == "weaken" and found.verdict.code == "SHL402"
    assert 0 < found.kept.rotate < 180
    assert found.answers[0].strength.rotate == 180
    assert f"At rotate={found.kept.rotate:g} it does not" in found.verdict.sentence


def test_what_moves_nothing_costs_no_second_probe(judged: dict[str, lp.Preservation]) -> None:
    found = judged["brightness"]
    assert found.action == "keep" and found.answers[0].pairs == ()


def test_the_augmentation_that_is_left(judged: dict[str, lp.Preservation]) -> None:
    asked = parse("hflip,vflip,rotate=180,brightness=0.1,mixup=0.3,padding=border")
    left = lp.allowed(asked, list(judged.values()))
    kept = judged["rotate"].kept.rotate
    assert left == Augment(hflip=0.5, rotate=kept, brightness=0.1, mixup=0.3, padding="border")


def test_operations_apart() -> None:
    found = lp.apart(parse("hflip=0.3,rotate=10,mixup,cutout,padding=border"))
    assert found == {
        "hflip": Augment(hflip=0.3, padding="border"),
        "rotate": Augment(rotate=10, padding="border"),
    }
    assert lp.apart(Augment()) == {}


def test_a_table_and_a_single_class_are_refused() -> None:
    x, y, classes = planted()
    with pytest.raises(InputError, match="signals, images and volumes"):
        next(lp.judge(x, y, classes, "table", {}))
    with pytest.raises(InputError, match="at least two classes"):
        next(lp.judge(x[:EACH], y[:EACH], classes, "image", {}))


def standardised(x: np.ndarray) -> tuple[torch.Tensor, Pixels]:
    mean, std = x.mean(axis=(0, 2, 3)), x.std(axis=(0, 2, 3))
    shape = (1, -1, 1, 1)
    pixels = Pixels(mean=tuple(map(float, mean)), std=tuple(map(float, std)))
    return torch.from_numpy(((x - mean.reshape(shape)) / std.reshape(shape)).astype(np.float32)), pixels


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_flips_and_half_turns_are_flagged_on_digits() -> None:
    digits = load_digits()
    x, pixels = standardised(digits.images[:, None] / 16)
    asked = lp.apart(parse("hflip,vflip"))
    classes = [str(number) for number in range(10)]
    y = torch.from_numpy(digits.target.astype(np.int64))
    found = {each.operation: each for each in lp.judge(x, y, classes, "image", asked, pixels=pixels)}
    assert {name: each.action for name, each in found.items()} == dict.fromkeys(("hflip", "vflip", "turn"), "exclude")
    turned = {(pair.of, pair.taken_for) for pair in found["turn"].answers[0].harmful}
    assert {("6", "9"), ("9", "6")} <= turned


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10_small"])
def test_mirroring_passes_on_clothes_and_photographs(name: str, shared_data: Path) -> None:
    with np.load(shared_data / f"{name}.npz", allow_pickle=False) as archive:
        raw, y = archive["x_train"][:4000], torch.from_numpy(archive["y_train"][:4000].astype(np.int64))
    images = raw[:, None] if raw.ndim == 3 else raw.transpose(0, 3, 1, 2)
    x, pixels = standardised(images / np.float32(255))
    classes = [str(number) for number in range(10)]
    (found,) = lp.judge(x, y, classes, "image", {"hflip": Augment(hflip=0.5)}, pixels=pixels)
    assert found.action == "keep", found.verdict
