"""Findings about preparations that the user asked for and that harm, and what to do instead.

| code | meaning | what is done |
| --- | --- | --- |
| SHL291 | features of one unit are scaled one by one | done as asked, named |
| SHL292 | PCA or whitening of images | done as asked, named |
| SHL293 | whitening along axes of hardly any variance | damped by eps, named |
| SHL294 | min-max with outliers | done as asked, named |
| SHL295 | PCA or whitening of features in very unequal units | done as asked, named |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from shoal.core.events import Finding
from shoal.core.wording import count, listing, percent
from shoal.data import ArrayFeatures, Dataset
from shoal.prepare.block import cells_of
from shoal.prepare.chain import BY_ROW, names_of
from shoal.prepare.channels import matrices
from shoal.prepare.fitted import Floats
from shoal.prepare.preparation import Preparation
from shoal.prepare.rotation import Rotation
from shoal.prepare.streaming import quantiles, sample

SHARED_UNIT = "SHL291"
IMAGE_ROTATED = "SHL292"
FLAT_AXES = "SHL293"
OUTLIERS = "SHL294"
UNEQUAL_UNITS = "SHL295"

FLAT_FRAC = 1e-6  # of the mean variance: an axis below it is flat
CROWDED_FRAC = 0.1  # of the range: where 99 % of the values lie in less, the rest are outliers
UNEQUAL = 100.0  # largest over smallest standard deviation
UNITS = re.compile(r".*(?:[(\[]\s*([^)\]]+?)\s*[)\]]|_(mm|cm|km|m|mg|kg|g|ms|s|min|h|usd|eur|gbp|pct|percent|c|k|f))$")


def advise(dataset: Dataset, rows: NDArray[np.int64], preparation: Preparation) -> tuple[Finding, ...]:
    """Findings about a preparation that names its steps; `auto` has none of these risks.

    Args:
        dataset: what was prepared.
        rows: the training rows that it was fitted on; no other row is looked at.
        preparation: as `fit` gave it.
    """
    if preparation.how in ("auto", "none"):
        return ()
    names = names_of(preparation.how)
    values, features = _training(dataset, rows, preparation)
    if values is None:
        return ()
    steps = preparation.arrays.steps if preparation.arrays else preparation.numbers.steps if preparation.numbers else ()
    turned = [step for step in steps if isinstance(step, Rotation)]
    found: list[Finding | None] = [
        _shared_unit(features, values, names) if preparation.numbers else None,
        _images(preparation, turned[0]) if dataset.kind == "image" and turned else None,
        *(_flat_axes(step) for step in turned if step.kind != "pca"),
        _outliers(features, values) if names[0] == "minmax" else None,
        _unequal(features, values) if names[0] in BY_ROW and preparation.numbers else None,
    ]
    return tuple(finding for finding in found if finding is not None)


def _training(
    dataset: Dataset, rows: NDArray[np.int64], preparation: Preparation
) -> tuple[Floats | None, tuple[str, ...]]:
    """The values that the first step looks at feature by feature, [n, D], at most a sample; and their names."""
    if isinstance(dataset.features, ArrayFeatures):
        values, _ = sample(matrices(dataset.kind, dataset.features.array, rows, (), "feature"))
        return values, tuple(f"channel {k}" for k in range(values.shape[1]))
    if preparation.numbers is None:
        return None, ()
    sources = preparation.numbers.sources
    return cells_of(dataset.features.take(rows).frame, sources), tuple(source.name for source in sources)


def _shared_unit(features: Sequence[str], values: Floats, names: Sequence[str]) -> Finding | None:
    scaled = [name for name in names if name not in BY_ROW and name != "center"]
    unit = shared_unit(features, values)
    if not scaled or not unit:
        return None
    spread = _robustly(values, np.nanstd)
    return Finding(
        code=SHARED_UNIT,
        level="note",
        sentence=f"All {len(features)} number columns are {unit}, and `{scaled[0]}` takes from each its own spread "
        f"({spread.min():.3g} to {spread.max():.3g}): which of them varies more is no longer seen.",
        evidence={"columns": list(features[:50]), "least_std": float(spread.min()), "most_std": float(spread.max())},
        fix="keep the unit they share: prepare `center`",
    )


def shared_unit(features: Sequence[str], values: Floats) -> str:
    """In words, the unit or range that all features share; empty where they share none.

    >>> shared_unit(["petal length (cm)", "petal width (cm)"], np.ones((2, 2)))
    'in cm'
    """
    if len(features) < 2:
        return ""
    units = {
        next((u for u in match.groups() if u), "") if (match := UNITS.match(n.casefold())) else "" for n in features
    }
    if len(units) == 1 and "" not in units:
        return f"in {units.pop()}"
    stems = {re.sub(r"[\d_. -]+$", "", name) for name in features}
    low, high = _robustly(values, np.nanmin), _robustly(values, np.nanmax)
    alike = (low == np.median(low)) & (high == np.median(high))
    if len(stems) == 1 and len(features) >= 4 and alike.mean() >= 0.5:
        return f"numbered alike and range from {np.median(low):.3g} to {np.median(high):.3g}"
    return ""


def _images(preparation: Preparation, step: Rotation) -> Finding:
    width = step.features
    if step.kind == "zca":
        harm = f"each pixel becomes a sum over all {width}, which costs {width**2:.3g} multiplications a row"
    else:
        harm = "what a network sees then has no neighbours, so convolutions and shifts mean nothing any more"
    return Finding(
        code=IMAGE_ROTATED,
        level="warning",
        sentence=f"`{preparation.how}` of images of {width} values: {harm}; "
        f"the covariance takes {8 * width**2 / 1e6:.3g} MB and grows with the fourth power of the side.",
        evidence={"values": width, "covariance_bytes": 8 * width**2, "multiplications": width**2},
        fix="for images a mean and a spread by channel are enough: prepare `standardize`",
    )


def _flat_axes(step: Rotation) -> Finding | None:
    flat = step.variances < FLAT_FRAC * step.variances.mean()
    if not flat.any():
        return None
    gain = step.gain
    return Finding(
        code=FLAT_AXES,
        level="warning",
        sentence=f"{count(int(flat.sum()), 'axis', 'axes')} of {len(flat)} have less than a millionth of the mean "
        "variance (some features nearly repeat others): whitening multiplies what is there, mostly rounding and "
        f"noise, up to {gain.max() / gain[0]:.3g} times as much as the first axis.",
        evidence={
            "axes": int(flat.sum()),
            "of": len(flat),
            "exactly_flat": int((step.variances == 0).sum()),
            "largest_gain": float(gain.max() / gain[0]),
            "eps": step.eps,
        },
        fix="leave out columns that follow from others, or do not whiten: prepare `standardize` or `standardize+pca`",
    )


def _outliers(features: Sequence[str], values: Floats) -> Finding | None:
    low, inner_low, inner_high, high = quantiles(values, np.array([0.0, 0.005, 0.995, 1.0]))
    span = high - low
    share = np.where(span > 0, (inner_high - inner_low) / np.where(span > 0, span, 1.0), 1.0)
    crowded = [k for k in np.argsort(share) if share[k] < CROWDED_FRAC]
    if not crowded:
        return None
    worst = int(crowded[0])
    return Finding(
        code=OUTLIERS,
        level="warning",
        sentence=f"{listing(features[k] for k in crowded)}: a few far values set the range; of {features[worst]}, 99 % "
        f"lie within {percent(float(share[worst]))} of it (up to {inner_high[worst]:.4g}, the largest is "
        f"{high[worst]:.4g}), and `minmax` leaves them no more room than that.",
        evidence={"shares": {features[k]: float(share[k]) for k in crowded[:50]}, "threshold": CROWDED_FRAC},
        fix="scale by what most values do: prepare `robust-clip` or `quantile`",
    )


def _unequal(features: Sequence[str], values: Floats) -> Finding | None:
    spread = _robustly(values, np.nanstd)
    spread = np.where(spread > 0, spread, np.nan)
    if len(features) < 2 or np.isnan(spread).all() or not np.nanmax(spread) > UNEQUAL * np.nanmin(spread):
        return None
    most, least = int(np.nanargmax(spread)), int(np.nanargmin(spread))
    share = float(spread[most] ** 2 / np.nansum(spread**2))
    return Finding(
        code=UNEQUAL_UNITS,
        level="warning",
        sentence=f"The axes follow the units: {features[most]} (standard deviation {spread[most]:.3g}) has "
        f"{percent(share)} of all variance and is nearly the first axis, {features[least]} ({spread[least]:.3g}) "
        "hardly counts.",
        evidence={"column": features[most], "share": share, "ratio": float(np.nanmax(spread) / np.nanmin(spread))},
        fix="bring the columns to one scale before they are turned: prepare `standardize+pca` or `standardize+whiten`",
    )


def _robustly(values: Floats, statistic: Callable[..., Floats]) -> Floats:
    """A statistic of each feature, missing cells left out; 0 where a feature has no value."""
    found = np.zeros(values.shape[1])
    some = ~np.isnan(values).all(axis=0)
    found[some] = statistic(values[:, some], axis=0)
    return found
