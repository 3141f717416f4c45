"""Where a row takes its gradient: at theta, or at a point that keyed noise has moved.

Weight noise (Murray & Edwards 1993) takes it at theta + sigma n, DropConnect (Wan et al. 2013) at theta mask / (1 - p)
with the mask on weights alone; both may act on one row. Input noise moves the batch instead (Bishop 1995).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from shoal.core import keyed
from shoal.population.settings import RowSettings
from shoal.population.template import Template


@dataclass(frozen=True)
class Noise:
    """The noise of one block's rows; every draw is keyed by (seed, purpose, step of the row)."""

    set: RowSettings
    template: Template

    def inputs(self, batch: Tensor, steps: Tensor, by_row: bool) -> Tensor:
        """A batch [B, ...] (or [c, B, ...] where `by_row`) as each row sees it, [c, B, ...]."""
        key = keyed.key(self.set.seeds, keyed.Purpose.INPUT_NOISE, steps).to(batch.device)
        shape = batch.shape[1:] if by_row else batch.shape
        draws = keyed.gaussian(key, shape, batch.dtype)
        return batch + draws * self.set.input_noise.reshape(-1, *(1,) * len(shape))

    @torch.no_grad()
    def weights(self, theta: Tensor, steps: Tensor) -> Tensor:
        """The point [c, P] at which the gradient is taken."""
        point = theta * self._scale(theta, steps)
        if not bool((self.set.weight_noise > 0).any()):
            return point
        key = keyed.key(self.set.seeds, keyed.Purpose.WEIGHT_NOISE, steps).to(theta.device)
        draws = keyed.gaussian(key, theta.shape[1:], theta.dtype)
        return point + draws * self.set.weight_noise.unsqueeze(1)

    def chain(self, gradient: Tensor, steps: Tensor) -> Tensor:
        """The gradient at that point [c, P] as a gradient with respect to theta: the chain rule through the mask."""
        return gradient * self._scale(gradient, steps) if self.set.perturbed else gradient

    def _scale(self, like: Tensor, steps: Tensor) -> Tensor:
        """DropConnect's mask / (1 - p), [c, P]; 1 where nothing is dropped."""
        rate = self.set.dropconnect
        if not bool((rate > 0).any()):
            return torch.ones(1, dtype=like.dtype, device=like.device)
        key = keyed.key(self.set.seeds, keyed.Purpose.DROPCONNECT, steps).to(like.device)
        dropped = keyed.bernoulli(key, rate, like.shape[1:]) & (self.template.decayed > 0)
        scale = torch.where(self.template.decayed > 0, 1.0 / (1.0 - rate.unsqueeze(1)), 1.0)
        return scale.masked_fill(dropped, 0.0)
