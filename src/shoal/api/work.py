"""From settings to the data, split and prepared, and a network to start from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from shoal import data as data_room
from shoal import prepare
from shoal.augment import Pixels, check
from shoal.core.errors import InputError
from shoal.core.events import (
    Event,
    Finding,
    FindingRaised,
)
from shoal.core.settings import FitSettings
from shoal.data import ArrayFeatures, Dataset
from shoal.data.samples import describe
from shoal.diagnose import split_checks
from shoal.experiment import Architecture, Processes, Runner, Threads, check_memory
from shoal.nn.own_network import find_factory
from shoal.prepare.pixels import pixels
from shoal.recipe import augmenting, checkup, networks
from shoal.recipe.problem import Options, Problem
from shoal.task import Fold, Task

if TYPE_CHECKING:
    from shoal.nn.own_network import MakeNet


SEVERAL = 4  # networks of the largest size that a search may train side by side


@dataclass(frozen=True)
class Work:
    """The task, and what the recipe is given of it."""

    task: Task
    problem: Problem


def search_options(settings: FitSettings) -> Options:
    """What the user fixed of the search.

    Raises:
        InputError: it cannot be done here.
    """
    return Options(
        seed=settings.seed,
        ranges=settings.ranges,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        precision=settings.precision,
        runner=_runner(settings),
        augment=augmenting.asked(settings.augment),
    )


def read(settings: FitSettings, data: Any, folder: Path | None = None) -> Dataset:
    """The rows that the settings name, or those given.

    Args:
        settings: what to read and how.
        data: the rows themselves, or None.
        folder: where a relative path begins, if it is there; by default in the working folder.
    """
    if folder is not None and not (folder / settings.data).exists():
        folder = None  # the name of data that come along, such as iris
    named = settings.data if folder is None else str(folder / settings.data)
    dataset = data_room.read(named if data is None else data, settings.part())
    return dataset if folder is None else replace(dataset, source=settings.data)


def prepared(settings: FitSettings, dataset: Dataset, make_net: MakeNet | None, folder: Path | None = None) -> Work:
    """The rows split, what is fitted on the training rows, and the network to start from.

    Args:
        settings: what to do.
        dataset: the rows.
        make_net: the user's network, where `settings.model` does not name it.
        folder: where its module is looked for; by default in the working folder.
    """
    task = Task.hold_out(dataset, seed=settings.seed, preparation=settings.prepare)
    fold = task.fold()
    network = network_of(task, settings.model, make_net, folder)
    largest = {name: int(high) for name, (_, high) in settings.ranges.items() if name in network.sizes()}
    if largest:
        check_memory(
            network.resized(**largest), SEVERAL, " and ".join(f"{name} {size}" for name, size in largest.items())
        )
    _runner(settings).check(network, task.loss)
    test = fold.plan.test
    problem = Problem(
        train=fold.train,
        validation=fold.validation,
        test=task.test,
        classes=dataset.classes,
        network=network,
        scale=fold.target.std,
        shift=fold.target.mean,
        device=_device(settings),
        kind=dataset.kind,
        inputs=tuple(fold.preparation.feature_names),
        pixels=_pixels(settings, dataset, fold),
        describe_row=lambda row: {"row": dataset.number(int(test[row])), **describe(dataset, int(test[row]))},
    )
    return Work(task, problem)


def network_of(task: Task, model: str, make_net: MakeNet | None, folder: Path | None = None) -> Architecture:
    """The network to start from.

    Args:
        task: with its rows.
        model: `auto`, `mlp`, `cnn`, `resnet` or `package.module:make_net`.
        make_net: the user's network, where `model` does not name it.
        folder: where its module is looked for; by default in the working folder.
    """
    fold = task.fold()
    if make_net is None and ":" in model:
        make_net = find_factory(model, folder)
    if make_net is None:
        return networks.choose(task.kind, fold.preparation, task.outputs, model)
    return networks.given(make_net, model if ":" in model else "", fold.shape, task.outputs)


def _pixels(settings: FitSettings, dataset: Dataset, fold: Fold) -> Pixels | None:
    """What the inputs' numbers mean, or None where samples are not to be moved.

    Raises:
        InputError: the user asked for operations that mean nothing for such samples.
    """
    asked = augmenting.asked(settings.augment)
    if asked is not None:
        check(asked, dataset.kind, fold.shape)
    if dataset.kind == "table" or not isinstance(dataset.features, ArrayFeatures):
        return None
    if asked is not None and not asked.active:
        return None
    try:
        return pixels(fold.preparation, dataset, fold.plan.train)
    except InputError:
        if asked is not None:
            raise
        return None


def findings(work: Work) -> Iterator[Finding]:
    """What is to be said of the data, their split, their preparation and the network before anything is trained."""
    dataset, fold = work.task.dataset, work.task.fold()
    yield from dataset.findings
    yield from split_checks.of_split(dataset, fold.plan, thorough=False)
    yield from prepare.advise(dataset, fold.plan.train, fold.preparation)
    yield from networks.adopted(work.problem.network)


def _runner(settings: FitSettings) -> Runner:
    return Processes() if settings.runner == "processes" else Threads(_device(settings))


def _device(settings: FitSettings) -> str:
    wanted = settings.device
    if settings.runner == "processes":
        if wanted == "cuda":
            raise InputError("The runner `processes` computes on the CPU: with --device cuda use --runner threads.")
        return "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("device=cuda was asked for, but torch finds no CUDA device here: use --device cpu.")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


def check_up(settings: FitSettings, data: Any = None, make_net: MakeNet | None = None) -> Iterator[Event]:
    """Look at the data and the network, and do no more: the checks of the data, then steps 1 to 3.

    Args:
        settings: what to look at; a budget, ranges and a folder have no meaning here.
        data: the rows themselves, where they are no path.
        make_net: the user's network, where `settings.model` does not name it.

    Yields:
        Findings, decisions and steps as they happen; those that `settings.ignore` names are left out.

    Raises:
        InputError: the data or the settings cannot be used.
    """
    dataset = read(settings, data)
    work = prepared(settings, dataset, make_net)
    options = search_options(settings)
    told = (FindingRaised(finding=finding) for finding in findings(work))
    for event in chain(told, checkup.run(work.problem, options)):
        if not (isinstance(event, FindingRaised) and event.finding.code in settings.ignore):
            yield event
