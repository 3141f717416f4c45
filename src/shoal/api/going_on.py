"""Carry out a run once more from where it was stopped or killed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from shoal.api.running import carried_out, checkpoint_of, versions
from shoal.api.work import Work, prepared, read
from shoal.core.atomic import write_atomically
from shoal.core.errors import InputError
from shoal.core.events import (
    Event,
    Notice,
    RunFinished,
    RunResumed,
)
from shoal.core.machine import machine
from shoal.core.settings import FitSettings
from shoal.report import render
from shoal.store.replay import Replay
from shoal.store.run_folder import RunFolder
from shoal.store.telling import Telling

if TYPE_CHECKING:
    from torch import nn

    MakeNet = Callable[[], nn.Module]


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
        told, checkpoint = store.read(key), checkpoint_of(folder, record.get("plans", {}))
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
            elapsed_s=store.elapsed_s(key), versions=versions(), machine=machine(), notes=_not_as_it_was(record)
        )
        telling = Telling(store, key, replay, checkpoint, started_s, resumed if told else None)
        yield from carried_out(settings, folder, work, telling, stop)


def _complete(folder: RunFolder, told: list[Event], end: RunFinished) -> None:
    """Do what a kill right after the end of a run left undone."""
    if not folder.summary_json.exists():
        write_atomically(folder.summary_json, json.dumps(end.summary, indent=1) + "\n")
    if not folder.report_html.exists():
        write_atomically(folder.report_html, render(told))


def _same_work(
    settings: FitSettings, folder: RunFolder, record: Mapping[str, Any], data: Any, make_net: MakeNet | None
) -> Work:
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
    there = began_in if elsewhere else None  # the process stays where it is: other threads look there too
    dataset = read(settings, data, there)
    if record.get("data_hash", dataset.content_hash) != dataset.content_hash:
        raise InputError(
            f"{dataset.source} has changed since {folder.path} began, and a run cannot go on with other rows: put "
            "the former ones back, or fit again"
        )
    return prepared(settings, dataset, make_net, there)


def _device_again(record: Mapping[str, Any]) -> str:
    """Where the run was begun, or the CPU where there is no such device here."""
    return "cuda" if record.get("device") == "cuda" and torch.cuda.is_available() else "cpu"


def _not_as_it_was(record: Mapping[str, Any]) -> list[str]:
    """What may change the last bits of numbers, in words."""
    now = {**versions(), **machine(), "device": _device_again(record)}
    then = {**record.get("versions", {}), **record.get("machine", {}), "device": record.get("device", now["device"])}
    return [f"{name} {before} then, {now.get(name)} now" for name, before in then.items() if now.get(name) != before]
