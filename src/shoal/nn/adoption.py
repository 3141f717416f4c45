"""Layers of `torch.nn` that need something by row are replaced when a network is adopted, and the user is told.

Dropout needs a rate and a random key of each row's own; batch normalization needs running statistics that `vmap` can
update, also as the mean of all batches. Weights, names and the network's own forward stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from shoal.nn import dropout, normalization

Replace = Callable[[nn.Module], nn.Module | None]  # what to put in a layer's place, or None


@dataclass(frozen=True)
class Adopted:
    """One layer that was replaced."""

    name: str  # as in `named_modules`
    was: str  # the class of torch.nn
    how: str  # what is different now, in words


_HOW = {
    dropout.Dropout: "its masks are keyed and its rate can differ by row",
    normalization.BatchNorm: "every network keeps running statistics of its own",
}


def adopt_layers(network: nn.Module) -> list[Adopted]:
    """Put row-aware layers in place of torch's below a network, in place.

    Args:
        network: any network; a layer that stands in two places is replaced by one layer.

    Returns:
        What was replaced, in the order of `named_modules`.
    """
    adopted: list[Adopted] = []
    done: dict[nn.Module, nn.Module] = {}

    def walk(module: nn.Module, prefix: str) -> None:
        for name, child in list(module._modules.items()):
            if child is None:
                continue
            path = f"{prefix}{name}"
            if child not in done:
                layer = dropout.row_aware(child) or normalization.row_aware(child)
                if layer is None:
                    done[child] = child
                    walk(child, f"{path}.")
                    continue
                done[child] = layer
                adopted.append(Adopted(path, type(child).__name__, _HOW[type(layer)]))
            module._modules[name] = done[child]

    walk(network, "")
    return adopted


def told(adopted: Sequence[Adopted]) -> str:
    """What was replaced, in one sentence; empty where nothing was.

    >>> told([Adopted("1", "Dropout", "its masks are keyed")])
    'Made row-aware: `1` (Dropout): its masks are keyed.'
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for layer in adopted:
        groups.setdefault((layer.was, layer.how), []).append(f"`{layer.name}`")
    parts = []
    for (was, how), names in groups.items():
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        parts.append(f"{shown} ({was}): {how}")
    return f"Made row-aware: {'; '.join(parts)}." if parts else ""
