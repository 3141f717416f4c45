"""Ctrl-C, `kill` and a closed terminal, sent to the real program."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shoal.core.events import RunInterrupted
from shoal.store.run_folder import RunFolder

PROGRAM = [sys.executable, "-c", "import shoal.cli.app; open('begun', 'w'); from shoal.cli import main; main()"]
FIT = ["fit", "digits", "--budget", "trials=300", "--out", "run"]


def default_signals() -> None:
    """As in a terminal: whoever runs the tests may ignore signals (`nohup`, a shell's `&`), which children inherit."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def ended_by(
    number: signal.Signals, when: Callable[[Path], bool], folder: Path, *arguments: str, before: tuple[str, ...] = ()
) -> tuple[int, str, str]:
    """Send a signal as soon as `when` says so. Exit code, standard output and standard error."""
    command = [*before, *PROGRAM, *(arguments or FIT)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, text=True, preexec_fn=default_signals, **pipes) as program:
        try:
            end = time.monotonic() + 60
            while not when(folder) and time.monotonic() < end and program.poll() is None:
                time.sleep(0.05)
            program.send_signal(number)
            said, complained = program.communicate(timeout=100)
        finally:
            program.kill()
        return program.returncode, said, complained


def trains(folder: Path) -> bool:
    """The first event is stored."""
    store = folder / "run/store.db-wal"
    return store.exists() and store.stat().st_size > 40_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_kill_and_a_closed_terminal_keep_what_was_trained(tmp_path: Path, number: signal.Signals) -> None:
    code, said, complained = ended_by(number, trains, tmp_path)
    assert code == 130, complained
    assert "Stopping after the current epoch" in complained
    assert "The run is in run." in said
    assert isinstance(RunFolder.open(tmp_path / "run").read_events()[-1], RunInterrupted)
    assert (tmp_path / "run/report.html").stat().st_size > 10_000


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0.3, 1.2])
def test_a_signal_while_the_program_loads_says_what_happened(
    tmp_path: Path, number: signal.Signals, after_s: float
) -> None:
    def loads(folder: Path) -> bool:
        return (folder / "begun").exists() and not time.sleep(after_s)

    code, said, complained = ended_by(number, loads, tmp_path, *FIT, "--json")
    assert code == 130
    assert complained.splitlines()[-1].startswith("shoal: interrupted"), complained
    assert "Traceback" not in complained
    assert json.loads(said)["exit_code"] == 130


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    code, said, complained = ended_by(
        signal.SIGHUP, trains, tmp_path, "fit", "iris", "--budget", "trials=4", "--out", "run", before=("nohup",)
    )
    assert code == 0, complained
    assert "interrupted" not in said and "Stopping" not in complained
