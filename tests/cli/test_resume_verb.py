"""`shoal resume` through the real program."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from shoal.store.run_folder import RunFolder
from tests.cli.test_signals import ended_by
from tests.cli.test_usage import shoal


def test_help_says_what_it_does() -> None:
    assert "resume" in shoal("--help").stdout
    said = shoal("resume", "--help").stdout
    assert "Go on with a run that was stopped or killed" in " ".join(said.split())
    assert "RUN" in said and "--json" in said


def test_what_cannot_be_resumed_is_one_sentence_and_2(tmp_path: Path) -> None:
    (tmp_path / "runs/digits").mkdir(parents=True)
    (tmp_path / "runs/digits/run.toml").touch()
    for run, words in (("runs/digit", "did you mean runs/digits?"), ("runs/digits", "remove the folder and fit again")):
        ended = shoal("resume", run, "--json", cwd=tmp_path)
        assert ended.returncode == 2
        assert words in json.loads(ended.stdout)["error"]
        assert len(ended.stderr.splitlines()) == 1 and "Traceback" not in ended.stderr


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_interrupted_fit_names_the_command_that_goes_on_and_it_does(tmp_path: Path) -> None:
    fit = ("fit", "iris", "--budget", "trials=12", "--epochs", "3", "--out", "my run")

    def begun(folder: Path) -> bool:
        written = folder / "my run/store.db-wal"
        return written.exists() and written.stat().st_size > 40_000  # some events

    code, said, complained = ended_by(signal.SIGINT, begun, tmp_path, *fit)
    assert code == 130, complained
    assert "  shoal resume 'my run'\n" in said
    ended = shoal("resume", "my run", "--json", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert summary == json.loads((tmp_path / "my run/summary.json").read_text())
    assert ended.stderr.splitlines()[0].startswith("iris: 150 rows")
    assert "Resumed after" in ended.stderr and "shoal predict 'my run' new.csv" in ended.stderr
    kinds = [event.kind for event in RunFolder.open(tmp_path / "my run").read_events()]
    assert kinds.count("run_resumed") == 1 and "run_interrupted" not in kinds
    again = shoal("resume", "my run", "--json", cwd=tmp_path)
    assert again.returncode == 0 and json.loads(again.stdout) == summary
    assert "is finished: there is nothing to go on with" in again.stderr
