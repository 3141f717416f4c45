"""The network of some rows as one function: a plain module for one row, `torch.func.vmap` for several.

Both have `leaves`, what gradients are taken of, and are called with a batch; both compute the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from shoal.nn.dropout import Dropout
from shoal.population.chain import Chain, is_chain
from shoal.population.template import Template


class Forward(Protocol):
    """The networks of c rows."""

    leaves: list[Tensor]  # [c, *shape] each, in the layout's order

    def refresh(self) -> None:
        """See the weights as they are now."""

    def __call__(self, x: Tensor, keys: Mapping[str, Tensor] | None = None, by_row: bool = False) -> Tensor:
        """Outputs [c, B, ...]; training mode when dropout `keys` are given.

        Args:
            x: a batch [B, ...] that all rows share, or [c, B, ...] where `by_row`.
            keys: int32 [c, 2] of each dropout layer.
            by_row: each row has a batch of its own.
        """
        ...


class Stacked:
    """Several rows in one call of every layer.

    Args:
        template: the network.
        point: weights [c, P]; read anew at each call.
        buffers: each [c, ...]; written by layers that keep statistics.
        rates: dropout rates by layer, [c].
        paired: all rows draw the same masks, which then are drawn once.
    """

    def __init__(
        self, template: Template, point: Tensor, buffers: dict[str, Tensor], rates: dict[str, Tensor], paired: bool
    ) -> None:
        self._network = template.copy_skeleton()
        self._mode = _Mode(self._network, template.resting)
        self._named = {name: view.requires_grad_() for name, view in template.layout.views(point).items()}
        self.leaves: list[Tensor] = list(self._named.values())
        self._filling = {**self._named, **buffers, **{f"{name}.p": rate for name, rate in rates.items()}}
        self._chain = Chain(self._network, self._filling) if is_chain(self._network) else None
        self._layers, self._paired = list(rates), paired
        self._no_key = torch.zeros(len(point), 2, dtype=torch.int32, device=point.device)
        _silence(self._network, rates)

    def refresh(self) -> None:
        """Nothing to do: the leaves are views of the weights."""

    def __call__(self, x: Tensor, keys: Mapping[str, Tensor] | None = None, by_row: bool = False) -> Tensor:
        """See `Forward`."""
        self._mode.set(keys is not None)
        given = {name: keys[name] if keys else self._no_key for name in self._layers}
        if self._paired:
            given = {name: key[0] for name, key in given.items()}
        if self._chain is not None:
            return self._chain(x, given, by_row)
        drawn = {f"{name}.key": key for name, key in given.items()}

        def one(row: dict[str, Tensor], key: dict[str, Tensor], batch: Tensor) -> Tensor:
            return functional_call(self._network, {**row, **key}, (batch,))  # type: ignore[no-any-return]

        in_dims = (0, None if self._paired else 0, 0 if by_row else None)
        return vmap(one, in_dims=in_dims)(self._filling, drawn, x)


class Single:
    """One row as a plain module whose parameters and buffers are views of the row.

    The weights of convolutions may be kept channels-last besides: a library's CPU convolution then runs through all
    that follows in that layout, which is about twice as quick. Those weights are copied anew at each step, and theta
    keeps torch's order.

    Args:
        template: the network.
        point: weights [1, P].
        buffers: each [1, ...].
        rates: dropout rates by layer, [1].
        by_channel: keep convolutions' weights channels-last.
    """

    def __init__(
        self,
        template: Template,
        point: Tensor,
        buffers: dict[str, Tensor],
        rates: dict[str, Tensor],
        by_channel: bool = False,
    ) -> None:
        self._network, self._buffers = template.copy_skeleton(), buffers
        self._mode, self._places = _Mode(self._network, template.resting), template.buffer_places
        self._dropouts = {name: m for name, m in self._network.named_modules() if isinstance(m, Dropout)}
        self._copies: list[tuple[Tensor, Tensor]] = []  # channels-last weights and the views that they copy
        self.leaves: list[Tensor] = []
        for name, view in template.layout.views(point).items():
            weight = view.detach()[0]
            if by_channel and name in template.kernels:
                kernel = channels_last(weight.clone())
                self._copies.append((kernel, weight))
                weight = kernel
            parameter = nn.Parameter(weight)
            self._fill(template.aliases[name], parameter)
            self.leaves.append(parameter)
        for name, stack in buffers.items():
            if name in template.aliases:
                self._fill(template.aliases[name], nn.Parameter(stack[0], requires_grad=False))
        self._bind_buffers()
        for name, layer in self._dropouts.items():
            layer.p = rates[name][0]
        _silence(self._network, rates)

    def _fill(self, places: Sequence[str], parameter: nn.Parameter) -> None:
        """Put one parameter wherever the network has it: networks may share weights between layers."""
        for place in places:
            owner, _, attribute = place.rpartition(".")
            setattr(self._network.get_submodule(owner), attribute, parameter)

    def refresh(self) -> None:
        """Copy the weights that are kept in another layout."""
        with torch.no_grad():
            for kernel, weight in self._copies:
                kernel.copy_(weight)

    def __call__(self, x: Tensor, keys: Mapping[str, Tensor] | None = None, by_row: bool = False) -> Tensor:
        """See `Forward`."""
        self._mode.set(keys is not None)
        for name, key in (keys or {}).items():
            self._dropouts[name].key = key[0]
        batch = x[0] if by_row else x
        outputs: Tensor = self._network(channels_last(batch) if self._copies else batch)
        self._keep_rebound()
        return outputs.unsqueeze(0)

    def _bind_buffers(self) -> None:
        """Let every place of a buffer hold the view of the row's."""
        self._bound: list[tuple[str, nn.Module, str, Tensor]] = []
        for name, places in self._places.items():
            view = self._buffers[name][0]
            for place in places:
                owner, _, attribute = place.rpartition(".")
                module = self._network.get_submodule(owner)
                module._buffers[attribute] = view
                self._bound.append((name, module, attribute, view))

    def _keep_rebound(self) -> None:
        """A module may have assigned a new tensor to a buffer instead of writing into it: take the values over."""
        moved = [
            (name, now)
            for name, module, attribute, view in self._bound
            if (now := module._buffers[attribute]) is not None and now is not view
        ]
        for name, values in moved:
            self._buffers[name][0] = values.detach()
        if moved:
            self._bind_buffers()


