"""Killed at any moment and resumed, a run ends with every number of the uninterrupted one (law 8)."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import tomlkit

from shoal.core.digest import digest_of
from shoal.core.events import EpochFinished, RunFinished
from shoal.store.events_store import EventStore
from shoal.store.run_folder import RunFolder
from tests.faults.killing import (
    AUGMENTED,
    FIT,
    IN_PROCESSES,
    KILLED,
    RESUME,
    said,
    same,
    shoal,
    told,
    write_bars,
    write_wine,
    writes,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nobody interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    write_wine(folder)
    assert shoal(FIT, folder) == 0, said(folder)
    assert not (folder / "run/checkpoint").exists()  # nothing is left of it
    return folder


@pytest.fixture(scope="module")
def whole_in_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, trained by worker processes."""
    folder = tmp_path_factory.mktemp("processes")
    write_wine(folder)
    assert shoal(IN_PROCESSES, folder) == 0, said(folder)
    return folder


def killed_and_resumed(folder: Path, kills: Sequence[int | str], fit: list[str] = FIT) -> None:
    """Fit and resume, killed each time at the given write, then to the end."""
    write_wine(folder)
    command = fit
    for moment in kills:
        code = shoal(command, folder, moment)
        if code == 0:
            return
        assert code == KILLED, said(folder)
        command = RESUME if (folder / "run/run.toml").stat().st_size else fit
        if command is fit:  # killed before the settings were written: there is nothing to resume, and it says so
            assert shoal(RESUME, folder) == 2
            assert "remove the folder and fit again" in said(folder)
            shutil.rmtree(folder / "run")
    assert shoal(command, folder) == 0, said(folder)


