"""Is B better than A? Designs of levels x replicates x folds, trained as populations, and their paired differences."""

from shoal.compare.design import Compared, Design, Level
from shoal.compare.harness import Doing, run
from shoal.compare.paired import Estimate, difference, mean

__all__ = ["Compared", "Design", "Doing", "Estimate", "Level", "difference", "mean", "run"]
