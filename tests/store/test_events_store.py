from __future__ import annotations

import errno
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy.exc import OperationalError

from shoal.core.errors import InputError, RunError
from shoal.core.events import (
    DecisionMade,
    Event,
    Finding,
    FindingRaised,
    LearningRateSweep,
    Notice,
    RunFinished,
    StepFinished,
    StepProgress,
    StepStarted,
)
from shoal.store.database import _set_up_sqlite, without_password
from shoal.store.events_store import EventStore

EVENTS: list[Event] = [
    StepStarted(step=3, why="80 short trainings"),
    LearningRateSweep(
        steps=50,
        optimizer=["adam", "adam"],
        lr=[1e-3, 10.0],
        seed=[0, 1],
        start=[2.3, 2.3],
        end=[0.4, math.nan],
        best=1e-3,
        chosen=(1e-4, 1e-2),
        chosen_optimizer="adam",
    ),
    DecisionMade(
        decision=Finding(step=3, code="SHL301", sentence="found", evidence={"lr": 1e-3, "ü": None}, action="a")
    ),
    FindingRaised(finding=Finding(code="SHL010", sentence="Two columns are equal.", evidence={"columns": ["a", "b"]})),
    StepFinished(step=3, level="fine", verdict="it goes down", number="0.001", seconds=1.25),
    RunFinished(summary={"test": 0.98, "path": 'quote " and \\ and line\nend'}),
]


def same(one: list[Event], other: list[Event]) -> bool:
    return [each.model_dump_json() for each in one] == [each.model_dump_json() for each in other]


def test_events_come_back_as_they_were_in_their_order(tmp_path: Path) -> None:
    with EventStore(tmp_path / "store.db") as store:
        for each in EVENTS:
            store.append("digits", each)
    with EventStore(tmp_path / "store.db") as store:
        back = store.read("digits")
    assert same(back, EVENTS)
    assert isinstance(back[1], LearningRateSweep) and math.isnan(back[1].end[1])


def test_progress_is_not_stored(tmp_path: Path) -> None:
    with EventStore(tmp_path / "store.db") as store:
        store.append("digits", EVENTS[0])
        store.append("digits", StepProgress(step=3, done=0.5))
        assert same(store.read("digits"), EVENTS[:1])


def test_runs_in_one_store_do_not_mix(tmp_path: Path) -> None:
    with EventStore(tmp_path / "store.db") as store:
        for each in EVENTS:
            store.append("a", each)
            store.append("b", each)
        store.append("b", EVENTS[0])
        assert same(store.read("a"), EVENTS)
        assert same(store.read("b"), [*EVENTS, EVENTS[0]])
        assert store.read("c") == []
        assert store.runs() == ["a", "b"]


def test_what_was_appended_is_there_for_another_reader_at_once(tmp_path: Path) -> None:
    with EventStore(tmp_path / "store.db") as writer, EventStore(tmp_path / "store.db") as reader:
        for count, each in enumerate(EVENTS, start=1):
            writer.append("digits", each)
            assert len(reader.read("digits")) == count


def test_a_killed_process_loses_nothing_that_was_appended(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from shoal.core.events import StepStarted
from shoal.store.events_store import EventStore
store = EventStore(sys.argv[1])
for round_ in range(1, 21):
    store.append("digits", StepStarted(step=5, round=round_))
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "store.db")], timeout=60)
    assert ended.returncode == -signal.SIGKILL
    with EventStore(tmp_path / "store.db") as store:
        rounds = [each.round for each in store.read("digits") if isinstance(each, StepStarted)]
    assert rounds == list(range(1, 21))


def test_writers_wait_for_one_another(tmp_path: Path) -> None:
    errors: list[BaseException] = []

    def write(run: str) -> None:
        try:
            with EventStore(tmp_path / "store.db") as store:
                for _ in range(40):
                    store.append(run, EVENTS[0])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(f"run{k}",)) for k in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    with EventStore(tmp_path / "store.db") as store:
        assert [len(store.read(f"run{k}")) for k in range(4)] == [40, 40, 40, 40]


def test_a_new_file_that_another_process_is_opening_too_is_waited_for(tmp_path: Path) -> None:
    """SQLite itself does not wait where two change the journal of one file at once."""
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = sqlite3.SQLITE_BUSY

    class Contended(sqlite3.Connection):
        refusals = 3

        def cursor(self, *given: Any) -> Any:  # type: ignore[override]
            return ContendedCursor(self)

    class ContendedCursor(sqlite3.Cursor):
        def execute(self, statement: str, *given: Any) -> Any:  # type: ignore[override]
            if "journal_mode" in statement and Contended.refusals:
                Contended.refusals -= 1
                raise busy
            return super().execute(statement, *given)

    connection = sqlite3.connect(tmp_path / "store.db", factory=Contended)
    _set_up_sqlite(connection, None)
    assert Contended.refusals == 0
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    busy.sqlite_errorcode, Contended.refusals = sqlite3.SQLITE_READONLY, 1
    with pytest.raises(sqlite3.OperationalError):
        _set_up_sqlite(connection, None)
    connection.close()


