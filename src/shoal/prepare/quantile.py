"""Each feature transformed by its ranks to a uniform or a normal distribution."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from shoal.prepare.fitted import Fitted, Floats
from shoal.prepare.step import Step
from shoal.prepare.streaming import Chunks, known, quantiles, rank_error, sample

MOST_KNOTS = 1000
TAIL = 1e-7  # a normal score ends where this share of the distribution is left: at 5.2 standard deviations


class Quantile(Step):
    """u = F(x), the share of the training rows below x, linear between knots; or its normal score Phi^-1(u).

    Equal knots (tied values) get the middle of their shares. New values beyond the training rows get the share of the
    nearest end. A feature that is constant over the training rows becomes u = 1/2, which is the score 0.
    """

    kind: Literal["quantile"] = "quantile"
    to: Literal["normal", "uniform"] = "normal"
    knots: Fitted  # [Q, D], ascending: the quantiles at Q even shares from 0 to 1
    rank_error: float = 0.0  # of F by sampling, with 95 % certainty; 0 when all training rows were used

    @property
    def features(self) -> int:
        """D."""
        return int(self.knots.shape[1])

    def apply(self, x: Floats) -> Floats:
        """Rows [n, D] to shares in [0, 1] or normal scores; NaN stays.

        Raises:
            InputError: rows of another width.
        """
        x = self.check(x)
        shares = np.linspace(0, 1, len(self.knots))
        u = np.empty_like(x)
        for feature, knots in enumerate(self.knots.T):
            values = x[:, feature]
            if knots[0] == knots[-1]:
                u[:, feature] = np.where(np.isnan(values), np.nan, 0.5)
                continue
            below = np.interp(values, knots, shares)  # of the last of equal knots
            above = -np.interp(-values, -knots[::-1], -shares[::-1])  # of the first of them
            u[:, feature] = (below + above) / 2
            u[values <= knots[0], feature] = 0.0
            u[values >= knots[-1], feature] = 1.0
        return u if self.to == "uniform" else ndtri(np.clip(u, TAIL, 1 - TAIL))

    def invert(self, y: Floats) -> Floats:
        """Shares or scores back to values: exact between distinct knots; beyond the training rows, their ends.

        Raises:
            InputError: rows of another width.
        """
        y = self.check(y)
        u = y if self.to == "uniform" else ndtr(y)
        shares = np.linspace(0, 1, len(self.knots))
        x = np.stack([np.interp(u[:, d], shares, knots) for d, knots in enumerate(self.knots.T)], axis=1)
        if self.to == "normal":
            edge = TAIL * (1 + 1e-6)  # rounding there and back
            x = np.where(u <= edge, self.knots[0], np.where(u >= 1 - edge, self.knots[-1], x))
        return np.where(np.isnan(y), np.nan, x)


def fit_quantile(chunks: Chunks, to: Literal["normal", "uniform"] = "normal", knots: int = MOST_KNOTS) -> Quantile:
    """Fit the distribution of each feature.

    Args:
        chunks: the training rows; read once. Beyond 131072 rows an even sample of them (see `sample`).
        to: what the training rows become: `normal` scores, or `uniform` shares.
        knots: how finely F is kept; never more than there are rows.

    Agrees with scikit-learn's QuantileTransformer where that uses all rows and no feature is constant.
    """
    rows, count = sample(chunks)
    shares = np.linspace(0, 1, max(1, min(knots, len(rows))))
    found = np.maximum.accumulate(known(quantiles(rows, shares)), axis=0)  # rounding may disorder ties
    return Quantile(to=to, knots=found, rank_error=rank_error(count))
