"""Carry out a run once more from where it was stopped or killed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from shoal.api.running import carried_out, versions
from shoal.api.work import Work, prepared, read
from shoal.core.atomic import write_atomically
from shoal.core.errors import InputError
from shoal.core.events import (
    Event,
    Notice,
    RunFinished,
    RunResumed,
)
from shoal.core.json_text import json_text
from shoal.core.machine import machine
from shoal.core.settings import FitSettings
from shoal.nn.own_network import own_network
from shoal.report import render
from shoal.store.replay import Replay
from shoal.store.run_folder import RunFolder, RunRecord
from shoal.store.storage import FolderStorage
from shoal.store.telling import Telling

if TYPE_CHECKING:
    from shoal.nn.own_network import MakeNet, Named


def go_on(
    run: str | Path,
    data: Any = None,
    make_net: Named | None = None,
    stop: threading.Event | None = None,
    store: str | None = None,
) -> Iterator[Event]:
    """Go on with a run that was killed or stopped, as if nothing had happened.

    What it had told is told again, from its store; then follows what is new. A run that had finished is told whole.

    Args:
        run: its folder.
        data: the rows, where `stream` was given them.
        make_net: the user's network, where the run has one: the function or, as the run was given it, its name.
        stop: set it to end the run after the current epoch.
        store: the database of the run's events, where the run was given one.

    Yields:
        All events of the run.

    Raises:
        InputError: there is no such run, another process is at work on it, its files are damaged, its data have
            changed, or its network is the user's own and not given.
        RunError: as `stream`; or the numbers for which the test rows were read are others now.
    """
    started_s = time.monotonic()
    folder = RunFolder.open(run)
    storage = FolderStorage(folder)
    with ExitStack() as held:
        held.enter_context(folder.alone())
        settings, record = folder.read_settings(), folder.read_record()
        settings = settings.model_copy(update={"store": folder.store_of(store)})
        events = held.enter_context(folder.open_store(settings))
        key = record.key or folder.name
        told, checkpoint = events.read(key, record.ended), storage.checkpoint(record.plans)
        if told and isinstance(told[-1], RunFinished):
            _complete(folder, told, told[-1])
            if record.ended is None:
                folder.write_end(events.end(key))
            checkpoint.remove()
            yield told[0]
            yield Notice(sentence=f"The run {folder.path} is finished: there is nothing to go on with.")
            yield from told[1:]
            return
        settings = settings.model_copy(update={"device": _device_again(record)})
        work = _same_work(settings, folder, record, data, make_net)
        replay = Replay(told)
        events.cut(key, replay.known)
        resumed = RunResumed(
            elapsed_s=events.elapsed_s(key), versions=versions(), machine=machine(), notes=_not_as_it_was(record)
        )
        telling = Telling(events, key, replay, checkpoint, started_s, resumed if told else None)
        yield from carried_out(settings, storage, work, telling, stop)


def _complete(folder: RunFolder, told: list[Event], end: RunFinished) -> None:
    """Do what a kill right after the end of a run left undone."""
    text = json_text(end.summary)
    if not folder.summary_json.exists() or folder.summary_json.read_bytes() != text.encode():
        write_atomically(folder.summary_json, text)
    if not folder.report_html.exists():
        write_atomically(folder.report_html, render(told))


def _same_work(settings: FitSettings, folder: RunFolder, record: RunRecord, data: Any, named: Named | None) -> Work:
    """The data and the network that the run began with.

    Raises:
        InputError: they are not at hand, or the rows are others.
    """
    given = record.given
    if "data" in given and data is None:
        raise InputError(
            f"{folder.path} was begun from Python with rows in memory: give the same again, as in "
            f"shoal.resume({str(folder.path)!r}, data=...)"
        )
    make_net = _same_network(settings, "model" in given, named)  # here, and not in a folder that the record names
    began_in = Path(record.began_in)
    elsewhere = data is None and not Path(settings.data).exists() and began_in.is_dir()
    there = began_in if elsewhere else None  # the process stays where it is: other threads look there too
    dataset = read(settings, data, there)
    if record.data_hash not in (None, dataset.content_hash):
        raise InputError(
            f"{dataset.source} has changed since {folder.path} began, and a run cannot go on with other rows: put "
            "the former ones back, or fit again"
        )
    return prepared(settings, dataset, make_net, there)


def _same_network(settings: FitSettings, in_memory: bool, named: Named | None) -> MakeNet | None:
    """The user's own network, where the run has one: what its folder says is not carried out.

    Raises:
        InputError: it is not given, or another one; or the run's network is Shoal's own, and one is given.
    """
    if in_memory or ":" in settings.model:
        return own_network(settings.model if ":" in settings.model else "", named)
    if named is not None:
        raise InputError(f"The run's network is Shoal's own ({settings.model}): leave your function out.")
    return None


def _device_again(record: RunRecord) -> str:
    """Where the run was begun, or the CPU where there is no such device here."""
    return "cuda" if record.device == "cuda" and torch.cuda.is_available() else "cpu"


def _not_as_it_was(record: RunRecord) -> list[str]:
    """What may change the last bits of numbers, in words."""
    now = {**versions(), **machine(), "device": _device_again(record)}
    then = {**record.versions, **record.machine, "device": record.device or now["device"]}
    return [f"{name} {before} then, {now.get(name)} now" for name, before in then.items() if now.get(name) != before]
