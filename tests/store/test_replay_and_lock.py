from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.core.errors import InputError
from shoal.core.events import (
    ClockRead,
    Event,
    Notice,
    RunInterrupted,
    RunResumed,
    StepFinished,
    StepStarted,
    StopNoticed,
)
from shoal.store.events_store import EventStore
from shoal.store.lock import alone
from shoal.store.replay import Replay


def ended(step: int, seconds: float, number: str = "1") -> StepFinished:
    return StepFinished(step=step, level="fine", verdict="v", number=number, seconds=seconds)


TOLD: list[Event] = [
    StepStarted(step=1),
    ClockRead(elapsed_s=3.0),
    RunResumed(elapsed_s=4.0, versions={}, machine={}),
    ended(1, 3.5),
    Notice(sentence="n"),
    ClockRead(elapsed_s=9.0),
    StopNoticed(),
    ended(8, 0.1),
    RunInterrupted(step=1, sentence="s"),
]


class Clock:
    def __init__(self) -> None:
        self.time = 500.0

    def __call__(self) -> float:
        return self.time


def test_what_is_told_again_is_the_stored_event_and_what_is_new_is_new() -> None:
    replay = Replay(TOLD)
    assert replay.known == 4 and not replay.over  # what only closed the run, and what is about its carrying out, is not
    assert replay.repeats(StepStarted(step=1)) is TOLD[0]
    assert replay.repeats(ClockRead(elapsed_s=3.0)) is TOLD[1]
    assert replay.repeats(ended(1, 99.0)) is TOLD[3]  # the seconds of then
    assert replay.repeats(ClockRead(elapsed_s=9.0)) is TOLD[5]
    assert replay.over and replay.repeats(ended(8, 0.1)) is None


def test_another_number_is_no_repetition() -> None:
    replay = Replay(TOLD)
    assert replay.repeats(StepStarted(step=1, why="else")) is None and not replay.over
    assert replay.repeats(StepStarted(step=1)) is not None
    assert replay.repeats(ClockRead(elapsed_s=3.0)) is not None
    assert replay.repeats(ended(1, 3.5, number="2")) is None
    assert replay.told == 2
    assert [event.kind for event in replay.give_up()] == ["step_finished", "clock_read"]
    assert replay.over


def test_the_clock_answers_as_it_did_and_goes_on_from_there() -> None:
    clock = Clock()
    replay = Replay(TOLD, clock)
    clock.time += 50
    assert [replay.now(), replay.now(), replay.now()] == [0.0, 3.0, 9.0]
    clock.time += 2
    assert replay.now() == 11.0
    replay = Replay(TOLD, clock)
    assert [replay.now(), replay.now()] == [0.0, 3.0]
    replay.give_up()
    clock.time += 1
    assert replay.now() == 4.0  # what was read later is forgotten too


def test_a_new_run_has_a_clock_from_zero() -> None:
    clock = Clock()
    replay = Replay((), clock)
    assert replay.over and replay.now() == 0.0
    clock.time += 7
    assert replay.now() == 7.0


def test_what_was_told_too_much_is_taken_back(tmp_path: Path) -> None:
    with EventStore(tmp_path / "store.db") as store:
        for event in TOLD:
            store.append("a", event)
            store.append("b", event)
        store.cut("a", 3)
        assert [event.kind for event in store.read("a")] == [
            "step_started",
            "clock_read",
            "run_resumed",
            "step_finished",
            "notice",
        ]
        store.cut("a", 3)
        store.cut("a", 99)
        assert len(store.read("a")) == 5 and len(store.read("b")) == len(TOLD)


def test_the_time_between_two_processes_is_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [100.0, 101.0, 1000.0, 1004.0, 1004.5, 1005.0, 1005.0, 1005.0, 1006.0]
    with EventStore(tmp_path / "store.db") as store:
        for event, time_s in zip(TOLD, times, strict=False):
            monkeypatch.setattr("shoal.store.events_store.time.time", lambda now=time_s: now)
            store.append("a", event)
        assert store.elapsed_s("a") == pytest.approx(1.0 + 6.0)
        assert store.elapsed_s("none") == 0.0


def test_one_at_a_time(tmp_path: Path) -> None:
    with alone(tmp_path / ".lock", "runs/digits"):
        with (
            pytest.raises(InputError, match="runs/digits is being worked on by another process"),
            alone(tmp_path / ".lock", "runs/digits"),
        ):
            pass
        with alone(tmp_path / "other", "runs/digits-2"):
            pass
    with alone(tmp_path / ".lock", "runs/digits"):
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from shoal.store.lock import alone\n"
        "with alone(Path(sys.argv[1]), 'it'):\n    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=rf"\(number {holder.pid}\)"), alone(tmp_path / ".lock", "it"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait(20)
    with alone(tmp_path / ".lock", "it"):
        pass
