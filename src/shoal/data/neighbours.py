"""Whether values follow each other along an axis: then its places are those of a signal or a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEWEST_COLUMNS = 32
SEEN_ROWS = 2000
SEEN_VALUES = 1 << 21
# ECG beats have 0.006, moving windows of a random walk 0.06, flattened pictures 0.11 to 0.73, tables 0.8 to 1.1.
SMOOTH = 0.05


def roughness(x: NDArray[np.generic]) -> float:
    """How much neighbouring columns differ, against columns at any distance.

    With z the columns standardised, mean (z_j+1 - z_j)^2 / 2 over the variance of a row's z: 1 where the order of the
    columns says nothing, near 0 for a smooth signal.

    Args:
        x: finite numbers [N, D].

    Returns:
        The ratio; NaN with fewer than three columns that vary, or rows that are constant.

    Source: von Neumann 1941, "Distribution of the ratio of the mean square successive difference to the variance".
    """
    sample = x[np.linspace(0, len(x) - 1, min(len(x), SEEN_ROWS)).astype(np.int64)].astype(np.float64)
    spread = sample.std(axis=0)
    varied = spread > 0
    if varied.sum() < 3:
        return float("nan")
    z = (sample[:, varied] - sample[:, varied].mean(axis=0)) / spread[varied]
    variance = float(z.var(axis=1).mean())
    return float((np.diff(z, axis=1) ** 2).mean() / 2 / variance) if variance > 0 else float("nan")


def roughness_along(x: NDArray[np.generic], axis: int) -> float:
    """How much neighbours along one axis differ, against places of that axis at any distance, as `roughness` does.

    Args:
        x: finite numbers [N, ...].
        axis: 1 or more, of two places or more.

    Returns:
        The ratio, about 1 for channels; infinity where nothing varies along the axis.
    """
    number = max(2, min(SEEN_ROWS, SEEN_VALUES // max(1, x[0].size)))
    sample = x[np.linspace(0, len(x) - 1, min(len(x), number)).astype(np.int64)].astype(np.float64)
    spread = sample.std(axis=0)
    z = np.divide(sample - sample.mean(axis=0), spread, out=np.zeros_like(sample), where=spread > 0)
    lines = np.moveaxis(z, axis, -1)
    if lines.shape[-1] < 2:
        return float("inf")
    variance = float(lines.var(axis=-1, ddof=1).mean())
    return float((np.diff(lines, axis=-1) ** 2).mean() / 2 / variance) if variance > 0 else float("inf")


def are_signals(x: NDArray[np.generic]) -> bool:
    """The columns follow each other as smoothly as a signal's, and are many enough to tell."""
    return x.ndim == 2 and x.shape[1] >= FEWEST_COLUMNS and bool(np.isfinite(x).all()) and roughness(x) < SMOOTH
