"""Carry out a run: events, each stored before it is handed on; a complete record at the end."""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import JsonValue

import shoal
from shoal.api.work import Work, findings, prepared, read, search_options
from shoal.core.budget import parse_budget
from shoal.core.command import command as command_line
from shoal.core.command import said
from shoal.core.events import (
    Event,
    FindingRaised,
    RunFinished,
    RunInterrupted,
    RunStarted,
    TestRead,
)
from shoal.core.machine import machine
from shoal.core.paths import shown
from shoal.core.returning import Returning
from shoal.core.settings import FitSettings
from shoal.ensemble import model as models
from shoal.ensemble.model import Model
from shoal.recipe import recipe
from shoal.recipe.finish import Chosen
from shoal.recipe.recipe import Outcome
from shoal.report import render
from shoal.store.database import without_password
from shoal.store.replay import Replay
from shoal.store.run_folder import RunFolder, name_of
from shoal.store.storage import FolderStorage, RunStorage
from shoal.store.telling import Telling

if TYPE_CHECKING:
    from shoal.nn.own_network import MakeNet


def stream(
    settings: FitSettings,
    data: Any = None,
    make_net: MakeNet | None = None,
    stop: threading.Event | None = None,
    plans: Mapping[str, Any] | None = None,
    storage: RunStorage | None = None,
) -> Iterator[Event]:
    """Carry out a run, one event after another, and keep it.

    Args:
        settings: what to do.
        data: the rows themselves, where they are no path; `settings.data` then only names them.
        make_net: the user's network, where `settings.model` does not name it.
        stop: set it to end the run after the current epoch.
        plans: how another run's populations were computed, as its `run.toml` says: this one computes its own so too.
        storage: where the run is kept; by default in the folder `settings.out`, or in a new one of `runs/`.

    Yields:
        Events as they happen; the last one is `RunFinished` or `RunInterrupted`.

    Raises:
        InputError: the data or the settings cannot be used.
        RunError: every training diverged, or the disk refused.
    """
    started_s = time.monotonic()
    search_options(settings)  # refuses what cannot be read before anything is
    work = prepared(settings, read(settings, data), make_net)
    if storage is None:
        storage = FolderStorage(RunFolder.create(settings.out, name_of(settings.data)))
    with ExitStack() as held:
        try:
            held.enter_context(storage.alone())
            record = {
                "data_hash": work.task.dataset.content_hash,
                "began_in": shown(str(Path.cwd())),
                "given": [name for name, value in (("data", data), ("model", make_net)) if value is not None],
                "device": work.problem.device,
                "versions": versions(),
                "machine": machine(),
            }
            key = storage.write_settings(settings, record)
            store = held.enter_context(storage.open_store(settings))
            telling = Telling(store, key, Replay(), storage.checkpoint(plans or {}), started_s)
            events = held.enter_context(closing(carried_out(settings, storage, work, telling, stop)))
            first = next(events)  # is kept by now: the run has begun
        except BaseException:
            held.close()
            storage.release()
            raise
        yield first
        yield from events


def carried_out(
    settings: FitSettings, storage: RunStorage, work: Work, telling: Telling, stop: threading.Event | None
) -> Generator[Event, None, None]:
    """The run's events, each stored; at the last one all that is kept of the run is complete."""

    def stopped() -> bool:
        return stop is not None and stop.is_set() and telling.replay.over

    events = _run(settings, storage, work, telling, stopped)
    raised = (e for e in events if not isinstance(e, FindingRaised) or e.finding.code not in settings.ignore)
    for event in telling.told(raised):
        if isinstance(event, RunFinished | RunInterrupted):
            storage.write_report(lambda: render(telling.store.read(telling.key)))
        if isinstance(event, RunFinished):
            storage.write_end(telling.store.end(telling.key))
            telling.checkpoint.remove()
        yield event


