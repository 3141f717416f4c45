"""Layers, initializers and network builders."""

from shoal.nn.dropout import Dropout
from shoal.nn.networks import Cnn, Mlp, Resnet

__all__ = ["Cnn", "Dropout", "Mlp", "Resnet"]
