"""Is B better than A? Designs of levels x replicates x folds, trained as populations, and their paired differences."""

from shoal.comparison.design import Compared, Design, Level
from shoal.comparison.harness import Doing, run
from shoal.comparison.paired import Estimate, difference, mean

__all__ = ["Compared", "Design", "Doing", "Estimate", "Level", "difference", "mean", "run"]
