"""Where the answers are wrong: the confusion table, the pairs that are mixed up most, the worst rows, the residuals."""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct
from dataclasses import dataclass
from typing import Any

from shoal.core import events as ev
from shoal.report import formats
from shoal.report.pictures import Chart

IMAGE_SIDE = 112  # pixels: the side that an image is enlarged to, at an integer scale
MOST_WORST = 24
MOST_PAIRS = 10
WIDE = 12  # classes beyond which columns are headed by number
_IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}\Z")
_PNG_HEAD = 24  # bytes of a PNG up to the end of its size
_SAID = ("row", "path", "truth", "answer", "probability", "image", "values")


@dataclass(frozen=True)
class ConfusionCell:
    """One cell of the confusion table: `tint` is its share of the row, `right` where truth and answer agree."""

    count: int
    tint: float
    right: bool


@dataclass(frozen=True)
class ClassRow:
    """One true class: its cells, its rows and the share answered correctly."""

    number: int
    name: str
    cells: list[ConfusionCell]
    total: int
    recall: str


@dataclass(frozen=True)
class Confusion:
    """A confusion of one class with another."""

    truth: str
    answer: str
    count: int
    share: str  # of the rows of that class


@dataclass(frozen=True)
class Sample:
    """One of the worst answers. `image` is a checked data URI or empty; `width` and `height` are in CSS pixels."""

    truth: str
    answer: str
    notes: list[str]  # how sure, and which row
    image: str
    width: int
    height: int
    values: list[tuple[str, str]]


def classes(test: ev.TestRead) -> list[ClassRow]:
    """The confusion table by true class; empty where there is none."""
    if not test.confusion:
        return []
    labels = test.labels or [str(k) for k in range(len(test.confusion))]
    rows = []
    for k, counts in enumerate(test.confusion):
        total = sum(counts)
        cells = [ConfusionCell(n, n / total if total else 0.0, j == k) for j, n in enumerate(counts)]
        right = counts[k] if k < len(counts) else 0
        recall = formats.score("accuracy", right / total, rows=total) if total else "no rows"
        rows.append(ClassRow(k + 1, labels[k] if k < len(labels) else str(k), cells, total, recall))
    return rows


def pairs(test: ev.TestRead) -> list[Confusion]:
    """The confusions with the most rows, at most ten."""
    rows = classes(test)
    found = [
        Confusion(
            row.name, rows[j].name if j < len(rows) else str(j), cell.count, f"{formats.fixed(cell.tint * 100, 0)} %"
        )
        for row in rows
        for j, cell in enumerate(row.cells)
        if not cell.right and cell.count
    ]
    return sorted(found, key=lambda pair: -pair.count)[:MOST_PAIRS]


def confusion_caption(test: ev.TestRead) -> str:
    """What the confusion table shows, in words with numbers."""
    rows = classes(test)
    wrong = sum(c.count for r in rows for c in r.cells if not c.right)
    total = sum(r.total for r in rows)
    if not wrong:
        return f"All {formats.count(total, 'test row')} are answered correctly."
    first = pairs(test)[0]
    return (
        f"{wrong:,} of {formats.count(total, 'test row')} are answered wrongly. The commonest mistake: "
        f"`{formats.shorten(first.truth, 32)}` answered as `{formats.shorten(first.answer, 32)}`, "
        f"{formats.count(first.count, 'time')} ({first.share} of that class)."
    )