def channels_last(tensor: Tensor) -> Tensor:
    """A batch [B, C, ...] or a kernel [O, C, ...] with the channels next to each other in memory; same values.

    With a single channel both layouts look alike to `contiguous`, but not to convolutions: they follow the strides.
    """
    if tensor.dim() == 3:  # of signals: there is no memory format for them, but the library knows the strides
        return tensor.transpose(1, 2).contiguous().transpose(1, 2)
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    if tensor.dim() not in formats:
        return tensor
    return torch.empty_like(tensor, memory_format=formats[tensor.dim()]).copy_(tensor)


class _Mode:
    """Training and evaluation mode of a network, as its author meant them.

    A layer that its author had put into evaluation mode stays there, and `train`, which modules may override, is called
    at the first batch too.
    """

    def __init__(self, network: nn.Module, resting: Sequence[str]) -> None:
        self._network, self._resting = network, [network.get_submodule(name) for name in resting]
        self._training: bool | None = None

    def set(self, training: bool) -> None:
        """Before a batch."""
        if training != self._training:
            self._network.train(training)
            for module in self._resting:
                module.eval()
            self._training = training


def _silence(network: nn.Module, rates: Mapping[str, Tensor]) -> None:
    """Let dropout layers whose rates are all 0 skip their arithmetic; no bit of the result differs."""
    for name, layer in network.named_modules():
        if isinstance(layer, Dropout):
            layer.active = bool((rates[name] > 0).any())
