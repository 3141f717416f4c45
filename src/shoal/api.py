"""`fit`, `load`, `predict`, `evaluate`: wires the rooms together and decides nothing."""

from __future__ import annotations

import json
import platform
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import JsonValue

import shoal
from shoal import data as data_room
from shoal import prepare
from shoal.core.atomic import write_atomically
from shoal.core.budget import parse_budget
from shoal.core.errors import InputError, RunError
from shoal.core.events import (
    Decision,
    DecisionMade,
    Event,
    Finding,
    FindingRaised,
    RunFinished,
    RunInterrupted,
    RunStarted,
    TestRead,
)
from shoal.core.settings import FitSettings
from shoal.data import Dataset
from shoal.data.samples import describe
from shoal.ensemble import model as models
from shoal.ensemble import scoring
from shoal.ensemble.model import Model
from shoal.recipe import networks, recipe
from shoal.recipe.finish import Chosen
from shoal.recipe.problem import Options, Part, Problem, Sealed
from shoal.recipe.recipe import Outcome
from shoal.report import render
from shoal.resample import Plan, hold_out
from shoal.store.model_folder import load_model, save_model
from shoal.store.run_folder import RunFolder, name_of

if TYPE_CHECKING:
    from torch import nn

    MakeNet = Callable[[], nn.Module]


def stream(
    settings: FitSettings,
    data: Any = None,
    make_net: MakeNet | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Event]:
    """Carry out a run, one event after another, and keep it in its folder.

    Args:
        settings: what to do.
        data: the rows themselves, where they are no path; `settings.data` then only names them.
        make_net: the user's network, where `settings.model` does not name it.
        stop: set it to end the run after the current epoch.

    Yields:
        Events as they happen; the last one is `RunFinished` or `RunInterrupted`.

    Raises:
        InputError: the data or the settings cannot be used.
        RunError: every training diverged, or the disk refused.
    """
    started = time.monotonic()
    dataset = data_room.read(
        settings.data if data is None else data,
        target=settings.target,
        time=settings.time,
        group=settings.group,
        drop=settings.drop,
        roles=settings.roles,
        kind=settings.kind,
    )
    work = _prepare(settings, dataset, make_net)
    folder = RunFolder.create(settings.out, name_of(settings.data))
    try:
        begun = _begun(settings, folder, work)
        key = folder.write_settings(settings, {"data_hash": dataset.content_hash, "versions": begun.versions})
        store = folder.open_store(settings)
    except BaseException:
        folder.release()
        raise
    with store:
        kept: list[Event] = []
        for event in _run(settings, folder, work, begun, stop or threading.Event(), started):
            if isinstance(event, FindingRaised) and event.finding.code in settings.ignore:
                continue
            store.append(key, event)
            kept.append(event)
            if isinstance(event, RunFinished | RunInterrupted):
                write_atomically(folder.report_html, render(kept))
            yield event


@dataclass(frozen=True)
class _Work:
    """The data, split and prepared."""

    dataset: Dataset
    plan: Plan
    preparation: prepare.Preparation
    target: prepare.TargetScaling
    problem: Problem


def _prepare(settings: FitSettings, dataset: Dataset, make_net: MakeNet | None) -> _Work:
    plan = hold_out(dataset, seed=settings.seed)
    preparation = prepare.fit(dataset, plan.train, settings.prepare)
    target = prepare.TargetScaling.fit(dataset, plan.train)

    def part(rows: Any) -> Part:
        x = preparation.transform(dataset.features.take(rows)).x
        return Part(torch.from_numpy(x), torch.from_numpy(target.encode(dataset.target[rows])))

    outputs = 1 if dataset.classes is None else len(dataset.classes)
    if make_net is None and ":" in settings.model:
        make_net = models.find_factory(settings.model)
    network = (
        networks.choose(dataset.kind, preparation, outputs, settings.model)
        if make_net is None
        else networks.given(make_net, settings.model if ":" in settings.model else "", preparation.shape, outputs)
    )
    problem = Problem(
        train=part(plan.train),
        validation=part(plan.validation),
        test=Sealed(part(plan.test)),
        classes=dataset.classes,
        network=network,
        scale=target.std,
        shift=target.mean,
        device=_device(settings.device),
        describe_row=lambda row: {"row": int(plan.test[row]), **describe(dataset, int(plan.test[row]))},
    )
    return _Work(dataset, plan, preparation, target, problem)


