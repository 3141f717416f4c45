"""Averaging over crops at test time: the corners and the middle, and their mirror images."""

from __future__ import annotations

import torch
from torch import Tensor

from shoal.augment.warp import Motion, warp
from shoal.core.errors import InputError

_AT = ((0.0, 0.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0), (1.0, 1.0))  # of the free space, from the middle


def crops(batch: Tensor, count: int = 5, keep: float = 0.875) -> Tensor:
    """Five crops of each image (middle, four corners) resized to its size, or ten with their mirror images.

    Args:
        batch: [B, C, H, W].
        count: 5 or 10.
        keep: side of a crop as a fraction of each side; 1 keeps all.

    Returns:
        [count, B, C, H, W]; the network sees each of them as any other batch.

    Raises:
        InputError: another count, a fraction outside (0, 1], or no images.

    Source: Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional neural networks",
    section 4.1.
    """
    if count not in (5, 10):
        raise InputError(f"There are averages over 5 or 10 crops, not over {count}.")
    if not 0.0 < keep <= 1.0:
        raise InputError(f"keep={keep:g}: a crop keeps more than 0 and at most 1 of each side.")
    if batch.dim() != 4:
        raise InputError(f"Crops are for images [B, C, H, W], not for {list(batch.shape)}.")
    height, width = batch.shape[2:]
    room = torch.tensor([width, height], dtype=torch.float64) * (0.5 * (1.0 - keep))
    matrix = torch.eye(2, dtype=torch.float64) * keep
    cut = [batch] * 5
    if keep < 1.0:
        for number, at in enumerate(_AT):
            moved = Motion(
                matrix.expand(1, len(batch), 2, 2),
                (torch.tensor(at, dtype=torch.float64) * room).expand(1, len(batch), 2),
                torch.zeros(1, len(batch), dtype=torch.float64),
            )
            cut[number] = warp(batch, moved, "border", "bilinear")
    stack = torch.stack(cut)
    return torch.cat([stack, stack.flip(-1)]) if count == 10 else stack


def average(outputs: Tensor, *, categorical: bool = True) -> Tensor:
    """One answer from those of several crops.

    Classes: log of the mean over the crops of softmax(outputs), which is again an output that softmax can be taken of.
    Numbers: the mean.

    Args:
        outputs: [crops, ..., C].
        categorical: whether these are logits.

    Returns:
        [..., C].
    """
    if not categorical:
        return outputs.mean(dim=0)
    return torch.logsumexp(torch.log_softmax(outputs, dim=-1), dim=0) - torch.log(
        torch.tensor(float(len(outputs)), dtype=outputs.dtype, device=outputs.device)
    )