def residuals(test: ev.TestRead) -> list[Chart]:
    """Truth against prediction on a sample of the test rows; empty for classification."""
    if not test.truth or not test.predicted:
        return []
    both = [(t, p) for t, p in zip(test.truth, test.predicted, strict=False) if math.isfinite(t) and math.isfinite(p)]
    if not both:
        return []
    errors = sorted(p - t for t, p in both)
    low, high = errors[len(errors) // 10], errors[-1 - len(errors) // 10]
    caption = f"A sample of {formats.count(len(both), 'test row')}. Eight in ten answers lie between {_off(low)} and "
    caption += f"{_off(high)} the truth."
    half = sorted(both)[: len(both) // 2], sorted(both)[len(both) // 2 :]
    if len(both) >= 20:
        small, large = (sum(p - t for t, p in part) / len(part) for part in half)
        caption += f" Small values are answered {_high_or_low(small)} on average, large ones {_high_or_low(large)}."
    lost = len(test.truth) - len(both)
    if lost:
        caption += f" {formats.count(lost, 'answer')} {'was' if lost == 1 else 'were'} not finite."
    data = {"truth": [t for t, _ in both], "predicted": [p for _, p in both]}
    return [Chart("residuals", "residuals", "Truth and answer", caption, data)]


def _off(error: float) -> str:
    return f"{formats.number(abs(error))} {'above' if error > 0 else 'below'}"


def _high_or_low(error: float) -> str:
    return f"too {'high' if error > 0 else 'low'} by {formats.number(abs(error), 2)}"


def scores(test: ev.TestRead) -> list[tuple[str, str, str]]:
    """Further metrics: name, value, one-line explanation."""
    shown = []
    for name, value in test.scores.items():
        word = formats.metric_word(name)
        text = formats.score(name, value, rows=test.rows) if name in formats.SHARES else formats.number(value, 4)
        shown.append((word, text, formats.EXPLAINED.get(word, "")))
    return shown


def worst(test: ev.TestRead, source: str = "") -> list[Sample]:
    """The rows whose answer was most wrong, at most 24, each with its picture or its values.

    Args:
        test: the reading of the test rows; its worst answers come in their order.
        source: what the data were read from; rows of a delimited file are named by their line.

    Returns:
        The samples.
    """
    lines = re.search(r"\.(csv|tsv|txt)(\.\w+)?$", source, re.IGNORECASE) is not None
    return [_sample(entry, lines) for entry in test.worst[:MOST_WORST]]


def worst_caption(test: ev.TestRead) -> str:
    """What the list of the worst answers holds, and in which order."""
    shown = test.worst[:MOST_WORST]
    sure = [float(p) for e in shown if isinstance(p := e.get("probability"), int | float) and math.isfinite(p)]
    doubt = "Some of them may be labelled wrongly."
    if len(sure) < len(shown) or not sure:
        return f"Test rows whose answers are farthest off, the worst first. {doubt}"
    high, low = (f"{formats.fixed(p * 100, 0)} %" for p in (max(sure), min(sure)))
    span = f"all {high} sure" if high == low else f"from {high} down to {low} sure"
    return f"Test rows that were answered wrongly, the surest answer first: {span}. {doubt}"


def _sample(entry: dict[str, Any], lines: bool) -> Sample:
    truth, answer = (formats.shorten(formats.number(entry.get(key), 4), 32) for key in ("truth", "answer"))
    chance, row = entry.get("probability"), entry.get("row")
    note = []
    if isinstance(chance, int | float) and math.isfinite(chance):
        note.append(f"{formats.fixed(float(chance) * 100, 0)} % sure")
    path = entry.get("path")
    if isinstance(path, str):
        note.append(formats.shorten(path, 48))
    elif isinstance(row, int):
        note.append(f"line {row + 2:,}" if lines else f"row {row:,}")  # line 1 names the columns, rows count from 0
    image = entry.get("image")
    uri = image if isinstance(image, str) and _IMAGE.match(image) else ""
    width, height = shown_size(uri)
    values = entry.get("values")
    listed = values if isinstance(values, dict) else {}
    listed = {**listed, **{k: v for k, v in entry.items() if k not in _SAID}}
    cells = [(formats.shorten(str(k), 32), formats.shorten(formats.number(v), 48)) for k, v in listed.items()]
    return Sample(truth, answer, note, uri, width, height, cells[:12])


def shown_size(uri: str) -> tuple[int, int]:
    """The size in CSS pixels at which a PNG data URI is shown: the largest integer scale within 112 pixels.

    Args:
        uri: a data URI; anything but a PNG gives (0, 0), which leaves the size to the browser.

    Returns:
        Width and height; an image larger than the frame keeps its own size.
    """
    head, _, body = uri.partition(",")
    if not head.startswith("data:image/png"):
        return 0, 0
    try:
        start = base64.b64decode(body[:32], validate=True)
    except (binascii.Error, ValueError):
        return 0, 0
    if len(start) < _PNG_HEAD or start[:8] != b"\x89PNG\r\n\x1a\n":
        return 0, 0
    width, height = struct.unpack(">II", start[16:24])
    if not (0 < width <= 4096 and 0 < height <= 4096):
        return 0, 0
    scale = max(1, IMAGE_SIDE // max(width, height))
    return width * scale, height * scale