def _run(
    settings: FitSettings, folder: RunFolder, work: _Work, begun: RunStarted, stop: threading.Event, started: float
) -> Iterator[Event]:
    """The events of a run, from the first to the last."""
    yield begun
    for finding in (*work.dataset.findings, *prepare.advise(work.dataset, work.plan.train, work.preparation)):
        yield FindingRaised(finding=finding)
    options = Options(settings.seed, settings.ranges, settings.epochs, settings.batch_size)
    step = 0
    steps = recipe.run(work.problem, parse_budget(settings.budget), options, stopped=stop.is_set)
    try:
        while True:
            event = next(steps)
            step = getattr(event, "step", step)
            yield event
    except StopIteration as end:
        outcome: Outcome = end.value
    if outcome.chosen is not None:
        _save(folder, work, outcome.chosen)
    if outcome.chosen is None or outcome.test is None:
        kept = (
            "its record is kept, and no network yet" if outcome.chosen is None else "the best networks so far are kept"
        )
        yield RunInterrupted(step=step, sentence=f"{outcome.stopped[:-1]}: {kept}.")
        return
    summary = _summary(folder, begun, outcome, outcome.chosen, outcome.test, time.monotonic() - started)
    write_atomically(folder.summary_json, json.dumps(summary, indent=1) + "\n")
    yield RunFinished(summary=summary)


def _save(folder: RunFolder, work: _Work, chosen: Chosen) -> None:
    """Write the ensemble as a model that predicts from raw rows."""
    model = Model(
        tuple(
            models.Part(member.network, member.architecture.document(), count, member.id, member.temperature)
            for member, count in zip(chosen.members, chosen.counts, strict=True)
        ),
        work.preparation,
        work.target,
        work.dataset.schema,
    )
    save_model(folder.model, model.tensors(), model.document())


