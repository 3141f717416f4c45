"""The folder of one run: what lies where, and how a new one gets its name."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import tomlkit
from pydantic import Field, ValidationError

from shoal.core import paths
from shoal.core.atomic import remove_left_over, write_atomically, write_error
from shoal.core.digest import digest_of
from shoal.core.errors import InputError, RunError, ShoalError
from shoal.core.events import Event, Record
from shoal.core.names import closest
from shoal.core.settings import FitSettings
from shoal.store.database import without_password
from shoal.store.events_store import Ended, EventStore
from shoal.store.lock import alone

RUNS = Path("runs")


class RunRecord(Record):
    """The table `run` of `run.toml`: what identifies the run besides its settings."""

    key: str | None = Field(default=None, max_length=1000)  # of its events in the store
    data_hash: str | None = Field(default=None, max_length=200)
    began_in: str = Field(default=".", max_length=5000)
    given: tuple[Literal["data", "model"], ...] = Field(default=(), max_length=2)  # what was in memory
    device: str | None = Field(default=None, max_length=200)
    versions: dict[str, str] = Field(default={}, max_length=100)
    machine: dict[str, str] = Field(default={}, max_length=100)
    plans: dict[str, dict[str, Any]] = Field(default={}, max_length=100_000)
    ended: Ended | None = None  # of a run that finished


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The paths of a run. The folder holds a run when `run.toml` or `store.db` is there."""

    path: Path
    made: bool = field(default=False, compare=False)  # by `create`; it was not there before

    @property
    def name(self) -> str:
        """The run's name: that of its folder."""
        return paths.shown(self.path.resolve().name)

    @property
    def run_toml(self) -> Path:
        """Resolved settings, versions, hash of the data."""
        return self.path / "run.toml"

    @property
    def store_db(self) -> Path:
        """The events."""
        return self.path / "store.db"

    @property
    def model(self) -> Path:
        """The folder of the saved model."""
        return self.path / "model"

    @property
    def checkpoint(self) -> Path:
        """The folder of what long work returned, as long as the run is not finished."""
        return self.path / "checkpoint"

    @property
    def report_html(self) -> Path:
        """The report, one file."""
        return self.path / "report.html"

    @property
    def summary_json(self) -> Path:
        """What `--json` prints."""
        return self.path / "summary.json"

    @classmethod
    def create(cls, out: str | Path | None, name: str) -> RunFolder:
        """Make the folder of a new run and claim it.

        Two processes that ask at once get two folders: whoever creates `run.toml` owns the folder.

        Args:
            out: the folder that the user asked for; `None` for the first free one of `runs/NAME`, `runs/NAME-2`, ...
            name: what the run is about, such as `adult`; see `name_of`.

        Returns:
            The folder, which holds an empty `run.toml`.

        Raises:
            InputError: `out` holds a run already, is a file, or may not be written to.
            RunError: the disk refuses.
        """
        if out is not None:
            where = paths.given(out)
            chosen = cls(where, made=not paths.there(where))
            if chosen.path.exists() and not chosen.path.is_dir():
                raise InputError(f"{chosen.path} is a file: choose a new folder")
            if _holds_a_run(chosen.path) or not chosen._claim():
                raise InputError(
                    f"{chosen.path} already holds a run: choose another folder, or remove it; "
                    "`shoal resume` goes on with one that was stopped"
                )
            return chosen
        count = 1
        while True:
            candidate = cls(RUNS / (name if count == 1 else f"{name}-{count}"), made=True)
            if not candidate.path.exists() and candidate._claim():
                return candidate
            count += 1

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """Return the folder of an existing run.

        Raises:
            InputError: there is no run; the sentence names the closest ones.
        """
        folder = cls(paths.given(path))
        paths.there(folder.path)  # or it says why that cannot be known
        if (folder.path / "study.json").exists():
            raise InputError(
                f"{folder.path} holds a study or a comparison, and no run: read its report.html, or give its command "
                "again"
            )
        if _holds_a_run(folder.path):
            folder._refuse_what_is_no_file()
            return folder
        state = "holds no run" if folder.path.exists() else "does not exist"
        near = _runs_nearby(folder.path)
        hint = f"did you mean {' or '.join(near)}?" if near else "a run folder is what `shoal fit` wrote, as runs/NAME"
        raise InputError(f"{folder.path} {state}: {hint}")

    def _refuse_what_is_no_file(self) -> None:
        """Refuse a folder whose files lie elsewhere (what is written to them would be written there), or are none.

        Raises:
            InputError: names the link, or the pipe or device from which nothing might ever come.
        """
        store = (self.store_db.with_name(f"store.db{end}") for end in ("", "-wal", "-shm"))
        files = (self.run_toml, *store, self._lock, self.summary_json, self.report_html)
        folders = (self.model, self.checkpoint)
        inside = [each for folder in folders if folder.is_dir() for each in folder.iterdir()]
        for each in (*files, *folders, *inside):
            if each.is_symlink():
                raise InputError(f"{each} is a link out of the run's folder: put the file itself there, or remove it")
        for each in (*files, *inside):
            if each.exists() and not each.is_file():
                raise InputError(f"{each} is no ordinary file: a run's folder holds none such; remove it")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Work on the run as the only process; nobody else may meanwhile. What killed writers left is removed.

        Raises:
            InputError: another process is at work on it.
        """
        with alone(self._lock, str(self.path)):
            for each in (self.path, self.model, self.checkpoint):
                remove_left_over(each)
            yield

    @property
    def _lock(self) -> Path:
        return self.path / ".lock"

    def forget(self) -> None:
        """Remove all that was written of the run; other files stay, and so does the folder."""
        for folder in (self.model, self.checkpoint):
            shutil.rmtree(folder, ignore_errors=True)
        files = (self.summary_json, self.report_html, self.store_db, *self.path.glob("store.db-*"), self._lock)
        for each in (*files, self.run_toml):
            with suppress(OSError):
                each.unlink(missing_ok=True)

    def release(self) -> None:
        """Give up a claimed folder in which no run has begun, so that the same command can be given again.

        Whoever created the folder calls it when the start fails. A folder whose store holds an event or cannot be read
        is left alone, and so is every file that is not of a start; a folder that was there before `create` stays.
        """
        with suppress(OSError):
            if self.summary_json.exists() or self.report_html.exists() or self._may_hold_events():
                return
            for each in (self.store_db, *self.path.glob("store.db-*"), self._lock, self.run_toml):
                each.unlink(missing_ok=True)
            if self.made:
                self.path.rmdir()

    def _may_hold_events(self) -> bool:
        """Whether the store here has events; one that cannot be read may."""
        if not self.store_db.exists():
            return False
        try:
            with EventStore(self.store_db, read_only=True) as store:
                return bool(store.runs())
        except ShoalError:
            return True

    def write_settings(self, settings: FitSettings, record: Mapping[str, Any], key: str | None = None) -> str:
        """Write `run.toml`, which `--config` accepts for a rerun.

        Args:
            settings: the resolved ones. Unset ones, `out` (it is where the file lies) and a password are left out.
            record: what else identifies the run, such as versions and the hash of the data.
            key: of events that there are already.

        Returns:
            The key of the run's events in its store.
        """
        values = settings.model_dump(mode="json", exclude={"out"}, exclude_none=True)
        if settings.store is not None:
            values["store"] = without_password(settings.store)
        key = key or new_key(self.name, settings)
        document = tomlkit.document()
        document.add(tomlkit.comment("The settings of this run: shoal fit --config run.toml repeats it."))
        for name in sorted(values, key=lambda each: isinstance(values[each], dict)):  # tables come last in TOML
            if values[name] != {}:
                document[name] = values[name]
        document["run"] = {"key": key, **record}
        self._write(document)
        return key

    def write_plans(self, plans: Mapping[str, Mapping[str, Any]]) -> None:
        """Add to `run.toml` how the run's populations are computed, so that a rerun computes them so again.

        Raises:
            RunError: the disk refuses, or somebody else has changed or removed `run.toml` meanwhile.
        """
        document = self._written()
        document["run"]["plans"] = {name: dict(plan) for name, plan in plans.items()}
        self._write(document)

    def write_end(self, ended: Ended) -> None:
        """Add to `run.toml` with which events the run finished, so that a store that loses some is not believed.

        Raises:
            RunError: the disk refuses, or somebody else has changed or removed `run.toml` meanwhile.
        """
        document = self._written()
        document["run"]["ended"] = ended.model_dump()
        self._write(document)

    def _written(self) -> tomlkit.TOMLDocument:
        """`run.toml` as this run wrote it, to be added to: what somebody else wrote is not signed.

        Raises:
            RunError: it was changed or removed.
        """
        try:
            text = self.run_toml.read_text(encoding="utf-8")
            intact = _intact(tomllib.loads(text))
        except (OSError, ValueError, RecursionError):
            intact = False
        if not intact:
            raise RunError(
                f"{self.run_toml} was changed or removed while the run was at work, and what belongs into it cannot be "
                "added: restore it and resume the run, or fit again"
            )
        return tomlkit.parse(text)

    def _write(self, document: tomlkit.TOMLDocument) -> None:
        """Write `run.toml` with its digest."""
        document["run"].pop("digest", None)
        document["run"]["digest"] = digest_of(tomllib.loads(tomlkit.dumps(document)))
        write_atomically(self.run_toml, tomlkit.dumps(document))

    def open_store(self, settings: FitSettings) -> EventStore:
        """Return the store that the settings ask for: `store.db` here, or a database for a team."""
        return EventStore(self.store_db if settings.store is None else settings.store)

    def was_given(self, source: str | Path) -> bool:
        """Whether a path or a name is what the run was given as its data; what was in memory has neither.

        Raises:
            InputError: `run.toml` is damaged.
        """
        named, record = self._toml().get("data"), self.read_record()
        if "data" in record.given or not isinstance(named, str):
            return False
        there, here = Path(record.began_in, paths.given(named)), paths.given(source)
        if os.path.exists(there) and os.path.exists(here):
            return os.path.samefile(there, here)
        return str(source) == named  # data that come along, or what was moved since

    def store_of(self, named: str | None) -> str | None:
        """The database that holds the run's events, or None for `store.db` here.

        What a folder says is not followed: it may be somebody else's, and could name any file or host.

        Args:
            named: by the caller of this very call.

        Raises:
            InputError: the run's events are in a database that the caller does not name, or another one is named.
        """
        recorded = self._toml().get("store")
        if recorded is None and named is None:
            return None
        if recorded is None:
            raise InputError(f"the events of {self.path} are in its own folder: leave the store out")
        if named is None:
            raise InputError(
                f"the events of {self.path} are in the database {recorded}, which is opened only when you name it in "
                "this call: --store URL on the command line, store= in Python"
            )
        if without_password(named) != without_password(str(recorded)):
            raise InputError(f"the events of {self.path} are in {recorded}, and another database is named")
        return named

    def read_settings(self) -> FitSettings:
        """Return what `write_settings` wrote.

        Raises:
            InputError: the file is missing or damaged.
        """
        values = self._toml()
        if "data" not in values:
            raise InputError(
                f"{self.run_toml} holds no settings: the run ended before it wrote them; "
                "remove the folder and fit again"
            )
        if not _intact(values):
            raise InputError(
                f"{self.run_toml} was changed or damaged since the run began, and a run cannot go on with other "
                "settings: restore it, or fit again with --config"
            )
        return FitSettings(**{name: each for name, each in values.items() if name != "run"})

    def read_record(self) -> RunRecord:
        """Return what `write_settings` was given to identify the run, and the key of its events.

        Raises:
            InputError: the file is damaged.
        """
        try:
            return RunRecord.model_validate(self._toml().get("run", {}), extra="ignore")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(
                f"{self.run_toml} is damaged (`run.{where}`: {first['msg']}): restore it from a copy"
            ) from None

    def read_events(self, named_store: str | None = None) -> list[Event]:
        """Return the run's events, from wherever its store is; also of a run that was moved or killed.

        Args:
            named_store: the database, where they are not in the folder; see `store_of`.

        Raises:
            InputError: there are none, the store cannot be read, or the run finished with others.
        """
        with self.watched(named_store) as (store, key):
            events = store.read(key, self.read_record().ended)
        if not events:
            raise InputError(f"the store of {self.path} holds no event of the run: it ended before its first one")
        return events

    @contextmanager
    def watched(self, named_store: str | None = None) -> Iterator[tuple[EventStore, str]]:
        """The store of the run's events, which cannot be written through it, and their key there.

        Args:
            named_store: as `read_events`.

        Raises:
            InputError: there is no store, or it cannot be opened.
        """
        where, record = self.store_of(named_store), self.read_record()
        if where is None and not self.store_db.exists():
            raise InputError(f"{self.store_db} is missing: the run ended before its first event, or it was removed")
        with EventStore(self.store_db if where is None else where, read_only=True) as store:
            yield store, record.key or next(iter(store.runs()), self.name)  # or: killed before that was written

    def _toml(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self.run_toml.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(f"{self.run_toml} cannot be read: it is damaged; restore it from a copy") from error

    def _claim(self) -> bool:
        """Create the folder and `run.toml`; false when another process was quicker."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.run_toml.touch(exist_ok=False)
        except FileExistsError:
            if self.path.is_dir():
                return False
            raise InputError(f"{self.path} is a file: choose a new folder") from None
        except NotADirectoryError as error:
            raise InputError(f"{self.path} cannot be a folder: a part of the path is a file") from error
        except OSError as error:
            if self.made:
                with suppress(OSError):
                    self.path.rmdir()
            raise write_error(self.path, error) from error
        return True


