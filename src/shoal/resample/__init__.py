"""Which rows train, which choose, which judge: index plans, nothing else."""

from shoal.resample.holdout import hold_out
from shoal.resample.plan import Plan, draw

__all__ = ["Plan", "draw", "hold_out"]
