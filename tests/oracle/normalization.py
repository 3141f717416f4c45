"""Normalization number by number: for each place outside the axes, the mean and variance of what lies inside them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor


def by_loops(x: Tensor, axes: Sequence[int], eps: float) -> Tensor:
    kept = [range(n) if axis not in axes else [None] for axis, n in enumerate(x.shape)]
    y = torch.empty_like(x)
    for place in itertools.product(*kept):
        index = tuple(slice(None) if k is None else k for k in place)
        values = x[index].reshape(-1).tolist()
        mean = sum(values) / len(values)
        variance = sum((v - mean) ** 2 for v in values) / len(values)
        y[index] = torch.tensor([(v - mean) / sqrt(variance + eps) for v in values], dtype=x.dtype).reshape(
            x[index].shape
        )
    return y
