"""A finished model: raw rows to answers, by the preparation, the networks and the mean of their answers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from pydantic import Field, JsonValue, ValidationError
from torch import Tensor, nn

from shoal.core import process
from shoal.core.errors import DataWarning, InputError
from shoal.core.events import Finding, Record
from shoal.data import ArrayFeatures, Features, read_rows, said_once
from shoal.data.schema import Schema
from shoal.ensemble.combination import Combination
from shoal.nn import networks
from shoal.nn.own_network import Named, own_network
from shoal.prepare import Preparation, TargetScaling
from shoal.prepare.targets import Answers

Floats = NDArray[np.float64]
BATCH, MOST_VALUES = 1024, 1 << 22  # rows of a batch, and numbers in them: a first layer makes many times as many


@dataclass(frozen=True)
class EnsembleMember:
    """One network of the ensemble: how it is built, its weights in place, and how often it counts."""

    network: nn.Module
    architecture: Mapping[str, JsonValue]
    count: int
    member: int  # its number in the run
    temperature: float = 1.0  # of its probabilities, see `calibration`


@dataclass(frozen=True)
class Model:
    """Everything between a raw row and an answer."""

    parts: tuple[EnsembleMember, ...]
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

        What was noticed in the rows (cells that cannot be read, unseen categories) is one `DataWarning`, with counts.
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
        read = read_rows(rows, self.schema)
        answers, noticed = self.answers(read.features)
        said = [each.sentence for each in said_once(read.warnings, noticed) if each.level in ("warning", "problem")]
        if said:
            warnings.warn(" ".join(said), DataWarning, stacklevel=3)  # where `predict` was called
        return answers

    @torch.no_grad()
    def answers(self, features: Features) -> tuple[Floats, tuple[Finding, ...]]:
        """The networks' mean probabilities [N, C], or standardised numbers [N, 1]; and counted warnings."""
        prepared = self.preparation.transform(features)
        return self.mean_answers(torch.from_numpy(prepared.x)), prepared.warnings

    @torch.no_grad()
    def mean_answers(self, x: Tensor) -> Floats:
        """The same for prepared inputs [N, ...]."""
        process.computing()
        return self.combination.predict(outputs_of(part.network, x) for part in self.parts)

    @property
    def combination(self) -> Combination:
        """How the networks' outputs become one answer."""
        counts, temperatures = zip(*((part.count, part.temperature) for part in self.parts), strict=True)
        return Combination(counts, temperatures, self.target.classes is not None)

    def tensors(self) -> dict[str, Tensor]:
        """All weights and buffers, named `NUMBER.NAME`, and the matrices of the preparation."""
        weights = {
            f"{number}.{name}": tensor
            for number, part in enumerate(self.parts)
            for name, tensor in part.network.state_dict().items()
        }
        return weights | {f"preparation.{name}": tensor for name, tensor in self.preparation.parts()[1].items()}

    def document(self) -> dict[str, JsonValue]:
        """Everything but the tensors, as JSON."""
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
    def of(cls, tensors: Mapping[str, Tensor], document: Mapping[str, Any], make_net: Named | None = None) -> Model:
        """The model that `tensors` and `document` describe.

        Args:
            tensors: by `NUMBER.NAME`.
            document: as `document` gave it.
            make_net: builds the user's own network: the function, or its name if it is the one that the document says.

        Raises:
            InputError: a network cannot be built again or does not fit its weights; the document describes no model; or
                a network of the user's own is described, and the caller does not name it.
        """
        matrices = {name: tensor for name, tensor in tensors.items() if name.startswith("preparation.")}
        known = {"tensors": {name.removeprefix("preparation."): tensor for name, tensor in matrices.items()}}
        try:
            described = _Document.model_validate(document, context=known)
        except InputError:
            raise
        except (ValidationError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"The saved model cannot be read: {_what_is_wrong(error)}; fit again") from None
        parts = []
        for number, each in enumerate(described.networks):
            prefix = f"{number}."
            state = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            try:
                network = _rebuilt(each.architecture, state, make_net)
            except RuntimeError as error:
                raise InputError(f"The network of the saved model has changed since: {error}") from None
            parts.append(
                EnsembleMember(
                    network.eval(),
                    each.architecture.model_dump(mode="json"),
                    each.count,
                    each.member,
                    each.temperature,
                )
            )
        model = cls(tuple(parts), described.preparation, described.target, described.data)
        model._try_out()
        return model

    def _try_out(self) -> None:
        """Predict one empty row, so that a broken model fails when it is loaded and not on the user's rows.

        Raises:
            InputError: the parts of the model do not fit one another.
        """
        try:
            answers, _ = self.answers(_blank(self.schema))
            self.target.decode(answers)
        except Exception as error:  # numbers, names and shapes of a file: anything may be wrong with them
            raise InputError(
                f"The saved model does not hold together ({type(error).__name__}: {str(error)[:120]}): fit again, or "
                "restore it from a copy"
            ) from error
        outputs = 1 if self.target.classes is None else len(self.target.classes)
        if answers.shape != (1, outputs):
            raise InputError(f"The saved model answers with {answers.shape[-1]} numbers and has {outputs} to give.")


