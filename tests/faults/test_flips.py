"""Damaged files: refused by name, harmless, or computed again; never other numbers, and never a raw exception."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal import api
from shoal.core.errors import InputError, RunError
from shoal.core.events import EpochFinished, RunFinished, RunInterrupted
from shoal.core.settings import FitSettings
from shoal.store import checkpoint
from shoal.store.run_folder import RunFolder
from tests.faults.killing import told
from tests.recipe import planted

BLOBS = planted.blobs(90)


def settings(out: Path) -> FitSettings:
    return FitSettings(data="blobs", budget="trials=5", epochs=2, out=str(out))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "run"
    *_, last = api.stream(settings(out), BLOBS)
    assert isinstance(last, RunFinished)
    return out


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with pieces of its work beside it."""
    out, stop = tmp_path_factory.mktemp("stopped") / "run", threading.Event()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("EVERY_S", "LEAST_S", "SHARE"):
            patch.setattr(checkpoint, name, 0.0)
        epochs = 0
        for event in api.stream(settings(out), BLOBS, stop=stop):
            epochs += isinstance(event, EpochFinished)
            if epochs == 2:
                stop.set()
    assert isinstance(event, RunInterrupted)
    assert [*(out / "checkpoint").glob("*.safetensors")]
    return out


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


def test_a_damaged_run_is_refused_or_shows_what_the_sound_one_does(finished: Path, tmp_path: Path) -> None:
    assert try_flips(finished, tmp_path, 25, seed=1) > 0


@pytest.mark.slow
def test_many_damages_of_a_finished_run(finished: Path, tmp_path: Path) -> None:
    assert try_flips(finished, tmp_path, 250, seed=2) > 100


def go_on(stopped: Path, finished: Path, folder: Path, count: int, seed: int) -> None:
    """Damage pieces of a stopped run, and go on with it: it ends as the uninterrupted one."""
    draw = np.random.default_rng(seed)
    pieces = sorted(path.relative_to(stopped) for path in (stopped / "checkpoint").iterdir())
    model = (finished / "model/model.safetensors").read_bytes()
    for number in range(count):
        copy, done = damaged(stopped, folder / str(number) / "run", draw, pieces[number % len(pieces)])
        *_, last = api.go_on(copy, BLOBS)
        assert isinstance(last, RunFinished), done
        assert (copy / "model/model.safetensors").read_bytes() == model, done
        for one, other in zip(events(copy), events(finished), strict=True):
            assert one == other, done


def test_damaged_pieces_are_computed_again(stopped: Path, finished: Path, tmp_path: Path) -> None:
    go_on(stopped, finished, tmp_path, 4, seed=3)


@pytest.mark.slow
def test_many_damages_of_pieces(stopped: Path, finished: Path, tmp_path: Path) -> None:
    go_on(stopped, finished, tmp_path, 40, seed=4)


def test_settings_that_were_changed_do_not_go_on(stopped: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(stopped, tmp_path / "run")
    folder = RunFolder.open(copy)
    folder.run_toml.write_text(folder.run_toml.read_text().replace("trials=5", "trials=6"))
    with pytest.raises(InputError, match=r"run\.toml was changed or damaged since the run began"):
        list(api.go_on(copy, BLOBS))
