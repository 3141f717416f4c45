"""From features to what a network sees, with statistics of the training rows alone."""

from shoal.prepare.preparation import Preparation, Prepared, fit
from shoal.prepare.targets import TargetScaling

__all__ = ["Preparation", "Prepared", "TargetScaling", "fit"]
