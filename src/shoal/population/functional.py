"""The networks of some rows as a function of their weights, for gradients and Hessian products of any kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from shoal.population.template import Template

RowsFunction = Callable[[Tensor, Mapping[str, Tensor], Tensor], Tensor]
"""(theta [c, P], buffers [c, ...] by name, x [B, ...]) to outputs [c, B, ...], in evaluation mode."""


def rows_function(template: Template) -> RowsFunction:
    """A pure function of the weights of any number of rows; `torch.func` transforms may be nested over it.

    Rows are independent, so the gradient of summed row losses by theta holds each row's own gradient. Networks that
    `vmap` cannot stack are called row by row.

    Args:
        template: the network.
    """
    network = template.copy_skeleton().eval()
    for parameter in network.parameters():
        parameter.requires_grad_(False)

    def one(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(network, {**weights, **buffers}, (x,))  # type: ignore[no-any-return]

    def function(theta: Tensor, buffers: Mapping[str, Tensor], x: Tensor) -> Tensor:
        weights, state = template.layout.views(theta), dict(buffers)
        if len(theta) > 1:
            try:
                return vmap(one, in_dims=(0, 0, None))(weights, state, x)
            except RuntimeError:  # no rule for stacking one of its layers
                pass
        rows = range(len(theta))
        alone = [({n: w[k] for n, w in weights.items()}, {n: b[k] for n, b in state.items()}) for k in rows]
        return torch.stack([one(*row, x) for row in alone])

    return function