@torch.no_grad()
def outputs_of(network: nn.Module, x: Tensor) -> Tensor:
    """A network's outputs [N, C] for prepared rows [N, ...], batch by batch."""
    return torch.cat([network(part) for part in batches(x)])


def batches(x: Tensor) -> tuple[Tensor, ...]:
    """Prepared rows cut into batches of 1024 rows, or fewer where rows are long.

    >>> [len(part) for part in batches(torch.zeros(1500, 3))], len(batches(torch.zeros(30, 1, 128, 128, 128))[0])
    ([1024, 476], 2)
    """
    return torch.split(x, max(1, min(BATCH, MOST_VALUES // max(1, prod(x.shape[1:])))))


class GivenNetwork(Record):
    """A network of the user's own: what it was called, for comparison and for people."""

    network: Literal["given"]
    factory: str = Field(max_length=500)  # package.module:function, or ""


class _DescribedPart(Record):
    """One network in the saved document."""

    architecture: Annotated[networks.Network | GivenNetwork, Field(discriminator="network")]
    count: int = Field(ge=1, le=1_000_000)
    member: int = Field(ge=0, lt=2**53)
    temperature: float = Field(gt=0, le=1e9)


class _Document(Record):
    """What `Model.document` writes."""

    networks: tuple[_DescribedPart, ...] = Field(min_length=1, max_length=1000)
    preparation: Preparation
    target: TargetScaling
    data: Schema = Field(alias="schema")


def _rebuilt(
    architecture: networks.Network | GivenNetwork, state: Mapping[str, Tensor], named: Named | None
) -> nn.Module:
    """The network that a record describes, with its weights.

    Raises:
        InputError: it is the user's own and not given, or one of Shoal's own and given; the weights are another's.
    """
    if not isinstance(architecture, GivenNetwork):
        if named is not None:
            raise InputError(f"The model's network is Shoal's own ({architecture.network}): leave your function out.")
        return networks.with_weights(architecture, state)
    make_net = own_network(architecture.factory, named)
    try:
        network = make_net()
    except Exception as error:  # whatever the user's own function raises
        raise InputError(f"The given network could not be built: {type(error).__name__}: {error}") from error
    if not isinstance(network, nn.Module):
        raise InputError(f"The given function returned {type(network).__name__}: it must return a torch.nn.Module.")
    network.load_state_dict(dict(state))
    return network


def _blank(schema: Schema) -> Features:
    """One row of missing cells, or of zeros."""
    if schema.kind == "table":
        empty = {column.name: pl.Series([None], dtype=pl.String) for column in schema.features()}
        return read_rows(pl.DataFrame(empty), schema).features
    return ArrayFeatures(np.zeros((1, *(schema.shape or ())), dtype=np.float32))


def _what_is_wrong(error: Exception) -> str:
    """The first thing that is wrong, in a few words."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"`{'.'.join(str(part) for part in first['loc'])}`: {first['msg']}"
    return f"{type(error).__name__}: {str(error)[:120]}"
