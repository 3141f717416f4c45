"""Boxes of pixels: what cutout blanks and cutmix exchanges."""

from __future__ import annotations

import torch
from torch import Tensor


def corners(at: Tensor, share: Tensor, size: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Where boxes begin and end, cut off at the border.

    Along an axis of n pixels a box of share s is round(s n) pixels long and centred on a pixel that is drawn uniformly:
    it begins at floor(u n) - length // 2.

    Args:
        at: u, float64 [..., r], axes x, y, z.
        share: s, float64 [...].
        size: pixels along x, y, z.

    Returns:
        First pixel, and the one after the last, int64 [..., r].
    """
    sides = torch.tensor(size, dtype=torch.float64)
    length = torch.round(share.unsqueeze(-1) * sides).to(torch.int64)
    low = torch.floor(at * sides).to(torch.int64) - length.div(2, rounding_mode="floor")
    pixels = sides.to(torch.int64)
    return low.clamp(min=0).minimum(pixels), (low + length).clamp(min=0).minimum(pixels)


def inside(low: Tensor, high: Tensor, size: tuple[int, ...], device: torch.device) -> Tensor:
    """Which pixels lie in each box: bool [n, 1, *size reversed] for corners [n, r]."""
    rank = len(size)
    mask = torch.ones(1, dtype=torch.bool, device=device)
    for axis, pixels in enumerate(size):
        at = torch.arange(pixels)
        along = (at >= low[:, axis : axis + 1]) & (at < high[:, axis : axis + 1])  # (n, pixels)
        shape = [len(low), 1, *(1,) * rank]
        shape[-1 - axis] = pixels
        mask = mask & along.to(device).reshape(shape)
    return mask


def filled_share(low: Tensor, high: Tensor, size: tuple[int, ...]) -> Tensor:
    """The part of the picture that a box covers, float64 [...]."""
    return (high - low).prod(dim=-1).to(torch.float64) / float(torch.tensor(size).prod())
