"""Sums along a row whose bits depend on that row alone."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

_RUN = 1024


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
    n = x.shape[-1]
    if n > _RUN:
        x = pad(x, (0, -n % _RUN)).reshape(*x.shape[:-1], -1, _RUN)
    else:
        x = x.unsqueeze(-2)
    runs = x.sum(dim=-1)
    while runs.shape[-1] > 1:
        runs = pad(runs, (0, runs.shape[-1] % 2))
        half = runs.shape[-1] // 2
        runs = runs[..., :half] + runs[..., half:]
    return runs.squeeze(-1)
