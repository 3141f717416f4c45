"""Which network to start from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, log2, prod

import torch
from pydantic import JsonValue
from torch import nn

from shoal.core import process
from shoal.core.errors import InputError
from shoal.core.events import Finding, Kind
from shoal.core.wording import listing
from shoal.experiment import Architecture, BuiltIn, Given
from shoal.nn.adoption import told
from shoal.nn.networks import Cnn, Mlp, Resnet
from shoal.population.template import adopt
from shoal.prepare import Preparation
from shoal.prepare.numbers import FEWEST_ROWS_FOR_RANK

MLP_WIDTH, MLP_DEPTH = 128, 2
CNN_WIDTH = {1: 16, 2: 16, 3: 8}  # by rank: a convolution of a volume costs many times one of an image
MOST_PERIODIC = 256  # inputs: the embedding of more would make most of the network's weights
LAST_SIDE = 4  # the convolutions of a CNN end when no axis is longer
LAST_LENGTH = 32  # those of a residual network, which averages over what is left


def choose(kind: Kind, preparation: Preparation, outputs: int, model: str) -> Architecture:
    """The default network of a kind of data: an MLP for tables, a residual network for signals, a CNN for the rest.

    On heart beats of unseen patients a residual network reached 0.73 with a fifth of the weights and two thirds of the
    time of a CNN, which reached 0.67 (means of three networks, 1296 validation rows). On Fashion-MNIST a CNN of three
    blocks was ahead, 0.921 against 0.904 of two stages in as much time (one network of each, 9000 validation rows).

    Args:
        kind: of the data.
        preparation: fitted; its rows are (D,), or (C, *size).
        outputs: classes, or 1.
        model: `auto`, `mlp`, `cnn` or `resnet`.

    Raises:
        InputError: a convolutional network was asked for and the rows are a table's.
    """
    shape = preparation.shape
    if model == "mlp" or (model == "auto" and kind == "table"):
        periodic = spread_numbers(preparation)
        return BuiltIn(Mlp(inputs=prod(shape), outputs=outputs, width=MLP_WIDTH, depth=MLP_DEPTH, periodic=periodic))
    if kind == "table":
        raise InputError(f"model={model} needs images, signals or volumes: the columns of a table have no neighbours.")
    channels, size = shape[0], shape[1:]
    width = CNN_WIDTH[len(size)]
    if model == "resnet" or (model == "auto" and kind == "signal"):
        stages = max(3, min(5, ceil(log2(max(size) / LAST_LENGTH))))
        return BuiltIn(Resnet(channels=channels, size=size, outputs=outputs, width=width, stages=stages))
    blocks = max(2, min(5, ceil(log2(max(size) / LAST_SIDE))))
    return BuiltIn(Cnn(channels=channels, size=size, outputs=outputs, width=width, blocks=blocks))


def spread_numbers(preparation: Preparation) -> tuple[int, ...]:
    """The inputs that come of numbers with many values: a periodic embedding helps with these.

    They are those that the preparation gives a rank beside the value, in a thousand rows or more: in fewer, a long tail
    alone gets a rank. None are, where there are more than 256 of them.
    """
    found: list[int] = []
    start = len(preparation.numbers.names()) if preparation.numbers else 0  # these went through other steps
    for column in preparation.columns:
        if column.kind == "number" and column.knots and column.rows >= FEWEST_ROWS_FOR_RANK:
            found += [start, start + 1]
        start += len(column.names())
    return tuple(found) if len(found) <= MOST_PERIODIC else ()


def given(make_net: Callable[[], nn.Module], name: str, shape: tuple[int, ...], outputs: int) -> Architecture:
    """The user's own network, once it has shown that it takes the rows and gives the answers.

    Args:
        make_net: returns a fresh module.
        name: where it can be imported from, or "".
        shape: of one prepared row.
        outputs: classes, or 1.

    Raises:
        InputError: it fails, returns no module or nothing to train, cannot take the rows, or answers in another shape.
    """
    called = f"the model {name}" if name else "the given model"
    with process.torch_generator():
        try:
            network = make_net()
        except Exception as error:  # whatever the user's own function raises
            raise InputError(f"{called} could not be built: {_reason(error)}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"{called} returned {type(network).__name__}: make_net must return a torch.nn.Module.")
    rows = torch.zeros(2, *shape)
    try:
        with torch.no_grad():
            answer = network.eval()(rows)
    except Exception as error:  # whatever the user's own forward raises
        raise InputError(f"{called} cannot take rows of shape {list(rows.shape)}: {_reason(error)}") from error
    if not isinstance(answer, torch.Tensor) or answer.shape != (2, outputs):
        got = list(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise InputError(f"{called} answers rows of shape {list(rows.shape)} with {got}: it must be [2, {outputs}].")
    adopt(network, torch.float32, torch.device("cpu"))  # refuses what cannot train
    return Given(make_net, name, _unused(network, rows))


def adopted(architecture: Architecture) -> Iterator[Finding]:
    """What is done to layers of the user's own network so that many of it can be trained as one, and what is idle."""
    if not isinstance(architecture, Given):
        return
    with process.torch_generator():
        layers = adopt(architecture.build(), torch.float32, torch.device("cpu")).adopted
    if layers:
        evidence: dict[str, JsonValue] = {"layers": [layer.name for layer in layers]}
        yield Finding(
            code="SHL105",
            sentence=told(layers),
            evidence=evidence,
            fix="Nothing needs to be done; the network that you get back has your own layers.",
        )
    if architecture.unused:
        names = architecture.unused
        yield Finding(
            code="SHL106",
            sentence=f"{listing(names)}: the network's answers do not depend on {'it' if len(names) == 1 else 'them'}, "
            f"so {'this parameter keeps its' if len(names) == 1 else 'these parameters keep their'} initial values.",
            evidence={"parameters": list(names)},
            fix="Use them in the network's forward, or take them out of it.",
        )


def _unused(network: nn.Module, rows: torch.Tensor) -> tuple[str, ...]:
    """Trainable parameters that the answers in training mode do not depend on."""
    named = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    with process.torch_generator():
        answers = network.train()(rows)
    if not answers.requires_grad:
        return tuple(named)
    gradients = torch.autograd.grad(answers.sum(), list(named.values()), allow_unused=True)
    return tuple(name for name, gradient in zip(named, gradients, strict=True) if gradient is None)


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0]}" if str(error) else type(error).__name__
