"""Folders of images: found by class, decoded one by one into a single array of bytes.

Only formats that decode without running anything are opened. A header that declares more pixels than `limits` allows is
refused before it is decoded, JPEGs are decoded at reduced size where that is enough, and the array of all images must fit
the memory bound.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from shoal.core.errors import InputError
from shoal.core.events import Finding, Task
from shoal.data import codes
from shoal.data.arrays import PARTS, parts_without_class
from shoal.data.dataset import ArrayFeatures, Dataset, fingerprint
from shoal.data.limits import IMAGE_PIXELS, LARGEST_SIDE, check_bytes
from shoal.data.schema import Schema
from shoal.data.targets import Target
from shoal.data.wording import count, listing

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
Mode = Literal["L", "RGB"]
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "F")


@dataclass(frozen=True)
class Found:
    """Image files below a folder, with the class and the part of the split that their folders name."""

    paths: list[Path]
    labels: list[str] | None
    parts: list[int] | None
    other_files: int


def folder_dataset(folder: Path, *, name: str, task: Task | None = None) -> Dataset:
    """Images in class folders, with or without train/, val/ and test/ above them.

    Raises:
        InputError: no class folders, a class folder without images, an image that cannot be read.
    """
    if task == "regression":
        raise InputError(f"{folder}: class folders give classes, not values; leave out the task.")
    found = find_images(folder)
    if found.labels is None:
        raise InputError(
            f"{folder} holds images and no class folders; put the images of each class into a folder of its name."
        )
    classes = tuple(sorted(set(found.labels)))
    if len(classes) < 2:
        raise InputError(f"{folder}: one class only, {classes[0]!r}; there is nothing to tell apart.")
    counts = Counter(found.labels)
    single = [label for label in classes if counts[label] == 1]
    if single:
        raise InputError(
            f"{folder}: {listing(single, 4)}: a class with a single image; give more, or delete the folder."
        )
    lookup = {label: code for code, label in enumerate(classes)}
    target = np.asarray([lookup[label] for label in found.labels], dtype=np.int64)
    split = None if found.parts is None else np.asarray(found.parts, dtype=np.int8)
    uneven = parts_without_class(Target(target, "classification", classes), split, str(folder))
    facts = [_inspect(path) for path in found.paths]
    mode, size, findings = _working_form(facts)
    array = decode(found.paths, mode, size)
    if found.other_files:
        sentence = f"{count(found.other_files, 'file')} that {'is no image was' if found.other_files == 1 else 'are no images were'} ignored."
        findings.append(Finding(code=codes.OTHER_FILES, sentence=sentence, evidence={"files": found.other_files}))
    features = ArrayFeatures(array)
    return Dataset(
        name=name,
        source=str(folder),
        kind="image",
        task="classification",
        features=features,
        target=target,
        classes=classes,
        target_name="folder",
        schema=Schema(
            kind="image",
            task="classification",
            classes=classes,
            shape=array.shape[1:],
            image_mode=mode,
            image_size=size,
        ),
        findings=(*findings, *uneven),
        given_split=split,
        time=None,
        group=None,
        content_hash=fingerprint(features, target, split),
    )


def find_images(folder: Path) -> Found:
    """Image files below a folder, in the order of their names.

    Raises:
        InputError: no images at all, a class folder without any.
    """
    below = _folders(folder)
    by_name = {path.name.lower(): path for path in below}
    parts = {part: by_name[name] for part, names in PARTS.items() for name in names if name in by_name}
    if 0 in parts and all(path in parts.values() for path in below):
        found = [(part, _classes_in(path)) for part, path in parts.items()]
        found = [(part, classes) for part, classes in found if classes]
        if not found or found[0][0] != 0:
            raise InputError(
                f"{parts[0]} holds no class folders; put the images of each class into a folder of its name."
            )
        return _joined(found, folder)
    if 0 not in parts and parts and all(path in parts.values() for path in below):
        raise InputError(f"{folder} holds {listing(path.name for path in below)} and no train folder; add one.")
    classes = _classes_in(folder)
    if classes:
        return _joined([(None, classes)], folder)
    loose, others = _images_below(folder)
    if not loose:
        raise InputError(f"{folder} holds no images ({listing(ENDINGS, 20)}).")
    return Found(loose, None, None, others)


def decode(paths: Sequence[Path], mode: Mode, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Images as one array [N, H, W] or [N, H, W, 3] of the given mode and size (width, height).

    Raises:
        InputError: the first image that cannot be read, or more bytes than the memory bound.
    """
    width, height = size
    shape = (len(paths), height, width) if mode == "L" else (len(paths), height, width, 3)
    check_bytes(int(np.prod(shape, dtype=np.int64)), f"{len(paths)} images", f"reading them at {width}x{height}")
    array = np.empty(shape, dtype=np.uint8)
    for row, path in enumerate(paths):
        array[row] = _pixels(path, mode, size)
    return array


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _images_below(folder: Path) -> tuple[list[Path], int]:
    images: list[Path] = []
    others = 0
    for root, names, files in os.walk(folder):
        names[:] = sorted(name for name in names if not name.startswith((".", "__")))
        for file in sorted(files):
            if file.lower().endswith(ENDINGS) and not file.startswith("."):
                images.append(Path(root, file))
            else:
                others += not file.startswith(".")
    return images, others


