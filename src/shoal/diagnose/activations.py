"""Do signals reach the last layer and gradients the first one? Statistics of activations, by layer and by row.

Every call of an activation function is recorded, whether a module makes it or the network's own forward: the network
runs as it is, one call for all rows of a block. A row's statistics are taken over its own slice, so rows cannot mix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap

from shoal.diagnose.sites import Site, Tapped, find_sites
from shoal.nn.dropout import Dropout
from shoal.population.population import Population

Floats = NDArray[np.float64]
BINS = 40
SLOPE = 0.1  # an activation is saturated where its slope is below this share of its steepest
MOST_BYTES = 512 << 20  # of memory for the activations of a block and their gradients


@dataclass(frozen=True)
class Activations:
    """Statistics of the activations; arrays are [K, S] over members and layers, NaN where a quantity has no meaning."""

    sites: tuple[Site, ...]  # S layers, in the order of the forward pass
    mean: Floats
    std: Floats  # over inputs and units together
    saturated: Floats  # share of the values whose slope is below a tenth of the steepest; tanh, sigmoid and the like
    dead: Floats  # share of the units (channels of a convolution) that are 0 for every input; ReLU and the like
    gradient: Floats  # norm of the loss's gradient by the layer's output
    histogram: Floats  # [K, S, BINS]: shares of the values
    edges: Floats  # [K, S, BINS + 1]: one axis for all layers of a member that have the same function
    weights: tuple[str, ...]  # W weight tensors, by name
    weight_gradient: Floats  # [K, W]: norm of the loss's gradient by each
    loss: Floats  # [K]
    inputs: int  # how many rows of the data were passed through


def measure(population: Population, x: Tensor, y: Tensor) -> Activations:
    """Activation statistics of every row, as at the first step of a training: no dropout, batch statistics.

    Args:
        population: trained or not; it is not changed.
        x: inputs [N, ...], all in one batch.
        y: targets, int64 [N] or numbers [N, C].

    Returns:
        The record. Costs one forward and one backward pass of each row.

    Raises:
        InputError: shapes do not fit each other or the loss.
    """
    inputs, targets = population.examples(x, y).data
    network = population.template.copy_skeleton().train()
    for name in population.template.resting:
        network.get_submodule(name).eval()
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.active = False
    first = _row(population, 0)
    sites = find_sites(network, first, inputs)
    held = sum(site.size for site in sites) * inputs.element_size()
    kernels = any(len(shape) > 2 for shape in population.template.layout.shapes)
    alone = kernels and inputs.device.type == "cpu"  # stacked convolutions are slow there
    chunk = 1 if alone else max(1, MOST_BYTES // max(1, 6 * held))
    parts = []
    for start in range(0, len(population), chunk):
        rows = list(range(start, min(start + chunk, len(population))))
        parts.append(_measure_rows(population, network, sites, rows, inputs, targets))
    return _joined(population, sites, parts, len(inputs))


def _row(population: Population, row: int) -> dict[str, Tensor]:
    """One row's parameters and buffers by name, as copies."""
    parameters = {name: view[0] for name, view in population.template.layout.views(population.theta[[row]]).items()}
    return {**parameters, **{name: stack[row].clone() for name, stack in population.buffers.items()}}


def _measure_rows(
    population: Population, network: nn.Module, sites: tuple[Site, ...], rows: list[int], x: Tensor, y: Tensor
) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
    """Outputs of the sites [c, N, ...], the gradients by them, those by the weights, and the losses [c]."""
    c = len(rows)
    theta = population.theta[rows]
    leaves = {name: v.requires_grad_() for name, v in population.template.layout.views(theta).items()}
    buffers = {name: stack[rows] for name, stack in population.buffers.items()}
    taps = [torch.zeros(c, *site.shape, dtype=x.dtype, device=x.device, requires_grad=True) for site in sites]

    def one(row: Mapping[str, Tensor], state: Mapping[str, Tensor], tap: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        with Tapped(network, len(x), tap, layers=all(not site.kind for site in sites)) as tapped:
            outputs = functional_call(network, {**row, **state}, (x,))
        return outputs, tapped.outputs

    if c > 1:
        try:
            outputs, recorded = vmap(one)(leaves, buffers, taps)
        except RuntimeError:  # a layer that cannot be stacked, such as an LSTM: row by row
            halves = [_measure_rows(population, network, sites, [row], x, y) for row in rows]
            return _stacked(halves)
    else:
        outputs, recorded = one(
            {name: leaf[0] for name, leaf in leaves.items()},
            {name: stack[0] for name, stack in buffers.items()},
            [tap[0] for tap in taps],
        )
        outputs, recorded = outputs.unsqueeze(0), [each.unsqueeze(0) for each in recorded]
    loss = population.loss.value(outputs, y.expand(c, *y.shape), None).mean(dim=1)
    weights = [leaves[name] for name in _weights(population)]
    gradients = torch.autograd.grad(loss.sum(), [*taps, *weights], allow_unused=True)
    known = [g if g is not None else torch.zeros_like(t) for g, t in zip(gradients, [*taps, *weights], strict=True)]
    return [each.detach() for each in recorded], known[: len(taps)], known[len(taps) :], loss.detach()


def _stacked(
    parts: list[tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]],
) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]:
    """Stack the results of rows that were computed one by one."""
    recorded, taps, weights = (
        [torch.cat(each) for each in zip(*(part[k] for part in parts), strict=True)] for k in range(3)
    )
    return recorded, taps, weights, torch.cat([part[3] for part in parts])


