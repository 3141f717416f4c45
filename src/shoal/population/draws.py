"""The keys of everything random that one epoch of a block draws, made before it begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from shoal.core import keyed
from shoal.core.keyed import Purpose
from shoal.population.settings import RowSettings


@dataclass(frozen=True)
class Draws:
    """int32 keys of c rows: [c, T, 2] for an epoch, [c, 2] for one of its steps. None where nothing is drawn."""

    dropout: dict[str, Tensor]  # by layer
    input_noise: Tensor | None
    weight_noise: Tensor | None
    dropconnect: Tensor | None

    def at(self, step: int) -> Draws:
        """The keys of one step."""
        return self._each(lambda keys: keys[:, step])

    def rows(self, rows: slice) -> Draws:
        """The keys of some rows."""
        return self._each(lambda keys: keys[rows])

    def clone(self) -> Draws:
        """The same in memory of its own."""
        return self._each(Tensor.clone)

    def _each(self, cut: Callable[[Tensor], Tensor]) -> Draws:
        def maybe(keys: Tensor | None) -> Tensor | None:
            return None if keys is None else cut(keys)

        dropout = {name: cut(keys) for name, keys in self.dropout.items()}
        return Draws(dropout, maybe(self.input_noise), maybe(self.weight_noise), maybe(self.dropconnect))

    def tensors(self) -> list[Tensor]:
        """All keys, in a fixed order."""
        several = (self.input_noise, self.weight_noise, self.dropconnect)
        return [*self.dropout.values(), *(keys for keys in several if keys is not None)]


def epoch_draws(settings: RowSettings, layers: Sequence[str], numbers: Tensor, device: torch.device) -> Draws:
    """The keys of an epoch.

    Args:
        settings: of c rows.
        layers: names of the dropout layers, in the network's order.
        numbers: int64 [c, T] on the CPU, each row's own count of steps at each step.
        device: where the keys go.
    """

    def keys(purpose: Purpose, *parts: int) -> Tensor:
        return keyed.key(settings.seeds.unsqueeze(1), purpose, *parts, numbers).to(device)

    return Draws(
        dropout={name: keys(Purpose.DROPOUT, layer) for layer, name in enumerate(layers)},
        input_noise=keys(Purpose.INPUT_NOISE) if settings.noisy_inputs else None,
        weight_noise=keys(Purpose.WEIGHT_NOISE) if settings.noisy_weights else None,
        dropconnect=keys(Purpose.DROPCONNECT) if settings.drops_weights else None,
    )
