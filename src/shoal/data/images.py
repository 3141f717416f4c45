"""Folders of images: found by class, decoded one by one into a single array of bytes.

Only formats that decode without running anything are opened. A header that declares more pixels than `limits` allows
is refused before it is decoded, JPEGs are decoded at reduced size where that is enough, and the array of all images
must fit the memory bound.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from shoal.core.errors import InputError
from shoal.core.events import Finding, Task
from shoal.data import codes
from shoal.data.array_checks import of_arrays
from shoal.data.arrays import PARTS, parts_without_class
from shoal.data.dataset import ArrayFeatures, Dataset, fingerprint
from shoal.data.limits import IMAGE_BYTES, IMAGE_PIXELS, LARGEST_SIDE, check_bytes
from shoal.data.schema import Schema
from shoal.data.targets import Target, unequal_classes
from shoal.data.wording import count, listing

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
Mode = Literal["L", "RGB"]
ORIENTATION = 0x0112  # the Exif tag
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "F")


@dataclass(frozen=True)
class Found:
    """Image files below a folder, with the class and the part of the split that their folders name."""

    paths: list[Path]
    labels: list[str] | None
    parts: list[int] | None
    other_files: int


@contextmanager
def _strict_and_quiet() -> Iterator[None]:
    """Pillow's warning of a bomb as an error, its remarks on odd tags not at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


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
    array, mode, size, findings = _read_all(found.paths)
    if found.other_files:
        sentence = f"Ignored: {count(found.other_files, 'file')} without the ending of an image."
        findings.append(Finding(code=codes.OTHER_FILES, sentence=sentence, evidence={"files": found.other_files}))
    features = ArrayFeatures(array)
    findings += [*unequal_classes(classes, np.bincount(target)), *of_arrays(array, "image")]
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


@_strict_and_quiet()
def decode(paths: Sequence[Path], mode: Mode, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Images as one array [N, H, W] or [N, H, W, 3] of the given mode and size (width, height).

    Raises:
        InputError: the first image that cannot be read, or more bytes than the memory bound.
    """
    array = np.empty(_shape(len(paths), mode, size), dtype=np.uint8)
    for row, path in enumerate(paths):
        with _open(path) as image:
            array[row] = _pixels(path, image, mode, size)
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
    """What an image is as stored, turned upright: size, grey or colour, and whether it shows what is behind it."""

    size: tuple[int, int]
    mode: str
    transparent: bool


def _open(path: Path) -> Image.Image:
    """An image with its header read and checked, nothing decoded yet."""
    if not path.is_file():
        raise InputError(f"{path} is no ordinary file; delete it.")  # a pipe would keep the reader waiting
    try:
        with path.open("rb") as file:  # at once: many small reads are slow on some file systems
            data = file.read(IMAGE_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(data) > IMAGE_BYTES:
        raise InputError(f"{path} has more than {IMAGE_BYTES} bytes; reduce it first.")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{path}: the image declares more than {IMAGE_PIXELS} pixels; reduce it first.") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is no readable image ({', '.join(FORMATS)}); mend or delete it.") from error
    except Exception as error:  # a decoder raises whatever its parser stumbles over
        raise _unreadable(path, error) from error
    if image.width * image.height > IMAGE_PIXELS:
        raise InputError(f"{path}: the image declares {image.width}x{image.height} pixels; reduce it first.")
    return image


def _unreadable(path: Path, error: BaseException) -> InputError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return InputError(f"{path} cannot be read as an image ({reason}); mend or delete it.")


def _facts(image: Image.Image) -> Facts:
    turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
    size = (image.height, image.width) if turned else (image.width, image.height)
    mode = image.mode
    if mode in ("P", "PA"):
        palette = np.asarray(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        mode = "L" if (palette == palette[:, :1]).all() else "RGB"
    return Facts(size, mode, "A" in image.getbands() or "transparency" in image.info)


@_strict_and_quiet()
def _read_all(paths: Sequence[Path]) -> tuple[NDArray[np.uint8], Mode, tuple[int, int], list[Finding]]:
    """All images in one mode and one size.

    They are decoded on the first pass as the first of them is stored; those that differ wait until the working form is
    known, and where it is another one, all are decoded once more.
    """
    with _open(paths[0]) as image:
        first = _inspected(paths[0], image)
    mode, size, _ = _working_form([first])
    array = np.empty(_shape(len(paths), mode, size), dtype=np.uint8)
    facts: list[Facts] = []
    others: list[int] = []
    for row, path in enumerate(paths):
        with _open(path) as image:
            facts.append(_inspected(path, image))
            if facts[-1].size == first.size and (facts[-1].mode in GREY_MODES) == (first.mode in GREY_MODES):
                array[row] = _pixels(path, image, mode, size)
            else:
                others.append(row)
    wanted, chosen, findings = _working_form(facts)
    if (wanted, chosen) != (mode, size):
        array = decode(paths, wanted, chosen)
    elif others:
        array[others] = decode([paths[row] for row in others], wanted, chosen)
    return array, wanted, chosen, findings


def _inspected(path: Path, image: Image.Image) -> Facts:
    try:
        return _facts(image)
    except Exception as error:  # as above
        raise _unreadable(path, error) from error


def _shape(rows: int, mode: Mode, size: tuple[int, int]) -> tuple[int, ...]:
    """Of the array of all images, after its bytes were checked."""
    width, height = size
    shape = (rows, height, width) if mode == "L" else (rows, height, width, 3)
    check_bytes(math.prod(shape), f"{rows} images", f"reading them at {width}x{height}")
    return shape


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
        sentence = f"Images of {len(sizes)} sizes, at most {commonest} alike: all resized to {size[0]}x{size[1]}."
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


def _pixels(path: Path, image: Image.Image, mode: Mode, size: tuple[int, int]) -> NDArray[np.uint8]:
    try:
        image.draft(mode, (2 * size[0], 2 * size[1]))  # JPEG only: decodes at a fraction of the size, not below this
        ImageOps.exif_transpose(image, in_place=True)
        plain = _flat(image, mode)
        if plain.size != size:
            plain = plain.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        return np.asarray(plain, dtype=np.uint8)
    except Exception as error:  # as above
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
