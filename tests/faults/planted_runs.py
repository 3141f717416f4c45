"""Short runs on three groups of points, within one process: finished, or stopped by the user."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from shoal import api
from shoal.core.events import EpochFinished, Event, RunFinished, RunInterrupted
from shoal.core.settings import FitSettings
from shoal.store import checkpoint
from tests.recipe import planted

BLOBS = planted.blobs(90)


def settings(out: Path, budget: str = "trials=6") -> FitSettings:
    return FitSettings(data="blobs", budget=budget, epochs=3, out=str(out))


def keep_everything(patch: pytest.MonkeyPatch) -> None:
    """Each piece of work and each epoch is written to the checkpoint."""
    for name in ("EVERY_S", "LEAST_S", "SHARE"):
        patch.setattr(checkpoint, name, 0.0)


def finished(out: Path, budget: str = "trials=6") -> Path:
    *_, last = api.stream(settings(out, budget), BLOBS)
    assert isinstance(last, RunFinished)
    return out


def stopped_after(out: Path, epochs: int) -> list[Event]:
    """A run that the user stops."""
    stop, seen = threading.Event(), []
    for event in api.stream(settings(out), BLOBS, stop=stop):
        seen.append(event)
        if sum(isinstance(each, EpochFinished) for each in seen) == epochs:
            stop.set()
    assert isinstance(seen[-1], RunInterrupted)
    return seen
