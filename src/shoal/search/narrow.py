"""From a coarse round to the ranges of a finer one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shoal.core.events import Range
from shoal.search.space import Ranges, Values, position, value_at

KEPT = 0.25  # share of the trials, from the best, whose values span the finer range
LEAST_WIDTH = 0.25  # of the range searched: a handful of trials does not justify less
PADDING = 0.05  # beyond the best trials, at least


def narrow(ranges: Ranges, trials: Sequence[Values], scores: Sequence[float]) -> dict[str, Range]:
    """The span of the best quarter of the trials, on to the next trial that did worse, inside the bounds searched.

    Where no trial lies beyond the best ones, nothing speaks against that side: the range reaches to its bound, so that
    an optimum at or beyond the bound is not cut off before the edge rule can see it.

    Args:
        ranges: that were searched.
        trials: values of each trial.
        scores: higher is better; NaN for a trial that diverged.

    Returns:
        Ranges within the given ones.
    """
    order = np.argsort(-np.nan_to_num(np.asarray(scores), nan=-np.inf), kind="stable")
    kept = max(3, round(KEPT * len(trials)))
    best, worse = order[:kept], order[kept:]
    finer = {}
    for name, range_ in ranges.items():
        places = [position(range_, trials[i][name]) for i in best]
        beyond = [position(range_, trials[i][name]) for i in worse]
        low = max((place for place in beyond if place < min(places)), default=0.0)
        high = min((place for place in beyond if place > max(places)), default=1.0)
        low, high = min(low, min(places) - PADDING), max(high, max(places) + PADDING)
        if (missing := LEAST_WIDTH - (high - low)) > 0:
            low, high = low - missing / 2, high + missing / 2
        reach = value_at(range_, max(0.0, low)), value_at(range_, min(1.0, high))
        finer[name] = Range(low=reach[0], high=reach[1], log=range_.log, integer=range_.integer)
    return finer
