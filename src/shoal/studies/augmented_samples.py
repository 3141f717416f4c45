"""Some samples of the user's data beside what an augmentation makes of them, for a person to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoal import prepare
from shoal.augment import Augment, Augmentation, Pixels, default_for, of
from shoal.core import keyed
from shoal.core.errors import InputError
from shoal.core.events import Finding, Kind
from shoal.data import ArrayFeatures, Dataset, read
from shoal.diagnose import label_preservation
from shoal.prepare.pixels import pixels as pixels_of
from shoal.resample import hold_out

MOST = {"samples": 40, "draws": 40}
MOST_ROWS = 4000  # that statistics and judgements are taken from


@dataclass(frozen=True)
class Cell:
    """One sample: `values` [C, *size]; images and volumes in 0 to 1, signals in standard deviations."""

    values: NDArray[np.floating]
    caption: str = ""


@dataclass(frozen=True)
class Preview:
    """A row of cells for each sample: as it is, then as it is drawn."""

    source: str
    kind: Kind
    augment: Augment
    rows: list[int]
    labels: list[str]
    cells: list[list[Cell]]
    title: str
    judged: list[Finding]


def preview(
    data: Any,
    augment: str | Augment | None = None,
    *,
    samples: int = 8,
    draws: int = 8,
    seed: int = 0,
    judge: bool = False,
    **reading: Any,
) -> Preview:
    """Draw what an augmentation does to samples of the training rows, as the member of that seed would see them.

    Args:
        data: whatever `data.read` takes.
        augment: text, record or None for the default of this kind of data.
        samples: how many; the classes take turns.
        draws: how often each is drawn.
        seed: of the member.
        judge: also ask whether the labels survive.
        reading: options of `data.read`.

    Raises:
        InputError: a table, operations that do not fit the data, or counts out of range.
    """
    for name, count in (("samples", samples), ("draws", draws)):
        if not 1 <= count <= MOST[name]:
            raise InputError(f"--{name} {count}: give a number from 1 to {MOST[name]}.")
    dataset = read(data, **reading)
    if not isinstance(dataset.features, ArrayFeatures):
        raise InputError(f"{dataset.source} is a table: there are no pictures to augment.")
    train = np.sort(hold_out(dataset, seed=seed).train)
    some = train[keyed.permutation(keyed.key(seed, keyed.Purpose.SAMPLE, 1), len(train)).numpy()[:MOST_ROWS]]
    preparation = prepare.fit(dataset, some)
    pixels = pixels_of(preparation, dataset, some)
    chosen = of(augment) if augment is not None else default_for(dataset.kind, preparation.shape[0])
    plan = Augmentation([chosen], dataset.kind, preparation.shape, pixels)
    rows = _by_turns(dataset, some, samples)
    x = torch.from_numpy(preparation.transform(dataset.features.take(rows)).x)
    labels = [_label(dataset, row) for row in rows]
    columns = [[Cell(each) for each in shown(x, pixels, dataset.kind)]]
    for step in range(draws):
        augmented = plan(x, torch.tensor([seed]), torch.tensor([step]))
        captions = _captions(labels, augmented.partner, augmented.lam)
        images = shown(augmented.inputs, pixels, dataset.kind)
        columns.append([Cell(*pair) for pair in zip(images, captions, strict=True)])
    judged = (
        _judged(dataset, chosen, preparation.transform(dataset.features.take(some)).x, some, pixels) if judge else []
    )
    return Preview(
        source=dataset.source,
        kind=dataset.kind,
        augment=chosen,
        rows=[int(row) for row in rows],
        labels=labels,
        cells=[list(row) for row in zip(*columns, strict=True)],
        title=f"{dataset.name}: {chosen}" if chosen.active else f"{dataset.name}: nothing is changed",
        judged=judged,
    )


def _by_turns(dataset: Dataset, rows: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Rows in which the classes take turns; the first ones where the target is a number."""
    if dataset.classes is None:
        return rows[:count]
    y = dataset.target[rows]
    turn = np.zeros(len(rows), dtype=np.int64)
    for number in range(len(dataset.classes)):
        turn[y == number] = np.arange(int((y == number).sum()))
    return rows[np.lexsort((y, turn))[:count]]


def _label(dataset: Dataset, row: int) -> str:
    value = dataset.target[row]
    return dataset.classes[int(value)] if dataset.classes is not None else f"{value:g}"


def shown(x: Tensor, pixels: Pixels, kind: Kind) -> list[NDArray[np.floating]]:
    """Standardised inputs as a person sees them."""
    if kind == "signal":
        return list(x.numpy())
    mean, std = (each.reshape(-1, *(1,) * (x.dim() - 2)) for each in pixels.columns(x.shape[1]))
    return list((x * std + mean).numpy())


def _captions(labels: list[str], partner: Tensor | None, lam: Tensor | None) -> list[str]:
    """Mixed labels with their shares."""
    if partner is None or lam is None:
        return [""] * len(labels)

    def mixed(label: str, other: str, share: float) -> str:
        if share > 0.995 or share < 0.005 or label == other:
            return label if share > 0.5 else other
        return f"{share:.2f} {label[:8]} + {1 - share:.2f} {other[:8]}"

    pairs = zip(labels, partner[0].tolist(), lam[0].tolist(), strict=True)
    return [mixed(label, labels[other], share) for label, other, share in pairs]


def _judged(
    dataset: Dataset, augment: Augment, x: NDArray[np.float32], rows: NDArray[np.int64], pixels: Pixels
) -> list[Finding]:
    """Whether the labels survive each of the operations."""
    if dataset.classes is None:
        raise InputError(f"--judge asks whether classes survive, and the target of {dataset.source} is a number.")
    y = torch.from_numpy(dataset.target[rows].astype(np.int64))
    asked = label_preservation.apart(augment)
    found = label_preservation.judge(torch.from_numpy(x), y, dataset.classes, dataset.kind, asked, pixels=pixels)
    return [each.verdict for each in found]
