"""The steps by name, and chains of them: `standardize`, `robust-clip`, `standardize+pca`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated

from pydantic import Field

from shoal.core.errors import InputError
from shoal.core.names import did_you_mean
from shoal.prepare.fitted import Floats
from shoal.prepare.quantile import Quantile, fit_quantile
from shoal.prepare.rotation import EPS_FRAC, Rotation, fit_pca, fit_whiten, fit_zca
from shoal.prepare.scaling import Scaling, fit_center, fit_minmax, fit_robust, fit_standardize
from shoal.prepare.streaming import Chunks

FittedStep = Annotated[Scaling | Quantile | Rotation, Field(discriminator="kind")]

FITS: Mapping[str, Callable[[Chunks], FittedStep]] = {
    "center": fit_center,
    "standardize": fit_standardize,
    "minmax": fit_minmax,
    "robust": fit_robust,
    "robust-clip": lambda chunks: fit_robust(chunks, smooth_clip=True),
    "quantile": fit_quantile,
    "quantile-uniform": lambda chunks: fit_quantile(chunks, to="uniform"),
    "pca": fit_pca,
    "whiten": fit_whiten,
    "zca": fit_zca,
}
"""Every step, by the name that the setting `prepare` has for it."""
BY_ROW = ("pca", "whiten", "zca")  # these look at all values of a row together, the others at each feature alone


def names_of(how: str) -> tuple[str, ...]:
    """The steps that a setting names, in the order in which they act.

    Args:
        how: `none`, the name of a step, or several joined by `+`.

    Raises:
        InputError: a name is unknown; the sentence names the closest.

    >>> names_of("standardize+pca"), names_of("none")
    (('standardize', 'pca'), ())
    """
    chosen = () if how == "none" else tuple(how.split("+"))
    for name in chosen:
        if name not in FITS:
            raise InputError(f"there is no preparation `{name}`{did_you_mean(name, [*FITS, 'none', 'auto'])}")
    return chosen


def fit_step(name: str, chunks: Chunks, eps_frac: float = EPS_FRAC) -> FittedStep:
    """Fit one step, by its name.

    Args:
        name: a key of `FITS`.
        chunks: the training rows.
        eps_frac: for whitening, eps as a share of the mean variance.
    """
    if name == "whiten":
        return fit_whiten(chunks, eps_frac=eps_frac)
    return fit_zca(chunks, eps_frac) if name == "zca" else FITS[name](chunks)


def fit_chain(how: str, chunks: Chunks, eps_frac: float = EPS_FRAC) -> tuple[FittedStep, ...]:
    """Fit each step on the training rows as the steps before it transform them.

    Args:
        how: as `names_of` reads it.
        chunks: the training rows.
        eps_frac: for whitening, eps as a share of the mean variance.
    """
    steps: list[FittedStep] = []
    for name in names_of(how):
        steps.append(fit_step(name, chunks, eps_frac))
        chunks = _after(steps[-1], chunks)
    return tuple(steps)


def _after(step: FittedStep, chunks: Chunks) -> Chunks:
    """The rows after a step, chunk by chunk."""

    def once() -> Iterator[Floats]:
        for block in chunks():
            yield step.apply(block)

    return once
