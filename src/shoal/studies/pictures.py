"""What the charts of a study are given: plain JSON, made from arrays."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import JsonValue

from shoal.comparison.paired import mean

Floats = NDArray[np.float64]


def series(
    name: str,
    x: Sequence[float],
    by_seed: Floats,
    published: Sequence[float] = (),
    within: tuple[float, float] = (-inf, inf),
) -> dict[str, JsonValue]:
    """One line of a `curves` chart: means over the seeds with their 95 % band.

    Args:
        name: as the legend has it.
        x: [T].
        by_seed: [R, T]; NaN where a seed has no value.
        published: [T] or nothing: drawn as open circles.
        within: what the quantity cannot leave; the band is cut there.
    """
    estimates = [mean(column) for column in np.asarray(by_seed, dtype=float).T]
    line: dict[str, JsonValue] = {
        "name": name,
        "points": [[float(a), e.value] for a, e in zip(x, estimates, strict=True)],
    }
    if all(np.isfinite(e.low) for e in estimates):
        line["band"] = [
            [float(a), max(e.low, within[0]), min(e.high, within[1])] for a, e in zip(x, estimates, strict=True)
        ]
    if len(published):
        line["published"] = [[float(a), float(b)] for a, b in zip(x, published, strict=True)]
    return line


def curves(
    panels: Mapping[str, Sequence[dict[str, JsonValue]]], x: dict[str, JsonValue], y: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    """A `curves` chart: one panel for each title, axes `{label, log, percent, ticks, include}`."""
    return {"panels": [{"title": title, "series": list(lines)} for title, lines in panels.items()], "x": x, "y": y}


def picture(pixels: NDArray[np.generic], say: str, *, around_zero: bool = False) -> dict[str, JsonValue]:
    """One picture of an `images` chart, as a PNG inside the page.

    Args:
        pixels: [H, W] or [H, W, 3]; floating-point values are spread from their least to their most.
        say: what stands under it.
        around_zero: spread them evenly on both sides of 0, which becomes the middle grey.
    """
    shown = np.asarray(pixels)
    if shown.dtype != np.uint8:
        low, high = float(shown.min()), float(shown.max())
        if around_zero:
            low, high = -max(-low, high), max(-low, high)
        shown = np.clip((shown - low) / (high - low or 1.0) * 255.0, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(shown).save(stream, format="PNG", optimize=True)
    uri = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    return {"uri": uri, "width": int(shown.shape[1]), "height": int(shown.shape[0]), "say": say}


def signed(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Signed numbers [H, W] as blue (below 0), white and orange (above): equal strength for equal size."""
    scaled = np.asarray(values, dtype=float) / (float(np.abs(values).max()) or 1.0)
    ends = {1: np.array([230.0, 159.0, 0.0]), -1: np.array([0.0, 114.0, 178.0])}
    target = np.where(scaled[..., None] >= 0, ends[1], ends[-1])
    return (255.0 + (target - 255.0) * np.abs(scaled)[..., None]).round().astype(np.uint8)
