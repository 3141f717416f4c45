"""A population as one safetensors file: weights, buffers, optimizer state, members. Nothing is ever unpickled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from shoal.augment import Pixels
from shoal.core.atomic import write_atomically
from shoal.core.digest import digest_of
from shoal.core.errors import InputError
from shoal.optim import schedules
from shoal.population.best import Best
from shoal.population.matrix import Matrix
from shoal.population.plan import Plan, current_names
from shoal.population.training import TrainingState

FORMAT = "shoal-population-4"
READABLE = (FORMAT, "shoal-population-3")  # the older one knew no multipliers
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


class State(NamedTuple):
    """The whole state of a population, without its network's code, as tensors and plain values."""

    tensors: dict[str, Tensor]
    document: dict[str, Any]


def state_of(population: Matrix, training: TrainingState | None) -> State:
    """A population, and the training that is under way."""
    population.keep_state()
    tensors = {"theta": population.theta, "steps": population.steps, "epochs": population.epochs}
    tensors |= {f"buffer.{name}": stack for name, stack in population.buffers.items()}
    for row, slots in enumerate(population.state):
        tensors |= {f"state.{row}.{slot}": values for slot, values in slots.items()}
    document: dict[str, Any] = {
        "format": FORMAT,
        "members": [member.model_dump(mode="json") for member in population.members],
        "status": list(population.status),
        "loss": population.loss.name,
        "own_loss": population.loss.own,
        "dtype": "bfloat16" if population.bfloat16 else str(population.dtype).removeprefix("torch."),
        "multipliers": {name: each.model_dump() for name, each in population.template.multipliers.items()},
        "names": list(population.template.layout.names),
        "shapes": [list(shape) for shape in population.template.layout.shapes],
        "training": None,
    }
    if training is not None:
        tensors |= {f"training.{name}": tensor for name, tensor in _training_tensors(training).items()}
        document["training"] = {
            **{name: getattr(training, name) for name in _ASKED},
            "data_shape": list(training.data_shape),
            "plan": None if training.plan is None else asdict(training.plan),
            "pixels": None if training.pixels is None else [each.model_dump(mode="json") for each in training.pixels],
        }
    return State({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, document)


def write(state: State, path: Path) -> None:
    """Write the file; see `Population.save`."""
    from safetensors.torch import save as to_bytes

    document = {**state.document, "digest": digest_of(state.document, _contents(state.tensors))}
    write_atomically(path, to_bytes(state.tensors, metadata={"shoal": json.dumps(document)}))


def read(path: Path) -> State:
    """What `write` wrote.

    Raises:
        InputError: the file is missing, damaged, or no saved population.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"{path} does not exist: give the file that Population.save wrote.")
    try:
        with safe_open(path, framework="pt") as file:
            document = dict(json.loads((file.metadata() or {}).get("shoal", "{}")))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, ValueError, TypeError, OSError, RecursionError) as error:
        raise InputError(f"{path} is damaged or no safetensors file: {error}") from None
    if document.get("format") not in READABLE:
        raise InputError(f"{path} holds no population that this version of Shoal can read.")
    if document.pop("digest", None) != digest_of(document, _contents(tensors)):
        raise InputError(f"{path} is damaged: it does not hold what was saved; restore it from a copy.")
    if document["training"] is not None and isinstance(document["training"]["pixels"], dict):  # formerly one for all
        document["training"]["pixels"] = [document["training"]["pixels"]] * len(document["members"])
    return State(tensors, document)


def of_rows(state: State, rows: Sequence[int]) -> State:
    """The state of some of the rows. Their plan is kept where they were one of the parts that were `joined`."""
    tensors: dict[str, Tensor] = {}
    places = {str(row): place for place, row in enumerate(rows)}
    for name, tensor in state.tensors.items():
        kind, _, rest = name.partition(".")
        if kind == "state":
            row, _, slot = rest.partition(".")
            if row in places:
                tensors[f"state.{places[row]}.{slot}"] = tensor
        else:
            tensors[name] = tensor[list(rows)]
    document = {**state.document, **{name: _picked(state.document[name], rows) for name in ("members", "status")}}
    if document["training"] is not None:
        training = document["training"]
        plan = next((part["plan"] for part in training.get("parts", ()) if part["rows"] == list(rows)), None)
        document["training"] = {**training, "pixels": _picked(training["pixels"], rows), "plan": plan}
    return State(tensors, document)


def joined(states: Sequence[State], rows: Sequence[Sequence[int]]) -> State:
    """Join the states of a population's parts; undoes `of_rows`.

    Args:
        states: of the parts.
        rows: which rows of the whole each part has; together all of them.
    """
    order = [row for chunk in rows for row in chunk]
    back = sorted(range(len(order)), key=lambda place: order[place])
    tensors: dict[str, Tensor] = {}
    for chunk, state in zip(rows, states, strict=True):
        for name in [name for name in state.tensors if name.startswith("state.")]:
            _, row, slot = name.split(".", 2)
            tensors[f"state.{chunk[int(row)]}.{slot}"] = state.tensors[name]
    for name in {name: None for state in states for name in state.tensors if not name.startswith("state.")}:
        stand_in = name.removeprefix("training.best.")  # where no row has been scored yet, no best weights are kept
        found = [state.tensors.get(name, state.tensors.get(stand_in)) for state in states]
        tensors[name] = torch.cat([tensor for tensor in found if tensor is not None])[back]
    first = states[0].document
    document = {**first, **{name: _collected(states, name, back) for name in ("members", "status")}}
    if first["training"] is not None:
        pixels = [state.document["training"]["pixels"] for state in states]
        whole = None if pixels[0] is None else _picked([each for part in pixels for each in part], back)
        plans = [state.document["training"]["plan"] for state in states]
        parts = [{"rows": list(chunk), "plan": plan} for chunk, plan in zip(rows, plans, strict=True)]
        document["training"] = {**first["training"], "pixels": whole, "plan": None, "parts": parts}
    return State(tensors, document)


def _picked(values: list[Any] | None, rows: Sequence[int]) -> list[Any] | None:
    return None if values is None else [values[row] for row in rows]


def _collected(states: Sequence[State], name: str, back: Sequence[int]) -> list[Any]:
    values = [value for state in states for value in state.document[name]]
    return [values[place] for place in back]


_ASKED = ("epochs", "batch_size", "patience", "order_seed", "validated")


def _contents(tensors: dict[str, Tensor]) -> dict[str, tuple[str, bytes]]:
    """Tensors as their digest takes them."""
    return {name: (f"{t.dtype} {list(t.shape)}", t.numpy().tobytes()) for name, t in tensors.items()}


def _training_tensors(training: TrainingState) -> dict[str, Tensor]:
    found = {"first_step": training.first_step, "first_epoch": training.first_epoch}
    found |= {f"best.{name}": tensor for name, tensor in training.best.tensors().items()}
    return found | {f"plateau.{name}": tensor for name, tensor in training.plateau._asdict().items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _training(tensors: dict[str, Tensor], document: dict[str, Any], device: torch.device) -> TrainingState:
    plan, pixels = document["plan"], document["pixels"]
    return TrainingState(
        **{name: document[name] for name in _ASKED},
        first_step=tensors["first_step"],
        first_epoch=tensors["first_epoch"],
        best=Best.of(_under("best.", tensors), device),
        plateau=schedules.Plateau(**_under("plateau.", tensors)),
        data_shape=tuple(document["data_shape"]),
        pixels=None if pixels is None else tuple(Pixels.model_validate(each) for each in pixels),
        plan=None if plan is None else Plan(**current_names(plan)),
    )


def fill(population: Matrix, state: State, path: Path) -> TrainingState | None:
    """Put what `read` found into a fresh population of the same members.

    Returns:
        the training that was under way.

    Raises:
        InputError: the network has other parameters than the saved one.
    """
    tensors, document = state
    layout = population.template.layout
    if [list(shape) for shape in layout.shapes] != document["shapes"] or list(layout.names) != document["names"]:
        raise InputError(f"{path} was saved from another network: its parameters differ from those of make_net.")
    present = {"theta": population.theta, **{f"buffer.{name}": stack for name, stack in population.buffers.items()}}
    saved = {name: tensor for name, tensor in tensors.items() if name == "theta" or name.startswith("buffer.")}
    if {name: t.shape for name, t in present.items()} != {name: t.shape for name, t in saved.items()}:
        raise InputError(f"{path} was saved from another network: its buffers differ from those of make_net.")
    population.theta = tensors["theta"].to(population.device)
    population.steps = tensors["steps"]
    population.buffers = {name: tensors[f"buffer.{name}"].to(population.device) for name in population.buffers}
    population.status = list(document["status"])
    population.epochs = tensors["epochs"]
    states = _under("state.", tensors)
    for row in range(len(population)):
        mine = _under(f"{row}.", states)
        population.state[row] = {slot: tensor.to(population.device) for slot, tensor in mine.items()}
    if document["training"] is None:
        return None
    return _training(_under("training.", tensors), document["training"], population.device)
