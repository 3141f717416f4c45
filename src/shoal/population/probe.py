"""What can be learned of a network only by running it: once for a shape, and kept with its template."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from shoal.core import process
from shoal.core.errors import InputError, first_line
from shoal.nn.dropout import Dropout
from shoal.nn.normalization import BatchNorm
from shoal.population.chain import ELEMENTWISE, is_chain
from shoal.population.forward import channels_last
from shoal.population.template import Template

Found = TypeVar("Found")

SAMPLE = 4

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRIED = (
    *(*ELEMENTWISE, *CONVOLUTIONS, nn.Linear, nn.Flatten, Dropout, BatchNorm),
    *(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d),
)
"""Layers that `vmap` stacks and that run channels-last: no chain of them has to be tried (tests try each)."""


@dataclass(frozen=True)
class Cost:
    """What one row's forward pass takes, and what it did."""

    kept_bytes: int  # kept for the backward pass
    operations: int  # floating-point
    output_shape: tuple[int, ...]
    learns: bool  # its answer has a gradient
    rebinds: bool  # it assigned new tensors to its buffers
    answers: Tensor = field(compare=False)  # to the first rows, [at most SAMPLE, ...]


def measured_cost(template: Template, batch: Tensor) -> Cost:
    """What one row's forward pass of a batch takes, found by running it once for each shape.

    Raises:
        InputError: the network cannot take the batch, does not answer with one tensor of real numbers, or draws random
            numbers from torch's global generator, which no seed of a member can repeat.
    """
    return _once(template, ("cost", *batch.shape), batch, lambda: _cost(template, batch))


def output_shape(template: Template, batch: Tensor) -> tuple[int, ...]:
    """The shape of the answer to one row of data; any batch of such rows that was run before will do.

    Raises:
        InputError: as `measured_cost`.
    """
    return _once(template, ("output", *batch.shape[1:]), batch, lambda: measured_cost(template, batch).output_shape)


def not_stackable(template: Template, batch: Tensor) -> str:
    """Why `vmap` cannot run this network for several rows at once; "" when it can. Tried on two rows of data."""
    if any(getattr(module, "transposed", False) for module in template.skeleton.modules()):
        return "the bits of stacked transposed convolutions depend on who is beside whom"
    if measured_cost(template, batch).rebinds:
        return "it assigns new tensors to its buffers"
    if _of_tried_layers(template):
        return ""
    return _once(template, ("stacking", *batch.shape[1:]), batch, lambda: _vmap_refuses(template, batch))


def runs_channels_last(template: Template, batch: Tensor) -> bool:
    """Whether a CPU can run the network's convolutions so: a `view` of their outputs, for one, refuses that layout."""
    if not template.kernels or batch.device.type != "cpu":
        return False
    if _of_tried_layers(template):
        return True
    return _once(template, ("channels last", *batch.shape[1:]), batch, lambda: _takes_channels_last(template, batch))


def _of_tried_layers(template: Template) -> bool:
    """Whether the network is a chain of layers that need no trial."""
    if not is_chain(template.skeleton):
        return False
    layers = [module for module in template.skeleton.modules() if type(module) is not nn.Sequential]
    return all(type(layer) in TRIED and getattr(layer, "padding_mode", "zeros") == "zeros" for layer in layers)


def _once(template: Template, key: tuple[object, ...], batch: Tensor, find: Callable[[], Found]) -> Found:
    """What was found before for such a batch, or is found now."""
    whole = (*key, batch.dtype)
    if whole not in template.probed:
        template.probed[whole] = find()
    return template.probed[whole]  # type: ignore[no-any-return]


def _cost(template: Template, batch: Tensor) -> Cost:
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    process.computing()
    network = template.copy_skeleton().train()
    before = {name: id(buffer) for name, buffer in network.named_buffers()}
    count, draws, shape = FlopCounterMode(display=False), _Draws(), list(batch.shape)  # type: ignore[no-untyped-call]
    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with process.torch_generator():
        state = _generator_state(batch.device)
        try:
            with hooks, count, draws, torch.enable_grad():
                outputs = network(batch.clone())
        except Exception as error:  # whatever the user's own forward raises
            raise refused(shape, error) from error
        drew = draws.drawn and not torch.equal(state, _generator_state(batch.device))
    if not isinstance(outputs, Tensor) or outputs.dim() == 0 or len(outputs) != len(batch):
        got = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise InputError(f"The network answers a batch of shape {shape} with {got}: it must be one tensor [B, ...].")
    if not outputs.is_floating_point():
        raise InputError(f"The network answers with {outputs.dtype}: it must be real floating-point numbers.")
    if drew:
        raise InputError(
            "The network draws random numbers from torch's global generator, so that no seed could repeat them: use "
            "torch.nn.Dropout layers, which are drawn by each member's own seed."
        )
    size = outputs.numel() * outputs.element_size()
    return Cost(
        kept_bytes=sum(kept.values()) + size,
        operations=count.get_total_flops(),
        output_shape=tuple(outputs.shape[1:]),
        learns=outputs.requires_grad,
        answers=outputs[:SAMPLE].detach().clone(),
        rebinds={name: id(buffer) for name, buffer in network.named_buffers()} != before,
    )


def refused(shape: list[int], error: Exception) -> InputError:
    """What to tell the user of a network that failed on a batch."""
    return InputError(f"The network cannot take a batch of shape {shape}: {first_line(error)}")


class _Draws(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes operations of this thread that may draw from torch's global generator: others may draw meanwhile."""

    drawn = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {} if kwargs is None else kwargs
        if torch.Tag.nondeterministic_seeded in func.tags and given.get("generator") is None:
            self.drawn = True
        return func(*args, **given)


def _generator_state(device: torch.device) -> Tensor:
    state = torch.get_rng_state()
    return state if device.type != "cuda" else torch.cat([state, torch.cuda.get_rng_state(device)])


def _vmap_refuses(template: Template, batch: Tensor) -> str:
    network, batch = template.copy_skeleton().train(), batch[:2].clone()
    parameters = {
        name: p.detach().expand(2, *p.shape).clone().requires_grad_(p.requires_grad)
        for name, p in network.named_parameters()
    }
    buffers = {name: b.expand(2, *b.shape).clone() for name, b in network.named_buffers()}

    def one(row: dict[str, Tensor]) -> Tensor:
        return functional_call(network, row, (batch,))  # type: ignore[no-any-return]

    try:
        with process.warning_filters(), torch.enable_grad():
            warnings.filterwarnings("error", message="There is a performance drop")
            answers = vmap(one)({**parameters, **buffers})
            if answers.requires_grad:
                trained = [parameter for parameter in parameters.values() if parameter.requires_grad]
                torch.autograd.grad(answers.sum(), trained, allow_unused=True)
    except Exception as error:  # whatever a user's own forward, or torch on its behalf, raises under vmap
        return f"it cannot be stacked: {first_line(error)}"
    return ""


def _takes_channels_last(template: Template, batch: Tensor) -> bool:
    network: nn.Module = template.copy_skeleton().train()
    try:
        with torch.no_grad():
            for name in template.kernels:
                if name in template.layout.names:
                    parameter = network.get_parameter(name)
                    parameter.data = channels_last(parameter.data)
            network(channels_last(batch[:2].clone()))
    except Exception:  # whatever the user's own forward raises in that layout alone
        return False
    return True
