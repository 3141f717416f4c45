"""Initial weights, keyed: the same seed gives the same weights in any population and on any device.

`torch` keeps what the network's own constructor drew. Weights of two or more axes are drawn anew, biases become 0;
scales and shifts (of normalization layers, of PReLU, of the user's own) stay as they are.

fan_in is how many inputs meet in one output, fan_out how many outputs one input feeds: in a grouped convolution those
of one group, in a transposed one the taps that meet (its weight is laid out the other way round), in an embedding the
one row that is looked up. A recurrent layer's gates, and attention's query, key and value, are drawn one by one: they
share a matrix, not a fan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from math import prod, sqrt

import torch
from torch import Tensor, nn

from shoal.core import keyed
from shoal.core.errors import InputError
from shoal.nn import normalization

Draw = Callable[[tuple[int, ...], int, int, Tensor], Tensor]  # (shape, fan_in, fan_out, key) to draws of that shape
NORMALIZATIONS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    normalization.BatchNorm,
    normalization.InstanceNorm,
    normalization.LayerNorm,
    normalization.GroupNorm,
)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight [out, in, *kernel]: inputs that feed one output, outputs that one input feeds.

    >>> fans((16, 3, 5, 5))
    (75, 400)
    """
    kernel = prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _scaled_normal(std: Callable[[int, int], float]) -> Draw:
    def draw(shape: tuple[int, ...], fan_in: int, fan_out: int, key: Tensor) -> Tensor:
        return keyed.normal(key, shape).mul_(std(fan_in, fan_out))

    return draw


def _orthogonal(shape: tuple[int, ...], fan_in: int, fan_out: int, key: Tensor) -> Tensor:
    """Rows (or columns, whichever are fewer) orthonormal; Saxe et al. 2014, signs made unique as Mezzadri 2007."""
    rows, columns = shape[0], prod(shape[1:])
    flat = keyed.normal(key, (max(rows, columns), min(rows, columns)))
    q, r = torch.linalg.qr(flat)
    basis: Tensor = q * torch.sign(torch.diagonal(r))
    return (basis if rows >= columns else basis.T).reshape(shape)


INITIALIZERS: dict[str, Draw] = {
    "xavier": _scaled_normal(lambda fan_in, fan_out: sqrt(1.0 / fan_in)),  # Glorot & Bengio 2010, one-sided
    "glorot": _scaled_normal(lambda fan_in, fan_out: sqrt(2.0 / (fan_in + fan_out))),
    "kaiming": _scaled_normal(lambda fan_in, fan_out: sqrt(2.0 / fan_in)),  # He et al. 2015
    "orthogonal": _orthogonal,
}


@dataclass(frozen=True)
class _Plan:
    """How one weight is drawn: as `parts` equal blocks of its first axis, each [out, in, *kernel] with these fans."""

    fan_in: int
    fan_out: int
    parts: int = 1


def _plan(layer: nn.Module, name: str, weight: Tensor) -> _Plan | None:
    """The plan of a weight, or None where it is to be kept as the constructor drew it."""
    shape = tuple(weight.shape)
    groups = getattr(layer, "groups", 1)
    kernel = prod(shape[2:])
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):  # [in, out / groups, *kernel]
        reach = max(1, round(kernel / prod(layer.stride)))  # taps that meet in one output
        return _Plan(shape[0] // groups * reach, shape[1] * kernel)
    if isinstance(layer, nn.modules.conv._ConvNd):
        return _Plan(shape[1] * kernel, shape[0] // groups * kernel)
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):  # a product with a one-hot row: one input is on
        return _Plan(1, shape[1])
    if isinstance(layer, nn.RNNBase | nn.RNNCellBase):
        parts = shape[0] // layer.hidden_size if shape[0] % layer.hidden_size == 0 else 1  # gates end to end
        return _Plan(shape[1], shape[0] // parts, parts)
    if isinstance(layer, nn.MultiheadAttention) and name == "in_proj_weight":
        return _Plan(shape[1], shape[0] // 3, 3)  # query, key and value end to end
    if not isinstance(layer, nn.Linear | nn.Bilinear) and bool((weight == weight.flatten()[0]).all()):
        return None  # left constant by the constructor of a layer that is not torch's: a scale or a shift
    return _Plan(shape[1] * kernel, shape[0] // (groups if isinstance(groups, int) else 1) * kernel)


def check(name: str) -> None:
    """Refuse an unknown initializer.

    Args:
        name: `torch`, a name in `INITIALIZERS`, or `normal(STD)` such as `normal(0.01)`.

    Raises:
        InputError: the name is none of these; the message lists the closest.
    """
    if name != "torch":
        _find(name)


def _find(name: str) -> Draw:
    if name in INITIALIZERS:
        return INITIALIZERS[name]
    if name.startswith("normal(") and name.endswith(")"):
        try:
            std = float(name[7:-1])
        except ValueError:
            std = -1.0
        if std > 0:
            return _scaled_normal(lambda fan_in, fan_out: std)
    known = ["torch", "normal(0.01)", *INITIALIZERS]
    close = get_close_matches(name, known, n=2) or known
    raise InputError(f"init={name!r} is not an initializer: use {' or '.join(close)}.")


def initialize(network: nn.Module, name: str, seed: int) -> None:
    """Draw a network's weights anew, in place.

    Args:
        network: a network as its constructor left it.
        name: see `check`.
        seed: the member's seed; each weight has its own draws.

    Raises:
        InputError: the name is unknown.
    """
    if name == "torch":
        return
    draw = _find(name)
    owners = {id(p): (layer, own) for layer in network.modules() for own, p in layer.named_parameters(recurse=False)}
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            layer, own = owners[id(parameter)]
            if isinstance(layer, NORMALIZATIONS):
                continue
            if parameter.dim() >= 2:
                _fill(parameter, layer, own, draw, (seed, number))
            elif "bias" in own:
                parameter.zero_()


def _fill(weight: Tensor, layer: nn.Module, name: str, draw: Draw, origin: tuple[int, int]) -> None:
    """Draw one weight; `origin` is the member's seed and the weight's number in the network."""
    plan = _plan(layer, name, weight)
    if plan is None:
        return
    for part, block in enumerate(weight.chunk(plan.parts)):
        later = (part,) if part else ()
        key = keyed.key(origin[0], keyed.Purpose.INIT, origin[1], *later)
        block.copy_(draw(tuple(block.shape), plan.fan_in, plan.fan_out, key))
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag) and layer.padding_idx is not None:
        weight[layer.padding_idx] = 0.0
