"""Data, target, metric and plans as one thing: prepared folds, and test rows under seal."""

from shoal.task.part import Part, Split
from shoal.task.sealed import Sealed
from shoal.task.task import Fold, Task

__all__ = ["Fold", "Part", "Sealed", "Split", "Task"]
