"""Stopped, refused by the disk, out of time, or with other numbers: how a run goes on, within one process."""

from __future__ import annotations

import errno
import json
import re
import shutil
import sqlite3
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import shoal
from shoal import api
from shoal.core.budget import Budget
from shoal.core.digest import digest_of
from shoal.core.errors import InputError, RunError
from shoal.core.events import (
    ClockRead,
    EpochFinished,
    Event,
    Notice,
    RunFinished,
    RunInterrupted,
    StopNoticed,
    TestRead,
)
from shoal.experiment import BuiltIn
from shoal.nn import Mlp
from shoal.recipe import recipe
from shoal.recipe.problem import Options, Problem
from shoal.store import checkpoint
from shoal.store.checkpoint import Checkpoint
from shoal.store.events_store import EventStore
from shoal.store.plans import RecordedPlans
from shoal.store.replay import Replay
from shoal.task import Part, Sealed
from tests.faults.killing import told
from tests.faults.planted_runs import BLOBS, settings, stopped_after
from tests.recipe import planted

pytestmark = pytest.mark.usefixtures("everything_is_kept_at_once")


def same(out: Path, whole: Path) -> bool:
    assert told(out) == [line.replace(str(whole), str(out)) for line in told(whole)]
    one, other = (path / "model/model.safetensors" for path in (out, whole))
    return one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("epochs", [1, 3, 5])  # in the coarse search, at its end, in a refined round
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path, whole: Path, epochs: int) -> None:
    out = tmp_path / "run"
    seen = stopped_after(out, epochs)
    closed = [place for place, event in enumerate(seen) if isinstance(event, StopNoticed)]
    assert len(closed) == 1 and any(event.kind == "ensemble_chosen" for event in seen[closed[0] :])
    run = shoal.resume(out, data=BLOBS)
    assert same(out, whole)
    assert run.summary["test"] == shoal.load(whole).summary["test"]
    assert not (out / "checkpoint").exists()


