"""`fit`, `resume`, `load`, `predict`, `evaluate`: wires the rooms together and decides nothing."""

from __future__ import annotations

import json
import platform
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, chdir, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
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
    Notice,
    RunFinished,
    RunInterrupted,
    RunResumed,
    RunStarted,
    TestRead,
)
from shoal.core.machine import machine
from shoal.core.settings import FitSettings
from shoal.data import Dataset
from shoal.data.samples import describe
from shoal.diagnose import split_checks
from shoal.ensemble import model as models
from shoal.ensemble import scoring
from shoal.ensemble.model import Model
from shoal.recipe import checkup, networks, recipe
from shoal.recipe.finish import Chosen
from shoal.recipe.problem import Options, Part, Problem, Sealed
from shoal.recipe.recipe import Outcome
from shoal.report import render
from shoal.resample import Plan, hold_out
from shoal.store.checkpoint import Checkpoint
from shoal.store.model_folder import load_model, save_model
from shoal.store.plans import RecordedPlans
from shoal.store.replay import Replay
from shoal.store.run_folder import RunFolder, name_of
from shoal.store.telling import Telling

if TYPE_CHECKING:
    from torch import nn

    MakeNet = Callable[[], nn.Module]


def stream(
    settings: FitSettings,
    data: Any = None,
    make_net: MakeNet | None = None,
    stop: threading.Event | None = None,
    plans: Mapping[str, Any] | None = None,
) -> Iterator[Event]:
    """Carry out a run, one event after another, and keep it in its folder.

    Args:
        settings: what to do.
        data: the rows themselves, where they are no path; `settings.data` then only names them.
        make_net: the user's network, where `settings.model` does not name it.
        stop: set it to end the run after the current epoch.
        plans: how another run's populations were computed, as its `run.toml` says: this one computes its own so too.

    Yields:
        Events as they happen; the last one is `RunFinished` or `RunInterrupted`.

    Raises:
        InputError: the data or the settings cannot be used.
        RunError: every training diverged, or the disk refused.
    """
    started_s = time.monotonic()
    work = _prepare(settings, _read(settings, data), make_net)
    folder = RunFolder.create(settings.out, name_of(settings.data))
    with ExitStack() as held:
        try:
            held.enter_context(folder.alone())
            record = {
                "data_hash": work.dataset.content_hash,
                "began_in": str(Path.cwd()),
                "given": [name for name, value in (("data", data), ("model", make_net)) if value is not None],
                "device": work.problem.device,
                "versions": _versions(),
                "machine": machine(),
            }
            key = folder.write_settings(settings, record)
            store = held.enter_context(folder.open_store(settings))
        except BaseException:
            held.close()
            folder.release()
            raise
        telling = Telling(store, key, Replay(), _checkpoint(folder, plans or {}), started_s)
        yield from _carried_out(settings, folder, work, telling, stop)


def go_on(
    run: str | Path,
    data: Any = None,
    make_net: MakeNet | None = None,
    stop: threading.Event | None = None,
) -> Iterator[Event]:
    """Go on with a run that was killed or stopped, as if nothing had happened.

    What it had told is told again, from its store; then follows what is new. A run that had finished is told whole.

    Args:
        run: its folder.
        data: the rows, where `stream` was given them.
        make_net: the user's network, where `stream` was given it.
        stop: set it to end the run after the current epoch.

    Yields:
        All events of the run.

    Raises:
        InputError: there is no such run, another process is at work on it, its files are damaged, or its data have
            changed.
        RunError: as `stream`; or the numbers for which the test rows were read are others now.
    """
    started_s = time.monotonic()
    folder = RunFolder.open(run)
    with ExitStack() as held:
        held.enter_context(folder.alone())
        settings, record = folder.read_settings(), folder.read_record()
        store = held.enter_context(folder.open_store(settings))
        key = str(record.get("key", folder.name))
        told, checkpoint = store.read(key), _checkpoint(folder, record.get("plans", {}))
        if told and isinstance(told[-1], RunFinished):
            _complete(folder, told, told[-1])
            checkpoint.remove()
            yield told[0]
            yield Notice(sentence=f"The run {folder.path} is finished: there is nothing to go on with.")
            yield from told[1:]
            return
        settings = settings.model_copy(update={"device": _device_again(record)})
        work = _same_work(settings, folder, record, data, make_net)
        replay = Replay(told)
        store.cut(key, replay.known)
        resumed = RunResumed(
            elapsed_s=store.elapsed_s(key), versions=_versions(), machine=machine(), notes=_not_as_it_was(record)
        )
        telling = Telling(store, key, replay, checkpoint, started_s, resumed if told else None)
        yield from _carried_out(settings, folder, work, telling, stop)


def _carried_out(
    settings: FitSettings, folder: RunFolder, work: _Work, telling: Telling, stop: threading.Event | None
) -> Iterator[Event]:
    """The run's events, each stored; at the last one the folder is complete."""

    def stopped() -> bool:
        return stop is not None and stop.is_set() and telling.replay.over

    events = _run(settings, folder, work, telling, stopped)
    raised = (e for e in events if not isinstance(e, FindingRaised) or e.finding.code not in settings.ignore)
    for event in telling.told(raised):
        if isinstance(event, RunFinished | RunInterrupted):
            write_atomically(folder.report_html, render(telling.store.read(telling.key)))
        if isinstance(event, RunFinished):
            telling.checkpoint.remove()
        yield event