def _begun(settings: FitSettings, folder: RunFolder, work: _Work) -> RunStarted:
    dataset, plan, problem = work.dataset, work.plan, work.problem
    train_y, validation_y = problem.train.y.numpy(), problem.validation.y.numpy()
    if dataset.classes is not None:
        usual = dataset.classes[int(np.bincount(train_y).argmax())]
    else:
        usual = f"{work.target.mean:.6g}"
    return RunStarted(
        run=folder.name,
        source=dataset.source,
        data_kind=dataset.kind,
        task=dataset.task,
        metric=problem.metric,
        target=dataset.target_name,
        classes=None if dataset.classes is None else list(dataset.classes),
        rows=dataset.rows,
        columns=dataset.columns,
        shape=list(work.preparation.shape),
        split={"train": len(plan.train), "validation": len(plan.validation), "test": len(plan.test)},
        baseline=scoring.baseline(train_y, validation_y, dataset.classes is not None),
        baseline_answer=usual,
        budget=settings.budget,
        seed=settings.seed,
        device=problem.device,
        data_hash=dataset.content_hash,
        versions={
            "shoal": shoal.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
        command=command(settings),
        column_notes=dataset.schema.column_notes(),
    )


def command(settings: FitSettings) -> str:
    """The command line that repeats a run."""
    words = ["shoal", "fit", settings.data]
    options = ("target", "time", "group", "kind", "prepare", "budget", "model", "device", "epochs", "batch_size")
    for name in (*options, "seed"):
        value = getattr(settings, name)
        if value is not None and (name in ("budget", "seed") or value != FitSettings.model_fields[name].default):
            words += [f"--{name.replace('_', '-')}", str(value)]
    for column in settings.drop:
        words += ["--drop", column]
    for column, role in settings.roles.items():
        words += ["--roles", f"{column}={role}"]
    for name, (low, high) in settings.ranges.items():
        words += ["--range", f"{name}={low:g}:{high:g}"]
    return shlex.join(words)


def _summary(
    folder: RunFolder, begun: RunStarted, outcome: Outcome, chosen: Chosen, test: TestRead, seconds: float
) -> dict[str, JsonValue]:
    return {
        "run": begun.run,
        "task": begun.task,
        "metric": begun.metric,
        "data": {"rows": begun.rows, "columns": begun.columns, "classes": list(begun.classes or []) or None},
        "baseline": test.baseline,
        "validation": chosen.validation,
        "test": test.score,
        "test_interval": list(test.interval),
        "test_scores": dict(test.scores),
        "members_trained": outcome.members_trained,
        "epochs_trained": round(outcome.epochs_trained, 1),
        "seconds": round(seconds, 1),
        "device": begun.device,
        "decisions": [decision.model_dump(mode="json") for decision in outcome.decisions],
        "ensemble": {
            "members": len(chosen.members),
            "gain": chosen.gain,
            "gain_interval": list(chosen.gain_interval),
        },
        "model": str(folder.model),
        "report": str(folder.report_html),
    }


def _device(wanted: str) -> str:
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("device=cuda was asked for, but torch finds no CUDA device here: use --device cpu.")
    return ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted


# --- what a run leaves ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A run's folder, opened: the model, the events and the report."""

    folder: RunFolder
    make_net: MakeNet | None = None

    @cached_property
    def model(self) -> Model:
        """The finished model.

        Raises:
            InputError: the run ended before there was one, or the files were changed.
        """
        return Model.of(*load_model(self.folder.model), self.make_net)

    @cached_property
    def events(self) -> list[Event]:
        """Everything that happened, in order."""
        return self.folder.read_events()

    @property
    def decisions(self) -> list[Decision]:
        """What was decided, with the numbers that it was decided from."""
        return [event.decision for event in self.events if isinstance(event, DecisionMade)]

    @property
    def summary(self) -> dict[str, JsonValue]:
        """The document that `--json` prints.

        Raises:
            InputError: the run was interrupted.
        """
        for event in reversed(self.events):
            if isinstance(event, RunFinished):
                return event.summary
        raise InputError(f"The run {self.folder.name} did not finish: it has no summary.")

    def report(self) -> Path:
        """Draw the report again from the stored events; where it lies."""
        write_atomically(self.folder.report_html, render(self.events))
        return self.folder.report_html


def fit(data: Any, *, model: str | MakeNet = "auto", **settings: Any) -> Run:
    """From raw data to a tuned, explained model, in seven steps.

    Args:
        data: a path, a frame, a pair (X, y), or a name such as `digits`.
        model: `auto`, `mlp`, `cnn`, `resnet`, `package.module:make_net`, or a zero-argument function that returns a
            module.
        settings: any option of `FitSettings`: target, time, group, drop, kind, budget, seed, out, ranges, epochs, ...

    Returns:
        The finished run.

    Raises:
        InputError: the data or a setting cannot be used.
        RunError: every training diverged.
    """
    named = isinstance(data, str | Path)
    make_net = None if isinstance(model, str) else model
    resolved = FitSettings(
        data=str(data) if named else "data", model=model if isinstance(model, str) else "auto", **settings
    )
    last: Event | None = None
    folder: str | None = None
    for event in stream(resolved, None if named else data, make_net):
        last = event
    if not isinstance(last, RunFinished):
        raise RunError("The run ended without a result; its folder keeps what was done.")
    folder = str(Path(str(last.summary["report"])).parent)
    return Run(RunFolder.open(folder), make_net)


def load(path: str | Path, make_net: MakeNet | None = None) -> Run:
    """A run from its folder.

    Args:
        path: such as `runs/digits`.
        make_net: builds the network, where the run was given a function that has no importable name.

    Raises:
        InputError: there is no run; the sentence names the closest ones.
    """
    return Run(RunFolder.open(path), make_net)


@dataclass(frozen=True)
class Prediction:
    """Answers for new rows, as a table, and what was noticed on the way."""

    columns: list[str]
    rows: list[list[Any]]
    findings: tuple[Finding, ...]


def predict(run: str | Path, source: Any) -> Prediction:
    """Answers for new rows: the prediction and, for classes, each one's probability.

    Args:
        run: a run's folder.
        source: what `fit` reads, with or without the target.

    Raises:
        InputError: no such run, or the rows do not fit its model.
    """
    model = load(run).model
    rows = data_room.read_rows(source, model.schema)
    answers, warnings = model.answers(rows.features)
    predicted = model.target.decode(answers).tolist()
    classes = model.target.classes or ()
    columns = ["prediction", *(f"probability_{name}" for name in classes)]
    table = [[answer, *(p.tolist() if classes else ())] for answer, p in zip(predicted, answers, strict=True)]
    return Prediction(columns, table, (*rows.warnings, *warnings))


def evaluate(run: str | Path, source: Any) -> dict[str, Any]:
    """How good the model is on rows whose target is known.

    Args:
        run: a run's folder.
        source: rows with their target.

    Returns:
        metric, score, interval (95 %), rows, further scores, findings.

    Raises:
        InputError: no such run, or the target is missing.
    """
    opened = load(run)
    model = opened.model
    rows = data_room.read_rows(source, model.schema)
    if rows.truth is None:
        what = f"column `{model.schema.target}`" if model.schema.target else "true answers"
        raise InputError(f"{source} has no usable {what}: give rows whose answers are known.")
    answers, warnings = model.answers(rows.features)
    if model.target.classes is not None:
        scores = scoring.of_classes(answers, rows.truth.astype(np.int64))
    else:
        scores = scoring.of_numbers(np.asarray(model.target.decode(answers)), rows.truth.astype(float), seed=0)
    return {
        "metric": scores.metric,
        "score": scores.score,
        "interval": list(scores.interval),
        "rows": scores.rows,
        "scores": scores.further,
        "findings": [
            finding.model_dump(mode="json") for finding in (*_seen_before(opened, source), *rows.warnings, *warnings)
        ],
    }


def _seen_before(run: Run, source: Any) -> list[Finding]:
    """A warning when the rows to score are those that the run was given: most were trained on."""
    begun = next((event for event in run.events if isinstance(event, RunStarted)), None)
    if begun is None or not isinstance(source, str | Path) or Path(source).resolve() != Path(begun.source).resolve():
        return []
    return [
        Finding(
            code="SHL191",
            level="warning",
            sentence=f"{source} is what the run was trained on, so this score flatters it: the run's own test score "
            "comes from rows that no network had seen.",
        )
    ]
