"""The run as an append-only table of events, and how far it is."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from pydantic import Field, ValidationError
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    delete,
    func,
    insert,
    inspect,
    select,
    update,
)

from shoal.core.digest import digest_of
from shoal.core.errors import InputError, RunError
from shoal.core.events import Event, Record, RunFinished, RunInterrupted, StepProgress, from_json, to_json
from shoal.store.database import Database

PROGRESS_EVERY_S = 1.0  # between two notes of how far a step is
_Row = tuple[int, str, float, str, str]  # number, kind, time, body, digest
_NARRATION = ("run_resumed", "notice")  # about the carrying out of a run, no part of what it tells

_METADATA = MetaData()
_EVENTS = Table(
    "events",
    _METADATA,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("run", Text, nullable=False),
    Column("time_s", Float(53), nullable=False),  # seconds since 1970, UTC
    Column("kind", String(64), nullable=False),
    Column("body", Text, nullable=False),  # JSON
    Column("digest", String(64), nullable=False),  # of this event and of the one before it in its run
    Index("events_by_run", "run", "seq"),
    sqlite_autoincrement=True,  # a number is never given twice
)
_PROGRESS = Table(
    "progress",
    _METADATA,
    Column("run", Text, primary_key=True),
    Column("time_s", Float(53), nullable=False),  # as above
    Column("body", Text, nullable=False),  # a StepProgress as JSON
)


class Ended(Record):
    """With which events a run finished: whoever knows it sees that a store has lost the last of them."""

    events: int = Field(ge=1)
    digest: str = Field(max_length=64)  # of the last one, which follows on all those before


class Tail(NamedTuple):
    """What a reader has not yet seen of a run."""

    events: list[tuple[int, Event]]  # each with its number, oldest first
    last: int  # the number of the newest event that the reader knows now: what to ask after the next time
    whole: bool  # these are all events of the run: what was read of it before no longer counts


class EventStore:
    """The events of one or many runs, in the order in which they were appended.

    An event is committed before `append` returns, so what a consumer has seen survives a killed process. `StepProgress`
    is no part of the record: the newest one of each run stands beside it, for as long as the run is at work.

    >>> with EventStore("sqlite://") as store:
    ...     store.append("digits", StepProgress(step=1, done=0.5))
    ...     store.read("digits"), store.progress("digits").done
    ([], 0.5)
    """

    def __init__(self, where: str | Path, *, read_only: bool = False) -> None:
        """Open the store, and make its tables when it is new.

        Args:
            where: the path of an SQLite file, or a database URL: `sqlite:///...`, `postgresql://user@host/name`.
            read_only: write nothing, neither a table nor a file.

        Raises:
            InputError: the URL cannot be read, its driver is not installed, or the database cannot be opened.
            RunError: the copy from which it would be read cannot be made.
        """
        self._database = Database(where, _METADATA, read_only=read_only)
        self._last: dict[str, str] = {}  # digest of the newest event, by run
        self._noted: dict[str, tuple[int, float]] = {}  # the step of the newest progress, and when it was written

    def append(self, run: str, what: Event) -> None:
        """Append one event and commit it; see `progress` for `StepProgress`.

        Raises:
            RunError: the database cannot be written, for instance because the disk is full.
        """
        if isinstance(what, StepProgress):
            self._note(run, what)
            return
        row = {"run": run, "time_s": time.time(), "kind": what.kind, "body": to_json(what)}
        with self._database.writing() as connection:
            last = self._last[run] if run in self._last else self._newest(connection, run)
            last = _insert(connection, last, row)
            if isinstance(what, RunFinished | RunInterrupted):
                _forget_progress(connection, run)
        self._last[run] = last

    def _note(self, run: str, what: StepProgress) -> None:
        """Put a progress in the place of the one before, now and then. That it cannot be written harms no run."""
        step, at_s = self._noted.get(run, (0, -math.inf))
        now_s = time.monotonic()
        if step == what.step and now_s - at_s < PROGRESS_EVERY_S:
            return
        row = {"time_s": time.time(), "body": to_json(what)}
        with suppress(RunError), self._database.writing() as connection:
            if not connection.execute(update(_PROGRESS).where(_PROGRESS.c.run == run).values(row)).rowcount:
                connection.execute(insert(_PROGRESS), {"run": run, **row})
        self._noted[run] = what.step, now_s

    def progress(self, run: str, within_s: float = math.inf) -> StepProgress | None:
        """How far the running step of a run is, as the process that carries it out says about once a second.

        Args:
            run: its key.
            within_s: how long ago it may have been said, by the clocks of both machines. A process that was killed
                leaves its last one behind.

        Returns:
            None where the run has ended, nothing was said within that time, or an earlier version made the store.

        Raises:
            InputError: the database cannot be read.
        """
        newest = select(_PROGRESS.c.time_s, _PROGRESS.c.body).where(_PROGRESS.c.run == run)
        with self._database.reading() as connection:
            found = connection.execute(newest).first() if inspect(connection).has_table(_PROGRESS.name) else None
        if found is None or not isinstance(found.time_s, float) or time.time() - found.time_s > within_s:
            return None
        try:
            event = from_json(found.body)
        except ValidationError:  # damaged: of the record it is no part
            return None
        return event if isinstance(event, StepProgress) else None

    def read(self, run: str, ended: Ended | None = None) -> list[Event]:
        """Return all events of a run, oldest first; an unknown run has none.

        An SQLite file of which this process wrote nothing is first looked through as a whole: what is read from a
        damaged one may lack events, and what is appended to it may be lost.

        Args:
            run: its key.
            ended: with which events it finished, where it did.

        Raises:
            InputError: the database cannot be read or is damaged, the run finished with other events, or there is one
                that cannot be read.
        """
        rows = self._all_rows(run)
        if ended is not None:
            self._compare(run, rows, ended)
        return [event for _, event in self._events(rows)]

    def tail(self, run: str, after: int = 0) -> Tail:
        """The events of a run that follow on one that the caller knows: made to be asked again and again.

        Their digests are verified from that event on, and nothing before it is read. What was told before it is as it
        was when the caller read it, unless the event has gone: a run that is resumed may take its last events back,
        and gives what it tells afterwards new numbers. Then all events are returned.

        Args:
            run: its key.
            after: the number of the newest event that the caller knows, as `Tail.last` says it; 0 for none.

        Raises:
            InputError: as `read`.
        """
        rows = self._rows(run, after) if after > 0 else []
        known = bool(rows) and rows[0][0] == after
        rows = rows[1:] if known else self._all_rows(run)
        last = rows[-1][0] if rows else after if known else 0
        return Tail(self._events(rows), last, whole=not known)

    def _events(self, rows: Iterable[_Row]) -> list[tuple[int, Event]]:
        """What rows hold, by their numbers.

        Raises:
            InputError: names the one that cannot be read.
        """
        events = []
        for seq, kind, _, body, _ in rows:
            try:
                events.append((seq, from_json(body)))
            except ValidationError as error:
                raise InputError(
                    f"{self.name} holds an event that cannot be read (number {seq}, `{kind}`): "
                    "it is damaged, or was written by another version of Shoal"
                ) from error
        return events

    def _compare(self, run: str, rows: Sequence[_Row], ended: Ended) -> None:
        """Refuse a store that does not end as the run did.

        Raises:
            InputError: it lost events, or holds others.
        """
        if len(rows) < ended.events:
            raise InputError(
                f"the store {self.name} has lost the end of the run {run}: of its {ended.events} events "
                f"{len(rows)} are left; restore it from a copy, or fit again"
            )
        if len(rows) > ended.events or rows[-1][-1] != ended.digest:
            raise InputError(
                f"the store {self.name} holds other events of the run {run} than those with which it finished; "
                "restore it from a copy, or fit again"
            )

    def end(self, run: str) -> Ended:
        """With which events a run that has some ended; they are on the disk before this is said.

        Raises:
            RunError: the disk refuses.
        """
        count = select(func.count()).select_from(_EVENTS).where(_EVENTS.c.run == run)
        with self._database.refusals(RunError, "written"), self._database.engine.connect() as connection:
            if self._database.is_sqlite:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")  # a commit alone survives no power cut
            return Ended(events=connection.execute(count).scalar_one(), digest=self._newest(connection, run))

    def _all_rows(self, run: str) -> list[_Row]:
        """All events of a run, as `_rows`."""
        if run not in self._last:
            self._database.look_through()
        return self._rows(run)

    def _rows(self, run: str, first: int = 0) -> list[_Row]:
        """A run's events from a number on, oldest first, each seen to be what was written.

        Of the first one that cannot be seen where others are before it.

        Raises:
            InputError: the database cannot be read, or an event was damaged, changed or taken away.
        """
        columns = (_EVENTS.c.seq, _EVENTS.c.kind, _EVENTS.c.time_s, _EVENTS.c.body, _EVENTS.c.digest)
        query = select(*columns).where(_EVENTS.c.run == run, _EVENTS.c.seq >= first).order_by(_EVENTS.c.seq)
        with self._database.reading() as connection:
            found = connection.execute(query)
            rows = [(seq, kind, time_s, body, digest) for seq, kind, time_s, body, digest in found]
        last = "" if first <= 0 else None
        for seq, kind, time_s, body, digest in rows:
            row = {"run": run, "time_s": time_s, "kind": kind, "body": body}
            if last is not None and not (_is_event(row) and digest == _linked(last, row)):
                raise InputError(
                    f"the store {self.name} is damaged: event {seq} (`{kind}`) of the run {run}, or the one before it, "
                    "is not what was written; restore it from a copy"
                )
            last = digest
        return rows

    def _newest(self, connection: Connection, run: str) -> str:
        """The digest of a run's newest event; of a run without one, the empty text."""
        newest = select(_EVENTS.c.digest).where(_EVENTS.c.run == run).order_by(_EVENTS.c.seq.desc()).limit(1)
        return connection.execute(newest).scalar() or ""

    def cut(self, run: str, keep: int) -> None:
        """Take back what a run told after its first `keep` events, and how far it was.

        That it was resumed, and notices, stay. Those that come later get new numbers, so that an event which has its
        number still follows on the very events on which it always did.

        Raises:
            RunError: the database cannot be written.
        """
        told = and_(_EVENTS.c.run == run, _EVENTS.c.kind.not_in(_NARRATION))
        order = select(_EVENTS.c.seq).where(told).order_by(_EVENTS.c.seq)
        columns = (_EVENTS.c.kind, _EVENTS.c.time_s, _EVENTS.c.body)
        with self._database.writing() as connection:
            _forget_progress(connection, run)
            first = connection.execute(order.offset(keep).limit(1)).scalar()
            if first is None:
                return
            later = and_(_EVENTS.c.run == run, _EVENTS.c.seq >= first)
            narrated = select(*columns).where(later, _EVENTS.c.kind.in_(_NARRATION)).order_by(_EVENTS.c.seq)
            stays = connection.execute(narrated).all()
            connection.execute(delete(_EVENTS).where(later))
            last = self._newest(connection, run)
            for kind, time_s, body in stays:
                last = _insert(connection, last, {"run": run, "time_s": time_s, "kind": kind, "body": body})
        self._last[run] = last

    def copy(self, run: str, to: EventStore) -> None:
        """Append a run's events to another store, as they are.

        Raises:
            InputError: they cannot be read.
            RunError: they cannot be written.
        """
        rows = self._rows(run)
        with to._database.writing() as connection:
            last = self._newest(connection, run)
            for _, kind, time_s, body, _ in rows:
                last = _insert(connection, last, {"run": run, "time_s": time_s, "kind": kind, "body": body})
        to._last[run] = last

    def elapsed_s(self, run: str) -> float:
        """For how long a run has been at work, without the time in which it was interrupted.

        Raises:
            InputError: the database cannot be read.
        """
        total_s = 0.0
        for (_, _, before_s, *_), (_, kind, time_s, *_) in pairwise(self._rows(run)):
            if kind != _NARRATION[0]:
                total_s += max(time_s - before_s, 0.0)
        return total_s

    def runs(self) -> list[str]:
        """Return the names of the runs that have events, in alphabetical order."""
        with self._database.reading() as connection:
            if not inspect(connection).has_table(_EVENTS.name):  # its writer came no further
                return []
            return list(connection.execute(select(_EVENTS.c.run).distinct().order_by(_EVENTS.c.run)).scalars())

    @property
    def name(self) -> str:
        """What to call the store in a sentence; a password is not shown."""
        return self._database.name

    def close(self) -> None:
        """Give the connections back; in SQLite this also folds the write-ahead log into the file."""
        self._database.close()

    def __enter__(self) -> Self:
        """Use the store in a `with` statement."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()


def _insert(connection: Connection, before: str, row: Mapping[str, Any]) -> str:
    """Write an event that follows on one with the digest `before`, under a new number; its digest."""
    digest = _linked(before, row)
    connection.execute(insert(_EVENTS), {**row, "digest": digest})
    return digest


def _forget_progress(connection: Connection, run: str) -> None:
    connection.execute(delete(_PROGRESS).where(_PROGRESS.c.run == run))


def _is_event(row: Mapping[str, Any]) -> bool:
    """Whether the cells hold what an event's do: SQLite takes anything into any column."""
    texts = (row["run"], row["kind"], row["body"])
    return isinstance(row["time_s"], float) and all(isinstance(each, str) for each in texts)


def _linked(before: str, row: Mapping[str, Any]) -> str:
    """The digest of an event that follows on one with the digest `before`."""
    return digest_of([before, row["run"], float(row["time_s"]), row["kind"], row["body"]])
