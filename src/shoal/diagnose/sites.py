"""Where a network's activations are: every call of an activation function in its forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


@dataclass(frozen=True)
class Site:
    """One call of an activation function: the layer that the reader sees."""

    name: str  # of the module that calls it, as in `named_modules`
    kind: str  # relu, tanh, ...; "" for the output of a weight layer where a network has no activation function
    shape: tuple[int, ...]  # of the output, [N, units, ...]

    @property
    def size(self) -> int:
        """Numbers in the output."""
        return prod(self.shape)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The bounds of its values, where the function has any."""
        return _BOUNDS.get(self.kind)

    @property
    def rectifies(self) -> bool:
        """Its units can die: output and slope are exactly 0 over a half-line."""
        return self.kind in _RECTIFIERS

    def saturated(self, values: Tensor) -> Tensor | None:
        """Where the slope is below a tenth of the steepest, computed from the output; None where that cannot be."""
        if self.kind == "tanh":
            return 1.0 - values.square() < 0.1
        if self.kind == "sigmoid":
            return values * (1.0 - values) < 0.025
        if self.kind in ("hardtanh", "relu6", "hardsigmoid"):
            low, high = _BOUNDS[self.kind]
            return (values <= low) | (values >= high) if self.kind != "relu6" else values >= high
        if self.kind == "softsign":
            return (1.0 - values.abs()).square() < 0.1
        return None


_BOUNDS = {
    "tanh": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
    "relu6": (0.0, 6.0),
    "softsign": (-1.0, 1.0),
}
_RECTIFIERS = ("relu", "relu6")
_WEIGHTED = (nn.Linear, nn.Bilinear, nn.modules.conv._ConvNd, nn.RNNBase, nn.RNNCellBase)


def _functions() -> dict[Any, str]:
    """Every function of torch that is an activation function, with its name here."""
    names: tuple[str, ...] = (
        "relu",
        "relu6",
        "tanh",
        "sigmoid",
        "hardtanh",
        "hardsigmoid",
        "softsign",
        "gelu",
        "silu",
        "mish",
        "elu",
    )
    names += ("selu", "celu", "leaky_relu", "rrelu", "prelu", "softplus", "logsigmoid", "hardswish", "threshold")
    found: dict[Any, str] = {}
    for name in names:
        for home in (torch, F, Tensor, torch._C._nn):
            for spelling in (name, f"{name}_"):
                if (function := getattr(home, spelling, None)) is not None:
                    found[function] = name
    return found


_ACTIVATIONS = _functions()


@dataclass
class Tapped(TorchFunctionMode):
    """Context manager that records the output of each activation function, and adds a tap to it.

    A tap is a tensor of zeros: the gradient by it is the gradient by the output. Without taps the outputs are as they
    were.
    """

    network: nn.Module
    rows: int  # of the batch: an output without that many rows is no activation
    taps: Sequence[Tensor] = ()
    layers: bool = False  # keep the outputs of weight layers instead, for a network without activation functions
    outputs: list[Tensor] = field(default_factory=list)
    found: list[tuple[str, str]] = field(default_factory=list)  # (module, kind)

    def __post_init__(self) -> None:
        super().__init__()
        self._inside: list[str] = []
        self._handles: list[Any] = []

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch for each function of its interface."""
        result = function(*args, **(kwargs or {}))
        kind = _ACTIVATIONS.get(function)
        if kind == "hardtanh":  # torch.nn.ReLU6 is one with other bounds
            low = (kwargs or {}).get("min_val", args[1] if len(args) > 1 else -1.0)
            kind = "hardtanh" if low == -1.0 else "relu6" if low == 0.0 else "clamp"
        return result if kind is None or self.layers else self._kept(kind, result)

    def _kept(self, kind: str, result: Any) -> Any:
        """Record one output and return it with its tap added."""
        if not isinstance(result, Tensor) or result.dim() < 2 or result.shape[0] % self.rows:
            return result
        number = len(self.outputs)
        self.found.append((self._inside[-1] if self._inside else "", kind))
        if number < len(self.taps):
            result = result + self.taps[number]
        self.outputs.append(result)
        return result

    def __enter__(self) -> Tapped:
        """Watch which module is running."""
        for name, module in self.network.named_modules():
            self._handles.append(module.register_forward_pre_hook(self._entering(name)))
            self._handles.append(module.register_forward_hook(self._leaving, always_call=True))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """Leave the network as it was."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def _entering(self, name: str) -> Callable[..., None]:
        return lambda module, inputs: self._inside.append(name)

    def _leaving(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        if self.layers and isinstance(module, _WEIGHTED) and output is not None:
            several = isinstance(output, tuple)
            kept = self._kept("", output[0] if several else output)
            output = (kept, *output[1:]) if several else kept
        self._inside.pop()
        return output


def find_sites(network: nn.Module, row: Mapping[str, Tensor], x: Tensor) -> tuple[Site, ...]:
    """The layers of a network, found by running it once.

    Args:
        network: in the mode that it will be measured in.
        row: parameters and buffers by name; buffers that the network updates must be copies.
        x: one batch.
    """
    for layers in (False, True):
        with torch.no_grad(), Tapped(network, len(x), layers=layers) as tapped:
            functional_call(network, dict(row), (x,))
        if tapped.found:
            break
    return tuple(
        Site(name, kind, tuple(output.shape)) for (name, kind), output in zip(tapped.found, tapped.outputs, strict=True)
    )
