"""Statistics of rows that come in chunks: one pass for mean, variance, extremes and covariance; a sample for ranks.

Memory is that of one chunk and of the result, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.prepare.fitted import Floats

Chunks = Callable[[], Iterator[Floats]]  # one fresh pass over the training rows, [n, D] at a time
CHUNK_VALUES = 1 << 20
MOST_SAMPLED = 1 << 17  # rows that quantiles are read from; with fewer rows quantiles are exact


@dataclass(frozen=True)
class Spread:
    """Statistics of each feature by one pass, without missing cells; NaN where a feature has no value at all."""

    count: NDArray[np.int64]  # [D]
    mean: Floats
    variance: Floats  # over count, not count - 1
    low: Floats
    high: Floats

    @property
    def std(self) -> Floats:
        """Standard deviation; exactly 0 where it could be the rounding of a constant."""
        std = np.sqrt(self.variance)
        return np.where(std > 16 * np.finfo(np.float64).eps * np.abs(self.mean), std, 0.0)


def chunked(x: NDArray[np.generic], rows: NDArray[np.int64] | None = None, size: int | None = None) -> Chunks:
    """Some rows of a matrix, or all of them, chunk by chunk.

    Args:
        x: [N, D], which may lie on disk (a memory map): only one chunk is copied at a time.
        rows: which of them, in this order; None for all.
        size: rows of a chunk; None for about a million values.

    >>> [len(chunk) for chunk in chunked(np.zeros((5, 2)), size=2)()]
    [2, 2, 1]
    """
    size = size or max(1, CHUNK_VALUES // max(1, x.shape[1]))
    number = len(x) if rows is None else len(rows)

    def once() -> Iterator[Floats]:
        for start in range(0, number, size):
            stop = start + size
            yield np.asarray(x[start:stop] if rows is None else x[rows[start:stop]], dtype=np.float64)

    return once


def spread(chunks: Chunks) -> Spread:
    """Count, mean, variance, least and largest value of each feature, in one pass.

    For a chunk of n rows with mean m and squares S, and what came before (n', m', S'):
    m'' = m' + (m - m') n / (n + n'), S'' = S + S' + (m - m')^2 n n' / (n + n').
    Values are taken relative to the first one of their feature, so a large mean costs no digits.

    Raises:
        InputError: no rows, or a value is infinite.

    Source: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1.
    """
    first = mean = squares = low = high = np.zeros(0)
    count = np.zeros(0, dtype=np.int64)
    for block in _checked(chunks):
        if not len(first):
            first, low, high = (np.full(block.shape[1], np.nan) for _ in range(3))
            mean, squares, count = np.zeros_like(first), np.zeros_like(first), np.zeros(len(first), dtype=np.int64)
        values = np.ascontiguousarray(block.T)  # [D, n]: a handful of features is summed ten times as fast this way
        present = ~np.isnan(values)
        fresh = np.isnan(first) & present.any(axis=1)
        first = np.where(fresh, values[np.arange(len(first)), present.argmax(axis=1)], first)
        low = np.fmin(low, np.fmin.reduce(values, axis=1))
        high = np.fmax(high, np.fmax.reduce(values, axis=1))
        number = present.sum(axis=1)
        away = values - first[:, None]
        away[~present] = 0.0
        here = away.sum(axis=1) / np.maximum(number, 1)
        away -= here[:, None]
        away[~present] = 0.0
        total = np.maximum(count + number, 1)
        shift = here - mean
        squares = squares + np.einsum("dn,dn->d", away, away) + shift**2 * (count * number / total)
        mean = mean + shift * (number / total)
        count = count + number
    if not len(first):
        raise InputError("no training rows to fit the preparation on.")
    return Spread(count, first + mean, np.where(count, squares / np.maximum(count, 1), np.nan), low, high)


def covariance(chunks: Chunks) -> tuple[int, Floats, Floats]:
    """Rows, mean [D] and covariance [D, D] (over rows - 1), in one pass, joined as in `spread`.

    Raises:
        InputError: no rows, or a value is missing or infinite.
    """
    count, first, mean, scatter = 0, np.zeros(0), np.zeros(0), np.zeros((0, 0))
    for block in _checked(chunks):
        if np.isnan(block).any():
            feature = int(np.isnan(block).any(axis=0).argmax())
            raise InputError(
                f"feature {feature} has missing values: the covariance needs whole rows; fill them before."
            )
        if not count:
            first = block[0].copy()
            mean, scatter = np.zeros_like(first), np.zeros((len(first), len(first)))
        away = block - first
        here = away.mean(axis=0)
        away -= here
        shift, number = here - mean, len(block)
        scatter += away.T @ away
        scatter += np.outer(shift, shift) * (count * number / (count + number))
        mean = mean + shift * (number / (count + number))
        count += number
    if not count:
        raise InputError("no training rows to fit the preparation on.")
    return count, first + mean, scatter / max(count - 1, 1)


def sample(chunks: Chunks, most: int = MOST_SAMPLED) -> tuple[Floats, int]:
    """At most `most` rows, drawn evenly in one pass, and how many rows there were.

    A row stays if the hash of its number is among the `most` smallest, so the sample does not depend on the chunks. The
    shares of values below any point are then, with 95 % certainty, all within `rank_error` of the true ones.

    Raises:
        InputError: no rows, or a value is infinite.
    """
    kept, keys, count = np.zeros((0, 0)), np.zeros(0, dtype=np.uint64), 0
    for block in _checked(chunks):
        words = _hash(np.arange(count, count + len(block), dtype=np.uint64))
        count += len(block)
        if len(keys) == most:
            near = words < keys.max()
            block, words = block[near], words[near]
        kept = np.concatenate([kept, block]) if kept.size else block
        keys = np.concatenate([keys, words])
        if len(keys) > most:
            chosen = np.sort(np.argpartition(keys, most)[:most])
            kept, keys = kept[chosen], keys[chosen]
    if not count:
        raise InputError("no training rows to fit the preparation on.")
    return kept, count


def quantiles(rows: Floats, shares: Floats) -> Floats:
    """Quantiles of each feature, [len(shares), D], without missing cells; NaN where a feature has no value."""
    found = np.full((len(shares), rows.shape[1]), np.nan)
    for feature in range(rows.shape[1]):
        present = rows[~np.isnan(rows[:, feature]), feature]
        if len(present):
            found[:, feature] = np.quantile(present, shares)
    return found


def known(values: Floats) -> Floats:
    """The values, 0 where a feature has none."""
    return np.nan_to_num(values, nan=0.0)


def rank_error(rows: int, most: int = MOST_SAMPLED) -> float:
    """How far a sampled distribution may be off, sqrt(log(2 / 0.05) / (2 most)) with 95 % certainty; 0 if exact.

    Source: Dvoretzky, Kiefer & Wolfowitz 1956, with the constant of Massart 1990.

    >>> rank_error(1000), round(rank_error(10**9), 4)
    (0.0, 0.0038)
    """
    return 0.0 if rows <= most else sqrt(log(2 / 0.05) / (2 * most))


def _checked(chunks: Chunks) -> Iterator[Floats]:
    """The chunks that have rows, after a check that no value is infinite."""
    for block in chunks():
        infinite = np.isinf(block)
        if infinite.any():
            row, feature = (int(each) for each in np.argwhere(infinite)[0])
            raise InputError(
                f"feature {feature} holds {block[row, feature]} in the training rows: "
                "infinite values cannot be prepared; remove the row, or make the cell missing."
            )
        if len(block):
            yield block


def _hash(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finalizer (Steele, Lea & Flood 2014)."""
    z = (number + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
