"""A grid of samples beside what an augmentation makes of them: images, slices of volumes, or curves of signals."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from shoal.studies.augmented_samples import Cell

Floats = NDArray[np.floating]

CELL = 104  # pixels of a picture's longer side, at least
GAP, HEAD, TEXT = 8, 26, 13
PAPER, INK, FAINT, FRAME, LINE = "#ffffff", "#1b1f24", "#6b7280", "#d9dde3", "#2463b0"
CURVES = ("#2463b0", "#b4541a", "#3b7d3b", "#7a4fa3")  # of a signal's channels


def grid(rows: Sequence[Sequence[Cell]], labels: Sequence[str], title: str) -> bytes:
    """A PNG: a row for each sample, its label on the left, the first column as it is, the others drawn.

    Args:
        rows: cells; each row has as many.
        labels: one for each row.
        title: what stands on top.
    """
    fonts = ImageFont.load_default(TEXT), ImageFont.load_default(TEXT - 2)
    pictures = [[_picture(cell.values, _range(row)) for cell in row] for row in rows]
    width, height = pictures[0][0].size
    captions = TEXT + 2 if any(cell.caption for row in rows for cell in row) else 0
    margin = GAP + max(int(fonts[0].getlength(_short(label))) for label in labels) + GAP
    step = (width + GAP, height + GAP + captions)
    size = (margin + step[0] * len(rows[0]) + GAP, 2 * HEAD + step[1] * len(rows))
    page = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((GAP, 6), title, INK, fonts[0])
    pen.text((margin, HEAD + 4), "original", FAINT, fonts[1])
    pen.text((margin + step[0] + GAP, HEAD + 4), "as a member sees it, step by step", FAINT, fonts[1])
    for r, row in enumerate(rows):
        top = 2 * HEAD + r * step[1]
        pen.text((GAP, top + height // 2 - TEXT // 2), _short(labels[r]), INK, fonts[0])
        for c, cell in enumerate(row):
            left = margin + c * step[0] + (GAP if c else 0)
            page.paste(pictures[r][c], (left, top))
            pen.rectangle((left - 1, top - 1, left + width, top + height), outline=INK if c == 0 else FRAME)
            if cell.caption:
                pen.text((left, top + height + 1), cell.caption, FAINT, fonts[1])
    file = io.BytesIO()
    page.save(file, format="PNG")
    return file.getvalue()


def _short(label: str) -> str:
    return label if len(label) <= 18 else f"{label[:17]}…"


def _range(row: Sequence[Cell]) -> tuple[float, float]:
    """What a signal's cells of one row span together."""
    low = min(float(cell.values.min()) for cell in row)
    high = max(float(cell.values.max()) for cell in row)
    return (low, high) if high > low else (low - 1.0, low + 1.0)


def _picture(values: Floats, span: tuple[float, float]) -> Image.Image:
    if values.ndim == 2:
        return _curves(values, span)
    if values.ndim == 4:
        values = values[:, values.shape[1] // 2]  # the slice in the middle
    colours = values if len(values) == 3 else np.repeat(values[:1], 3, axis=0)
    pixels = np.round(np.clip(np.nan_to_num(colours), 0.0, 1.0) * 255).astype(np.uint8).transpose(1, 2, 0)
    factor = max(1, -(-CELL // max(pixels.shape[:2])))
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max(image.size) > 2 * CELL:
        image.thumbnail((2 * CELL, 2 * CELL))
        return image
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _curves(values: Floats, span: tuple[float, float]) -> Image.Image:
    """A signal's channels over time."""
    width, height = 2 * CELL, CELL * 3 // 4
    image = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(image)
    at = np.linspace(2, width - 3, values.shape[1])
    for number, channel in enumerate(values):
        y = (height - 4) * (1.0 - (channel - span[0]) / (span[1] - span[0])) + 2
        pen.line(list(zip(at.tolist(), y.tolist(), strict=True)), CURVES[number % len(CURVES)], 1)
    return image
