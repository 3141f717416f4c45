"""A run watched by others while it is carried out: what is new since an event, and how far the running step is."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from shoal.core.errors import InputError
from shoal.core.events import (
    Event,
    Notice,
    RunFinished,
    RunInterrupted,
    RunResumed,
    StepProgress,
    StepStarted,
)
from shoal.store.checkpoint import NoCheckpoint
from shoal.store.events_store import EventStore, Tail
from shoal.store.plans import RecordedPlans
from shoal.store.replay import Replay
from shoal.store.telling import Telling

STEPS: list[Event] = [StepStarted(step=step) for step in range(1, 8)]
HALF = StepProgress(step=4, done=0.5, best=0.9, left_s=30.0, doing="96 networks, epoch 2 of 4")


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventStore]:
    """An empty one, in a file and in the PostgreSQL database that SHOAL_TEST_POSTGRES names."""
    where = str(tmp_path / "store.db")
    if request.param == "postgresql":
        where = os.environ.get("SHOAL_TEST_POSTGRES") or pytest.skip("needs a database: SHOAL_TEST_POSTGRES=URL")
        with EventStore(where) as former, former._database.writing() as connection:
            connection.exec_driver_sql("DROP TABLE events, progress")
    with EventStore(where) as store:
        yield store


def reader_of(store: EventStore) -> EventStore:
    """Another one on the same database, which cannot write."""
    return EventStore(store._database.url.render_as_string(hide_password=False), read_only=True)


def told(store: EventStore, events: Sequence[Event], run: str = "digits") -> None:
    for event in events:
        store.append(run, event)


def change(store: EventStore, statement: str) -> None:
    """Do to a database what no store does."""
    with store._database.writing() as connection:
        connection.exec_driver_sql(statement)


# --- what is new since an event ---------------------------------------------------------------------------------------


def test_only_what_is_new_is_read(store: EventStore) -> None:
    told(store, STEPS[:3])
    first = store.tail("digits")
    assert first == Tail([(1, STEPS[0]), (2, STEPS[1]), (3, STEPS[2])], last=3, whole=True)
    assert store.tail("digits", first.last) == Tail([], last=3, whole=False)
    told(store, STEPS[3:5])
    assert store.tail("digits", first.last) == Tail([(4, STEPS[3]), (5, STEPS[4])], last=5, whole=False)
    assert store.tail("digits", 2).events[0] == (3, STEPS[2])
    assert store.tail("none") == Tail([], last=0, whole=True)


def test_of_several_runs_each_has_its_own_tail(store: EventStore) -> None:
    for step in STEPS[:3]:
        told(store, [step], "a")
        told(store, [step], "b")
    assert store.tail("a", 3) == Tail([(5, STEPS[2])], last=5, whole=False)
    assert store.tail("b", 3) == Tail([(2, STEPS[0]), (4, STEPS[1]), (6, STEPS[2])], last=6, whole=True)  # 3 is a's


def test_a_watched_run_is_verified_from_the_known_event_on(store: EventStore) -> None:
    told(store, STEPS)
    change(store, "UPDATE events SET body = replace(body, '1', '2') WHERE seq = 1")
    with reader_of(store) as reader:
        assert [number for number, _ in reader.tail("digits", 4).events] == [5, 6, 7]  # what was known is not read
        with pytest.raises(InputError, match="damaged: event 1"):
            reader.tail("digits")
        for harm in ("body = replace(body, '6', '5')", "digest = 'x'", "kind = x'61'"):
            change(store, f"UPDATE events SET {harm} WHERE seq = 6")
            with pytest.raises(InputError, match=r"damaged: event [67] "):
                reader.tail("digits", 4)
        change(store, "UPDATE events SET digest = 'x' WHERE seq = 4")
        with pytest.raises(InputError, match="damaged: event 5"):
            reader.tail("digits", 4)


RESUMED = RunResumed(elapsed_s=4.0, versions={}, machine={})
NOTICE = Notice(sentence="a notice")


def test_who_watches_a_run_that_takes_events_back_begins_anew(store: EventStore) -> None:
    """Whichever event is the last that the reader knows, what it ends up with is what there is."""
    told(store, [STEPS[0], STEPS[1], STEPS[2], NOTICE, STEPS[3]])
    seen = {after: [event for number, event in store.tail("digits").events if number <= after] for after in range(6)}
    store.cut("digits", 2)
    told(store, [RESUMED, STEPS[4]])
    now = store.read("digits")
    assert now == [STEPS[0], STEPS[1], NOTICE, RESUMED, STEPS[4]]
    for after, known in seen.items():
        tail = store.tail("digits", after)
        assert tail.whole == (after in (0, 3, 4, 5))  # a notice that stayed follows on other events now
        assert [*([] if tail.whole else known), *(event for _, event in tail.events)] == now
        assert store.tail("digits", tail.last) == Tail([], tail.last, whole=False)


def test_a_number_is_never_given_twice(store: EventStore) -> None:
    told(store, [*STEPS[:3], NOTICE])
    store.cut("digits", 0)
    assert store.tail("digits", 4) == Tail([(5, NOTICE)], last=5, whole=True)
    told(store, STEPS[:1], "other")
    store.cut("other", 0)
    assert store.tail("other", 6) == Tail([], last=0, whole=True)  # nothing is left of it, and the reader learns so
    told(store, STEPS[:1], "other")
    assert store.tail("other").last == 7


def test_a_reader_that_was_there_first_sees_what_a_later_writer_tells(tmp_path: Path) -> None:
    """Of a file without a log, as a writer leaves it behind that has ended."""
    path = tmp_path / "store.db"
    with EventStore(path) as writer:
        told(writer, STEPS[:2])
    with EventStore(path, read_only=True) as reader:
        assert len(reader.read("digits")) == 2
        with EventStore(path) as writer:
            told(writer, [*STEPS[2:4], HALF])
            assert reader.tail("digits", 2).events == [(3, STEPS[2]), (4, STEPS[3])]
            assert reader.progress("digits") == HALF
        assert reader.tail("digits", 4) == Tail([], last=4, whole=False)
        assert len(reader.read("digits")) == 4


# --- how far the running step is --------------------------------------------------------------------------------------


def test_how_far_a_run_is_can_be_seen_by_another_reader(store: EventStore) -> None:
    told(store, STEPS[:4])
    with reader_of(store) as reader:
        assert reader.progress("digits") is None
        store.append("digits", HALF)
        assert reader.progress("digits") == HALF and reader.progress("other") is None
        assert reader.read("digits") == STEPS[:4]


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_it_is_written_once_a_second_and_when_a_step_begins(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("shoal.store.events_store.time.monotonic", clock)
    seen = []
    for step, done, passes_s in ((4, 0.1, 0.0), (4, 0.2, 0.9), (4, 0.3, 0.2), (4, 0.4, 0.1), (5, 0.0, 0.1)):
        clock.now_s += passes_s
        store.append("digits", StepProgress(step=step, done=done))
        now = store.progress("digits")
        assert now is not None
        seen.append((now.step, now.done))
    assert seen == [(4, 0.1), (4, 0.1), (4, 0.3), (4, 0.3), (5, 0.0)]


@pytest.mark.parametrize(
    "end", [RunFinished(summary={}), RunInterrupted(step=4, sentence="Stopped.")], ids=lambda event: str(event.kind)
)
def test_a_run_that_has_ended_is_nowhere_under_way(store: EventStore, end: Event) -> None:
    for run in ("digits", "other"):
        told(store, [STEPS[3], HALF], run)
    store.append("digits", end)
    assert store.progress("digits") is None and store.progress("other") == HALF


def test_a_run_that_goes_on_is_not_where_it_was_killed(store: EventStore) -> None:
    told(store, [STEPS[3], HALF])
    store.cut("digits", 1)  # nothing to take back but that
    assert store.progress("digits") is None


def test_what_is_told_again_is_not_how_far_the_run_is(store: EventStore) -> None:
    again = Telling(store, "digits", Replay(STEPS[:2]), NoCheckpoint(RecordedPlans({}, lambda _: None)), 0.0)
    early, late = StepProgress(step=1, done=0.7), StepProgress(step=2, done=0.2)
    seen = [store.progress("digits") for _ in again.told([STEPS[0], early, STEPS[1], late])]
    assert seen == [None, None, None, late]


def test_what_was_said_too_long_ago_may_be_left_out(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append("digits", HALF)
    assert store.progress("digits", within_s=30) == HALF
    change(store, "UPDATE progress SET time_s = time_s - 60")
    assert store.progress("digits", within_s=30) is None and store.progress("digits") == HALF


def test_the_record_is_the_same_with_and_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.store.events_store.time.time", lambda: 5.0)
    ends = []
    for name, between in (("with", [HALF]), ("without", [])):
        with EventStore(tmp_path / name) as store:
            told(store, [STEPS[0], *between, STEPS[1], *between, *STEPS[2:]])
            ends.append((store.end("digits"), store.tail("digits")))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("harm", ["DROP TABLE progress", "UPDATE progress SET body = 'x', time_s = 1"])
def test_a_store_without_it_is_read_and_a_run_does_without(store: EventStore, harm: str) -> None:
    """A store that an earlier version made, or a damaged note."""
    told(store, [STEPS[3], HALF])
    change(store, harm)
    with reader_of(store) as reader:
        assert reader.progress("digits") is None and reader.read("digits") == [STEPS[3]]
        reader.append("digits", StepProgress(step=5, done=0.1))  # which cannot be written, and harms nothing
        assert reader.progress("digits") is None


def test_the_table_is_made_where_an_older_store_lacks_it(store: EventStore) -> None:
    told(store, STEPS[:4])
    change(store, "DROP TABLE progress")
    with EventStore(store._database.url.render_as_string(hide_password=False)) as again:
        again.append("digits", HALF)
        assert again.progress("digits") == HALF and again.read("digits") == STEPS[:4]
