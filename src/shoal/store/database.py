"""A database, opened to be written or only to be read: SQLite by default, PostgreSQL through the same statements."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, MetaData, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    IntegrityError,
    NoSuchModuleError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.pool import NullPool, StaticPool
from sqlalchemy.schema import CreateIndex, CreateTable

from shoal.core.errors import InputError, RunError
from shoal.core.paths import read_error

BUSY_TIMEOUT_S = 30  # how long a writer waits for another one before it gives up


class Database:
    """An SQLite file, SQLite in memory (`sqlite://`), or a PostgreSQL database.

    Readers and one writer work side by side (SQLite's write-ahead log).
    """

    def __init__(self, where: str | Path, tables: MetaData, *, read_only: bool = False) -> None:
        """Open it, and make the tables that it lacks.

        Args:
            where: the path of an SQLite file, or a database URL: `sqlite:///...`, `postgresql://user@host/name`.
            tables: what it holds.
            read_only: write nothing, neither a table nor a file.

        Raises:
            InputError: the URL cannot be read, its driver is not installed, or the database cannot be opened.
            RunError: the copy from which it would be read cannot be made.
        """
        self.url = _url(where)
        self._copied: tempfile.TemporaryDirectory[str] | None = None
        with self.refusals(InputError, "opened"):
            if read_only:
                self.engine = self._reader()
            else:
                self.engine = _engine(self.url)
                _create_tables(self.engine, tables)

    @property
    def is_sqlite(self) -> bool:
        """Whether SQLite holds it."""
        return self.url.get_backend_name() == "sqlite"

    @property
    def name(self) -> str:
        """What to call it in a sentence; a password is not shown."""
        if self.is_sqlite and self.url.database:
            return self.url.database
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to read through.

        Raises:
            InputError: the database cannot be read.
        """
        with self.refusals(InputError, "read"), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, committed at the end.

        Raises:
            RunError: the database cannot be written, for instance because the disk is full.
        """
        with self.refusals(RunError, "written"), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def refusals(self, error_type: type[InputError] | type[RunError], done: str) -> Iterator[None]:
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

    def look_through(self) -> None:
        """Let SQLite compare all pages and the index with one another: 1 to 7 ms for each megabyte on one CPU core.

        Raises:
            InputError: the file is damaged, or cannot be read.
        """
        if not self.is_sqlite:
            return
        with self.reading() as connection:
            found = str(connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar())
        if found != "ok":
            raise InputError(
                f"the store {self.name} is damaged ({' '.join(found.split())[:200]}); restore it from a copy"
            )

    def close(self) -> None:
        """Give the connections back; in SQLite this also folds the write-ahead log into the file."""
        self.engine.dispose()
        self._remove_copy()

    def _reader(self) -> Engine:
        """An engine that cannot write.

        An SQLite file with a log of which the index is lost is read as a copy: SQLite would make the index beside it.
        """
        if not self.is_sqlite:
            return _engine(self.url, read_only=True)
        path = Path(self.url.database or "")
        wal, shm = (path.with_name(path.name + end) for end in ("-wal", "-shm"))
        try:
            if not path.is_file():
                raise InputError(f"the store {self.name} does not exist")
            if _is_logged(path) and not shm.exists():
                return _engine(URL.create("sqlite", database=str(self._copy(path, wal))))
        except OSError as error:
            raise read_error(path, error, "the store ") from error
        return create_engine("sqlite://", creator=lambda: _connect_to_read(path), poolclass=NullPool)

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
        if backend == "postgresql":
            reading = {"options": "-c default_transaction_read_only=on"} if read_only else {}
            return create_engine(url, connect_args=reading)
        waits: dict[str, Any] = {"timeout": BUSY_TIMEOUT_S}
        if url.database in (None, "", ":memory:"):  # all threads see the one that there is
            engine = create_engine(url, connect_args=waits | {"check_same_thread": False}, poolclass=StaticPool)
        else:
            engine = create_engine(url, connect_args=waits)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise InputError(f"a `{backend}` store needs a driver: pip install 'shoal[postgres]'") from error
    event.listen(engine, "connect", _set_up_sqlite)
    return engine


def _create_tables(engine: Engine, tables: MetaData) -> None:
    """Make the tables that are missing; another process may do the same at this moment."""
    for last in (False, True):
        try:
            with engine.begin() as connection:
                for table in tables.sorted_tables:
                    connection.execute(CreateTable(table, if_not_exists=True))
                    for each in table.indexes:
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


def _is_logged(path: Path) -> bool:
    """Whether an SQLite file has a log: its writer may be at work, or was killed."""
    wal = path.with_name(path.name + "-wal")
    return wal.exists() and wal.stat().st_size > 0


def _connect_to_read(path: Path) -> sqlite3.Connection:
    """A connection that cannot write: through the log's index, or, without a log, to a file that nobody changes.

    Which of them it is, is looked up for each connection: a writer may come and go while a reader looks on.
    """
    unchanged = "" if _is_logged(path) else "&immutable=1"
    where = f"file:{quote(str(path.resolve()))}?mode=ro{unchanged}"
    return sqlite3.connect(where, uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
