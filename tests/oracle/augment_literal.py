"""Augmentations written one picture at a time with SciPy, Pillow and loops. Imports nothing of shoal."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from scipy import ndimage
from scipy.spatial.transform import Rotation

Array = NDArray[np.float64]
MODES = {"zeros": "grid-constant", "border": "nearest", "reflection": "reflect"}


def read_at(image: Array, rows: Array, columns: Array, padding: str = "zeros", order: int = 1) -> Array:
    """An image [H, W] at points given in pixels."""
    return ndimage.map_coordinates(image, [rows, columns], order=order, mode=MODES[padding], cval=0.0)


def centred(image: Array) -> tuple[Array, Array, float, float]:
    """Coordinates x and y of every pixel from the middle, and the middle itself."""
    height, width = image.shape
    cy, cx = (height - 1) / 2, (width - 1) / 2
    y, x = np.mgrid[:height, :width].astype(float)
    return x - cx, y - cy, cx, cy


def by_map(image: Array, source_x: Array, source_y: Array, padding: str = "zeros", order: int = 1) -> Array:
    _, _, cx, cy = centred(image)
    return read_at(image, source_y + cy, source_x + cx, padding, order)


def rotate(image: Array, degrees: float, padding: str = "zeros", order: int = 1) -> Array:
    """Counterclockwise as seen, by `affine_transform` in (row, column) order."""
    t = np.deg2rad(degrees)
    matrix = np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]])  # output (row, column) to input
    middle = (np.array(image.shape) - 1) / 2
    return ndimage.affine_transform(
        image, matrix, offset=middle - matrix @ middle, order=order, mode=MODES[padding], cval=0.0
    )


def keys_kernel(t: float, a: float = -0.75) -> float:
    """R. Keys 1981, cubic convolution."""
    t = abs(t)
    if t <= 1:
        return (a + 2) * t**3 - (a + 3) * t**2 + 1
    return a * (t**3 - 5 * t**2 + 8 * t - 4) if t < 2 else 0.0


def rotate_by_cubic_convolution(image: Array, degrees: float) -> Array:
    """`rotate` with the sixteen neighbours weighted one by one; zeros outside."""
    x, y, cx, cy = centred(image)
    t = np.deg2rad(degrees)
    sx, sy = np.cos(t) * x - np.sin(t) * y + cx, np.sin(t) * x + np.cos(t) * y + cy
    out = np.zeros_like(image)
    for index in np.ndindex(*image.shape):
        left, top = int(np.floor(sx[index])), int(np.floor(sy[index]))
        for row in range(top - 1, top + 3):
            for column in range(left - 1, left + 3):
                if 0 <= row < image.shape[0] and 0 <= column < image.shape[1]:
                    weight = keys_kernel(sx[index] - column) * keys_kernel(sy[index] - row)
                    out[index] += weight * image[row, column]
    return out


def scale(image: Array, factor: float, padding: str = "zeros", order: int = 1) -> Array:
    middle = (np.array(image.shape) - 1) / 2
    return ndimage.affine_transform(
        image, np.eye(2) / factor, offset=middle - middle / factor, order=order, mode=MODES[padding], cval=0.0
    )


def shear(image: Array, degrees: float, padding: str = "zeros", order: int = 1) -> Array:
    x, y, _, _ = centred(image)
    return by_map(image, x - np.tan(np.deg2rad(degrees)) * y, y, padding, order)


def stretch(image: Array, ratio: float, padding: str = "zeros", order: int = 1) -> Array:
    """Width over height grows by `ratio`, the area stays."""
    x, y, _, _ = centred(image)
    return by_map(image, x / np.sqrt(ratio), y * np.sqrt(ratio), padding, order)


def distort(image: Array, k: float, padding: str = "zeros", order: int = 1) -> Array:
    x, y, _, _ = centred(image)
    height, width = image.shape
    factor = 1 + k * (x**2 + y**2) / ((width / 2) ** 2 + (height / 2) ** 2)
    return by_map(image, x * factor, y * factor, padding, order)


def translate(image: Array, dx: int, dy: int) -> Array:
    """By whole pixels, right and down; zeros come in."""
    moved = np.zeros_like(image)
    height, width = image.shape
    for y in range(height):
        for x in range(width):
            if 0 <= y - dy < height and 0 <= x - dx < width:
                moved[y, x] = image[y - dy, x - dx]
    return moved


def crop(image: Array, kept: float, at_x: float, at_y: float, padding: str = "zeros", order: int = 1) -> Array:
    """The part of side `kept`, its middle moved by (at_x, at_y) pixels, enlarged to the whole frame."""
    x, y, _, _ = centred(image)
    return by_map(image, kept * x + at_x, kept * y + at_y, padding, order)


def rotate_volume(volume: Array, axis_xyz: Array, degrees: float) -> Array:
    """Reads a volume [D, H, W] at R p, R the rotation about (x, y, z) by so many degrees."""
    turn = Rotation.from_rotvec(np.deg2rad(degrees) * np.asarray(axis_xyz)).as_matrix()
    middle = (np.array(volume.shape) - 1) / 2
    z, y, x = np.mgrid[: volume.shape[0], : volume.shape[1], : volume.shape[2]].astype(float)
    points = np.stack([x - middle[2], y - middle[1], z - middle[0]]).reshape(3, -1)
    sx, sy, sz = turn @ points
    where = [sz + middle[0], sy + middle[1], sx + middle[2]]
    return ndimage.map_coordinates(volume, where, order=1, mode="grid-constant", cval=0.0).reshape(volume.shape)


def brightness(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    """By Pillow, on [H, W, 3] bytes."""
    return np.asarray(ImageEnhance.Brightness(Image.fromarray(image)).enhance(factor))


def saturation(image: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    return np.asarray(ImageEnhance.Color(Image.fromarray(image)).enhance(factor))


def contrast(image: Array, factor: float) -> Array:
    """About mid-grey, pixel by pixel."""
    return np.array([[[(v - 0.5) * factor + 0.5 for v in pixel] for pixel in row] for row in image])


def hue(pixel: tuple[float, float, float], degrees: float) -> tuple[float, float, float]:
    """Turn the chroma (i, q) of one pixel; `colorsys` clips at 0 and 1."""
    y, i, q = colorsys.rgb_to_yiq(*pixel)
    t = np.deg2rad(degrees)
    # red lies at q > 0, i > 0 and yellow follows towards q < 0: hue grows as (q, i) turns that way
    return colorsys.yiq_to_rgb(y, np.sin(t) * q + np.cos(t) * i, np.cos(t) * q - np.sin(t) * i)


def cutout(image: Array, share: float, ux: float, uy: float) -> Array:
    """A box of round(share * side) pixels about the pixel floor(u * side), blanked; image [C, H, W]."""
    blanked = image.copy()
    _, height, width = image.shape
    long_x, long_y = round(share * width), round(share * height)
    x0, y0 = int(ux * width) - long_x // 2, int(uy * height) - long_y // 2
    for y in range(max(0, y0), min(height, y0 + long_y)):
        for x in range(max(0, x0), min(width, x0 + long_x)):
            blanked[:, y, x] = 0.0
    return blanked


def mixup(x: Array, partner: NDArray[np.int64], lam: Array) -> Array:
    return np.stack([lam[b] * x[b] + (1 - lam[b]) * x[partner[b]] for b in range(len(x))])


def cutmix(x: Array, partner: NDArray[np.int64], beta: Array, ux: Array, uy: Array) -> tuple[Array, Array]:
    """Paste the partner's box; returns the pictures and the share of each that stayed its own."""
    mixed, lam = x.copy(), np.ones(len(x))
    _, _, height, width = x.shape
    for b in range(len(x)):
        side = np.sqrt(1 - beta[b])
        long_x, long_y = round(side * width), round(side * height)
        x0, y0 = int(ux[b] * width) - long_x // 2, int(uy[b] * height) - long_y // 2
        x1, y1 = min(width, x0 + long_x), min(height, y0 + long_y)
        x0, y0 = max(0, x0), max(0, y0)
        mixed[b, :, y0:y1, x0:x1] = x[partner[b], :, y0:y1, x0:x1]
        lam[b] = 1 - max(0, x1 - x0) * max(0, y1 - y0) / (width * height)
    return mixed, lam
