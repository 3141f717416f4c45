"""Damaged files: refused by name, harmless, or computed again; never other numbers, and never a raw exception."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal import api
from shoal.core.errors import InputError, RunError
from shoal.core.events import RunFinished
from shoal.store.run_folder import RunFolder
from tests.faults import planted_runs
from tests.faults.killing import told
from tests.faults.planted_runs import BLOBS, settings


def damaged(run: Path, to: Path, draw: np.random.Generator, file: Path | None = None) -> tuple[Path, str]:
    """A copy of a run in which a byte of one file is another, or the file is cut; and what was done."""
    shutil.copytree(run, to)
    files = sorted(path for path in to.rglob("*") if path.is_file() and path.stat().st_size and path.name != ".lock")
    path = files[int(draw.integers(len(files)))] if file is None else to / file
    content = bytearray(path.read_bytes())
    place = int(draw.integers(len(content)))
    if draw.random() < 0.15:
        del content[place:]
        done = f"{path.relative_to(to)} cut at {place}"
    else:
        content[place] ^= 1 << int(draw.integers(8))
        done = f"{path.relative_to(to)}, byte {place}"
    path.write_bytes(bytes(content))
    return to, done


def answers(run: Path) -> Any:
    return api.load(run).model.predict_proba(BLOBS[0]).tolist()


def scores(run: Path) -> Any:
    found = api.evaluate(run, BLOBS)
    return found["score"], found["scores"], found["interval"]


def events(run: Path) -> Any:
    return [line.replace(str(run), "RUN") for line in told(run) if '"kind": "notice"' not in line]


def told_again(run: Path) -> Any:
    return [event.kind for event in api.go_on(run, BLOBS)], events(run)


LOOKS: list[Callable[[Path], Any]] = [answers, scores, events, told_again]


def try_flips(run: Path, folder: Path, count: int, seed: int) -> int:
    """Damage copies of a finished run and look at them in every way; how many looks were refused."""
    sound = [look(shutil.copytree(run, folder / f"sound{number}")) for number, look in enumerate(LOOKS)]
    draw, refused = np.random.default_rng(seed), 0
    for number in range(count):
        copy, done = damaged(run, folder / str(number), draw)
        before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.name != ".lock"}
        for look, expected in zip(LOOKS, sound, strict=True):
            try:
                assert look(copy) == expected, (done, look.__name__)
            except (InputError, RunError) as error:
                assert "\n" not in str(error), done
                refused += 1
            if look is not told_again:
                now = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.name != ".lock"}
                assert now == before, (done, look.__name__)
        shutil.rmtree(copy)
    return refused


def test_a_damaged_run_is_refused_or_shows_what_the_sound_one_does(whole: Path, tmp_path: Path) -> None:
    assert try_flips(whole, tmp_path, 25, seed=1) > 0


@pytest.mark.slow
def test_many_damages_of_a_finished_run(whole: Path, tmp_path: Path) -> None:
    assert try_flips(whole, tmp_path, 250, seed=2) > 100


def without_last(count: int) -> Callable[[Path], None]:
    """The last rows of the table are gone, and the database is sound."""

    def damage(run: Path) -> None:
        connection = sqlite3.connect(run / "store.db")
        connection.execute(f"DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq DESC LIMIT {count})")
        connection.commit()
        connection.close()

    return damage


def cut_to(share: float) -> Callable[[Path], None]:
    """The end of the file is gone, by whole pages."""

    def damage(run: Path) -> None:
        content = (run / "store.db").read_bytes()
        (run / "store.db").write_bytes(content[: int(share * len(content)) // 4096 * 4096])

    return damage


def index_torn(run: Path) -> None:
    """The index leads past the last event, as after a page of it was not written."""
    connection = sqlite3.connect(run / "store.db")
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_master SET sql = replace(sql, 'run, seq)', 'run, time_s)') WHERE type = 'index'")
    connection.commit()
    connection.close()


def store_of_another(run: Path) -> None:
    """A run of the same name told this store."""
    other = planted_runs.finished(run.parent / "other" / run.name, "trials=5")
    shutil.copy(other / "store.db", run / "store.db")


LOSSES: dict[str, Callable[[Path], None]] = {
    "the last event": without_last(1),
    "the last three events": without_last(3),
    "all events": without_last(10_000),
    "the last page": cut_to(0.99),
    "half of the file": cut_to(0.5),
    "the index": index_torn,
    "another run's events": store_of_another,
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_finished_run_that_lost_events_is_refused_and_its_model_answers(
    whole: Path, tmp_path: Path, loss: str
) -> None:
    copy = shutil.copytree(whole, tmp_path / whole.name)
    LOSSES[loss](copy)
    files = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.name != ".lock"}
    for look in (lambda: api.load(copy).report(), lambda: api.load(copy).summary, lambda: list(api.go_on(copy, BLOBS))):
        with pytest.raises(InputError, match=r"(damaged|lost the end|other events) .*restore it from a copy"):
            look()
    assert answers(copy) == answers(whole) and scores(copy) == scores(whole)
    assert files == {path: path.read_bytes() for path in files}


def test_a_log_that_is_lost_costs_nothing_and_one_that_is_cut_is_noticed(tmp_path: Path) -> None:
    """A process that is killed after the last event leaves the log, of which all is in the file by then; what a log
    holds goes before what the file holds."""
    events = api.stream(settings(tmp_path / "run"), BLOBS)
    assert any(isinstance(event, RunFinished) for event in events)
    lost, cut = (shutil.copytree(tmp_path / "run", tmp_path / name / "run") for name in ("lost", "cut"))
    events.close()
    for copy, kept in ((lost, 0), (cut, 50_000)):
        (copy / "store.db-shm").unlink()
        log = (copy / "store.db-wal").read_bytes()
        assert len(log) > 50_000
        (copy / "store.db-wal").write_bytes(log[:kept])
    assert isinstance(api.load(lost).events[-1], RunFinished)
    with pytest.raises(InputError, match=r"(damaged|lost the end) .*restore it from a copy"):
        api.load(cut).report()


def test_a_run_that_was_killed_and_lost_events_goes_on_as_the_whole_one(
    stopped: Path, whole: Path, tmp_path: Path
) -> None:
    for number, count in enumerate((2, 12)):
        copy = shutil.copytree(stopped, tmp_path / str(number) / "run")
        without_last(count)(copy)
        assert api.load(copy).report()
        *_, last = api.go_on(copy, BLOBS)
        assert isinstance(last, RunFinished) and events(copy) == events(whole)


def go_on(stopped: Path, whole: Path, folder: Path, count: int, seed: int) -> None:
    """Damage pieces of a stopped run, and go on with it: it ends as the uninterrupted one."""
    draw = np.random.default_rng(seed)
    pieces = sorted(path.relative_to(stopped) for path in (stopped / "checkpoint").iterdir())
    model = (whole / "model/model.safetensors").read_bytes()
    for number in range(count):
        copy, done = damaged(stopped, folder / str(number) / "run", draw, pieces[number % len(pieces)])
        *_, last = api.go_on(copy, BLOBS)
        assert isinstance(last, RunFinished), done
        assert (copy / "model/model.safetensors").read_bytes() == model, done
        for one, other in zip(events(copy), events(whole), strict=True):
            assert one == other, done


def test_damaged_pieces_are_computed_again(stopped: Path, whole: Path, tmp_path: Path) -> None:
    go_on(stopped, whole, tmp_path, 4, seed=3)


@pytest.mark.slow
def test_many_damages_of_pieces(stopped: Path, whole: Path, tmp_path: Path) -> None:
    go_on(stopped, whole, tmp_path, 40, seed=4)


def test_settings_that_were_changed_do_not_go_on(stopped: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(stopped, tmp_path / "run")
    folder = RunFolder.open(copy)
    folder.run_toml.write_text(folder.run_toml.read_text().replace("trials=6", "trials=7"))
    with pytest.raises(InputError, match=r"run\.toml was changed or damaged since the run began"):
        list(api.go_on(copy, BLOBS))
