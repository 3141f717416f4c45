"""Which hyperparameter mattered: how much of the score's spread a curve in that one alone explains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoal.search.space import Ranges, Values, position

LEAST_TRIALS = 8


def importance(ranges: Ranges, trials: Sequence[Values], scores: Sequence[float]) -> dict[str, float]:
    """Adjusted R^2 of a parabola in each hyperparameter, fitted to the scores' ranks; 0 where nothing is explained.

    Ranks, so that one diverged trial does not decide; diverged trials rank last.

    Args:
        ranges: that were searched.
        trials: values of each trial.
        scores: higher is better; NaN for a trial that diverged.

    Returns:
        A number from 0 to 1 by name; empty with fewer than 8 trials.
    """
    from scipy.stats import rankdata  # takes longer to import than all of this takes to run

    n = len(trials)
    if n < LEAST_TRIALS:
        return {}
    ranks = rankdata(np.nan_to_num(np.asarray(scores, dtype=float), nan=-np.inf))
    total = float(((ranks - ranks.mean()) ** 2).sum())
    shares = {}
    for name, range_ in ranges.items():
        places = np.array([position(range_, trial[name]) for trial in trials])
        degree = min(2, len(set(places)) - 1)  # two sizes of a network know a line
        fitted = np.polyval(np.polyfit(places, ranks, degree), places)
        left = float(((ranks - fitted) ** 2).sum())
        adjusted = 1.0 - (left / (n - degree - 1)) / (total / (n - 1)) if total > 0 else 0.0
        shares[name] = max(0.0, adjusted)
    return shares
