"""Where the images below a folder are: their classes, their part of the split, and what is passed over."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import JsonValue

from shoal.core.errors import InputError
from shoal.core.events import Finding, Level
from shoal.core.paths import check_name
from shoal.core.wording import count, listing
from shoal.data import codes
from shoal.data.arrays import PARTS

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
NUMBERS = re.compile("([0-9]+)")
HIDDEN = ("@eadir", "__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "lost+found")


@dataclass(frozen=True)
class FoundImages:
    """Image files below a folder, with the class and the part of the split that their folders name."""

    paths: list[Path]
    labels: list[str] | None
    parts: list[int] | None
    seen: Counter[str] = field(default_factory=Counter)  # other and hidden files, stray and nested images
    loose: tuple[Path, ...] = ()  # parts whose images have no class folders
    beside: tuple[Path, ...] = ()  # folders that are no parts, where there are parts


Classes = dict[str, tuple[list[Path], Counter[str]]]


def find_images(folder: Path, *, new: bool = False) -> FoundImages:
    """Image files below a folder, in the natural order of their names: img2 before img10.

    Args:
        folder: of class folders, perhaps in parts, or of loose images.
        new: whether they are for a trained model, which needs no training part: then of parts without one that of test
            is taken, else that of validation, with or without class folders.

    Raises:
        InputError: no images at all, a class folder without any.
    """
    folder = unwrapped(folder)
    below = _folders(folder)
    by_name = {path.name.lower(): path for path in below}
    parts = {part: by_name[name] for part, names in PARTS.items() for name in names if name in by_name}
    only_parts = bool(parts) and all(path in parts.values() for path in below)
    if new and only_parts and (0 not in parts or not _folders(parts[0])):
        return _of_part(parts[max(parts)], tuple(path for path in below if path != parts[max(parts)]))
    if 0 in parts and (all(path in parts.values() for path in below) or (len(parts) > 1 and _folders(parts[0]))):
        found = [(part, path, _classes_in(path)) for part, path in parts.items()]
        bare = tuple(path for part, path, classes in found if not classes and part)
        found = [each for each in found if each[2]]
        if not found or found[0][0] != 0:
            raise InputError(
                f"{parts[0]} holds no class folders; put the images of each class into a folder of its name."
            )
        beside = tuple(path for path in below if path not in parts.values())
        return replace(_joined(found, folder), loose=bare, beside=beside)
    if only_parts and 0 not in parts:
        raise InputError(f"{folder} holds {listing(path.name for path in below)} and no train folder; add one.")
    classes = _classes_in(folder)
    if classes:
        return _joined([(None, folder, classes)], folder)
    loose, seen = images_below(folder)
    if not loose:
        raise InputError(f"{folder} holds no images ({listing(ENDINGS, 20)}).")
    return FoundImages(loose, None, None, seen)


def _of_part(part: Path, beside: tuple[Path, ...]) -> FoundImages:
    """The images of one part, with the classes that its folders name, if it has any."""
    classes = _classes_in(part)
    if classes:
        return replace(_joined([(None, part, classes)], part), beside=beside)
    loose, seen = images_below(part)
    if not loose:
        raise InputError(f"{part} holds no images ({listing(ENDINGS, 20)}).")
    return FoundImages(loose, None, None, seen, beside=beside)


def natural(name: str) -> tuple[list[str | int], str]:
    """A key by which names with numbers stand as people count: img2 before img10."""
    parts: list[str | int] = [int(part) if at % 2 else part for at, part in enumerate(NUMBERS.split(name.casefold()))]
    return parts, name


def is_hidden(name: str) -> bool:
    """Whether a file or folder is a system's or a tool's own, and no data."""
    return name.startswith(".") or name.casefold() in HIDDEN


def _folders(folder: Path) -> list[Path]:
    """The folders inside, in natural order; links back to a folder that holds them are none.

    Raises:
        InputError: one has a name that is not UTF-8, and so could be no class of a model that is written down.
    """
    real = folder.resolve()
    found = (path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
    kept = sorted(
        (path for path in found if not real.is_relative_to(path.resolve())), key=lambda path: natural(path.name)
    )
    for path in kept:
        check_name(str(path))
    return kept


def unwrapped(folder: Path) -> Path:
    """The folder inside, where an archive was unpacked into a folder of its own that holds all of it."""
    inside = [path for path in folder.iterdir() if not is_hidden(path.name)]
    below = _folders(folder)
    parts = {name for names in PARTS.values() for name in names}
    if len(inside) == 1 and len(below) == 1 and below[0].name.lower() not in parts:
        within = _folders(below[0])
        if len(within) > 1 or any(path.name.lower() in parts for path in within):
            return unwrapped(below[0])
    return folder


def images_below(folder: Path) -> tuple[list[Path], Counter[str]]:
    """All images at any depth, in natural order, and what else is there, counted as in `FoundImages.seen`."""
    images: list[Path] = []
    seen: Counter[str] = Counter()
    for root, names, files in os.walk(folder):
        shown = [name for name in names if not is_hidden(name)]
        seen["hidden"] += len(names) - len(shown)
        names[:] = sorted(shown, key=natural)
        for file in sorted(files, key=natural):
            kind = _kind(file)
            seen[kind] += 1
            if kind == "image":
                images.append(Path(root, file))
                seen["nested"] += root != str(folder)
    return images, seen


def of_test(found: FoundImages) -> FoundImages | None:
    """The test part alone, with or without class folders; None where there is none, or nothing else."""
    for part in found.loose:
        images, seen = images_below(part)
        if part.name.lower() in PARTS[2] and images:
            return FoundImages(images, None, None, seen)
    if found.labels is None or found.parts is None or set(found.parts) <= {2} or 2 not in found.parts:
        return None
    chosen = [row for row, part in enumerate(found.parts) if part == 2]
    return replace(
        found, paths=[found.paths[row] for row in chosen], labels=[found.labels[row] for row in chosen], parts=None
    )


def passed_over(found: FoundImages) -> Iterator[Finding]:
    """What lies among the images and was not read, counted."""
    other, hidden, stray = (found.seen[kind] for kind in ("other", "hidden", "stray"))
    if other:
        sentence = f"Ignored: {count(other, 'file')} without the ending of an image."
        yield Finding(code=codes.OTHER_FILES, sentence=sentence, evidence={"files": other})
    names = [folder.name for folder in found.beside]
    parts = [
        *([f"{count(stray, 'image')} outside the class folders"] if stray else []),
        *([f"{count(len(names), 'folder')} beside the parts of the split ({listing(names)})"] if names else []),
        *([count(hidden, "hidden file or folder", "hidden files and folders")] if hidden else []),
    ]
    if parts:
        level: Level = "warning" if stray or names else "note"
        evidence: dict[str, JsonValue] = {"images": stray, "hidden": hidden, "folders": list(names)}
        yield Finding(code=codes.PASSED_OVER, level=level, sentence=f"Ignored: {listing(parts)}.", evidence=evidence)


def about_classes(found: FoundImages) -> Iterator[Finding]:
    """Images in folders inside class folders, and classes whose names look alike."""
    nested = found.seen["nested"]
    if nested:
        sentence = f"{count(nested, 'image')} in folders inside class folders: the class is the outer folder."
        yield Finding(code=codes.NESTED_CLASSES, level="warning", sentence=sentence, evidence={"images": nested})
    spellings: dict[str, set[str]] = {}
    for label in found.labels or []:
        spellings.setdefault(unicodedata.normalize("NFC", label).casefold(), set()).add(label)
    for names in (sorted(each) for each in spellings.values() if len(each) > 1):
        yield Finding(
            code=codes.ALIKE_CLASSES,
            level="warning",
            sentence=f"The class folders {listing(names)} differ only in how the name is written: kept as classes of "
            "their own.",
            evidence={"classes": list(names)},
            fix="move the images into one folder if they are one class",
        )


def _kind(name: str) -> str:
    return "hidden" if is_hidden(name) else "image" if name.lower().endswith(ENDINGS) else "other"


def _classes_in(folder: Path) -> Classes:
    found = {path.name: images_below(path) for path in _folders(folder)}
    if found and not any(images for images, _ in found.values()):
        raise InputError(f"{folder} holds folders and none of them holds images ({listing(ENDINGS, 20)}).")
    for name, (images, _) in found.items():
        if not images:
            raise InputError(f"{folder / name}: a class folder without images; fill it or delete it.")
    return found


def _joined(found: Sequence[tuple[int | None, Path, Classes]], folder: Path) -> FoundImages:
    paths: list[Path] = []
    labels: list[str] = []
    parts: list[int] = []
    seen: Counter[str] = Counter()
    for level in {folder, *(part for _, part, _ in found)}:
        kinds = Counter(_kind(path.name) for path in level.iterdir() if path.is_file() or is_hidden(path.name))
        seen.update(hidden=kinds["hidden"], other=kinds["other"], stray=kinds["image"])
    for part, _, classes in found:
        for label, (images, inside) in classes.items():
            paths += images
            labels += [label] * len(images)
            parts += [part or 0] * len(images)
            seen += inside
    return FoundImages(paths, labels, None if found[0][0] is None else parts, seen)
