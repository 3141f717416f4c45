"""From a user's `nn.Module` to what K copies of it share: one skeleton and the layout of its row."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from shoal.core import process
from shoal.core.errors import InputError
from shoal.core.layout import Layout
from shoal.nn import initializers
from shoal.nn.adoption import Adopted, adopt_layers
from shoal.nn.dropout import Dropout
from shoal.nn.own_network import MakeNet
from shoal.population.member import Member
from shoal.population.multipliers import Multiplier, by_parameter


@dataclass(frozen=True)
class Template:
    """The structure that all rows share; each row fills it with its own weights.

    `skeleton` has row-aware layers in place of some of torch's; its own weights are never read.
    """

    skeleton: nn.Module
    layout: Layout
    buffers: dict[str, Tensor]  # one network's, at the start; frozen parameters count as buffers
    dropouts: dict[str, float]  # layer name: the network's own rate
    connections: Tensor  # bool [P]: weights of matrices and kernels, not biases and not those of normalization
    decay_factor: (
        Tensor  # [P]: of weight decay and L1; 1 for connections, 0 for others, unless multipliers say otherwise
    )
    lr_factor: Tensor | None  # [P], of the learning rate; None where it is 1 everywhere
    multipliers: dict[str, Multiplier]  # where both factors come from, by pattern of names
    kernels: frozenset[str]  # parameters that are kernels of convolutions
    aliases: dict[str, tuple[str, ...]]  # every place of a parameter, also of frozen ones, by its first
    buffer_places: dict[str, tuple[str, ...]]  # every place of a buffer, by its first
    resting: tuple[str, ...]  # modules that were in evaluation mode although the network was not
    adopted: tuple[Adopted, ...]  # layers that were replaced
    probed: dict[tuple[object, ...], Any] = field(default_factory=dict, compare=False)  # see `probe`

    def copy_skeleton(self) -> nn.Module:
        """A copy of the skeleton, because two threads cannot call one module at once."""
        return copy.deepcopy(self.skeleton)


def adopt(
    network: nn.Module, dtype: torch.dtype, device: torch.device, multipliers: Mapping[str, Multiplier] | None = None
) -> Template:
    """Read the structure of a network.

    Args:
        network: a fresh network; it is copied.
        dtype: floating-point type of the population.
        device: where it will live.
        multipliers: by pattern of parameter names.

    Raises:
        InputError: the network has no parameters, parameters without values or that are not real floating-point
            numbers, or cannot be copied; a pattern fits no parameter.
    """
    _check(network)
    try:
        skeleton = copy.deepcopy(network)
    except Exception as error:  # whatever the user's own modules raise
        raise InputError(f"{type(network).__name__} cannot be copied: {error}") from error
    resting = tuple(name for name, module in skeleton.named_modules() if not module.training)
    named = [(name, parameter) for name, parameter in skeleton.named_parameters() if parameter.requires_grad]
    exempt = {
        id(parameter)
        for module in skeleton.modules()
        if isinstance(module, initializers.NORMALIZATIONS)
        for parameter in module.parameters(recurse=False)
    }
    connected = [p.dim() >= 2 and id(p) not in exempt for _, p in named]
    buffers = {name: _typed(value, dtype).clone() for name, value in _constants(skeleton).items()}
    layout = Layout.of((name, tuple(parameter.shape)) for name, parameter in named)
    factors = by_parameter(multipliers or {}, layout.names)
    rates = [1.0 if factor.lr is None else factor.lr for factor in factors]
    decays = [
        float(own) if factor.weight_decay is None else factor.weight_decay
        for own, factor in zip(connected, factors, strict=True)
    ]

    def by_weight(values: Sequence[float], kind: torch.dtype) -> Tensor:
        return torch.cat([torch.full((p.numel(),), v, dtype=kind) for (_, p), v in zip(named, values, strict=True)])

    for module in skeleton.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.sparse = False  # rows of a matrix have dense gradients; they are the same numbers
    adopted = tuple(adopt_layers(skeleton))
    dropouts = {name: float(layer.p) for name, layer in skeleton.named_modules() if isinstance(layer, Dropout)}
    skeleton = skeleton.to(device=device, dtype=dtype)
    return Template(
        skeleton=skeleton,
        layout=layout,
        buffers=buffers,
        dropouts=dropouts,
        connections=by_weight(connected, torch.bool).to(device),
        decay_factor=by_weight(decays, dtype).to(device),
        lr_factor=None if set(rates) == {1.0} else by_weight(rates, dtype).to(device),
        multipliers=dict(multipliers or {}),
        kernels=_kernels(skeleton),
        aliases=_places(skeleton.named_parameters(remove_duplicate=False)),
        buffer_places={
            name: places
            for name, places in _places(skeleton.named_buffers(remove_duplicate=False)).items()
            if name in buffers
        },
        resting=resting if skeleton.training else (),
        adopted=adopted,
    )


def _check(network: nn.Module) -> None:
    """Refuse what no optimizer can train."""
    kind = type(network).__name__
    if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
        raise InputError(f"{kind} is compiled TorchScript, which cannot be taken apart: give the module it came from.")
    for name, parameter in network.named_parameters():
        if parameter.is_meta:
            raise InputError(f"{kind}: {name} has no values (device meta): build the network on a real device.")
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise InputError(f"{kind}: {name} has no shape yet: pass a batch through lazy layers inside make_net.")
        if parameter.requires_grad and not parameter.is_floating_point():
            raise InputError(f"{kind}: {name} is {parameter.dtype}: only real floating-point weights can be trained.")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise InputError(f"{kind} has no trainable parameters: there is nothing to train.")
    for name, buffer in network.named_buffers():
        if buffer.is_complex():
            raise InputError(f"{kind}: the buffer {name} is {buffer.dtype}: complex numbers are not supported.")


def _kernels(network: nn.Module) -> frozenset[str]:
    """Names of the weights of convolutions (transposed ones aside)."""
    layers = {name: m for name, m in network.named_modules() if isinstance(m, nn.modules.conv._ConvNd)}
    return frozenset(f"{name}.weight".lstrip(".") for name, layer in layers.items() if not layer.transposed)


def _places(named: Iterable[tuple[str, Tensor]]) -> dict[str, tuple[str, ...]]:
    """Every name of the same tensor, by the first."""
    places: dict[int, list[str]] = {}
    for name, tensor in named:
        places.setdefault(id(tensor), []).append(name)
    return {names[0]: tuple(names) for names in places.values()}


def _constants(network: nn.Module) -> dict[str, Tensor]:
    frozen = {name: p.detach() for name, p in network.named_parameters() if not p.requires_grad}
    return {**dict(network.named_buffers()), **frozen}


def _typed(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def built(make_net: MakeNet, seed: int) -> nn.Module:
    """A fresh network, with torch's generator seeded while it is made.

    Raises:
        InputError: `make_net` fails, or returns something else.
    """
    try:
        with process.torch_generator(seed):
            network = make_net()
    except Exception as error:  # whatever the user's own function raises
        raise InputError(f"make_net failed: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"make_net returned {type(network).__name__}: it must return a torch.nn.Module.")
    return network


def fresh_rows(
    make_net: MakeNet, template: Template, members: Sequence[Member], dtype: torch.dtype
) -> tuple[Tensor, dict[str, Tensor]]:
    """The initial weights and buffers of each member.

    `make_net` is called once per distinct seed with torch's generator forked and seeded from that seed, so a user's own
    initialization is kept and does not depend on who else is in the population.

    Args:
        make_net: returns a fresh network.
        template: of `adopt`.
        members: K of them.
        dtype: floating-point type of the rows.

    Returns:
        theta [K, P] and the buffers, each [K, ...], on the CPU.

    Raises:
        InputError: `make_net` does not return the same structure each time, or returns one module twice.
    """
    theta = torch.empty(len(members), template.layout.parameters, dtype=dtype)
    buffers = {name: torch.empty(len(members), *b.shape, dtype=b.dtype) for name, b in template.buffers.items()}
    drawn: dict[tuple[int, str], int] = {}  # the first row of each origin
    network: nn.Module | None = None
    for row, member in enumerate(members):
        like = drawn.setdefault((member.seed, member.init), row)
        if like < row:
            weights, values = theta[like], {name: stack[like] for name, stack in buffers.items()}
        else:
            before, network = network, built(make_net, member.seed)
            if network is before:
                raise InputError(
                    "make_net returned the same module twice, so all rows would have one start: build a new one in "
                    "each call, or give the module itself if that is what you want."
                )
            weights, values = _draw(network, template, member)
        theta[row] = weights
        for name, value in values.items():
            buffers[name][row] = value
    return theta, buffers


def _draw(network: nn.Module, template: Template, member: Member) -> tuple[Tensor, dict[str, Tensor]]:
    initializers.initialize(network, member.init, member.seed)
    parameters = {name: p.detach() for name, p in network.named_parameters() if p.requires_grad}
    shapes = tuple((name, tuple(p.shape)) for name, p in parameters.items())
    if shapes != tuple(zip(template.layout.names, template.layout.shapes, strict=True)):
        raise InputError("make_net returned networks of different structure: all members share one architecture.")
    row = torch.cat([p.reshape(-1).to(torch.float64) for p in parameters.values()])
    return row, _constants(network)
