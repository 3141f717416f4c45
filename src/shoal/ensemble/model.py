"""A finished model: raw rows to answers, by preparation, networks and the mean of what they say, as one thing."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue, ValidationError
from torch import Tensor, nn

from shoal.core import process
from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.core.names import did_you_mean
from shoal.data import Features, read_rows
from shoal.data.schema import Schema
from shoal.ensemble.calibration import probabilities
from shoal.nn import networks
from shoal.prepare import Preparation, TargetScaling
from shoal.prepare.targets import Answers

Floats = NDArray[np.float64]
BATCH, MOST_VALUES = 1024, 1 << 22  # rows, and numbers in them: a first layer makes many times as many of these


@dataclass(frozen=True)
class Part:
    """One network of the ensemble: how it is built, its weights in place, and how often it counts."""

    network: nn.Module
    architecture: Mapping[str, JsonValue]
    count: int
    member: int  # its number in the run
    temperature: float = 1.0  # of its probabilities, see `calibration`


@dataclass(frozen=True)
class Model:
    """Everything between a raw row and an answer."""

    parts: tuple[Part, ...]
    preparation: Preparation
    target: TargetScaling
    schema: Schema

    def predict(self, rows: Any) -> Answers:
        """The answer for each row, in the target's own terms.

        Args:
            rows: a frame, an array, a path: what `shoal.fit` reads, with or without the target.

        Returns:
            Classes [N] in the type in which they were given (text, int64, float64, bool), or values float64 [N].

        Raises:
            InputError: a feature column is missing, or the rows do not fit the model.
        """
        return self.target.decode(self._answer(rows))

    def predict_proba(self, rows: Any) -> Floats:
        """Probabilities [N, C], the classes in the order of `target.classes`.

        Raises:
            InputError: the model predicts numbers; or as `predict`.
        """
        if self.target.classes is None:
            raise InputError("This model predicts numbers, which have no probabilities: use predict.")
        return self._answer(rows)

    def _answer(self, rows: Any) -> Floats:
        given = np.asarray(rows) if isinstance(rows, list) else rows
        return self.answers(read_rows(given, self.schema).features)[0]

    @torch.no_grad()
    def answers(self, features: Features) -> tuple[Floats, tuple[Finding, ...]]:
        """The networks' mean probabilities [N, C], or standardised numbers [N, 1]; and counted warnings."""
        prepared = self.preparation.transform(features)
        return self.mean_answers(torch.from_numpy(prepared.x)), prepared.warnings

    @torch.no_grad()
    def mean_answers(self, x: Tensor) -> Floats:
        """The same for prepared inputs [N, ...]."""
        process.computing()
        total: Floats = np.zeros(())
        for part in self.parts:
            outputs = torch.cat([part.network(batch) for batch in batches(x)])
            classes = self.target.classes is not None
            total = total + part.count * (
                probabilities(outputs, part.temperature) if classes else outputs.double().numpy()
            )
        return total / sum(part.count for part in self.parts)

    def tensors(self) -> dict[str, Tensor]:
        """All weights and buffers, named `NUMBER.NAME`, and the matrices of the preparation."""
        weights = {
            f"{number}.{name}": tensor
            for number, part in enumerate(self.parts)
            for name, tensor in part.network.state_dict().items()
        }
        return weights | {f"preparation.{name}": tensor for name, tensor in self.preparation.parts()[1].items()}

    def document(self) -> dict[str, JsonValue]:
        """All the rest, as JSON."""
        return {
            "networks": [
                {
                    "architecture": dict(part.architecture),
                    "count": part.count,
                    "member": part.member,
                    "temperature": part.temperature,
                }
                for part in self.parts
            ],
            "preparation": self.preparation.parts()[0],
            "target": self.target.model_dump(mode="json"),
            "schema": self.schema.model_dump(mode="json"),
        }

    @classmethod
    def of(
        cls, tensors: Mapping[str, Tensor], document: Mapping[str, Any], make_net: Callable[[], nn.Module] | None = None
    ) -> Model:
        """The model that `tensors` and `document` describe.

        Args:
            tensors: by `NUMBER.NAME`.
            document: as `document` gave it.
            make_net: builds the user's own network where its name is not enough to find it again.

        Raises:
            InputError: a network cannot be built again or does not fit its weights.
        """
        try:
            own = [name for name in tensors if name.startswith("preparation.")]
            matrices = {name.removeprefix("preparation."): tensors[name] for name in own}
            preparation = Preparation.of(document["preparation"], matrices)
            target = TargetScaling.model_validate(document["target"])
            schema = Schema.model_validate(document["schema"])
            described = [
                (each["architecture"], int(each["count"]), int(each["member"]), float(each["temperature"]))
                for each in document["networks"]
            ]
        except (ValidationError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"The saved model was written by another version of Shoal: fit again ({error!r:.80})"
            ) from None
        parts = []
        for number, (architecture, count, member, temperature) in enumerate(described):
            network = build(architecture, make_net)
            prefix = f"{number}."
            state = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            try:
                network.load_state_dict(state)
            except RuntimeError as error:
                raise InputError(f"The network of the saved model has changed since: {error}") from None
            parts.append(Part(network.eval(), architecture, count, member, temperature))
        return cls(tuple(parts), preparation, target, schema)


def batches(x: Tensor) -> tuple[Tensor, ...]:
    """Prepared rows in parts that a network can take at once: 1024 rows, or fewer where they are long.

    >>> [len(part) for part in batches(torch.zeros(1500, 3))], len(batches(torch.zeros(30, 1, 128, 128, 128))[0])
    ([1024, 476], 2)
    """
    return torch.split(x, max(1, min(BATCH, MOST_VALUES // max(1, prod(x.shape[1:])))))


def build(architecture: Mapping[str, Any], make_net: Callable[[], nn.Module] | None) -> nn.Module:
    """A fresh network by its description.

    Raises:
        InputError: the user's function is neither given nor found.
    """
    if architecture["network"] != "given":
        return networks.from_document(architecture).build()
    if make_net is not None:
        return make_net()
    if not architecture["factory"]:
        raise InputError("The model's network came from a function that was not named: load it with make_net=.")
    return find_factory(str(architecture["factory"]))()


def find_factory(name: str, folder: Path | None = None) -> Callable[[], nn.Module]:
    """The user's function `package.module:function`.

    Args:
        name: its name.
        folder: where it is looked for too; by default in the working folder.

    Raises:
        InputError: there is no such module or function, or it cannot be called.
    """
    module_name, _, function = name.partition(":")
    try:
        with process.search_path(str(folder or Path.cwd())):
            module = importlib.import_module(module_name)
    except ImportError as error:
        raise InputError(f"The model {name} cannot be found: {error}; run from the folder that holds it.") from None
    except Exception as error:  # whatever the user's own module does while it is loaded
        raise InputError(f"The model {name} cannot be loaded: {type(error).__name__}: {error}") from error
    found = getattr(module, function, None)
    if not callable(found):
        names: Sequence[str] = [each for each in vars(module) if callable(getattr(module, each)) and each[0] != "_"]
        raise InputError(f"{module_name} has no function `{function}`{did_you_mean(function, names)}")
    make_net: Callable[[], nn.Module] = found
    return make_net
