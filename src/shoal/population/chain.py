"""Networks that are a chain of layers, for several rows at once, layer by layer.

`torch.func.vmap` of the whole network computes the same, but leaves matrices in mixed layouts behind, over which the
passes that follow are several times slower: a linear layer is therefore one batched product here, forward and backward,
and what acts element by element is simply called. Every other layer of the chain goes through `vmap` by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.func import functional_call, vmap

from shoal.core import keyed
from shoal.nn.dropout import Dropout

Filling = Mapping[str, Tensor]
"""A layer's own tensors [c, ...] by name."""

Step = Callable[[Tensor, bool, Tensor], Tensor]
"""(x, x is by row, dropout keys) to x; it is by row from the first layer on that has tensors of its own."""

ELEMENTWISE = (
    *(nn.Identity, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Softplus),
    *(nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.ReLU6),
)
FEW_OUTPUTS = 32  # of a last layer: up to so many, products and the loss are quicker along the batch
_NO_KEY = torch.zeros(2, dtype=torch.int32)  # of layers that draw nothing


class Chain:
    """A chain's layers for c rows.

    Args:
        network: as `is_chain` accepts it.
        tensors: parameters and buffers [c, ...] and dropout rates [c], by their full names.
    """

    def __init__(self, network: nn.Module, tensors: Filling) -> None:
        self._count = len(next(iter(tensors.values())))
        layers = _layers(network)
        last = layers[-1][0]
        self._steps = [(name, self._step(layer, _own(tensors, name), name == last)) for name, layer in layers]

    def __call__(self, x: Tensor, keys: Filling, by_row: bool) -> Tensor:
        """Outputs [c, B, ...].

        Args:
            x: [B, ...] that all rows share, or [c, B, ...] where `by_row`.
            keys: of each dropout layer, int32 [c, 2], or [2] for all rows.
            by_row: each row has a batch of its own.
        """
        for name, (step, own) in self._steps:
            x = step(x, by_row, keys.get(name, _NO_KEY))
            by_row = by_row or own
        return x if by_row else x.expand(self._count, *x.shape)

    def _step(self, layer: nn.Module, own: Filling, last: bool) -> tuple[Step, bool]:
        """What a layer does, and whether its answer is by row."""
        kind = type(layer)
        if kind in ELEMENTWISE and not getattr(layer, "inplace", False):
            return lambda x, by_row, key: layer(x), False
        if kind is nn.Flatten and isinstance(layer, nn.Flatten) and (layer.start_dim, layer.end_dim) == (1, -1):
            return lambda x, by_row, key: x.flatten(1 + by_row), False
        if kind is nn.Linear:
            w, b = own["weight"], own.get("bias")
            batch_last = last and w.shape[1] <= FEW_OUTPUTS
            return lambda x, by_row, key: linear(self._by_row(x, by_row), w, b, batch_last), True
        if isinstance(layer, Dropout):
            return lambda x, by_row, key: _drop(layer, self._by_row(x, by_row), own["p"], key), True
        if not own:
            return lambda x, by_row, key: vmap(layer)(x) if by_row else layer(x), False
        return lambda x, by_row, key: _each(layer, own, x, by_row), True

    def _by_row(self, x: Tensor, by_row: bool) -> Tensor:
        return x if by_row else x.expand(self._count, *x.shape)


def is_chain(network: nn.Module) -> bool:
    """Whether the network is its layers one after the other, some of them linear, each with tensors of its own.

    Hooks of the user's, and a `forward` of a single layer's own, would not be called: a network that has any is none.
    """
    if type(network) is not nn.Sequential:
        return False
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooked = any(getattr(module, name) or "forward" in vars(module) for module in network.modules() for name in hooks)
    shared = any(
        len(list(every(remove_duplicate=False))) > len(list(every()))
        for every in (network.named_parameters, network.named_buffers)
    )
    return not hooked and not shared and any(type(layer) is nn.Linear for _, layer in _layers(network))


def linear(x: Tensor, w: Tensor, b: Tensor | None, batch_last: bool = False) -> Tensor:
    """x_k W_k^T + b_k of every row k.

    Args:
        x: [c, ..., in].
        w: [c, out, in].
        b: [c, out], or None.
        batch_last: write the outputs as [c, out, ...] and answer with a view of that: quicker where there are few of
            them, as of a network's last layer, for the product as for what the loss does along the batch.

    Returns:
        [c, ..., out].
    """
    inputs = x if x.dim() == 3 else x.reshape(len(w), -1, x.shape[-1])
    b = w.new_zeros(len(w), w.shape[1]) if b is None else b
    if torch.is_autocast_enabled(x.device.type):
        outputs = torch.baddbmm(b.unsqueeze(1), inputs, w.transpose(1, 2))
    else:
        outputs = _Linear.apply(inputs, w, b, batch_last)  # type: ignore[no-untyped-call]
    return outputs if x.dim() == 3 else outputs.reshape(*x.shape[:-1], w.shape[1])


class _Linear(torch.autograd.Function):
    """`linear` of [c, B, in]: all gradients come out in the layout of what they are gradients of."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, w: Tensor, b: Tensor, batch_last: bool) -> Tensor:
        ctx.save_for_backward(x, w)
        if batch_last:
            return torch.baddbmm(b.unsqueeze(2), w, x.transpose(1, 2)).transpose(1, 2)
        return torch.baddbmm(b.unsqueeze(1), x, w.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        return (
            torch.bmm(gradient, w) if wanted[0] else None,
            torch.bmm(gradient.transpose(1, 2), x) if wanted[1] else None,
            gradient.sum(dim=1) if wanted[2] else None,
            None,
        )


def _drop(layer: Dropout, x: Tensor, rate: Tensor, key: Tensor) -> Tensor:
    """`Dropout.forward` of every row: x [c, B, ...], rates [c], keys [c, 2] or one for all."""
    if not (layer.training and layer.active):
        return x
    shape = (*x.shape[1:3], *(1,) * (x.dim() - 3)) if layer.channels else x.shape[1:]
    drop = keyed.bernoulli(key, rate, shape)
    return (x / (1.0 - rate.reshape(-1, *(1,) * (x.dim() - 1)))).masked_fill(drop, 0.0)


def _each(layer: nn.Module, own: Filling, x: Tensor, by_row: bool) -> Tensor:
    """Any layer, by `vmap`."""

    def one(row: dict[str, Tensor], batch: Tensor) -> Tensor:
        return functional_call(layer, row, (batch,))  # type: ignore[no-any-return]

    return vmap(one, in_dims=(0, 0 if by_row else None))(dict(own), x)


def _layers(network: nn.Module, prefix: str = "") -> Sequence[tuple[str, nn.Module]]:
    """The layers of nested chains in order, by their full names."""
    found: list[tuple[str, nn.Module]] = []
    for name, layer in network._modules.items():  # a layer may stand in it twice
        full = f"{prefix}{name}"
        if layer is not None:
            found += _layers(layer, f"{full}.") if type(layer) is nn.Sequential else [(full, layer)]
    return found


def _own(tensors: Filling, layer: str) -> dict[str, Tensor]:
    start = f"{layer}."
    return {name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)}
