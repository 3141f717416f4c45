"""Layers, initializers and network builders."""

from shoal.nn import functional
from shoal.nn.conv import Conv1d, Conv2d, Conv3d
from shoal.nn.dropout import Dropout
from shoal.nn.networks import Cnn, Mlp, Resnet
from shoal.nn.normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm

__all__ = [
    "BatchNorm",
    "Cnn",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "Dropout",
    "GroupNorm",
    "InstanceNorm",
    "LayerNorm",
    "Mlp",
    "Resnet",
    "functional",
]