def _classes_in(folder: Path) -> dict[str, tuple[list[Path], int]]:
    found = {path.name: _images_below(path) for path in _folders(folder)}
    if found and not any(images for images, _ in found.values()):
        raise InputError(f"{folder} holds folders and none of them holds images ({listing(ENDINGS, 20)}).")
    for name, (images, _) in found.items():
        if not images:
            raise InputError(f"{folder / name}: a class folder without images; fill it or delete it.")
    return found


def _joined(found: Sequence[tuple[int | None, dict[str, tuple[list[Path], int]]]], folder: Path) -> Found:
    paths: list[Path] = []
    labels: list[str] = []
    parts: list[int] = []
    others = sum(path.is_file() and not path.name.startswith(".") for path in folder.iterdir())
    for part, classes in found:
        for label, (images, ignored) in classes.items():
            paths += images
            labels += [label] * len(images)
            parts += [part or 0] * len(images)
            others += ignored
    return Found(paths, labels, None if found[0][0] is None else parts, others)


@dataclass(frozen=True)
class Facts:
    """What an image's header says, plus whether it can show what is behind it."""

    size: tuple[int, int]
    mode: str
    transparent: bool


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: the image declares more than {IMAGE_PIXELS} pixels; reduce it first.") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is no readable image ({', '.join(FORMATS)}); mend or delete it.") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise _unreadable(path, error) from error
    if image.width * image.height > IMAGE_PIXELS:
        image.close()
        raise InputError(f"{path}: the image declares {image.width}x{image.height} pixels; reduce it first.")
    return image


def _unreadable(path: Path, error: BaseException) -> InputError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return InputError(f"{path} cannot be read as an image ({reason}); mend or delete it.")


def _inspect(path: Path) -> Facts:
    with _open(path) as image:
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        size = (image.height, image.width) if turned else (image.width, image.height)
        mode = image.mode
        if mode in ("P", "PA"):
            palette = np.asarray(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
            mode = "L" if (palette == palette[:, :1]).all() else "RGB"
        return Facts(size, mode, "A" in image.getbands() or "transparency" in image.info)


def _working_form(facts: list[Facts]) -> tuple[Mode, tuple[int, int], list[Finding]]:
    """One mode and one size for all: the commonest size if half of the images have it, else the median of the sides."""
    findings: list[Finding] = []
    modes = Counter(fact.mode for fact in facts)
    mode: Mode = "L" if all(each in GREY_MODES for each in modes) else "RGB"
    transparent = sum(fact.transparent for fact in facts)
    if (
        len({"L" if each in GREY_MODES else "RGB" for each in modes}) > 1
        or transparent
        or set(modes) - {"1", "L", "RGB"}
    ):
        parts = [f"{number} {each}" for each, number in modes.most_common()]
        over = f", {transparent} of them with transparency, laid over white" if transparent else ""
        sentence = f"Images of several modes ({listing(parts)}){over}: read as {'grey' if mode == 'L' else 'RGB'}."
        findings.append(
            Finding(
                code=codes.IMAGE_MODES, sentence=sentence, evidence={"modes": dict(modes), "transparent": transparent}
            )
        )
    sizes = Counter(fact.size for fact in facts)
    size, commonest = sizes.most_common(1)[0]
    if len(sizes) > 1:
        if commonest < 0.5 * len(facts):
            sides = np.median(np.asarray([fact.size for fact in facts]), axis=0)
            size = (max(1, int(sides[0])), max(1, int(sides[1])))
        sentence = f"Images of {len(sizes)} sizes, {commonest} of {len(facts)} being {sizes.most_common(1)[0][0]}: all resized to {size[0]}x{size[1]}."
        findings.append(
            Finding(code=codes.IMAGE_SIZES, level="warning", sentence=sentence, evidence={"sizes": len(sizes)})
        )
    if max(size) > LARGEST_SIDE:
        scale = LARGEST_SIDE / max(size)
        was, size = size, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        sentence = f"Images of {was[0]}x{was[1]} pixels were reduced to {size[0]}x{size[1]}."
        findings.append(
            Finding(code=codes.IMAGE_REDUCED, sentence=sentence, evidence={"from": list(was), "to": list(size)})
        )
    return mode, size, findings


def _pixels(path: Path, mode: Mode, size: tuple[int, int]) -> NDArray[np.uint8]:
    with _open(path) as image:
        try:
            image.draft(
                mode, (2 * size[0], 2 * size[1])
            )  # JPEG only: decodes at a fraction of the size, not below this
            plain = _flat(ImageOps.exif_transpose(image), mode)
            if plain.size != size:
                plain = plain.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
            return np.asarray(plain, dtype=np.uint8)
        except (OSError, ValueError, SyntaxError, EOFError, MemoryError, Image.DecompressionBombError) as error:
            raise _unreadable(path, error) from error


def _flat(image: Image.Image, mode: Mode) -> Image.Image:
    """The image in 8 bits a channel, transparency laid over white."""
    if image.mode == mode:
        return image
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more: by their full range, not clipped at 255
        values = np.asarray(image, dtype=np.float64)
        top = 255.0 if values.max(initial=0) <= 255 else 65535.0
        image = Image.fromarray(np.clip(values * 255.0 / top, 0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return image.convert(mode)
