"""Image files decoded one by one into a single array, and folders of them to a `Dataset`.

Only formats that decode without running anything are opened. A header that declares more pixels than `limits` allows
is refused before it is decoded, JPEGs are decoded at reduced size where that is enough, and the array of all images
must fit the memory bound.
"""

from __future__ import annotations

import io
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import JsonValue

from shoal.core import process
from shoal.core.errors import InputError
from shoal.core.events import Finding, TaskType
from shoal.core.wording import count, listing
from shoal.data import codes
from shoal.data.array_checks import of_arrays
from shoal.data.arrays import parts_without_class
from shoal.data.dataset import ArrayFeatures, Dataset, fingerprint
from shoal.data.depth import Ends, bits_of, ends, mapped
from shoal.data.image_folders import FoundImages, about_classes, find_images, images_below, passed_over, unwrapped
from shoal.data.limits import IMAGE_BYTES, IMAGE_PIXELS, LARGEST_SIDE, check_bytes
from shoal.data.schema import Schema
from shoal.data.targets import Target, unequal_classes

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
Mode = Literal["L", "RGB"]
ORIENTATION = 0x0112  # the Exif tag
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")


@contextmanager
def _strict_and_quiet() -> Iterator[None]:
    """Pillow's warning of a bomb as an error, its remarks on odd tags not at all."""
    with process.warning_filters():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def folder_dataset(folder: Path, *, name: str, task: TaskType | None = None) -> Dataset:
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
    array, mode, size, onto, findings = _read_all(found.paths)
    findings += [*passed_over(found), *about_classes(found)]
    findings += _beside_the_classes(folder, found)
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
            image_depth=array.dtype.name,
            ends=onto,
        ),
        findings=(*findings, *uneven),
        given_split=split,
        time=None,
        group=None,
        content_hash=fingerprint(features, target, split),
    )


@_strict_and_quiet()
def decode(
    paths: Sequence[Path], mode: Mode, size: tuple[int, int], depth: str = "uint8", onto: Ends = (0.0, 255.0)
) -> tuple[NDArray[np.generic], list[ImageFacts]]:
    """Images as one array [N, H, W] or [N, H, W, 3] of the given mode, size (width, height), depth and range.

    Raises:
        InputError: the first image that cannot be read, or more bytes than the memory bound.
    """
    dtype = np.dtype(depth)
    array = np.empty(_shape(len(paths), mode, size, dtype), dtype=dtype)
    facts: list[ImageFacts] = []
    for row, path in enumerate(paths):
        with _open(path) as image:
            read = _pixels(path, image, mode, size)
            facts.append(read.seen_in(_inspected(path, image)))
            array[row] = mapped(read.pixels, dtype, onto, str(path))
    return array, facts


def _beside_the_classes(folder: Path, found: FoundImages) -> list[Finding]:
    """What is to be said of images without a class, and of a folder around the class folders."""
    findings = []
    for part in found.loose:
        images, _ = images_below(part)
        sentence = (
            f"{part} holds {count(len(images), 'image')} without class folders: they have no answers and stay out."
        )
        evidence: dict[str, JsonValue] = {"folder": part.name, "images": len(images)}
        fix = f"predict them with the trained model: shoal predict RUN {part}"
        findings.append(
            Finding(code=codes.WITHOUT_ANSWERS, level="warning", sentence=sentence, evidence=evidence, fix=fix)
        )
    inner = unwrapped(folder)
    if inner != folder:
        sentence = f"{folder} holds nothing but {inner.relative_to(folder)}, whose folders are the classes."
        findings.append(Finding(code=codes.WRAPPER, sentence=sentence, evidence={"folder": str(inner)}))
    return findings


def differing(facts: Sequence[ImageFacts], mode: Mode, depth: str, onto: Ends) -> list[Finding]:
    """New images that the form of the training set does not hold as they are, counted."""
    found: list[Finding] = []
    colour = sum(fact.mode not in GREY_MODES for fact in facts)
    if mode == "L" and colour:
        sentence = f"{count(colour, 'image')} of {len(facts)} in colour: read as grey, as the training images were."
        found.append(_said(codes.IMAGE_MODES, sentence, {"images": colour}))
    other = Counter(fact.depth for fact in facts if fact.depth != depth)
    for name, number in other.items():
        sentence = (
            f"{count(number, 'image')} of {len(facts)} hold {name}, and black and white of the training set are "
            f"{onto[0]:g} and {onto[1]:g}: the full range of {name} was mapped onto these."
        )
        found.append(_said(codes.IMAGE_DEPTHS, sentence, {"images": number, "from": name, "to": depth}))
    return [*found, *_other_range(facts, depth, onto), *_lost(facts)]


