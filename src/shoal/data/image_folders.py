"""Where the images below a folder are: their classes, their part of the split, and what is passed over."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shoal.core.errors import InputError
from shoal.data.arrays import PARTS
from shoal.data.wording import listing

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm")
NUMBERS = re.compile("([0-9]+)")
HIDDEN = ("@eadir", "__macosx", "__pycache__", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "lost+found")


@dataclass(frozen=True)
class Found:
    """Image files below a folder, with the class and the part of the split that their folders name."""

    paths: list[Path]
    labels: list[str] | None
    parts: list[int] | None
    other_files: int
    loose: tuple[Path, ...] = ()  # parts whose images have no class folders


def find_images(folder: Path) -> Found:
    """Image files below a folder, in the natural order of their names: img2 before img10.

    Raises:
        InputError: no images at all, a class folder without any.
    """
    folder = unwrapped(folder)
    below = _folders(folder)
    by_name = {path.name.lower(): path for path in below}
    parts = {part: by_name[name] for part, names in PARTS.items() for name in names if name in by_name}
    if 0 in parts and (all(path in parts.values() for path in below) or (len(parts) > 1 and _folders(parts[0]))):
        found = [(part, _classes_in(path)) for part, path in parts.items()]
        bare = tuple(parts[part] for part, classes in found if not classes and part)
        found = [(part, classes) for part, classes in found if classes]
        if not found or found[0][0] != 0:
            raise InputError(
                f"{parts[0]} holds no class folders; put the images of each class into a folder of its name."
            )
        return replace(_joined(found, folder), loose=bare)
    if 0 not in parts and parts and all(path in parts.values() for path in below):
        raise InputError(f"{folder} holds {listing(path.name for path in below)} and no train folder; add one.")
    classes = _classes_in(folder)
    if classes:
        return _joined([(None, classes)], folder)
    loose, others = images_below(folder)
    if not loose:
        raise InputError(f"{folder} holds no images ({listing(ENDINGS, 20)}).")
    return Found(loose, None, None, others)


def natural(name: str) -> tuple[list[str | int], str]:
    """A key by which names with numbers stand as people count: img2 before img10."""
    parts: list[str | int] = [int(part) if at % 2 else part for at, part in enumerate(NUMBERS.split(name.casefold()))]
    return parts, name


def is_hidden(name: str) -> bool:
    """Whether a file or folder is a system's or a tool's own, and no data."""
    return name.startswith(".") or name.casefold() in HIDDEN


def _folders(folder: Path) -> list[Path]:
    """The folders inside, in natural order; links back to a folder that holds them are none."""
    real = folder.resolve()
    found = (path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name))
    return sorted(
        (path for path in found if not real.is_relative_to(path.resolve())), key=lambda path: natural(path.name)
    )


def unwrapped(folder: Path) -> Path:
    """The folder inside, where an archive was unpacked into a folder of its own that holds all of it."""
    inside = [path for path in folder.iterdir() if not is_hidden(path.name)]
    below = _folders(folder)
    parts = {name for names in PARTS.values() for name in names}
    if len(inside) == 1 and len(below) == 1 and below[0].name.lower() not in parts and len(_folders(below[0])) > 1:
        return unwrapped(below[0])
    return folder


def images_below(folder: Path) -> tuple[list[Path], int]:
    """All images at any depth, in natural order, and how many other files there are."""
    images: list[Path] = []
    others = 0
    for root, names, files in os.walk(folder):
        names[:] = sorted((name for name in names if not is_hidden(name)), key=natural)
        for file in sorted(files, key=natural):
            if file.lower().endswith(ENDINGS) and not is_hidden(file):
                images.append(Path(root, file))
            else:
                others += not is_hidden(file)
    return images, others


def _classes_in(folder: Path) -> dict[str, tuple[list[Path], int]]:
    found = {path.name: images_below(path) for path in _folders(folder)}
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
    others = sum(path.is_file() and not is_hidden(path.name) for path in folder.iterdir())
    for part, classes in found:
        for label, (images, ignored) in classes.items():
            paths += images
            labels += [label] * len(images)
            parts += [part or 0] * len(images)
            others += ignored
    return Found(paths, labels, None if found[0][0] is None else parts, others)
