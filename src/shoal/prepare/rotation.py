"""All values of a row rotated to the axes of the training rows' covariance: PCA, PCA-whitening, ZCA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from shoal.core.errors import InputError
from shoal.prepare.fitted import Fitted, Floats
from shoal.prepare.step import Step
from shoal.prepare.streaming import Chunks, covariance

MOST_VALUES = 4096  # of a row: its covariance then takes 128 MB, the eigenvectors about half a minute
EPS_FRAC = 1e-8  # of the mean variance: above rounding errors, below features of smaller units


class Rotation(Step):
    """With the covariance U diag(l) U^T of the training rows, mean mu and x' = U^T (x - mu):

    - `pca`: x', decorrelated;
    - `whiten`: x' / sqrt(l + eps), decorrelated and of unit variance;
    - `zca`: U x' / sqrt(l + eps), the whitened rows that stay closest to the rows as they were.

    Axes come by falling variance; the largest entry of each is positive. With eps = 0, an axis along which the training
    rows do not vary becomes 0, which cannot be undone for rows that leave their plane; with eps > 0 everything can.
    """

    looks_at: ClassVar[Literal["feature", "row"]] = "row"
    kind: Literal["pca", "whiten", "zca"]
    mean: Fitted  # [D]
    axes: Fitted  # U: [D, C], columns of length 1
    variances: Fitted  # l: [C], falling, over rows - 1
    eps: float = 0.0  # in the data's unit, squared

    @property
    def features(self) -> int:
        """D."""
        return len(self.mean)

    @property
    def gain(self) -> Floats:
        """What each axis is multiplied by: 1, or 1 / sqrt(l + eps); 0 for an axis that is nothing but rounding."""
        if self.kind == "pca":
            return np.ones_like(self.variances)
        spread = np.sqrt(self.variances + self.eps)
        return np.where(spread > 0, 1 / np.where(spread > 0, spread, 1.0), 0.0)

    @property
    def condition(self) -> float:
        """Condition number: largest over smallest variance; infinite where the covariance is rank-deficient."""
        return float(self.variances[0] / self.variances[-1]) if self.variances[-1] > 0 else float("inf")

    def apply(self, x: Floats) -> Floats:
        """Rows [n, D] to [n, C]; `zca` gives [n, D].

        Raises:
            InputError: rows of another width.
        """
        turned = ((self.check(x) - self.mean) @ self.axes) * self.gain
        return turned @ self.axes.T if self.kind == "zca" else turned

    def invert(self, y: Floats) -> Floats:
        """[n, C] back to rows [n, D]; with fewer axes than values, the closest rows in their span.

        Raises:
            InputError: rows of another width.
        """
        width = self.features if self.kind == "zca" else self.axes.shape[1]
        if y.ndim != 2 or y.shape[1] != width:
            raise InputError(f"rows of shape {list(y.shape)}; [n, {width}] is expected, as `apply` gives.")
        turned = y @ self.axes if self.kind == "zca" else y
        gain = self.gain
        return (turned * np.where(gain > 0, 1 / np.where(gain > 0, gain, 1.0), 0.0)) @ self.axes.T + self.mean

    def names(self, inputs: Sequence[str]) -> list[str]:
        """Components by number; ZCA keeps the names."""
        return list(inputs) if self.kind == "zca" else [f"component {k + 1}" for k in range(self.axes.shape[1])]


def fit_pca(chunks: Chunks, components: int | None = None) -> Rotation:
    """U^T (x - mu): uncorrelated over the training rows; distances stay.

    Args:
        chunks: the training rows, without missing values; read once.
        components: how many axes to keep, those of the largest variance; None for all.

    Raises:
        InputError: a value is missing or infinite, or a row has more than 4096 values.

    Agrees with scikit-learn's PCA up to the sign of each axis.
    """
    mean, axes, variances = _axes(chunks)
    return Rotation(kind="pca", mean=mean, axes=axes[:, :components], variances=variances[:components])


def fit_whiten(chunks: Chunks, components: int | None = None, eps_frac: float = EPS_FRAC) -> Rotation:
    """U^T (x - mu) / sqrt(l + eps): uncorrelated and of unit variance.

    Args:
        chunks: the training rows, without missing values; read once.
        components: how many axes to keep; None for all.
        eps_frac: eps as a share of the mean variance, at least 0. Axes of much less variance are not amplified.

    Raises:
        InputError: a value is missing or infinite, or a row has more than 4096 values.

    Agrees with scikit-learn's PCA(whiten=True) up to the sign of each axis for eps_frac = 0.
    """
    mean, axes, variances = _axes(chunks)
    return Rotation(
        kind="whiten",
        mean=mean,
        axes=axes[:, :components],
        variances=variances[:components],
        eps=eps_frac * float(variances.mean()),
    )


def fit_zca(chunks: Chunks, eps_frac: float = EPS_FRAC) -> Rotation:
    """U U^T (x - mu) / sqrt(l + eps) along each axis: whitened, and rotated back to the original axes.

    Args:
        chunks: the training rows, without missing values; read once.
        eps_frac: eps as a share of the mean variance, at least 0.

    Raises:
        InputError: a value is missing or infinite, or a row has more than 4096 values.

    Source: Bell & Sejnowski 1997, "The independent components of natural scenes are edge filters".
    """
    mean, axes, variances = _axes(chunks)
    return Rotation(kind="zca", mean=mean, axes=axes, variances=variances, eps=eps_frac * float(variances.mean()))


def _axes(chunks: Chunks) -> tuple[Floats, Floats, Floats]:
    """Mean [D], axes [D, D] by falling variance, and the variances [D], 0 where they are rounding alone."""
    width = next((block.shape[1] for block in chunks()), 0)
    if width > MOST_VALUES:
        raise InputError(
            f"rows of {width} values have a covariance of {8 * width**2 / 1e9:.1f} GB: PCA and whitening take at most "
            f"{MOST_VALUES} values; reduce the rows, or use `standardize`."
        )
    _, mean, spread = covariance(chunks)
    variances, axes = np.linalg.eigh(spread)
    variances, axes = variances[::-1], axes[:, ::-1]
    noise = len(variances) * np.finfo(np.float64).eps * max(float(variances[0]), 0.0) if len(variances) else 0.0
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return mean, axes * np.where(largest < 0, -1.0, 1.0), np.where(variances > noise, variances, 0.0)