def _other_range(facts: Sequence[ImageFacts], depth: str, onto: Ends) -> Iterator[Finding]:
    """Images of 16 bits that hold fewer, or more, than what is white for the model."""
    tops = [fact.top for fact in facts if fact.depth == "uint16"]
    top, white = max(tops, default=0.0), onto[1] if depth == "uint16" else 65535.0
    if not top or white / 4 < 2 ** bits_of(top) - 1 <= white:
        return
    as_if = f"as if of {bits_of(top)} bits" if top <= white else "above it"
    looks = "dark" if top <= white else "brighter than any image of the training set"
    sentence = (
        f"The brightest pixel of {count(len(tops), 'image')} of uint16 is {top:g}, {as_if}, and white is {white:g}: "
        f"{'it comes' if len(tops) == 1 else 'they come'} out {looks}."
    )
    fix = f"where {2 ** bits_of(top) - 1} is their white, write them with white at {white:g}"
    evidence: dict[str, JsonValue] = {"images": len(tops), "brightest": top, "white": white}
    yield Finding(code=codes.IMAGE_DEPTHS, level="warning", sentence=sentence, evidence=evidence, fix=fix)


def _lost(facts: Sequence[ImageFacts]) -> Iterator[Finding]:
    """What files hold and an image of the data set does not: further frames, bits of colour, digits of numbers."""
    frames, bits = sum(fact.frames for fact in facts), sum(fact.reduced for fact in facts)
    if frames:
        sentence = f"{count(frames, 'file')} of {len(facts)} hold several frames or pages: the first of each is used."
        yield _said(codes.IMAGE_FRAMES, sentence, {"files": frames})
    if bits:
        sentence = f"{count(bits, 'image')} of {len(facts)} have colours of 16 bits and were read with 8."
        yield _said(codes.IMAGE_DEPTHS, sentence, {"images": bits, "from": "16 bits", "to": "8 bits"})
    rounded = [fact.rounded for fact in facts if fact.rounded]
    if rounded:
        sentence = (
            f"{count(len(rounded), 'image')} of {len(facts)} hold whole numbers above {2**24}, which float32 rounds: "
            f"by {max(rounded):g} at most."
        )
        yield _said(codes.IMAGE_DEPTHS, sentence, {"images": len(rounded), "rounded": max(rounded), "to": "float32"})


def _said(code: str, sentence: str, evidence: dict[str, JsonValue]) -> Finding:
    return Finding(code=code, level="warning", sentence=sentence, evidence=evidence)


@dataclass(frozen=True)
class ImageFacts:
    """What an image is as stored, turned upright: size, grey or colour, and whether it shows what is behind it."""

    size: tuple[int, int]
    mode: str
    transparent: bool
    depth: str = "uint8"
    frames: bool = False  # whether there are more than the first
    reduced: bool = False  # whether the decoder gives 8 bits of 16
    top: float = 0.0  # the largest value, of more than 8 bits
    rounded: float = 0.0  # by how much float32 changes a whole number of 32 bits at most


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


