"""What people call: a run from data, from its folder, and what its model says of new rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import JsonValue

from shoal import data as data_room
from shoal.api.going_on import go_on
from shoal.api.running import stream
from shoal.core import paths
from shoal.core.atomic import write_atomically
from shoal.core.errors import InputError, RunError
from shoal.core.events import (
    DecisionMade,
    Event,
    Finding,
    RunFinished,
)
from shoal.core.settings import FitSettings
from shoal.ensemble import scoring
from shoal.ensemble.model import Model
from shoal.report import render
from shoal.store.run_folder import RunFolder, name_of
from shoal.store.storage import FolderStorage, MemoryStorage

if TYPE_CHECKING:
    from shoal.nn.own_network import MakeNet, Named


@dataclass(frozen=True)
class Run:
    """A run, from its folder or in memory: the model, the events and the report."""

    storage: FolderStorage | MemoryStorage
    make_net: Named | None = None
    store: str | None = None  # the database of its events, where they are in one

    @property
    def folder(self) -> RunFolder | None:
        """Where the run lies; None where it is in memory."""
        return self.storage.folder if isinstance(self.storage, FolderStorage) else None

    @cached_property
    def model(self) -> Model:
        """The finished model.

        Raises:
            InputError: the run ended before there was one, the files were changed, or its network is the user's own and
                was not given.
        """
        return Model.of(*self.storage.read_model(), self.make_net)

    @cached_property
    def events(self) -> list[Event]:
        """Everything that happened, in order."""
        return self.storage.read_events(self.store)

    @property
    def decisions(self) -> list[Finding]:
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
        raise InputError(f"The run {self.storage.name} did not finish: it has no summary.")

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Draw the report from the stored events.

        Args:
            path: the file; by default `report.html` in the run's folder.

        Returns:
            Where it lies.

        Raises:
            InputError: it may not be written there, or the run is in memory and no path is given.
            RunError: the disk refuses.
        """
        if path is not None:
            file = paths.to_write(path, outside="" if self.folder is None else str(self.folder.path))
        elif self.folder is not None:
            file = self.folder.report_html
        else:
            raise InputError("The run is in memory: say where to write its report, as in run.report('report.html').")
        write_atomically(file, render(self.events))
        return file

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a run that is in memory as a folder, which `shoal.load` and every verb of the command line open.

        Its `summary` stays what it was: no model and no report lay anywhere when the run ended.

        Args:
            path: the folder; it must not hold a run yet.

        Returns:
            The folder.

        Raises:
            InputError: the run has a folder already, or this one holds a run or may not be written to.
            RunError: the disk refuses.
        """
        if isinstance(self.storage, FolderStorage):
            raise InputError(f"The run lies in {self.storage.folder.path} already: copy that folder.")
        return self.storage.save(paths.given(path), render(self.events)).path


def fit(data: Any, *, model: str | MakeNet = "auto", **settings: Any) -> Run:
    """From raw data to a tuned, explained model, in seven steps.

    Args:
        data: a path, a frame, a pair (X, y), or a name such as `digits`.
        model: `auto`, `mlp`, `cnn`, `resnet`, `package.module:make_net`, or a zero-argument function that returns a
            module.
        settings: any option of `FitSettings`: target, time, group, drop, kind, augment, budget, seed, ranges, epochs,
            ..., and `out`, the run's folder. Without it the run is in memory and nothing is written; what is killed
            then is lost, where a folder can be resumed.

    Returns:
        The finished run.

    Raises:
        InputError: the data or a setting cannot be used.
        RunError: every training diverged.
    """
    named = isinstance(data, str | os.PathLike)
    make_net = None if isinstance(model, str) else model
    if isinstance(settings.get("out"), os.PathLike):
        settings["out"] = os.fspath(settings["out"])
    resolved = FitSettings(
        data=os.fspath(data) if named else "data", model=model if isinstance(model, str) else "auto", **settings
    )
    memory = MemoryStorage(name_of(resolved.data)) if resolved.out is None else None
    _finish(stream(resolved, None if named else data, make_net, storage=memory), in_memory=memory is not None)
    storage = memory or FolderStorage(RunFolder.open(str(resolved.out)))
    return Run(storage, make_net or (resolved.model if ":" in resolved.model else None), resolved.store)


def resume(run: str | Path, *, data: Any = None, model: Named | None = None, store: str | None = None) -> Run:
    """Go on with a run that was killed or stopped; with a budget in trials it ends as if it never had been.

    Args:
        run: its folder, such as `runs/digits`.
        data: the rows, where the run was given a frame or arrays instead of a path.
        model: the user's own network, where the run has one: the function, or the name that the run was given.
        store: the database of the run's events, where the run was given one.

    Returns:
        The finished run. One that had finished before is returned as it is.

    Raises:
        InputError: there is no such run, another process is at work on it, or its data have changed.
        RunError: every training diverged, or the disk refused.
    """
    _finish(go_on(run, data, model, store=store), in_memory=False)
    return load(run, model, store)


def _finish(events: Iterator[Event], *, in_memory: bool) -> None:
    """Carry a run out to its end.

    Raises:
        RunError: it ends without a result.
    """
    last: Event | None = None
    for event in events:
        last = event
    if not isinstance(last, RunFinished):
        kept = "nothing of it is kept" if in_memory else "its folder keeps what was done"
        raise RunError(f"The run ended without a result; {kept}.")


def load(path: str | Path, model: Named | None = None, store: str | None = None) -> Run:
    """A run from its folder.

    Args:
        path: such as `runs/digits`.
        model: builds the network, where it is the user's own: the function, or `package.module:function` as the run
            was given it. What a folder names is never imported for its own sake: it may be somebody else's.
        store: the database of the run's events, where they are not in its folder; likewise.

    Raises:
        InputError: there is no run; the sentence names the closest ones.
    """
    return Run(FolderStorage(RunFolder.open(path)), model, store)


@dataclass(frozen=True)
class Prediction:
    """Answers for new rows, as a table, and what was noticed on the way.

    The columns: `row`, counted from 0 as frames count, or `file` of images; the identifiers that the data came with;
    `prediction`; of classes `probability_NAME`. A column of the data with one of these names has `data_` before it.
    """

    columns: list[str]
    rows: list[list[Any]]
    findings: tuple[Finding, ...]


def predict(run: str | Path, source: Any, model: Named | None = None) -> Prediction:
    """Answers for new rows: which row it is, the prediction and, for classes, each one's probability.

    Args:
        run: a run's folder.
        source: what `fit` reads, with or without the target.
        model: as `load`.

    Raises:
        InputError: no such run, or the rows do not fit its model.
    """
    trained = load(run, model).model
    rows = data_room.read_rows(source, trained.schema)
    answers, warnings = trained.answers(rows.features)
    predicted = trained.target.decode(answers).tolist()
    classes = trained.target.classes or ()
    number, names = ("row", range(len(rows))) if rows.files is None else ("file", rows.files)
    known = [] if rows.identifiers is None else [*rows.identifiers]
    ours = [number, "prediction", *(f"probability_{name}" for name in classes)]
    columns = [number, *_unlike([each.name for each in known], ours), *ours[1:]]
    found = zip(names, *known, predicted, *(answers.T.tolist() if classes else ()), strict=True)
    return Prediction(
        columns, [[_plain(each) for each in row] for row in found], data_room.said_once(rows.warnings, warnings)
    )


def _unlike(names: list[str], ours: list[str]) -> list[str]:
    """The data's names, changed where one is ours, so that no two columns have one name."""
    taken = {*names, *ours}
    found: list[str] = []
    for name in names:
        changed = name
        while changed in ours or (changed != name and changed in taken):
            changed = f"data_{changed}"
        taken.add(changed)
        found.append(changed)
    return found


