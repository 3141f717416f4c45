"""Sums along a row whose bits depend on that row alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import pad

_RUN = 1024
_PIECE = 1 << 16  # elements worked on at a time: they stay in cache


def row_sum(x: Tensor) -> Tensor:
    """Sum over the last axis in an order that is fixed by its length.

    torch.sum may cut a long sum by threads, and does so differently for one row and for many. Here runs of 1024 are
    summed first, then halves are added to halves, so a row's sum is the same in any population and with any number of
    threads (on CPU).

    Args:
        x: [..., n].

    Returns:
        [...].
    """
    return _halves(_runs(x, x.shape[-1]))


def row_sum_of(piece: Callable[[slice], Tensor], rows: int, length: int) -> Tensor:
    """`row_sum` of a matrix that is never made whole.

    Args:
        piece: columns to that part of the matrix, [K, n].
        rows: K.
        length: P.

    Returns:
        [K], the bits of `row_sum` of the whole.
    """
    width = max(_PIECE // max(rows, 1) // _RUN, 1) * _RUN
    if length <= width:
        return row_sum(piece(slice(0, length)))
    runs = [_runs(piece(slice(left, left + width)), length) for left in range(0, length, width)]
    return _halves(torch.cat(runs, dim=1))


def _runs(x: Tensor, length: int) -> Tensor:
    """Sums of runs of 1024, of a piece of a row of that length; a last, short run is filled with 0.

    A row shorter than one run is summed as it is. A short piece of a longer row is not: the order of a sum follows its
    length.
    """
    if length <= _RUN:
        return x.unsqueeze(-2).sum(dim=-1)
    return pad(x, (0, -x.shape[-1] % _RUN)).reshape(*x.shape[:-1], -1, _RUN).sum(dim=-1)


def _halves(runs: Tensor) -> Tensor:
    """Sum over the last axis, halves added to halves."""
    while runs.shape[-1] > 1:
        runs = pad(runs, (0, runs.shape[-1] % 2))
        half = runs.shape[-1] // 2
        runs = runs[..., :half] + runs[..., half:]
    return runs.squeeze(-1)