def test_the_table_is_plain_sql_in_wal_mode(tmp_path: Path) -> None:
    with EventStore(tmp_path / "store.db") as store:
        store.append("digits", EVENTS[0])
    connection = sqlite3.connect(tmp_path / "store.db")
    columns = [row[1] for row in connection.execute("PRAGMA table_info(events)")]
    mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    kind, body = connection.execute("SELECT kind, body FROM events").fetchone()
    connection.close()
    assert columns == ["seq", "run", "time_s", "kind", "body", "digest"]
    assert mode == "wal"
    assert kind == "step_started" and '"80 short trainings"' in body


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"not a database at all, but long enough to be one" * 40)
    with pytest.raises(InputError, match=r"store\.db.*not a database"):
        EventStore(tmp_path / "store.db")


CHANGES = [
    "UPDATE events SET body = replace(body, '80', '81') WHERE seq = 2",
    "UPDATE events SET kind = 'step_finished' WHERE seq = 2",
    "UPDATE events SET time_s = time_s + 1 WHERE seq = 2",
    "UPDATE events SET body = x'7b7d' WHERE seq = 2",
    "UPDATE events SET kind = x'61' WHERE seq = 2",
    "UPDATE events SET time_s = 'noon' WHERE seq = 2",
    "UPDATE events SET digest = 'x' WHERE seq = 2",
    "DELETE FROM events WHERE seq = 2",
    "UPDATE events SET seq = 9 WHERE seq = 2",
]


@pytest.mark.parametrize("change", CHANGES)
def test_an_event_that_was_changed_or_taken_away_is_named(tmp_path: Path, change: str) -> None:
    with EventStore(tmp_path / "store.db") as store:
        for _ in range(3):
            store.append("digits", EVENTS[0])
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute(change)
    connection.commit()
    connection.close()
    with EventStore(tmp_path / "store.db", read_only=True) as store:
        with pytest.raises(InputError, match=r"damaged: event [23] .*restore it from a copy"):
            store.read("digits")
        with pytest.raises(InputError, match="damaged"):
            store.elapsed_s("digits")


def test_a_run_that_finished_with_other_events_is_refused(tmp_path: Path) -> None:
    with EventStore(tmp_path / "store.db") as store:
        for event in EVENTS[:3]:
            store.append("digits", event)
        ended = store.end("digits")
        assert ended.events == 3 and same(store.read("digits", ended), EVENTS[:3])
        with pytest.raises(InputError, match="other events of the run digits"):
            store.read("digits", ended.model_copy(update={"digest": "x" * 64}))
        with pytest.raises(InputError, match=r"lost the end of the run digits: of its 4 events 3 are left"):
            store.read("digits", ended.model_copy(update={"events": 4}))
        store.append("digits", EVENTS[3])
        with pytest.raises(InputError, match="other events of the run digits"):
            store.read("digits", ended)


def test_what_a_run_ended_with_is_in_the_file_and_not_only_in_its_log(tmp_path: Path) -> None:
    with EventStore(tmp_path / "run.db") as store:
        for event in EVENTS:
            store.append("digits", event)
        ended = store.end("digits")
        shutil.copy(tmp_path / "run.db", tmp_path / "store.db")  # without the log
    with EventStore(tmp_path / "store.db", read_only=True) as store:
        assert same(store.read("digits", ended), EVENTS)


def test_a_database_whose_index_lost_entries_is_damaged(tmp_path: Path) -> None:
    """By the index alone the run would look shorter than it is, and sound."""
    with EventStore(tmp_path / "store.db") as store:
        for event in EVENTS:
            store.append("digits", event)
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("PRAGMA writable_schema = ON")
    kept = connection.execute("SELECT * FROM sqlite_master WHERE type = 'index'").fetchall()
    connection.execute("DELETE FROM sqlite_master WHERE type = 'index'")
    connection.commit()
    connection.close()
    connection = sqlite3.connect(tmp_path / "store.db")  # the last event comes while the index is not looked after
    connection.execute("DELETE FROM events WHERE seq = 6")
    connection.execute("PRAGMA writable_schema = ON")
    connection.executemany("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", kept)
    connection.commit()
    connection.close()
    with (
        EventStore(tmp_path / "store.db", read_only=True) as store,
        pytest.raises(InputError, match=r"is damaged \(.*index.*\); restore it from a copy"),
    ):
        store.read("digits")