def new_key(name: str, settings: FitSettings) -> str:
    """Return the key of a run's events in its store: the run's name, and in a store for a team something unique."""
    return name if settings.store is None else f"{name}@{socket.gethostname()}-{secrets.token_hex(4)}"


def name_of(source: str) -> str:
    """Return what to call a run on a source: the file's or folder's name without endings and odd characters.

    >>> name_of("../data/adult.csv.gz"), name_of("digits"), name_of("my photos/")
    ('adult', 'digits', 'my-photos')
    """
    stem = re.sub(r"(\.(csv|tsv|txt|parquet|npz|gz|tar|zip))+$", "", Path(source).name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.")[:80] or "run"


def _intact(values: Mapping[str, Any]) -> bool:
    """Whether what `run.toml` says is what its digest was made of."""
    record = values.get("run")
    if not isinstance(record, dict):
        return False
    signed = {**values, "run": {name: each for name, each in record.items() if name != "digest"}}
    try:
        return record.get("digest") == digest_of(signed)
    except TypeError:  # a date: TOML has them, and no setting is one
        return False


def _holds_a_run(path: Path) -> bool:
    return (path / "run.toml").exists() or (path / "store.db").exists()


def _runs_nearby(path: Path) -> list[str]:
    """Run folders beside `path` or below `runs/` whose name is like it."""
    folders = {}
    for parent in (path.parent, RUNS):
        if parent.is_dir():
            folders.update({each.name: each for each in sorted(parent.iterdir()) if _holds_a_run(each)})
    return [str(folders[name]) for name in closest(path.name, folders)]