def _facts(image: Image.Image) -> ImageFacts:
    turned = image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8)
    size = (image.height, image.width) if turned else (image.width, image.height)
    mode = image.mode
    if mode in ("P", "PA"):
        palette = np.asarray(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        mode = "L" if (palette == palette[:, :1]).all() else "RGB"
    depth = _depth(image)
    several = image.format != "MPO" and bool(getattr(image, "is_animated", False))  # MPO: a photograph and its preview
    reduced = depth == "uint8" and any(part in str(getattr(image, "tile", "")) for part in (";16", "65535"))
    transparent = depth == "uint8" and image.has_transparency_data
    return ImageFacts(size, mode, transparent, depth, several, reduced)


def _depth(image: Image.Image) -> str:
    """The type that holds an image's values as they are."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return "uint16"
    return "float32" if image.mode in ("I", "F") else "uint8"


@_strict_and_quiet()
def _read_all(paths: Sequence[Path]) -> tuple[NDArray[np.generic], Mode, tuple[int, int], Ends, list[Finding]]:
    """All images in one mode, one size, one depth and one range.

    They are decoded on the first pass as the first of them is stored; those that differ wait until the working form is
    known, and where it is another one, all are decoded once more.
    """
    with _open(paths[0]) as image:
        first = _inspected(paths[0], image)
    mode, size, _ = _working_form([first])
    dtype = np.dtype(first.depth)
    array = np.empty(_shape(len(paths), mode, size, dtype), dtype=dtype)
    facts: list[ImageFacts] = []
    others: list[int] = []
    for row, path in enumerate(paths):
        with _open(path) as image:
            facts.append(_inspected(path, image))
            grey = facts[-1].mode in GREY_MODES
            if (facts[-1].size, facts[-1].depth, grey) == (first.size, first.depth, first.mode in GREY_MODES):
                read = _pixels(path, image, mode, size)
                facts[-1], array[row] = read.seen_in(facts[-1]), read.pixels
            else:
                others.append(row)
    wanted, chosen, findings = _working_form(facts)
    depth, said = _deepest(paths, facts)
    if (wanted, chosen, depth) != (mode, size, first.depth):
        others, array = list(range(len(paths))), np.empty(_shape(len(paths), wanted, chosen, np.dtype(depth)), depth)
    shallow = [row for row in others if facts[row].depth != depth]
    deep = [row for row in others if facts[row].depth == depth]
    if deep:
        array[deep], again = decode([paths[row] for row in deep], wanted, chosen, depth)
        for row, fact in zip(deep, again, strict=True):
            facts[row] = fact
    known = np.ones(len(paths), dtype=np.bool_)
    known[shallow] = False
    onto = ends(array if not shallow else array[known])
    if shallow:
        array[shallow] = decode([paths[row] for row in shallow], wanted, chosen, depth, onto)[0]
        sentence = f"{said}: all are kept as {depth}, and 0 to 255 was mapped onto {onto[0]:g} to {onto[1]:g}."
        findings.append(_said(codes.IMAGE_DEPTHS, sentence, {"images": len(shallow), "to": depth}))
    return array, wanted, chosen, onto, [*findings, *_lost(facts)]


def _deepest(paths: Sequence[Path], facts: Sequence[ImageFacts]) -> tuple[str, str]:
    """The depth that holds all images, and their depths in words.

    Raises:
        InputError: floating-point values among whole numbers, which have no range in common.
    """
    depths = Counter(fact.depth for fact in facts)
    if len(depths) > 1 and "float32" in depths:
        odd = next(row for row, fact in enumerate(facts) if fact.depth != "float32")
        path = next(path for path, fact in zip(paths, facts, strict=True) if fact.depth == "float32")
        raise InputError(
            f"{path} holds floating-point values or 32 bits, and {paths[odd]} {facts[odd].depth}: they have no range "
            "in common; write all images in one form."
        )
    words = listing(f"{number} {depth}" for depth, number in depths.most_common())
    return ("uint16" if "uint16" in depths else next(iter(depths))), f"Images of several depths ({words})"


def _inspected(path: Path, image: Image.Image) -> ImageFacts:
    try:
        return _facts(image)
    except Exception as error:  # as above
        raise _unreadable(path, error) from error


def _shape(rows: int, mode: Mode, size: tuple[int, int], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Of the array of all images, after its bytes were checked."""
    width, height = size
    shape = (rows, height, width) if mode == "L" else (rows, height, width, 3)
    check_bytes(math.prod(shape) * dtype.itemsize, f"{rows} images", f"reading them at {width}x{height}")
    return shape


def _working_form(facts: list[ImageFacts]) -> tuple[Mode, tuple[int, int], list[Finding]]:
    """One mode and one size for all: the commonest size if half of the images have it, else the median of the sides."""
    findings: list[Finding] = []
    modes = Counter(fact.mode for fact in facts)
    mode: Mode = "L" if all(each in GREY_MODES for each in modes) else "RGB"
    transparent = sum(fact.transparent for fact in facts)
    if (
        len({"L" if each in GREY_MODES else "RGB" for each in modes}) > 1
        or transparent
        or set(modes) - {"1", "L", "RGB", "I", "I;16", "I;16B", "F"}
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


@dataclass(frozen=True)
class _Decoded:
    """Pixels [H, W] or [H, W, 3] in the image's own depth, and what `ImageFacts` keeps of its values."""

    pixels: NDArray[np.generic]
    top: float = 0.0
    rounded: float = 0.0

    def seen_in(self, facts: ImageFacts) -> ImageFacts:
        """The facts of the image with what its values say."""
        return replace(facts, top=self.top, rounded=self.rounded)


def _pixels(path: Path, image: Image.Image, mode: Mode, size: tuple[int, int]) -> _Decoded:
    """An image decoded in a mode and a size.

    Raises:
        InputError: it cannot be decoded, or holds NaN or infinity.
    """
    try:
        image.draft(mode, (2 * size[0], 2 * size[1]))  # JPEG only: decodes at a fraction of the size, not below this
        depth = _depth(image)
        ImageOps.exif_transpose(image, in_place=True)
        top = rounded = 0.0
        if depth == "uint8":
            plain = _flat(image, mode)
        else:
            stored = np.asarray(image)
            values = stored.astype(np.float32)
            plain, top = Image.fromarray(values), float(values.max())
            if stored.dtype.kind in "iu":
                rounded = float(np.abs(values.astype(np.float64) - stored).max())
        if depth == "float32" and not np.isfinite(values).all():
            odd = int((~np.isfinite(values)).sum())
            raise InputError(f"{path}: {odd} of {values.size} pixels are NaN or infinite; mend or delete it.")
        if plain.size != size:
            plain = plain.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        pixels = np.asarray(plain)
        if depth == "uint8":
            return _Decoded(pixels)
        pixels = np.rint(pixels).astype(np.uint16) if depth == "uint16" else pixels
        return _Decoded(pixels if mode == "L" else np.repeat(pixels[..., None], 3, axis=-1), top, rounded)
    except InputError:
        raise
    except Exception as error:  # as above
        raise _unreadable(path, error) from error


def _flat(image: Image.Image, mode: Mode) -> Image.Image:
    """An image of 8 bits a channel in the wanted mode, transparency laid over white."""
    if image.mode == mode:
        return image
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return image.convert("RGB").convert(mode) if image.mode == "LAB" else image.convert(mode)