def test_a_stop_while_the_past_is_told_again_waits_for_its_end(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "run"
    before = stopped_after(out, 4)
    stop = threading.Event()
    stop.set()
    again = list(api.go_on(out, BLOBS, stop=stop))
    assert isinstance(again[-1], RunInterrupted)
    assert sum(isinstance(e, EpochFinished) for e in again) >= sum(isinstance(e, EpochFinished) for e in before)
    shoal.resume(out, data=BLOBS)
    assert same(out, whole)


def test_what_was_given_in_memory_is_asked_for_again(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "run"
    stopped_after(out, 1)
    with pytest.raises(InputError, match=r"shoal\.resume\('.*', data=\.\.\.\)"):
        shoal.resume(out)
    with pytest.raises(InputError, match="has changed since"):
        shoal.resume(out, data=planted.blobs(91))
    with pytest.raises(InputError, match="does not exist"):
        shoal.resume(tmp_path / "none")
    shoal.resume(out, data=BLOBS)
    assert same(out, whole)


def test_a_full_disk_costs_the_checkpoints_and_nothing_else(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_atomically", full)
    out = tmp_path / "run"
    events = list(api.stream(settings(out), BLOBS))
    notices = [event.sentence for event in events if isinstance(event, Notice)]
    assert len(notices) == 1 and "the disk is full" in notices[0] and "The run goes on" in notices[0]
    assert isinstance(events[-1], RunFinished)
    assert [line for line in told(out) if '"kind": "notice"' not in line][:-1] == told(whole)[:-1]


def test_a_full_disk_under_the_events_stops_the_run_which_then_goes_on(
    tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, append, epochs = tmp_path / "run", EventStore.append, 0

    def full(store: EventStore, run: str, event: Event) -> None:
        nonlocal epochs
        epochs += isinstance(event, EpochFinished)
        if epochs > 4:
            raise RunError("the store cannot be written: database or disk is full")
        append(store, run, event)

    with monkeypatch.context() as patch:
        patch.setattr(EventStore, "append", full)
        with pytest.raises(RunError, match="disk is full"):
            list(api.stream(settings(out), BLOBS))
    shoal.resume(out, data=BLOBS)
    assert same(out, whole)


def changed(out: Path, kind: str) -> int:
    """Change a number in the last stored event of a kind; its place among the events."""
    connection = sqlite3.connect(out / "store.db")
    rows = connection.execute("SELECT seq, kind, body FROM events ORDER BY seq").fetchall()
    place = max(number for number, row in enumerate(rows) if row[1] == kind)
    body = json.loads(rows[place][2])
    body["train_loss"][0] += 1e-9
    connection.execute("UPDATE events SET body = ? WHERE seq = ?", (json.dumps(body), rows[place][0]))
    last = ""
    for seq, run, time_s, kind, text in connection.execute(
        "SELECT seq, run, time_s, kind, body FROM events"
    ).fetchall():
        last = digest_of([last, run, time_s, kind, text])  # as if the run itself had told it so
        connection.execute("UPDATE events SET digest = ? WHERE seq = ?", (last, seq))
    connection.commit()
    connection.close()
    return place


def test_other_numbers_are_said_and_the_record_is_replaced(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "run"
    stopped_after(out, 5)
    place = changed(out, "epoch_finished")
    run = shoal.resume(out, data=BLOBS)
    notices = [event.sentence for event in run.events if isinstance(event, Notice)]
    assert len(notices) == 1 and f"from event {place + 1} on (`epoch_finished`)" in notices[0]
    lines = [line for line in told(out) if '"kind": "notice"' not in line]
    assert lines[:-1] == told(whole)[:-1]


def test_other_numbers_after_the_test_rows_were_read_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "run"
    events = api.stream(settings(out), BLOBS)
    assert any(isinstance(event, TestRead) for event in events)
    events.close()  # killed right after the test rows were read
    before = told(out)
    assert '"test_read"' in before[-1]
    changed(out, "epoch_finished")
    with pytest.raises(RunError, match="test rows were read"):
        shoal.resume(out, data=BLOBS)
    assert len(told(out)) == len(before)


def test_a_rerun_from_run_toml_computes_as_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal.cli import run

    monkeypatch.chdir(tmp_path)
    x, y = BLOBS
    lines = ["a,b,c,d,y", *(",".join(map(str, (*row, f"c{label}"))) for row, label in zip(x.tolist(), y, strict=True))]
    (tmp_path / "blobs.csv").write_text("\n".join(lines) + "\n")
    assert run(["fit", "blobs.csv", "--target", "y", "--budget", "trials=4", "--epochs", "2", "--out", "first"]) == 0
    text = (tmp_path / "first/run.toml").read_text()
    wide = {name for name, plan in tomllib.loads(text)["run"]["plans"].items() if plan["rows"] > 3}
    assert wide
    (tmp_path / "other.toml").write_text(re.sub(r"\brows = \d+", "rows = 3", text))  # as if measured elsewhere
    assert run(["fit", "--config", "other.toml", "--out", "second"]) == 0
    repeated = tomllib.loads((tmp_path / "second/run.toml").read_text())["run"]["plans"]
    assert {repeated[name]["rows"] for name in wide} == {3}


# --- a budget in time -------------------------------------------------------------------------------------------------


class Clock:
    """Moves a little each time it is looked at."""

    def __init__(self, start: float, tick: float) -> None:
        self.time, self.tick = start, tick

    def __call__(self) -> float:
        self.time += self.tick
        return self.time


def in_time(folder: Path, past: list[Event], clock: Clock) -> Iterator[Event]:
    """Steps on a ring for 6 seconds of a clock, told again as far as they were told."""
    x, y = planted.ring(400)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
    problem = Problem(
        train=Part(inputs[:200], labels[:200]),
        validation=Part(inputs[200:300], labels[200:300]),
        test=Sealed(lambda: Part(inputs[300:], labels[300:]), 100),
        classes=("in", "out"),
        network=BuiltIn(Mlp(inputs=2, outputs=2, width=4, depth=1)),
    )
    replay = Replay(past, clock)
    cache = Checkpoint(folder, RecordedPlans({}, lambda _: None))
    for event in recipe.run(problem, Budget(seconds=6.0), Options(), now=replay.now, cache=cache):
        if event.kind == "step_progress":
            continue
        known = replay.repeats(event)
        assert known is not None or replay.over, f"event {replay.told + 1} is told otherwise: {event}"
        yield known or event


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    return list(in_time(tmp_path_factory.mktemp("timed"), [], Clock(0.0, 0.25)))


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_budget_in_time_goes_on_with_the_time_that_was_left(tmp_path: Path, timed: list[Event], share: float) -> None:
    readings = [event.elapsed_s for event in timed if isinstance(event, ClockRead)]
    assert readings == sorted(readings) and 4 <= readings[-1] < 6
    past = timed[: int(share * len(timed))]
    first = in_time(tmp_path, [], Clock(0.0, 0.25))
    assert [next(first).kind for _ in past] == [event.kind for event in past]
    first.close()  # killed
    again = list(in_time(tmp_path, past, Clock(1e6, 0.25)))  # the clock of another day
    assert [event.model_dump_json() for event in again[: len(past)]] == [event.model_dump_json() for event in past]
    later = [event.elapsed_s for event in again if isinstance(event, ClockRead)]
    assert later == sorted(later) and 4 <= later[-1] < 6
    assert sum(isinstance(event, TestRead) for event in again) == 1


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_finished_run_without_its_record_is_not_trained_again(tmp_path: Path, whole: Path, how: str) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    for each in out.glob("store.db*"):
        each.unlink()
    if how == "emptied":
        (out / "store.db").touch()
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and "store.db" not in path.name}
    with pytest.raises(InputError, match="has lost the end of the run"):
        shoal.resume(out, data=BLOBS)
    assert {path: path.read_bytes() for path in before} == before