def test_what_is_taken_back_leaves_a_record_that_holds_together(tmp_path: Path) -> None:
    with EventStore(tmp_path / "store.db") as store:
        for event in (EVENTS[0], EVENTS[2], EVENTS[3], Notice(sentence="a notice")):
            store.append("digits", event)
        store.cut("digits", 1)
        store.append("digits", EVENTS[4])
        read = store.read("digits")
    assert read == [EVENTS[0], Notice(sentence="a notice"), EVENTS[4]]


@pytest.mark.parametrize("killed", [False, True])
def test_reading_writes_nothing(tmp_path: Path, killed: bool) -> None:
    """Neither after a clean end nor beside the log that a killed writer left, of which the index may be lost."""
    store = EventStore(tmp_path / "run.db")
    store.append("digits", EVENTS[0])
    folder = tmp_path / "folder"
    if killed:
        folder.mkdir()
        for end in ("", "-wal"):
            shutil.copy(tmp_path / f"run.db{end}", folder / f"store.db{end}")
        store.close()
    else:
        store.close()
        folder.mkdir()
        shutil.copy(tmp_path / "run.db", folder / "store.db")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    folder.chmod(0o555)
    with EventStore(folder / "store.db", read_only=True) as reading:
        assert reading.read("digits") == [EVENTS[0]]
        with pytest.raises(RunError):
            if killed:  # a copy is read: what is written to it is lost with it
                raise RunError
            reading.append("digits", EVENTS[0])
    folder.chmod(0o755)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_store_that_cannot_be_copied_or_looked_at_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    with EventStore(tmp_path / "run.db") as store:
        store.append("digits", EVENTS[0])
        for end in ("", "-wal"):
            shutil.copy(tmp_path / f"run.db{end}", tmp_path / f"store.db{end}")
    with monkeypatch.context() as patched:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        patched.setattr(shutil, "copyfile", Mock(side_effect=full))
        with pytest.raises(RunError, match=r"store\.db cannot be copied .*No space left"):
            EventStore(tmp_path / "store.db", read_only=True)
    assert not [*(tmp_path / "temporary").iterdir()]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(RunError, match=r"store\.db cannot be copied"):
        EventStore(tmp_path / "store.db", read_only=True)
    with pytest.raises(InputError, match="longer than this system allows"):
        EventStore(tmp_path / ("a" * 300), read_only=True)


def test_a_store_that_is_not_there_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        EventStore(tmp_path / "store.db", read_only=True)
    assert not [*tmp_path.iterdir()]


def test_what_is_not_a_number_comes_back_as_it_was(tmp_path: Path) -> None:
    decision = Finding(step=3, code="SHL130", sentence="v", evidence={"end": [float("nan"), float("inf")]}, action="a")
    with EventStore(tmp_path / "store.db") as store:
        store.append("digits", DecisionMade(decision=decision))
        read = store.read("digits")[0]
    end = read.decision.evidence["end"]
    assert math.isnan(end[0]) and end[1] == math.inf


def test_the_content_of_a_damaged_store_is_not_poured_out(tmp_path: Path) -> None:
    with EventStore(tmp_path / "store.db") as store:
        store.append("digits", EVENTS[0])
    connection = sqlite3.connect(tmp_path / "store.db")
    connection.execute("UPDATE events SET body = CAST(x'7b22ff22' AS TEXT)")
    connection.commit()
    connection.close()
    with EventStore(tmp_path / "store.db") as store, pytest.raises(InputError, match="it is damaged") as raised:
        store.read("digits")
    assert "{" not in str(raised.value)


def test_a_disk_that_is_full_from_the_start_is_no_wrong_choice(tmp_path: Path) -> None:
    with (
        EventStore(tmp_path / "store.db") as store,
        pytest.raises(RunError, match="full"),
        store._database.refusals(InputError, "opened"),
    ):
        raise OperationalError("CREATE", {}, sqlite3.OperationalError("database or disk is full"))


def test_a_database_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        EventStore(tmp_path / "missing" / "store.db")


def test_a_full_disk_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    with EventStore(tmp_path / "store.db") as store:
        store.append("digits", EVENTS[0])
        with store._database.engine.connect() as connection:  # SQLite's own limit gives the error of a full disk
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
        with pytest.raises(RunError, match=r"store\.db.*full"):
            store.append("digits", RunFinished(summary={"text": "x" * 100_000}))
        assert same(store.read("digits"), EVENTS[:1])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense://host/db", "use SQLite or PostgreSQL"),
        ("mysql://host/db", "use SQLite or PostgreSQL"),
        ("postgresql://host:port/db", "cannot be read"),
        ("://", "cannot be read"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        EventStore(url)


def test_a_password_is_neither_shown_nor_written_down() -> None:
    assert "secret" not in without_password("postgresql://ann:secret@db.example/team")
    assert without_password("runs/all.db") == "runs/all.db"
