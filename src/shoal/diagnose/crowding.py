"""Inputs and targets whose range is set by a few far values, so that a network cannot tell all others apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

ROOM = 0.02  # of the range: what the middle 98 % have at least in a healthy input
MIDDLE = (0.01, 0.99)
MOST_ROWS = 20_000  # that the quantiles are taken from
SHOWN = 5


def crowded(x: Tensor) -> list[int]:
    """Inputs (of arrays: channels) whose middle 98 % differ, but lie within 2 % of the range.

    A flag that is rarely set is not one of them: its middle does not differ at all.

    Args:
        x: prepared rows [N, D] or [N, C, ...], or targets [N, C].

    >>> import torch
    >>> crowded(torch.tensor([[float(k), float(k == 9)] for k in range(200)] + [[1e6, 0.0]]))
    [0]
    """
    values = x.detach().flatten(2) if x.dim() > 2 else x.detach().unsqueeze(-1)
    found = []
    for channel in range(values.shape[1]):
        one = values[:, channel].float().cpu()
        some = one[:: -(-len(one) // MOST_ROWS)].flatten().numpy()
        low, high = np.quantile(some, MIDDLE)
        if 0 < high - low < ROOM * float(one.max() - one.min()):
            found.append(channel)
    return found


def advice(x: Tensor, y: Tensor, names: Sequence[str], categorical: bool) -> str:
    """Where to look first when nothing is learned, or the empty string.

    Args:
        x: prepared training rows.
        y: their targets, class numbers or [N, C].
        names: of the inputs of a table; empty for arrays.
        categorical: whether the targets are classes.
    """
    if not categorical and crowded(y):
        return (
            "Look at the target first: a few far values leave all others hardly any room, and the squared error sees "
            "nothing else. Mend these values, or leave out their rows."
        )
    inputs = crowded(x)
    if not inputs:
        return ""
    called = [names[k] if k < len(names) else f"channel {k}" for k in inputs[:SHOWN]]
    more = f" and {len(inputs) - SHOWN} more" if len(inputs) > SHOWN else ""
    return (
        f"Look at {', '.join(called)}{more} first: a few far values leave all others hardly any room, so the network "
        "cannot tell them apart. Mend these values, or prepare `robust-clip`."
    )