def _run(
    settings: FitSettings, storage: RunStorage, work: Work, telling: Telling, stopped: Callable[[], bool]
) -> Iterator[Event]:
    """The events of a run, from the first to the last."""
    begun = _begun(settings, storage.name, work)
    yield begun
    for finding in findings(work):
        yield FindingRaised(finding=finding)
    step = 0
    steps = Returning(
        recipe.run(
            work.problem,
            parse_budget(settings.budget),
            search_options(settings),
            stopped=stopped,
            now=telling.replay.now,
            cache=telling.checkpoint,
        )
    )
    for event in steps:
        step = getattr(event, "step", step)
        yield event
    outcome = steps.result
    if outcome.chosen is not None:
        model = _model(work, outcome.chosen)
        storage.write_model(model.tensors(), model.document())
    if outcome.chosen is None or outcome.test is None:
        kept = (
            "its record is kept, and no network yet" if outcome.chosen is None else "the best networks so far are kept"
        )
        yield RunInterrupted(step=step, sentence=f"{outcome.stopped[:-1]}: {kept}.")
        return
    summary = _summary(begun, outcome, outcome.chosen, outcome.test, telling.elapsed_s()) | storage.places
    storage.write_summary(summary)
    yield RunFinished(summary=summary)


def _model(work: Work, chosen: Chosen) -> Model:
    """The ensemble as a model that predicts from raw rows."""
    fold, of = work.task.fold(), chosen.combination
    return Model(
        tuple(
            models.EnsembleMember(member.network, member.architecture.document(), count, member.id, temperature)
            for member, count, temperature in zip(chosen.members, of.counts, of.temperatures, strict=True)
        ),
        fold.preparation,
        fold.target,
        work.task.dataset.schema,
    )


def _begun(settings: FitSettings, name: str, work: Work) -> RunStarted:
    dataset, fold, problem = work.task.dataset, work.task.fold(), work.problem
    if dataset.classes is not None:
        usual = dataset.classes[int(problem.train.y.bincount().argmax())]
    else:
        usual = f"{fold.target.mean:.6g}"
    return RunStarted(
        run=name,
        source=dataset.source,
        data_kind=dataset.kind,
        task=dataset.task,
        metric=problem.metric,
        target=dataset.target_name,
        classes=None if dataset.classes is None else list(dataset.classes),
        rows=dataset.rows,
        columns=dataset.columns,
        shape=list(fold.preparation.shape),
        split=fold.plan.sizes(),
        baseline=problem.loss.baseline(problem.train.y, problem.validation.y),
        baseline_answer=usual,
        budget=settings.budget,
        seed=settings.seed,
        device=problem.device,
        data_hash=dataset.content_hash,
        versions=versions(),
        command=command(settings),
        column_notes=dataset.schema.column_notes(),
    )


def command(settings: FitSettings) -> str:
    """The command line that repeats a run; without its folder, which is taken, and without a password."""
    options = said(settings, always=("budget", "seed"), never=("data", "out"))
    if settings.store is not None:
        options["store"] = without_password(settings.store)
    return command_line("fit", settings.data, options)


def _summary(
    begun: RunStarted, outcome: Outcome, chosen: Chosen, test: TestRead, seconds: float
) -> dict[str, JsonValue]:
    """What `--json` prints, but for where things lie."""
    return {
        "run": begun.run,
        "task": begun.task,
        "metric": begun.metric,
        "data": {"rows": begun.rows, "columns": begun.columns, "classes": list(begun.classes or []) or None},
        "baseline": test.baseline,
        "validation": chosen.validation,
        "test": test.score,
        "test_interval": None if test.interval is None else list(test.interval),
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
        "augment": {"strengths": outcome.augment, "shares": [each.values["augment"] for each in chosen.members]}
        if outcome.augment
        else None,
    }


def versions() -> dict[str, str]:
    """The programs that a run's last bits may depend on."""
    return {
        "shoal": shoal.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
