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
from shoal.store.model_folder import load_model
from shoal.store.run_folder import RunFolder

if TYPE_CHECKING:
    from shoal.nn.own_network import MakeNet, Named


@dataclass(frozen=True)
class Run:
    """A run's folder, opened: the model, the events and the report."""

    folder: RunFolder
    make_net: Named | None = None
    store: str | None = None  # the database of its events, where they are not in its folder

    @cached_property
    def model(self) -> Model:
        """The finished model.

        Raises:
            InputError: the run ended before there was one, the files were changed, or its network is the user's own and
                was not given.
        """
        return Model.of(*load_model(self.folder.model), self.make_net)

    @cached_property
    def events(self) -> list[Event]:
        """Everything that happened, in order."""
        return self.folder.read_events(self.store)

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
        settings: any option of `FitSettings`: target, time, group, drop, kind, augment, budget, seed, out, ranges,
            epochs, ...

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
    end = _end(stream(resolved, None if named else data, make_net))
    folder = RunFolder.open(Path(str(end.summary["report"])).parent)
    return Run(folder, make_net or (resolved.model if ":" in resolved.model else None), resolved.store)


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
    _end(go_on(run, data, model, store=store))
    return Run(RunFolder.open(run), model, store)


def _end(events: Iterator[Event]) -> RunFinished:
    """The last of a run's events."""
    last: Event | None = None
    for event in events:
        last = event
    if not isinstance(last, RunFinished):
        raise RunError("The run ended without a result; its folder keeps what was done.")
    return last


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
    return Run(RunFolder.open(path), model, store)


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
    opened = load(run, model)
    trained = opened.model
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
                *_seen_before(opened, source),
                *data_room.said_once(rows.warnings, warnings),
                *scoring.findings(scores, rows.truth),
            )
        ],
    }


def _seen_before(run: Run, source: Any) -> list[Finding]:
    """A warning when the rows to score are those that the run was given: most were trained on."""
    if not isinstance(source, str | Path) or not run.folder.was_given(source):
        return []
    return [
        Finding(
            code="SHL191",
            level="warning",
            sentence=f"{source} is what the run was trained on, so this score flatters it: the run's own test score "
            "comes from rows that no network had seen.",
        )
    ]