def _plain(value: Any) -> Any:
    """A cell that JSON can hold: dates and the like as text."""
    return value if value is None or isinstance(value, str | int | float) else str(value)


def evaluate(run: str | Path, source: Any, model: Named | None = None) -> dict[str, Any]:
    """How good the model is on rows whose target is known.

    Args:
        run: a run's folder.
        source: rows with their target.
        model: as `load`.

    Returns:
        metric, score, interval (95 %, None where the rows allow none), rows, further scores, findings.

    Raises:
        InputError: no such run, or the target is missing.
    """
    trained = load(run, model).model
    rows = data_room.read_rows(source, trained.schema)
    if rows.truth is None:
        what = f"column `{trained.schema.target}`" if trained.schema.target else "true answers"
        named = source if isinstance(source, str | Path) else "what was given"
        raise InputError(f"{named} has no usable {what}: give rows whose answers are known.")
    answers, warnings = trained.answers(rows.scored())
    if trained.target.classes is not None:
        scores = scoring.of_classes(answers, rows.truth.astype(np.int64))
    else:
        scores = scoring.of_numbers(
            np.asarray(trained.target.decode(answers)), rows.truth.astype(float), trained.target.std
        )
    return {
        "metric": scores.metric,
        "score": scores.score,
        "interval": None if scores.interval is None else list(scores.interval),
        "rows": scores.rows,
        "scores": scores.further,
        "findings": [
            finding.model_dump(mode="json")
            for finding in (
                *_seen_before(RunFolder.open(run), source),
                *data_room.said_once(rows.warnings, warnings),
                *scoring.findings(scores, rows.truth),
            )
        ],
    }


def _seen_before(folder: RunFolder, source: Any) -> list[Finding]:
    """A warning when the rows to score are those that the run was given: most were trained on."""
    if not isinstance(source, str | Path) or not folder.was_given(source):
        return []
    return [
        Finding(
            code="SHL191",
            level="warning",
            sentence=f"{source} is what the run was trained on, so this score flatters it: the run's own test score "
            "comes from rows that no network had seen.",
        )
    ]
