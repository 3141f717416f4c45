"""Shoal trains many neural networks as one, and chooses with evidence how a network should be trained."""

__version__ = "0.1.0"
