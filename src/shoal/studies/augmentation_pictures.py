"""The pictures of `shoal study augmentation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from shoal.augment import Augment, Augmentation, Pixels
from shoal.comparison.paired import Estimate, Floats
from shoal.studies import pictures
from shoal.studies.augmented_samples import shown
from shoal.studies.record import Picture
from shoal.studies.subject import Subject
from shoal.task import Part

SAMPLES, GAP = 8, 2
LARGEST = 640  # pixels of a strip of samples


def differences(gains: Mapping[str, Estimate], metric: str, clear: str) -> Picture:
    """Paired differences from none."""
    rows: list[JsonValue] = [
        {"name": name, "value": gain.value, "low": gain.low, "high": gain.high} for name, gain in gains.items()
    ]
    share = metric == "accuracy"
    return Picture(
        kind="differences",
        title="Paired differences from samples as they are",
        caption=f"{clear} Dots: means over the seeds; lines: 95 % intervals; grey could be chance.",
        data={"rows": rows, "percent": share, "label": f"{'points of ' if share else ''}{metric}"},
    )


def by_epoch(curves: Mapping[str, Floats], names: Sequence[str], metric: str) -> Picture:
    """Means over the seeds by epoch."""
    within = (0.0, 1.0) if metric == "accuracy" else (-inf, 1.0)
    lines = [
        pictures.series(name, list(range(1, len(curves[name]) + 1)), curves[name].T, within=within) for name in names
    ]
    return Picture(
        kind="curves",
        title=f"Validation {metric} by epoch",
        caption="Means over the seeds with their 95 % band, on the rows that choose the epoch. What is harder to learn "
        "rises later.",
        data=pictures.curves({"": lines}, {"label": "epoch"}, {"label": metric, "percent": metric == "accuracy"}),
    )


def samples(
    subject: Subject, part: Part, settings: Mapping[str, Augment], pixels: Pixels, seed: int
) -> tuple[Picture, ...]:
    """Some samples as they are, and as each setting draws them once."""
    rows = _by_turns(part, SAMPLES)
    x = part.x[rows]
    augmented = {
        name: shown(
            Augmentation([augment], subject.task.kind, subject.fold.shape, pixels)(
                x, torch.tensor([seed]), torch.tensor([0])
            ).inputs,
            pixels,
            subject.task.kind,
        )
        for name, augment in settings.items()
    }
    said = {name: f"{name}: {settings[name]}" if settings[name].active else "as they are" for name in settings}
    if subject.task.kind == "signal":
        return (_signals({said[name]: each[0] for name, each in augmented.items()}),)
    images: list[JsonValue] = [pictures.picture(_strip(each), said[name]) for name, each in augmented.items()]
    return (
        Picture(
            kind="images",
            title="Samples as they are, and as each augmentation draws them",
            caption=f"{len(rows)} training samples"
            + (", the middle slice of each." if subject.task.kind == "volume" else "."),
            data={"images": images, "size": LARGEST},
        ),
    )


def _by_turns(part: Part, most: int) -> list[int]:
    """Rows in which the classes take turns; the first ones where the target is a number."""
    if part.y.is_floating_point():
        return list(range(min(most, len(part))))
    y = part.y.numpy()
    turn = np.zeros(len(y), dtype=np.int64)
    for number in np.unique(y):
        turn[y == number] = np.arange(int((y == number).sum()))
    return [int(row) for row in np.lexsort((y, turn))[:most]]


def _strip(values: Sequence[NDArray[np.floating]]) -> NDArray[np.uint8]:
    """Samples [C, *size] side by side, white between them."""
    tiles = []
    for each in values:
        flat = each[:, each.shape[1] // 2] if each.ndim == 4 else each
        colours = flat if len(flat) == 3 else np.repeat(flat[:1], 3, axis=0)
        tile = np.round(np.clip(np.nan_to_num(colours), 0.0, 1.0) * 255).astype(np.uint8).transpose(1, 2, 0)
        tiles += [tile, np.full((tile.shape[0], GAP, 3), 255, dtype=np.uint8)]
    return np.concatenate(tiles[:-1], axis=1)


def _signals(first: Mapping[str, NDArray[np.floating]]) -> Picture:
    """The first channel of one signal, over time, a line for each setting."""
    lines: list[dict[str, JsonValue]] = [
        {"name": name, "points": [[float(t), float(v)] for t, v in enumerate(values[0])]}
        for name, values in first.items()
    ]
    return Picture(
        kind="curves",
        title="A signal as it is, and as each augmentation draws it",
        caption="The first channel of one training sample, as one network sees it at one step.",
        data=pictures.curves({"": lines}, {"label": "place"}, {"label": "standard deviations"}),
    )
