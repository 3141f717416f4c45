"""Which rows are for training, validation and test: their indices, nothing else."""

from shoal.resample.holdout import hold_out
from shoal.resample.plan import SplitIndices, draw

__all__ = ["SplitIndices", "draw", "hold_out"]