def _weights(population: Population) -> tuple[str, ...]:
    layout = population.template.layout
    return tuple(name for name, shape in zip(layout.names, layout.shapes, strict=True) if len(shape) >= 2)


def _norms(tensors: list[Tensor]) -> Tensor:
    """The norm of each row's slice, [c, S]."""
    if not tensors:
        return torch.zeros(0, 0)
    return torch.stack([tensor.flatten(1).double().norm(dim=1) for tensor in tensors], dim=1)


def _joined(
    population: Population,
    sites: tuple[Site, ...],
    parts: list[tuple[list[Tensor], list[Tensor], list[Tensor], Tensor]],
    inputs: int,
) -> Activations:
    """Statistics of all blocks as arrays over all rows."""
    columns = []
    edges = np.concatenate([_edges(sites, part[0], len(part[3])) for part in parts])
    histogram = np.empty((len(population), len(sites), BINS))
    for s, site in enumerate(sites):
        columns.append(np.concatenate([_column(site, part[0][s]) for part in parts]))
        values = [row for part in parts for row in part[0][s]]
        histogram[:, s] = [shares(row, edges[k, s]) for k, row in enumerate(values)]
    stacked = np.stack(columns, axis=1) if columns else np.empty((len(population), 0, 4))  # [K, S, 4]
    empty = np.empty((len(population), 0))
    weights = _weights(population)
    return Activations(
        sites=sites,
        mean=stacked[..., 0],
        std=stacked[..., 1],
        saturated=stacked[..., 2],
        dead=stacked[..., 3],
        gradient=np.concatenate([_norms(part[1]).cpu().numpy() for part in parts]) if sites else empty,
        histogram=histogram,
        edges=edges,
        weights=weights,
        weight_gradient=np.concatenate([_norms(part[2]).cpu().numpy() for part in parts]) if weights else empty,
        loss=np.concatenate([part[3].double().cpu().numpy() for part in parts]),
        inputs=inputs,
    )


def _column(site: Site, values: Tensor) -> Floats:
    """mean, std, saturated and dead of one layer, [c, 4]; values [c, N, units, ...]."""
    flat = values.flatten(1).double()
    nothing = torch.full_like(flat[:, 0], torch.nan)
    flatness = site.saturated(flat)
    dead = nothing
    if site.rectifies:
        off = (values == 0).flatten(3).all(dim=3) if values.dim() > 3 else values == 0  # [c, N, units]
        dead = off.all(dim=1).double().mean(dim=-1) if off.dim() > 2 else off.double().mean(dim=1)
    share = nothing if flatness is None else flatness.double().mean(dim=1)
    return torch.stack([flat.mean(dim=1), flat.std(dim=1, correction=0), share, dead], dim=1).cpu().numpy()


def _edges(sites: Sequence[Site], values: Sequence[Tensor], rows: int) -> Floats:
    """Edges of the bins, [c, S, BINS + 1]: the function's own bounds, or those of nearly all values of the member."""
    ends = np.empty((rows, len(sites), 2))
    for kind in {site.kind for site in sites}:
        alike = [s for s, site in enumerate(sites) if site.kind == kind]
        bounds = sites[alike[0]].bounds
        if bounds is not None:
            ends[:, alike] = bounds
            continue
        both = np.stack([_spread(values[s]) for s in alike])  # [.., c, 2]
        ends[:, alike, 0], ends[:, alike, 1] = both[..., 0].min(axis=0)[:, None], both[..., 1].max(axis=0)[:, None]
    ends[..., 1] = np.where(ends[..., 1] > ends[..., 0], ends[..., 1], ends[..., 0] + 1.0)
    return np.asarray(np.linspace(ends[..., 0], ends[..., 1], BINS + 1, axis=-1))


def _spread(values: Tensor) -> Floats:
    """The bounds of a row's values but for 0.2 % at either end, [c, 2]; (0, 1) for a row that is not finite."""
    flat = values.flatten(1).double()
    flat = flat[:, :: max(1, flat.shape[1] // 10_000)]
    finite = torch.isfinite(flat).all(dim=1, keepdim=True)
    ends = torch.quantile(flat.where(finite, 0.0), torch.tensor([0.002, 0.998]).to(flat), dim=1).T
    return np.asarray(ends.where(finite, torch.tensor([0.0, 1.0]).to(flat)).cpu().numpy())


def shares(values: Tensor, edges: Floats) -> Floats:
    """Histogram of some values: shares of all, those outside the edges in the first and last bin.

    Args:
        values: any shape; what is not finite is in no bin.
        edges: [bins + 1], equally wide.

    Returns:
        [bins].
    """
    bins = len(edges) - 1
    flat = values.flatten().double()
    known = flat[torch.isfinite(flat)]
    place = (known - float(edges[0])) * (bins / float(edges[-1] - edges[0]))
    counts = torch.bincount(place.floor().clamp(0, bins - 1).long(), minlength=bins)
    return np.asarray((counts.double() / max(1, len(flat))).cpu().numpy())
