"""How well one column alone tells the target, on rows that were not used to learn it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.data.targets import Target

FEWEST_ROWS, MOST_ROWS = 40, 20_000
ROWS_PER_VALUE = 5  # from which on a value is answered by its own rows, else by its neighbours in rank

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SingleScore:
    """`score`: accuracy, or R2; `gain`: share of what the best constant answer misses; `z`: gain over its noise."""

    score: float
    base: float
    gain: float
    z: float


def single(column: pl.Series, answer: Target, *, neighbours: int) -> SingleScore | None:
    """Learn the answers from one half of the rows, and score them on the other half.

    In a column of few values each answers with the majority class, or the mean, of its rows; in one of many, with that
    of the rows next to it in rank, so that text counts by its beginning. A missing cell is a value of its own.

    Args:
        column: numbers, dates or text.
        answer: the target.
        neighbours: how many rows of the learning half answer together: few to catch what tells the target exactly, more
            to catch what hints at it.

    Returns:
        None for fewer than 40 rows. Of more than 20 000 rows some are looked at.
    """
    rows = len(answer.values)
    if rows < FEWEST_ROWS:
        return None
    order = np.random.default_rng(0).permutation(rows)[:MOST_ROWS]
    half = len(order) // 2
    ranks = column.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()  # 0: missing
    learn, judge = order[:half], order[half:]
    groups = _groups(ranks[learn], ranks[judge], neighbours)
    if answer.task == "classification":
        codes = answer.values.astype(np.int64)
        majority = int(np.bincount(codes[learn]).argmax())
        right = (_majority(groups, codes[learn], majority) == codes[judge]).astype(np.float64)
        base = (codes[judge] == majority).astype(np.float64)
        score, missed = float(right.mean()), 1 - float(base.mean())
        return SingleScore(score, 1 - missed, (score - 1 + missed) / max(missed, 1e-9), _z(right - base))
    values = answer.values.astype(np.float64)
    values = (values - values.mean()) / (float(values.std()) or 1.0)
    mean = float(values[learn].mean())
    errors = (_mean(groups, values[learn], mean) - values[judge]) ** 2
    without = (values[judge] - mean) ** 2
    gain = 1 - float(errors.mean()) / max(float(without.mean()), 1e-12)
    return SingleScore(gain, 0.0, gain, _z(without - errors))


@dataclass(frozen=True)
class _Groups:
    """For each judged row the rows of the learning half that answer for it."""

    own: tuple[Whole, Whole] | None  # codes of the values: learning half, judging half
    near: Whole | None  # [judged, neighbours] rows of the learning half


def _groups(learn: Whole, judge: Whole, neighbours: int) -> _Groups:
    if len(np.unique(learn)) * ROWS_PER_VALUE <= len(learn):
        return _Groups((learn, judge), None)
    order = np.argsort(learn, kind="stable")
    places = np.searchsorted(learn[order], judge)
    around = places[:, None] + np.arange(-(neighbours // 2), neighbours - neighbours // 2)
    return _Groups(None, order[np.clip(around, 0, len(order) - 1)])


def _majority(groups: _Groups, codes: Whole, otherwise: int) -> Whole:
    if groups.near is not None:
        labels = codes[groups.near]  # [judged, neighbours]
        votes = (labels[:, :, None] == labels[:, None, :]).sum(axis=2)
        chosen: Whole = np.take_along_axis(labels, votes.argmax(axis=1)[:, None], axis=1)[:, 0]
        return chosen
    learn, judge = groups.own or (codes, codes)
    classes = int(codes.max()) + 1
    pairs, often = np.unique(learn * classes + codes, return_counts=True)
    answers = np.full(int(max(learn.max(), judge.max())) + 1, otherwise)
    by_count = np.argsort(often, kind="stable")  # the commonest of a value is written last
    answers[pairs[by_count] // classes] = pairs[by_count] % classes
    found: Whole = answers[judge]
    return found


def _mean(groups: _Groups, values: Floats, otherwise: float) -> Floats:
    if groups.near is not None:
        near: Floats = values[groups.near].mean(axis=1)
        return near
    learn, judge = groups.own or (np.zeros(len(values), dtype=np.int64), np.zeros(0, dtype=np.int64))
    size = int(max(learn.max(), judge.max())) + 1
    sums, counts = np.bincount(learn, weights=values, minlength=size), np.bincount(learn, minlength=size)
    means: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), otherwise)[judge]
    return means


def _z(difference: Floats) -> float:
    noise = float(difference.std()) / float(np.sqrt(len(difference)))
    return float(difference.mean()) / max(noise, 1e-9)
