"""Temperature scaling: one number per network that makes its probabilities as sure as they are right.

Networks of different label smoothing or training length are sure to different degrees; without this neither their mean
nor their losses could be compared.

Source: Guo et al. 2017, "On calibration of modern neural networks".
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float64]
WIDEST = 3.0  # the logarithm of a temperature lies between minus this and this
PRIOR = 0.5  # its standard deviation before any row is seen: few rows, all answered rightly, do not prove certainty


def probabilities(logits: Tensor, temperature: float) -> Floats:
    """softmax(logits / temperature) in float64; [..., C] to the same.

    >>> probabilities(torch.tensor([0.0, 0.0]), 2.0).tolist()
    [0.5, 0.5]
    """
    return torch.softmax(logits.double() / temperature, dim=-1).cpu().numpy()


def fit_temperature(logits: Tensor, truth: Tensor) -> float:
    """The likeliest temperature, by the cross-entropy of these rows and a prior log T ~ N(0, PRIOR^2).

    Args:
        logits: [N, C].
        truth: class numbers, int64 [N].

    Returns:
        Between e^-3 and e^3; 1 would leave the network as it is.
    """
    from scipy.optimize import minimize_scalar  # takes half a second to import

    scores = logits.double().cpu()

    def loss(log_temperature: float) -> float:
        likelihood = float(torch.nn.functional.cross_entropy(scores / np.exp(log_temperature), truth.cpu()))
        return likelihood + log_temperature**2 / (2 * PRIOR**2 * len(truth))

    found = minimize_scalar(loss, bounds=(-WIDEST, WIDEST), method="bounded")
    return float(np.exp(found.x))
