"""Small networks that the population's tests train."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def dense() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3))


def convolutional() -> nn.Module:
    """Convolution, batch normalization with running statistics, dropout by element and by channel.

    Without a bias before the normalization: its gradient would be nothing but rounding, which Adam blows up.
    """
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout2d(0.2),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(4 * 3 * 3, 3),
    )


def table(rows: int = 37, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 5, generator=generator), torch.randint(0, 3, (rows,), generator=generator)


def pictures(rows: int = 37, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 1, 6, 6, generator=generator), torch.randint(0, 3, (rows,), generator=generator)
