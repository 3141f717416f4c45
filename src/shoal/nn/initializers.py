"""Initial weights, keyed: the same seed gives the same weights in any population and on any device.

Each initializer is a function of (draws of a weight's shape, fan_in, fan_out). `torch` keeps what the network's own
constructor drew. Only weights of two or more axes are drawn anew: biases become 0, and the scales and shifts of
normalization layers keep their ones and zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from math import prod, sqrt

import torch
from torch import Tensor, nn

from shoal.core import keyed
from shoal.core.errors import InputError

Draw = Callable[[tuple[int, ...], Tensor], Tensor]
NORMALIZATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight [out, in, *kernel]: inputs that feed one output, outputs that one input feeds.

    >>> fans((16, 3, 5, 5))
    (75, 400)
    """
    kernel = prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _scaled_normal(std: Callable[[int, int], float]) -> Draw:
    def draw(shape: tuple[int, ...], key: Tensor) -> Tensor:
        return keyed.normal(key, shape).mul_(std(*fans(shape)))

    return draw


def _orthogonal(shape: tuple[int, ...], key: Tensor) -> Tensor:
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
    exempt = {
        id(parameter)
        for module in network.modules()
        if isinstance(module, NORMALIZATIONS)
        for parameter in module.parameters(recurse=False)
    }
    with torch.no_grad():
        for number, parameter in enumerate(network.parameters()):
            if id(parameter) in exempt:
                continue
            if parameter.dim() >= 2:
                parameter.copy_(draw(tuple(parameter.shape), keyed.key(seed, keyed.Purpose.INIT, number)))
            else:
                parameter.zero_()
