"""Where a run is kept while it is carried out, and read from afterwards: in a folder, or in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import JsonValue
from torch import Tensor

from shoal.core.atomic import write_atomically
from shoal.core.errors import InputError
from shoal.core.events import Event
from shoal.core.json_text import json_text
from shoal.core.settings import FitSettings
from shoal.store.checkpoint import Checkpoint, NoCheckpoint
from shoal.store.events_store import Ended, EventStore
from shoal.store.model_folder import load_model, save_model
from shoal.store.plans import Document, RecordedPlans
from shoal.store.run_folder import RunFolder, new_key

Summary = Mapping[str, JsonValue]


class RunStorage(Protocol):
    """What a run writes, in the order in which it does, and what is read of it."""

    @property
    def name(self) -> str:
        """The run's name."""

    @property
    def places(self) -> dict[str, JsonValue]:
        """Where the `model` and the `report` lie; None where they are no files."""

    def alone(self) -> AbstractContextManager[None]:
        """Work on the run as the only process."""

    def write_settings(self, settings: FitSettings, record: Mapping[str, Any]) -> str:
        """Keep what is to be done and what identifies the run; the key of its events."""

    def open_store(self, settings: FitSettings) -> AbstractContextManager[EventStore]:
        """The store of its events."""

    def checkpoint(self, plans: Document) -> Checkpoint | NoCheckpoint:
        """What long work returned, and how populations are computed; `plans` are another run's."""

    def write_model(self, tensors: Mapping[str, Tensor], document: Summary) -> None:
        """Keep the model."""

    def write_summary(self, summary: Summary) -> None:
        """Keep the summary."""

    def write_report(self, draw: Callable[[], str]) -> None:
        """Keep the report, where there is a place for it."""

    def write_end(self, ended: Ended) -> None:
        """Keep with which events the run finished."""

    def release(self) -> None:
        """Forget a run that has not begun."""

    def read_model(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What `write_model` was given.

        Raises:
            InputError: there is none, or it is damaged.
        """

    def read_events(self, named_store: str | None = None) -> list[Event]:
        """The run's events; `named_store` is the database, where they are in one.

        Raises:
            InputError: there are none, or they cannot be read.
        """


@dataclass(frozen=True)
class FolderStorage:
    """A run in its folder: what was written survives the process."""

    folder: RunFolder

    @property
    def name(self) -> str:
        """That of the folder."""
        return self.folder.name

    @property
    def places(self) -> dict[str, JsonValue]:
        """The folder of the model and the file of the report."""
        return {"model": str(self.folder.model), "report": str(self.folder.report_html)}

    def alone(self) -> AbstractContextManager[None]:
        """See `RunFolder.alone`."""
        return self.folder.alone()

    def write_settings(self, settings: FitSettings, record: Mapping[str, Any]) -> str:
        """Into `run.toml`."""
        return self.folder.write_settings(settings, record)

    def open_store(self, settings: FitSettings) -> EventStore:
        """`store.db`, or the database that the settings name."""
        return self.folder.open_store(settings)

    def checkpoint(self, plans: Document) -> Checkpoint:
        """Files, until the run is finished."""
        return Checkpoint(self.folder.checkpoint, RecordedPlans(plans, self.folder.write_plans))

    def write_model(self, tensors: Mapping[str, Tensor], document: Summary) -> None:
        """Into the folder `model`."""
        save_model(self.folder.model, tensors, document)

    def write_summary(self, summary: Summary) -> None:
        """Into `summary.json`."""
        write_atomically(self.folder.summary_json, json_text(summary))

    def write_report(self, draw: Callable[[], str]) -> None:
        """Into `report.html`."""
        write_atomically(self.folder.report_html, draw())

    def write_end(self, ended: Ended) -> None:
        """Into `run.toml`."""
        self.folder.write_end(ended)

    def release(self) -> None:
        """See `RunFolder.release`."""
        self.folder.release()

    def read_model(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """From the folder `model`."""
        return load_model(self.folder.model)

    def read_events(self, named_store: str | None = None) -> list[Event]:
        """From `store.db`, or the database."""
        return self.folder.read_events(named_store)


class MemoryStorage:
    """A run in memory: nothing of it is on a disk, and it ends with the process.

    Only its events may be elsewhere, in the database that its settings name.

    Args:
        name: of the run.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.places: dict[str, JsonValue] = {"model": None, "report": None}
        self._events = EventStore("sqlite://")
        self._settings: FitSettings | None = None
        self._record: dict[str, Any] = {}
        self._key = name
        self._plans: Document = {}
        self._model: tuple[dict[str, Tensor], dict[str, Any]] | None = None
        self._summary: Summary = {}
        self._ended: Ended | None = None

    def __repr__(self) -> str:
        """Its name."""
        return f"MemoryStorage({self.name!r})"

    def alone(self) -> AbstractContextManager[None]:
        """Nobody else knows of it."""
        return nullcontext()

    def write_settings(self, settings: FitSettings, record: Mapping[str, Any]) -> str:
        """Keep them for `save`."""
        self._settings, self._record = settings, dict(record)
        self._key = new_key(self.name, settings)
        return self._key

    def open_store(self, settings: FitSettings) -> AbstractContextManager[EventStore]:
        """Of this run alone, or the database that the settings name."""
        return nullcontext(self._events) if settings.store is None else EventStore(settings.store)

    def checkpoint(self, plans: Document) -> NoCheckpoint:
        """There is none: a process that ends takes the run with it."""
        return NoCheckpoint(RecordedPlans(plans, self._write_plans))

    def _write_plans(self, plans: Document) -> None:
        self._plans = plans

    def write_model(self, tensors: Mapping[str, Tensor], document: Summary) -> None:
        """Keep copies."""
        copies = {name: each.detach().cpu().clone() for name, each in tensors.items()}
        self._model = copies, json.loads(json.dumps(document))

    def write_summary(self, summary: Summary) -> None:
        """Keep it for `save`."""
        self._summary = summary

    def write_report(self, draw: Callable[[], str]) -> None:
        """It is drawn when somebody asks for it."""

    def write_end(self, ended: Ended) -> None:
        """Keep it."""
        self._ended = ended

    def release(self) -> None:
        """There is nothing to give back."""

    def read_model(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What was kept."""
        if self._model is None:
            raise InputError(f"the run {self.name} ended before there was a model")
        return self._model

    def read_events(self, named_store: str | None = None) -> list[Event]:
        """From memory, or the database."""
        if named_store is None:
            return self._events.read(self._key, self._ended)
        with EventStore(named_store, read_only=True) as store:
            return store.read(self._key, self._ended)

    def save(self, out: str | Path, report: str) -> RunFolder:
        """Write a finished run as the folder that it would have been given.

        Args:
            out: the folder; it must hold no run.
            report: its page.

        Raises:
            InputError: the folder holds a run, or may not be written to; or the run has not finished.
            RunError: the disk refuses; nothing of the run stays.
        """
        if self._settings is None or self._ended is None:
            raise InputError(f"the run {self.name} did not finish: there is nothing to save")
        folder = RunFolder.create(out, self.name)
        try:
            with folder.alone():
                folder.write_settings(self._settings, self._record, self._key)
                folder.write_plans(self._plans)
                save_model(folder.model, *self.read_model())
                if self._settings.store is None:
                    with folder.open_store(self._settings) as store:
                        self._events.copy(self._key, store)
                storage = FolderStorage(folder)
                storage.write_summary(self._summary)
                storage.write_report(lambda: report)
                folder.write_end(self._ended)
        except BaseException:
            if folder.made:
                shutil.rmtree(folder.path, ignore_errors=True)
            else:
                folder.forget()
            raise
        return folder