@dataclass(frozen=True)
class _Work:
    """The data, split and prepared."""

    dataset: Dataset
    plan: Plan
    preparation: prepare.Preparation
    target: prepare.TargetScaling
    problem: Problem


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
    dataset = _read(settings, data)
    work = _prepare(settings, dataset, make_net)
    options = _options(settings)
    told = (FindingRaised(finding=finding) for finding in _findings(work))
    for event in chain(told, checkup.run(work.problem, options)):
        if not (isinstance(event, FindingRaised) and event.finding.code in settings.ignore):
            yield event


def _options(settings: FitSettings) -> Options:
    """What the user fixed of the search."""
    return Options(settings.seed, settings.ranges, settings.epochs, settings.batch_size, settings.precision)


def _read(settings: FitSettings, data: Any) -> Dataset:
    """The rows that the settings name, or those given."""
    return data_room.read(
        settings.data if data is None else data,
        target=settings.target,
        time=settings.time,
        group=settings.group,
        drop=settings.drop,
        roles=settings.roles,
        kind=settings.kind,
    )


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


def _findings(work: _Work) -> Iterator[Finding]:
    """What is to be said of the data, their split, their preparation and the network before anything is trained."""
    yield from work.dataset.findings
    yield from split_checks.of_split(work.dataset, work.plan, thorough=False)
    yield from prepare.advise(work.dataset, work.plan.train, work.preparation)
    yield from networks.adopted(work.problem.network)


def _run(
    settings: FitSettings, folder: RunFolder, work: _Work, telling: Telling, stopped: Callable[[], bool]
) -> Iterator[Event]:
    """The events of a run, from the first to the last."""
    begun = _begun(settings, folder, work)
    yield begun
    for finding in _findings(work):
        yield FindingRaised(finding=finding)
    step = 0
    steps = recipe.run(
        work.problem,
        parse_budget(settings.budget),
        _options(settings),
        stopped=stopped,
        now=telling.replay.now,
        journal=telling.checkpoint,
    )
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
    summary = _summary(folder, begun, outcome, outcome.chosen, outcome.test, telling.elapsed_s())
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
        versions=_versions(),
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


# --- going on ---------------------------------------------------------------------------------------------------------


def _complete(folder: RunFolder, told: list[Event], end: RunFinished) -> None:
    """Do what a kill right after the end of a run left undone."""
    if not folder.summary_json.exists():
        write_atomically(folder.summary_json, json.dumps(end.summary, indent=1) + "\n")
    if not folder.report_html.exists():
        write_atomically(folder.report_html, render(told))


def _checkpoint(folder: RunFolder, plans: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(folder.checkpoint, RecordedPlans(plans, folder.write_plans))


def _same_work(
    settings: FitSettings, folder: RunFolder, record: Mapping[str, Any], data: Any, make_net: MakeNet | None
) -> _Work:
    """The data and the network that the run began with.

    Raises:
        InputError: they are not at hand, or the rows are others.
    """
    for name, value in (("data", data), ("model", make_net)):
        if name in record.get("given", []) and value is None:
            what = "rows" if name == "data" else "a network"
            raise InputError(
                f"{folder.path} was begun from Python with {what} in memory: give the same again, as in "
                f"shoal.resume({str(folder.path)!r}, {name}=...)"
            )
    began_in = Path(str(record.get("began_in", ".")))
    elsewhere = data is None and not Path(settings.data).exists() and began_in.is_dir()
    with chdir(began_in) if elsewhere else nullcontext():
        dataset = _read(settings, data)
        if record.get("data_hash", dataset.content_hash) != dataset.content_hash:
            raise InputError(
                f"{dataset.source} has changed since {folder.path} began, and a run cannot go on with other rows: put "
                "the former ones back, or fit again"
            )
        return _prepare(settings, dataset, make_net)


def _versions() -> dict[str, str]:
    """The programs that a run's last bits may depend on."""
    return {
        "shoal": shoal.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _device_again(record: Mapping[str, Any]) -> str:
    """Where the run was begun, or the CPU where there is no such device here."""
    return "cuda" if record.get("device") == "cuda" and torch.cuda.is_available() else "cpu"


def _not_as_it_was(record: Mapping[str, Any]) -> list[str]:
    """What may change the last bits of numbers, in words."""
    now = {**_versions(), **machine(), "device": _device_again(record)}
    then = {**record.get("versions", {}), **record.get("machine", {}), "device": record.get("device", now["device"])}
    return [f"{name} {before} then, {now.get(name)} now" for name, before in then.items() if now.get(name) != before]


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
    end = _end(stream(resolved, None if named else data, make_net))
    return Run(RunFolder.open(Path(str(end.summary["report"])).parent), make_net)


def resume(run: str | Path, *, data: Any = None, model: MakeNet | None = None) -> Run:
    """Go on with a run that was killed or stopped; with a budget in trials it ends as if it never had been.

    Args:
        run: its folder, such as `runs/digits`.
        data: the rows, where the run was given a frame or arrays instead of a path.
        model: the function that builds the network, where the run was given one.

    Returns:
        The finished run. One that had finished before is returned as it is.

    Raises:
        InputError: there is no such run, another process is at work on it, or its data have changed.
        RunError: every training diverged, or the disk refused.
    """
    _end(go_on(run, data, model))
    return Run(RunFolder.open(run), model)


def _end(events: Iterator[Event]) -> RunFinished:
    """The last of a run's events."""
    last: Event | None = None
    for event in events:
        last = event
    if not isinstance(last, RunFinished):
        raise RunError("The run ended without a result; its folder keeps what was done.")
    return last


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
