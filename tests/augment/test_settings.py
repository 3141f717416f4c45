"""How people write augmentations, and what they are told."""

from __future__ import annotations

import re

import pytest
import torch

from shoal.augment import PRESETS, Augment, Augmentation, average, crops, of, parse
from shoal.core.errors import InputError


def test_text_is_read_and_written() -> None:
    augment = parse("hflip, rotate=20, scale=0.8:1.25, padding=border")
    assert augment == Augment(hflip=0.5, rotate=20, scale=(0.8, 1.25), padding="border")
    assert parse(str(augment)) == augment
    assert parse("") == Augment() and str(Augment()) == ""
    assert parse("scale=0.1").scale == (1 / 1.1, 1.1)
    assert parse("channel-drop=0.2").channel_drop == 0.2


def test_presets_can_be_changed_and_the_last_one_wins() -> None:
    assert parse("photo") == PRESETS["photo"]
    assert parse("photo,hflip=0") == PRESETS["photo"].model_copy(update={"hflip": 0.0})
    assert parse("rotate=5,drawing").rotate == PRESETS["drawing"].rotate
    assert all(parse(str(preset)) == preset for preset in PRESETS.values())


def test_it_survives_json() -> None:
    assert Augment.model_validate_json(PRESETS["photo-strong"].model_dump_json()) == PRESETS["photo-strong"]


def test_weakened_is_the_identity_at_0_and_itself_at_1() -> None:
    for preset in PRESETS.values():
        assert preset.weakened(0.0).active == ()
        assert preset.weakened(1.0) == preset
    assert Augment(rotate=40).weakened(0.25) == Augment(rotate=10)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("hflop", "augment: there is no operation `hflop`; did you mean `hflip`"),
        ("rotate=abc", "augment: rotate=abc: it must be a number."),
        ("rotate=200", "augment: rotate=200: it must be less than or equal to 180."),
        ("hflip=-0.5", "augment: hflip=-0.5: it must be greater than or equal to 0."),
        ("rotate=nan", "augment: rotate=nan: it must be less than or equal to 180."),
        ("scale=1.2:0.8", "augment: scale=1.2:0.8: the first factor is the smaller one."),
        ("scale=a:b", "augment: scale=a:b: it must be two factors, as in 0.9:1.1."),
        ("padding=mirror", "augment: padding=mirror: use one of zeros, border, reflection."),
        ("padding", "augment: padding needs a value, as in padding=zeros."),
        ({"rotat": 5}, "augment: there is no operation `rotat`; did you mean `rotate`"),
        ({"scale": -1}, "augment: scale=-1: it must not be negative where it is a single number."),
        ({"hflip": "often"}, "augment: hflip=often: it must be a valid number."),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(given: object, sentence: str) -> None:
    with pytest.raises(InputError, match="^" + re.escape(sentence)):
        of(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "kind", "shape", "sentence"),
    [
        (
            "rotate",
            "table",
            (5,),
            "augment: rotate needs neighbours, and the columns of a table have none: leave it out.",
        ),
        ("hue", "image", (1, 8, 8), "augment: hue needs the 3 channels of a colour image; these have 1."),
        ("saturation", "image", (4, 8, 8), "augment: saturation needs the 3 channels of a colour image; these have 4."),
        ("shear", "volume", (1, 4, 4, 4), "augment: shear is for images, not for volumes: leave it out."),
        ("gain", "image", (3, 8, 8), "augment: gain is for signals and volumes, not for images: leave it out."),
        ("hflip", "image", (8, 8), "augment: a sample of kind image has 3 axes, not [8, 8]."),
        (
            "rotate,interpolation=bicubic",
            "volume",
            (1, 4, 4, 4),
            "augment: interpolation=bicubic is for signals and images: use bilinear for volumes.",
        ),
    ],
)
def test_what_means_nothing_for_the_data_is_refused(
    text: str, kind: str, shape: tuple[int, ...], sentence: str
) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        Augmentation([Augment(), parse(text)], kind, shape)  # type: ignore[arg-type]


def test_ten_crops_are_the_corners_the_middle_and_their_mirror_images() -> None:
    x = torch.randn(3, 2, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ten = crops(x, 10, keep=0.5)
    assert ten.shape == (10, *x.shape)
    for number, (top, left) in enumerate([(4, 4), (0, 0), (0, 8), (8, 0), (8, 8)]):
        window = x[:, :, top : top + 8, left : left + 8]
        expected = torch.nn.functional.interpolate(window, size=(16, 16), mode="bilinear", align_corners=False)
        inner = (
            ...,
            slice(1, -1),
            slice(1, -1),
        )  # at a crop's rim the picture goes on, and the resized window does not
        torch.testing.assert_close(ten[number][inner], expected[inner])
        torch.testing.assert_close(ten[number + 5], ten[number].flip(-1))
    assert all(torch.equal(each, x) for each in crops(x, 5, keep=1.0))


def test_answers_are_averaged_as_probabilities() -> None:
    outputs = torch.randn(5, 2, 7, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(average(outputs).softmax(-1), outputs.softmax(-1).mean(0))
    torch.testing.assert_close(average(outputs, categorical=False), outputs.mean(0))


def test_crops_refuse_what_they_cannot_cut() -> None:
    image = torch.zeros(1, 3, 8, 8)
    with pytest.raises(InputError, match="5 or 10 crops, not over 7"):
        crops(image, 7)
    with pytest.raises(InputError, match=r"keep=1\.2"):
        crops(image, 5, keep=1.2)
    with pytest.raises(InputError, match="for images"):
        crops(torch.zeros(2, 5), 5)
