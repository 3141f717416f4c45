"""The networks that the benches train: ordinary modules, written as anybody would write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Workload:
    """A network, its data's shape, and how many of it are trained on which batches."""

    name: str
    make_net: Callable[[], nn.Module]
    shape: tuple[int, ...]
    batch: int
    members: int
    steps: int  # of a turn
    target: float  # against the plain loop
    classes: int = 10

    @property
    def case(self) -> str:
        """The task in words."""
        return f"{self.name}, batch {self.batch}, K {self.members}"

    def data(self) -> tuple[Tensor, Tensor]:
        """Inputs and classes for one turn."""
        generator = torch.Generator().manual_seed(0)
        n = self.batch * self.steps
        return torch.randn(n, *self.shape, generator=generator), torch.randint(
            0, self.classes, (n,), generator=generator
        )


@dataclass(frozen=True)
class Numbered:
    """Makes the network of a workload; another process can be sent it."""

    number: int  # in WORKLOADS

    def __call__(self) -> nn.Module:
        """A fresh network."""
        return WORKLOADS[self.number].make_net()


def mlp(inputs: int, width: int, outputs: int = 10) -> Callable[[], nn.Module]:
    """Two layers."""
    return lambda: nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))


def cnn(rank: int, channels: tuple[int, int, int], features: int, *, norm: bool) -> Callable[[], nn.Module]:
    """Two blocks of convolution, perhaps batch normalization, ReLU and pooling; then linear."""
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    batch_norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[rank - 1]
    pool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[rank - 1]

    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers.append(conv(before, after, 3, padding=1))
            layers += [batch_norm(after)] if norm else []
            layers += [nn.ReLU(), pool(2)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 10))

    return build


class BasicBlock(nn.Module):
    """Two convolutions and a way around them (He et al. 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same."""
        inner = torch.relu(self.norm1(self.first(x)))
        return torch.relu(x + self.norm2(self.second(inner)))


def resnet() -> nn.Module:
    """A stem, two residual blocks, global pooling."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        BasicBlock(16),
        nn.MaxPool2d(2),
        BasicBlock(16),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


class Recurrent(nn.Module):
    """An LSTM over a signal and a linear layer on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(8, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """[B, L, 8] to [B, 10]."""
        return self.out(self.lstm(x)[0][:, -1])  # type: ignore[no-any-return]


WORKLOADS = (
    Workload("MLP 64-50-10", mlp(64, 50), (64,), 100, 100, 20, 12.0),
    Workload("MLP 784-128-10", mlp(784, 128), (784,), 128, 32, 10, 1.8),
    Workload("MLP 3072-50-10", mlp(3072, 50), (3072,), 100, 100, 4, 1.0),
    Workload("CNN 16-32 on 28x28", cnn(2, (1, 16, 32), 32 * 49, norm=False), (1, 28, 28), 64, 16, 4, 1.3),
    Workload("the same with batch norm", cnn(2, (1, 16, 32), 32 * 49, norm=True), (1, 28, 28), 64, 16, 4, 1.0),
    Workload("1-D CNN 16-32 on 187", cnn(1, (1, 16, 32), 32 * 46, norm=True), (1, 187), 64, 16, 4, 1.0),
    Workload("3-D CNN 8-16 on 16x16x16", cnn(3, (1, 8, 16), 16 * 64, norm=True), (1, 16, 16, 16), 32, 8, 4, 1.0),
    Workload("residual network on 32x32", resnet, (3, 32, 32), 64, 8, 4, 1.0),
    Workload("LSTM 32 on 50 steps", Recurrent, (50, 8), 64, 8, 4, 1.0),
)
