"""A population as one safetensors file: weights, buffers, optimizer state, members. Nothing is ever unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shoal.core.atomic import write_atomically
from shoal.core.errors import InputError
from shoal.population.matrix import Matrix

FORMAT = "shoal-population-1"
DTYPES = {"float32": torch.float32, "float64": torch.float64}


def save(population: Matrix, path: Path) -> None:
    """Write the file; see `Population.save`."""
    from safetensors.torch import save as to_bytes

    tensors = {"theta": population.theta, "steps": population.steps}
    tensors |= {f"buffer.{name}": stack for name, stack in population.buffers.items()}
    for row, state in enumerate(population.state):
        tensors |= {f"state.{row}.{slot}": values for slot, values in state.items()}
    document = {
        "format": FORMAT,
        "members": [member.model_dump(mode="json") for member in population.members],
        "status": population.status,
        "epochs": population.epochs,
        "loss": population.loss.name,
        "dtype": str(population.dtype).removeprefix("torch."),
        "names": list(population.template.layout.names),
        "shapes": [list(shape) for shape in population.template.layout.shapes],
    }
    contents = to_bytes(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"shoal": json.dumps(document)},
    )
    write_atomically(path, contents)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the document of a saved population.

    Raises:
        InputError: the file is missing, damaged, or no saved population.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path} does not exist: give the file that Population.save wrote.")
    try:
        with safe_open(path, framework="pt") as file:
            document = json.loads((file.metadata() or {}).get("shoal", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, ValueError, OSError) as error:
        raise InputError(f"{path} is damaged or no safetensors file: {error}") from None
    if document.get("format") != FORMAT:
        raise InputError(f"{path} holds no population that this version of Shoal can read.")
    return tensors, document


def fill(population: Matrix, tensors: dict[str, Tensor], document: dict[str, Any], path: Path) -> None:
    """Put what `read` found into a fresh population of the same members.

    Raises:
        InputError: the network has other parameters than the saved one.
    """
    layout = population.template.layout
    if [list(shape) for shape in layout.shapes] != document["shapes"] or list(layout.names) != document["names"]:
        raise InputError(f"{path} was saved from another network: its parameters differ from those of make_net.")
    population.theta = tensors["theta"].to(population.device)
    population.steps = tensors["steps"]
    population.buffers = {name: tensors[f"buffer.{name}"].to(population.device) for name in population.buffers}
    population.status = list(document["status"])
    population.epochs = document["epochs"]
    for row in range(len(population)):
        prefix = f"state.{row}."
        population.state[row] = {
            name.removeprefix(prefix): tensor.to(population.device)
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