@pytest.mark.timeout(300)
def test_killed_in_the_middle_of_the_search_and_resumed_equals_uninterrupted(whole: Path, tmp_path: Path) -> None:
    killed_and_resumed(tmp_path, ["coarse@done.networks.safetensors", "refine-1@00003.safetensors"])
    assert same(tmp_path / "run", whole / "run")
    assert said(tmp_path).count("Resumed after") == 2
    assert not (tmp_path / "run/checkpoint").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_while_augmentations_are_judged_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    for name, kills in (("whole", []), ("killed", ["augment-hflip@done.safetensors", "coarse@00001.safetensors"])):
        folder = tmp_path / name
        folder.mkdir()
        write_bars(folder)
        for command, kill in zip([AUGMENTED, RESUME, RESUME][: len(kills) + 1], [*kills, None], strict=True):
            assert shoal(command, folder, kill) == (0 if kill is None else KILLED), said(folder)
    codes = [line for line in told(tmp_path / "killed/run") if "SHL403" in line or "SHL144" in line]
    assert any("vflip" in line for line in codes)
    assert same(tmp_path / "killed/run", tmp_path / "whole/run")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again_at_any_moment(whole: Path, tmp_path: Path, seed: int) -> None:
    """The moments lie before and after every event and every renamed file, those of the checkpoints too."""
    draw = random.Random(seed)
    count = writes(whole)
    killed_and_resumed(tmp_path, [draw.randrange(1, count), *(draw.randrange(1, count // 2) for _ in range(2))])
    assert same(tmp_path / "run", whole / "run")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(4))
def test_killed_again_and_again_while_processes_train(whole_in_processes: Path, tmp_path: Path, seed: int) -> None:
    """The first kill falls somewhere in the run, the next four within what is left of its first half."""
    draw = random.Random(seed)
    count = writes(whole_in_processes)
    moments = [draw.randrange(1, count), *(draw.randrange(1, count // 3) for _ in range(4))]
    killed_and_resumed(tmp_path, moments, IN_PROCESSES)
    assert same(tmp_path / "run", whole_in_processes / "run")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_processes_and_threads_train_the_same_networks(whole: Path, whole_in_processes: Path) -> None:
    """To float32 rounding over a few steps: what the coarse search saw of each network in its first epoch."""

    def first(folder: Path) -> EpochFinished:
        events = RunFolder.open(folder / "run").read_events()
        return next(e for e in events if isinstance(e, EpochFinished) and e.population == "coarse")

    here, there = first(whole), first(whole_in_processes)
    assert here.members == there.members and len(here.members) >= 3
    assert here.train_loss == pytest.approx(there.train_loss, rel=1e-4)
    assert here.validation_loss == pytest.approx(there.validation_loss, rel=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("back", [1, 3, 5, 7])
def test_killed_while_the_run_is_closed(whole: Path, tmp_path: Path, back: int) -> None:
    killed_and_resumed(tmp_path, [writes(whole) - back])
    assert same(tmp_path / "run", whole / "run")
    assert (tmp_path / "run/report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_program_killed_from_outside_while_it_writes_a_checkpoint(whole: Path, tmp_path: Path) -> None:
    """`kill -9` as soon as a file of the checkpoint is seen, finished or not."""
    write_wine(tmp_path)
    program = (
        "import torch; torch.set_num_threads(1); from shoal.store import checkpoint as c; "
        "c.EVERY_S = c.LEAST_S = c.SHARE = 0.0; from shoal.cli import main; main()"
    )
    for command, seen in ((FIT, "sweep-*"), (RESUME, "coarse@0*"), (RESUME, ".refine*.tmp"), (RESUME, None)):
        with subprocess.Popen(
            [sys.executable, "-c", program, *command], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as process:
            while seen and process.poll() is None:
                if next((tmp_path / "run/checkpoint").glob(seen), None) is not None:
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.0005)
            complained = process.communicate(timeout=200)[1].decode()
        assert process.returncode in (0, KILLED), complained
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert same(tmp_path / "run", whole / "run")


# --- what was damaged, changed or taken meanwhile ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run killed in a refined round, with everything that was kept until then."""
    folder = tmp_path_factory.mktemp("cut")
    write_wine(folder)
    assert shoal(FIT, folder, "refine-1@00003.safetensors") == KILLED
    return folder


@pytest.fixture
def copy(cut: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    shutil.copytree(cut, folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_torn_files_are_noticed_and_cost_no_number(copy: Path, whole: Path) -> None:
    checkpoint = copy / "run/checkpoint"
    states = sorted(path for path in checkpoint.iterdir() if "networks" not in path.name)
    underway = [path for path in states if "done" not in path.name]
    assert len(underway) >= 2, states  # the newest and the one before; killed before an older one was removed
    underway[-1].write_bytes(underway[-1].read_bytes()[:-7])
    coarse = checkpoint / "coarse@done.networks.safetensors"
    coarse.write_bytes(bytes(coarse.stat().st_size))
    (checkpoint / "sweep-1e-05-to-1@done.safetensors").write_bytes(b"")
    (checkpoint / ".coarse@00009.safetensors.0a1b2c.tmp").write_bytes(b"half of ")
    assert shoal(RESUME, copy) == 0, said(copy)
    notices = [line for line in said(copy).splitlines() if "damaged" in line]
    assert len(notices) == 3
    assert all(name in " ".join(notices) for name in ("sweep", "coarse@done", underway[-1].name))
    lines = [line for line in told(copy / "run") if '"kind": "notice"' not in line]
    assert lines == told(whole / "run")
    assert (copy / "run/model/model.safetensors").read_bytes() == (whole / "run/model/model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_without_any_checkpoint_the_record_alone_is_enough(copy: Path, whole: Path) -> None:
    shutil.rmtree(copy / "run/checkpoint")
    assert shoal(RESUME, copy) == 0, said(copy)
    assert same(copy / "run", whole / "run")


def test_other_rows_are_refused(copy: Path) -> None:
    text = (copy / "wine.csv").read_text()
    (copy / "wine.csv").write_text(text.replace("14.23,", "14.24,", 1))
    before = told(copy / "run")
    assert shoal(RESUME, copy) == 2
    assert said(copy).splitlines()[-1].startswith("shoal: wine.csv has changed since run began")
    assert told(copy / "run") == before


def test_a_damaged_record_is_one_sentence(copy: Path) -> None:
    store = copy / "run/store.db"
    EventStore(store).close()  # folds what the killed process had written beside it into the file
    content = bytearray(store.read_bytes())
    content[4096:-4096] = b"\xa5" * (len(content) - 8192)
    for damaged in (bytes(content), b"no database at all" * 500):
        store.write_bytes(damaged)
        assert shoal(RESUME, copy) == 2
        last = said(copy).splitlines()[-1]
        assert last.startswith(("shoal: the store run/store.db cannot be", "shoal: the store run/store.db is damaged"))
        assert "Traceback" not in said(copy)


def test_where_a_killed_run_was_can_be_seen_and_a_finished_one_is_nowhere(copy: Path, whole: Path) -> None:
    with EventStore(copy / "run/store.db", read_only=True) as store:
        seen = store.progress("run")
        assert seen is not None and seen.step == 5 and "networks" in seen.doing
        assert store.tail("run").last > 10
    with EventStore(whole / "run/store.db", read_only=True) as store:
        assert store.progress("run") is None


def test_a_second_process_is_refused_and_a_dead_one_is_not_in_the_way(copy: Path) -> None:
    with RunFolder(copy / "run").alone():
        assert shoal(RESUME, copy) == 2
        assert "run is being worked on by another process" in said(copy).splitlines()[-1]
    with RunFolder(copy / "run").alone():
        pass
    assert shoal(RESUME, copy, 4) == KILLED  # whoever held it is gone, and so is its lock
    with RunFolder(copy / "run").alone():
        pass


def test_a_finished_run_says_so_and_is_left_as_it_is(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    before = told(folder / "run", also_resumed=True)
    (folder / "run/report.html").unlink()  # as if killed before it was drawn
    assert shoal(RESUME, folder) == 0
    assert "The run run is finished: there is nothing to go on with." in said(folder)
    assert told(folder / "run", also_resumed=True) == before
    assert same(folder / "run", whole / "run")
    assert (folder / "run/report.html").stat().st_size > 10_000


def signed(run_toml: Path, text: str) -> None:
    """Write a record as the run itself would have signed it."""
    document = tomlkit.parse(text)
    document["run"].pop("digest")  # type: ignore[union-attr]
    document["run"]["digest"] = digest_of(document.unwrap())  # type: ignore[index]
    run_toml.write_text(tomlkit.dumps(document))


@pytest.mark.slow
def test_a_run_from_elsewhere_goes_on_with_a_notice(copy: Path) -> None:
    path = copy / "run/run.toml"
    signed(path, path.read_text().replace('torch = "', 'torch = "1.'))
    assert shoal(RESUME, copy) == 0, said(copy)
    assert "The last digits of what is computed from here on may differ: torch 1." in said(copy)


@pytest.mark.slow
def test_a_run_is_resumed_from_any_folder(copy: Path, whole: Path, tmp_path: Path) -> None:
    path = copy / "run/run.toml"
    began = next(line for line in path.read_text().splitlines() if line.startswith("began_in"))
    signed(path, path.read_text().replace(began, f'began_in = "{copy}"'))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert shoal(["resume", str(copy / "run")], elsewhere) == 0, said(elsewhere)
    assert told(copy / "run")[:-1] == told(whole / "run")[:-1]  # the last one names the folder
    events = RunFolder.open(copy / "run").read_events()
    assert isinstance(events[-1], RunFinished) and any(isinstance(each, EpochFinished) for each in events)
