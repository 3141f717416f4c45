"""Where a row takes its gradient: at theta, or at a point that keyed noise has moved.

Weight noise (Murray & Edwards 1993) takes it at theta + sigma n, DropConnect (Wan et al. 2013) at theta mask / (1 - p)
with the mask on weights alone; both may act on one row. Input noise moves the batch instead (Bishop 1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from shoal.core import keyed
from shoal.population.draws import Draws
from shoal.population.settings import RowSettings
from shoal.population.template import Template


def noisy_inputs(batch: Tensor, draws: Draws, sigma: Tensor, by_row: bool) -> Tensor:
    """The batch with the input noise of each row.

    Args:
        batch: [B, ...], or [c, B, ...] where `by_row`.
        draws: of one step.
        sigma: standard deviation of each row's noise, [c].
        by_row: each row has a batch of its own.

    Returns:
        [c, B, ...] where anything is drawn, else the batch itself.
    """
    if draws.input_noise is None:
        return batch
    shape = batch.shape[1:] if by_row else batch.shape
    noise = keyed.gaussian(draws.input_noise, shape, batch.dtype)
    return batch + noise * sigma.reshape(-1, *(1,) * len(shape))


@dataclass(frozen=True)
class Noise:
    """The noise of one block's rows; every draw is keyed by (seed, purpose, step of the row)."""

    settings: RowSettings
    template: Template

    def weights(self, theta: Tensor, draws: Draws) -> Tensor:
        """The point [c, P] at which the gradient is taken."""
        point = theta if draws.dropconnect is None else theta * self._scale(theta, draws.dropconnect)
        if draws.weight_noise is None:
            return point
        noise = keyed.gaussian(draws.weight_noise, theta.shape[1:], theta.dtype)
        return point + noise * self.settings.weight_noise.unsqueeze(1)

    def chain(self, gradient: Tensor, draws: Draws) -> Tensor:
        """The gradient at that point [c, P] as a gradient with respect to theta: the chain rule through the mask."""
        return gradient if draws.dropconnect is None else gradient * self._scale(gradient, draws.dropconnect)

    def _scale(self, like: Tensor, key: Tensor) -> Tensor:
        """DropConnect's mask / (1 - p), [c, P]."""
        rate = self.settings.dropconnect
        dropped = keyed.bernoulli(key, rate, like.shape[1:]) & self.template.connections
        scale = torch.where(self.template.connections, 1.0 / (1.0 - rate.unsqueeze(1)), 1.0)
        return scale.masked_fill(dropped, 0.0)
