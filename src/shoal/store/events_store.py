"""The run as an append-only table of events: SQLite by default, PostgreSQL through the same statements."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from pydantic import Field, ValidationError
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    create_engine,
    delete,
    event,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from shoal.core.digest import digest_of
from shoal.core.errors import InputError, RunError
from shoal.core.events import Event, Record, StepProgress, from_json, to_json
from shoal.core.paths import read_error

BUSY_TIMEOUT_S = 30  # how long a writer waits for another one before it gives up
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
    sqlite_autoincrement=True,
)


class Ended(Record):
    """With which events a run finished: whoever knows it sees that a store has lost the last of them."""

    events: int = Field(ge=1)
    digest: str = Field(max_length=64)  # of the last one, which follows on all those before


class EventStore:
    """The events of one or many runs, in the order in which they were appended.

    An event is committed before `append` returns, so what a consumer has seen survives a killed process. `StepProgress`
    is shown and not stored. Readers and one writer work side by side (SQLite's write-ahead log).

    >>> with EventStore("sqlite://") as store:
    ...     store.append("digits", StepProgress(step=1, done=0.5))
    ...     store.read("digits")
    []
    """

    def __init__(self, where: str | Path, *, read_only: bool = False) -> None:
        """Open the store, and make its table when it is new.

        Args:
            where: the path of an SQLite file, or a database URL: `sqlite:///...`, `postgresql://user@host/name`.
            read_only: write nothing, neither a table nor a file.

        Raises:
            InputError: the URL cannot be read, its driver is not installed, or the database cannot be opened.
            RunError: the copy from which it would be read cannot be made.
        """
        self.url = _url(where)
        self._last: dict[str, str] = {}  # digest of the newest event, by run
        self._copied: tempfile.TemporaryDirectory[str] | None = None
        if read_only:
            with self._refusals(InputError, "opened"):
                self._engine = self._reader()
            return
        self._engine = _engine(self.url)
        with self._refusals(InputError, "opened"):
            _create_table(self._engine)

    def _reader(self) -> Engine:
        """An engine that cannot write.

        An SQLite file whose log was folded in is opened as a file that nobody changes. One with a log is read through
        the log's index where that is there (its writer may be at work, or was killed), else as a copy: SQLite would
        make the index beside it.
        """
        if self.url.get_backend_name() != "sqlite":
            return _engine(self.url, read_only=True)
        path = Path(self.url.database or "")
        wal, shm = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
        try:
            if not path.is_file():
                raise InputError(f"the store {self.name} does not exist")
            logged = wal.exists() and wal.stat().st_size > 0
            if logged and not shm.exists():
                return _engine(URL.create("sqlite", database=str(self._copy(path, wal))))
        except OSError as error:
            raise read_error(path, error, "the store ") from error
        options = {"mode": "ro", "uri": "true"} | ({} if logged else {"immutable": "1"})
        return _engine(
            URL.create("sqlite", database=f"file:{quote(str(path.resolve()))}", query=options), read_only=True
        )

    def _copy(self, path: Path, wal: Path) -> Path:
        """A copy of an SQLite file and its log, which `close` removes.

        Raises:
            RunError: it cannot be made; nothing of it stays.
        """
        try:
            self._copied = tempfile.TemporaryDirectory(prefix="shoal-store-")
            copy = Path(self._copied.name) / path.name
            for source, target in ((path, copy), (wal, copy.with_name(copy.name + "-wal"))):
                shutil.copyfile(source, target)
        except OSError as error:
            self._remove_copy()
            raise RunError(
                f"the store {self.name} cannot be copied to the folder for temporary files, where it would be read: "
                f"{error.strerror or error}; make room, or let TMPDIR name another folder"
            ) from error
        return copy

    def _remove_copy(self) -> None:
        if self._copied is not None:
            self._copied.cleanup()

    def append(self, run: str, what: Event) -> None:
        """Append one event and commit it.

        Raises:
            RunError: the database cannot be written, for instance because the disk is full.
        """
        if isinstance(what, StepProgress):
            return
        row = {"run": run, "time_s": time.time(), "kind": what.kind, "body": to_json(what)}
        with self._refusals(RunError, "written"), self._engine.begin() as connection:
            if run not in self._last:
                self._last[run] = self._newest(connection, run)
            digest = _linked(self._last[run], row)
            connection.execute(insert(_EVENTS), {**row, "digest": digest})
        self._last[run] = digest

    def read(self, run: str, ended: Ended | None = None) -> list[Event]:
        """Return all events of a run, oldest first; an unknown run has none.

        An SQLite file of which this process wrote nothing is first looked through as a whole: what is read from a
        damaged one may lack events, and what is appended to it may be lost.

        Args:
            run: its key.
            ended: with which events it finished, where it did.

        Raises:
            InputError: the database cannot be read or is damaged, the run finished with other events, or there is one
                that this version does not know.
        """
        if run not in self._last:
            self._look_through()
        rows = self._rows(run)
        if ended is not None:
            self._compare(run, rows, ended)
        events = []
        for seq, kind, _, body, _ in rows:
            try:
                events.append(from_json(body))
            except ValidationError as error:
                raise InputError(
                    f"{self.name} holds an event that cannot be read (number {seq}, `{kind}`): "
                    "it is damaged, or was written by another version of Shoal"
                ) from error
        return events

    def _look_through(self) -> None:
        """Let SQLite compare all pages and the index with one another: 1 to 7 ms for each megabyte on one CPU core.

        Raises:
            InputError: the file is damaged, or cannot be read.
        """
        if self.url.get_backend_name() != "sqlite":
            return
        with self._refusals(InputError, "read"), self._engine.connect() as connection:
            found = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar())
        if found != "ok":
            raise InputError(
                f"the store {self.name} is damaged ({' '.join(found.split())[:200]}); restore it from a copy"
            )

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
        with self._refusals(RunError, "written"), self._engine.connect() as connection:
            if self.url.get_backend_name() == "sqlite":
                connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")  # a commit alone survives no power cut
            return Ended(events=connection.execute(count).scalar_one(), digest=self._newest(connection, run))

    def _rows(self, run: str) -> list[_Row]:
        """A run's events, oldest first, each seen to be what was written.

        Raises:
            InputError: the database cannot be read, or an event was damaged, changed or taken away.
        """
        columns = (_EVENTS.c.seq, _EVENTS.c.kind, _EVENTS.c.time_s, _EVENTS.c.body, _EVENTS.c.digest)
        query = select(*columns).where(_EVENTS.c.run == run).order_by(_EVENTS.c.seq)
        with self._refusals(InputError, "read"), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        last = ""
        for seq, kind, time_s, body, digest in rows:
            row = {"run": run, "time_s": time_s, "kind": kind, "body": body}
            if not _is_event(row) or digest != _linked(last, row):
                raise InputError(
                    f"the store {self.name} is damaged: event {seq} (`{kind}`) of the run {run}, or the one before it, "
                    "is not what was written; restore it from a copy"
                )
            last = digest
        return [(seq, kind, time_s, body, digest) for seq, kind, time_s, body, digest in rows]

    def _newest(self, connection: Connection, run: str) -> str:
        """The digest of a run's newest event; of a run without one, the empty text."""
        newest = select(_EVENTS.c.digest).where(_EVENTS.c.run == run).order_by(_EVENTS.c.seq.desc()).limit(1)
        return connection.execute(newest).scalar() or ""

    def cut(self, run: str, keep: int) -> None:
        """Take back what a run told after its first `keep` events; that it was resumed, and notices, stay.

        Raises:
            RunError: the database cannot be written.
        """
        told = and_(_EVENTS.c.run == run, _EVENTS.c.kind.not_in(_NARRATION))
        order = select(_EVENTS.c.seq).where(told).order_by(_EVENTS.c.seq)
        with self._refusals(RunError, "written"), self._engine.begin() as connection:
            first = connection.execute(order.offset(keep).limit(1)).scalar()
            if first is not None:
                connection.execute(delete(_EVENTS).where(told, _EVENTS.c.seq >= first))
                self._link_again(connection, run)

    def _link_again(self, connection: Connection, run: str) -> None:
        """Let each event of a run follow on the one that is now before it."""
        columns = (_EVENTS.c.seq, _EVENTS.c.kind, _EVENTS.c.time_s, _EVENTS.c.body)
        last = ""
        for seq, kind, time_s, body in connection.execute(
            select(*columns).where(_EVENTS.c.run == run).order_by(_EVENTS.c.seq)
        ).all():
            last = _linked(last, {"run": run, "time_s": time_s, "kind": kind, "body": body})
            connection.execute(update(_EVENTS).where(_EVENTS.c.seq == seq).values(digest=last))
        self._last[run] = last

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
        with self._refusals(InputError, "read"), self._engine.connect() as connection:
            if not inspect(connection).has_table(_EVENTS.name):  # its writer came no further
                return []
            return list(connection.execute(select(_EVENTS.c.run).distinct().order_by(_EVENTS.c.run)).scalars())

    @property
    def name(self) -> str:
        """What to call the store in a sentence; a password is not shown."""
        if self.url.get_backend_name() == "sqlite" and self.url.database:
            return self.url.database
        return self.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Give the connections back; in SQLite this also folds the write-ahead log into the file."""
        self._engine.dispose()
        self._remove_copy()

    def __enter__(self) -> Self:
        """Use the store in a `with` statement."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.close()

    @contextmanager
    def _refusals(self, error_type: type[InputError] | type[RunError], done: str) -> Iterator[None]:
        """Turn a database's error into one sentence of ours."""
        try:
            yield
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            reason = " ".join(str(cause).split())
            if reason.startswith("Could not decode"):  # what follows is the whole cell
                reason = "it is damaged; restore it from a copy"
            if "malformed" in reason:
                reason = f"it is damaged ({reason}); restore it from a copy"
            if re.search(r"\bfull\b|disk I/O error", reason):  # the disk refuses, not the caller's choice
                error_type = RunError
            raise error_type(f"the store {self.name} cannot be {done}: {reason[:200]}") from error


def _is_event(row: Mapping[str, Any]) -> bool:
    """Whether the cells hold what an event's do: SQLite takes anything into any column."""
    texts = (row["run"], row["kind"], row["body"])
    return isinstance(row["time_s"], float) and all(isinstance(each, str) for each in texts)


def _linked(before: str, row: Mapping[str, Any]) -> str:
    """The digest of an event that follows on one with the digest `before`."""
    return digest_of([before, row["run"], float(row["time_s"]), row["kind"], row["body"]])


def without_password(where: str) -> str:
    """Return a store's URL as it may be written down; the driver then takes the password from PGPASSWORD or `.pgpass`.

    >>> without_password("postgresql://ann:secret@db/team")
    'postgresql+psycopg://ann@db/team'
    """
    return _url(where)._replace(password=None).render_as_string() if "://" in where else where


def _url(where: str | Path) -> URL:
    """A path or a URL as SQLAlchemy's URL; `postgresql://` means the driver that the extra installs."""
    if isinstance(where, Path) or "://" not in where:
        return URL.create("sqlite", database=str(where))
    try:
        url = make_url(where)
    except (ArgumentError, ValueError) as error:
        raise InputError("the store's URL cannot be read: write `postgresql://USER@HOST/DATABASE` or a path") from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return url


def _engine(url: URL, *, read_only: bool = False) -> Engine:
    """An engine with SQLite set up for one writer and many readers, or one that cannot write."""
    backend = url.drivername.partition("+")[0]
    if backend not in ("sqlite", "postgresql"):
        raise InputError(f"the store cannot be a `{backend}` database: use SQLite or PostgreSQL")
    try:
        reading = {"options": "-c default_transaction_read_only=on"} if read_only else {}
        engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S} if backend == "sqlite" else reading)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise InputError(f"a `{backend}` store needs a driver: pip install 'shoal[postgres]'") from error
    if backend == "sqlite" and not read_only:
        event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _create_table(engine: Engine) -> None:
    """Make the table where it is missing; another process may do the same at this moment."""
    for last in (False, True):
        try:
            with engine.begin() as connection:
                connection.execute(CreateTable(_EVENTS, if_not_exists=True))
                for each in _EVENTS.indexes:
                    connection.execute(CreateIndex(each, if_not_exists=True))
            return
        except (IntegrityError, ProgrammingError):  # PostgreSQL's IF NOT EXISTS can lose the race all the same
            if last:
                raise


def _set_up_sqlite(connection: Any, _record: object) -> None:
    """With a write-ahead log, NORMAL keeps every commit through a killed process, at one write and no fsync each."""
    cursor = connection.cursor()
    until_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:  # who opens a new file at the same moment is not waited for
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(0.01)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
