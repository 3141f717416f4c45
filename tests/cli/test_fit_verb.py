"""From the command line to a finished run and back, through the real program on real data."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris

from shoal.cli import run
from shoal.core.events import DecisionMade, RunFinished, RunInterrupted, RunStarted
from shoal.store.run_folder import RunFolder
from tests.cli.test_signals import default_signals
from tests.cli.test_usage import shoal

PROGRAM = [sys.executable, "-c", "from shoal.cli import main; main()"]
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
IRIS = load_iris()


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """One real run on a CSV of the iris data, whose target is named as people name it."""
    folder = tmp_path_factory.mktemp("work")
    with open(folder / "iris.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sepal length", "sepal width", "petal length", "petal width", "species"])
        for x, y in zip(IRIS.data, IRIS.target, strict=True):
            writer.writerow([*x, IRIS.target_names[y]])
    ended = subprocess.run(
        [*PROGRAM, "fit", "iris.csv", "--target", "species", "--budget", "trials=8", "--seed", "1", "--json"],
        capture_output=True,
        text=True,
        timeout=115,
        cwd=folder,
    )
    return folder, ended


def test_fit_prints_one_document_and_says_the_rest_on_standard_error(
    fitted: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    folder, ended = fitted
    assert ended.returncode == 0, ended.stderr
    summary = json.loads(ended.stdout)
    assert summary == json.loads((folder / "runs/iris/summary.json").read_text())
    assert summary["run"] == "iris" and summary["metric"] == "accuracy"
    assert summary["test"] > summary["baseline"] + 0.3
    assert {each["step"] for each in summary["decisions"]} >= set(range(1, 8))
    assert CONTROL.search(ended.stderr) is None
    lines = ended.stderr.splitlines()
    assert lines[0].startswith("iris.csv: 150 rows, 4 columns, 3 classes")
    assert [line[0] for line in lines if re.match(r"\d [A-Z]", line)][:7] == list("1234567")
    assert lines[-2:] == ["  shoal predict runs/iris new.csv", "  xdg-open runs/iris/report.html"]


def test_the_folder_of_a_run_holds_what_it_promises(fitted: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder = RunFolder.open(fitted[0] / "runs/iris")
    for path in (folder.run_toml, folder.store_db, folder.report_html, folder.summary_json):
        assert path.stat().st_size > 0
    assert sorted(each.name for each in folder.model.iterdir()) == ["model.json", "model.safetensors"]
    events = folder.read_events()
    assert isinstance(events[-1], RunFinished)
    decided = [each.decision.model_dump(mode="json") for each in events if isinstance(each, DecisionMade)]
    assert decided == json.loads(fitted[1].stdout)["decisions"]
    settings = folder.read_settings()
    assert (settings.target, settings.budget, settings.seed) == ("species", "trials=8", 1)


def test_predict_gives_one_line_for_each_row(
    fitted: tuple[Path, subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder, _ = fitted
    (folder / "new.csv").write_text(
        "sepal length,sepal width,petal length,petal width\n5.1,3.5,1.4,0.2\n6.7,3.0,,2.3\n5.9,3.0,5.1,1.8\n"
    )
    ended = shoal("predict", "runs/iris", "new.csv", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    rows = list(csv.DictReader(io.StringIO(ended.stdout)))
    assert [row["row"] for row in rows] == ["0", "1", "2"]
    assert rows[0]["prediction"] == "setosa"
    for row in rows:
        probabilities = {name: float(value) for name, value in row.items() if name not in ("row", "prediction")}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert all(len(text) <= 11 for name, text in row.items() if name != "prediction")  # 1.23456e-05
        assert max(probabilities, key=lambda name: probabilities[name]).endswith(row["prediction"])
    assert "petal length" in ended.stderr  # the missing cell is counted, not silent

    monkeypatch.chdir(folder)
    assert run(["predict", "runs/iris", "new.csv", "--json"]) == 0
    document = json.loads(capfd.readouterr().out)
    assert [row[1] for row in document["rows"]] == [row["prediction"] for row in rows]
    assert document["findings"]

    assert run(["predict", "runs/iris", "new.csv", "--out", "answers.csv"]) == 0
    assert capfd.readouterr().out == ""
    assert list(csv.DictReader((folder / "answers.csv").open())) == rows


def test_evaluate_scores_labelled_rows(
    fitted: tuple[Path, subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder, _ = fitted
    monkeypatch.chdir(folder)
    assert run(["evaluate", "runs/iris", "iris.csv", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert run(["predict", "runs/iris", "iris.csv", "--json"]) == 0
    predicted = [row[1] for row in json.loads(capfd.readouterr().out)["rows"]]
    share = np.mean([answer == IRIS.target_names[y] for answer, y in zip(predicted, IRIS.target, strict=True)])
    assert found["rows"] == 150
    assert found["score"] == pytest.approx(share)
    assert found["interval"][0] <= found["score"] <= found["interval"][1]
    assert run(["evaluate", "runs/iris", "iris.csv"]) == 0
    assert re.fullmatch(r"accuracy [\d.]+ % \([\d.]+-[\d.]+\) on 150 rows\n", capfd.readouterr().out)
    (folder / "unlabelled.csv").write_text("sepal length,sepal width,petal length,petal width\n5.1,3.5,1.4,0.2\n")
    assert run(["evaluate", "runs/iris", "unlabelled.csv"]) == 2
    assert "species" in capfd.readouterr().err


def test_a_folder_that_holds_a_run_is_not_overwritten(
    fitted: tuple[Path, subprocess.CompletedProcess[str]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder, _ = fitted
    monkeypatch.chdir(folder)
    before = (folder / "runs/iris/summary.json").read_bytes()
    assert run(["fit", "iris.csv", "--target", "species", "--out", "runs/iris"]) == 2
    assert "already holds a run" in capfd.readouterr().err
    assert (folder / "runs/iris/summary.json").read_bytes() == before


ROWS = [f"{k % 7},{k % 3},{'ab'[k % 2]}" for k in range(60)]


@pytest.mark.parametrize(
    ("name", "content", "arguments", "words"),
    [
        ("data.csv", None, [], ["data.csv"]),
        ("data.csv", b"", [], ["data.csv", "empty"]),
        ("data.csv", "\n".join(["x,z,label", *ROWS]).encode(), ["--target", "labl"], ["labl", "label"]),
        ("data.csv", "\n".join(["x,z,label", *[row[:-1] + "a" for row in ROWS]]).encode(), [], ["label", "one"]),
        ("data.csv", "\n".join(["x,z,label", *ROWS[:9], "1,2", *ROWS[9:]]).encode(), [], ["data.csv", "11"]),
        ("data.csv", "\n".join(["x,z,label", *(row.rpartition(",")[0] + "," for row in ROWS)]).encode(), [], ["label"]),
        ("data.csv", "\n".join(["x,z,label", *ROWS]).encode(), ["--budget", "5x"], ["5x", "trials=200"]),
    ],
    ids=["no file", "empty", "no such target", "one class", "ragged row", "target missing", "budget"],
)
def test_bad_input_is_one_sentence_and_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    arguments: list[str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    target = [] if "--target" in arguments else ["--target", "label"]
    assert run(["fit", name, *target, *arguments]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 1 and said.err.startswith("shoal: ")
    for word in words:
        assert word in said.err
    assert not (tmp_path / "runs").exists()


def in_terminal(
    arguments: list[str], folder: Path, react: Callable[[str, int], None], limit_s: float = 250
) -> tuple[int, str]:
    """Run the program on a terminal of its own; `react` sees all text so far and may type. Exit code and text."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        default_signals()
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
        os.execv(PROGRAM[0], [*PROGRAM, *arguments])
    text, end = "", time.monotonic() + limit_s
    try:
        while time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    data = os.read(terminal, 65536)
                except OSError:  # the program has ended
                    break
                if not data:
                    break
                text += data.decode(errors="replace")
            react(text, terminal)
        else:
            os.kill(child, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text
    finally:
        os.close(terminal)


def test_ctrl_c_keeps_what_was_trained_and_report_works_on_it(tmp_path: Path) -> None:
    typed = False

    def press_once(text: str, terminal: int) -> None:
        nonlocal typed
        if not typed and "networks, epoch" in text:  # in the middle of the search
            typed = os.write(terminal, b"\x03") > 0

    line = ["fit", "digits", "--augment", "none", "--budget", "trials=120"]
    code, text = in_terminal(line, tmp_path, press_once)
    assert typed, text
    assert code == 130
    assert "Stopping after the current epoch" in text and "The run is in runs/digits." in text
    assert "Traceback" not in text
    assert text.rfind("\x1b[?25h") > text.rfind("\x1b[?25l")  # the cursor is shown again

    events = RunFolder.open(tmp_path / "runs/digits").read_events()
    assert isinstance(events[-1], RunInterrupted)
    assert any(each.kind == "epoch_finished" for each in events)
    (tmp_path / "runs/digits/report.html").unlink(missing_ok=True)
    ended = shoal("report", "runs/digits", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "stopped" in (tmp_path / "runs/digits/report.html").read_text(encoding="utf-8").lower()
    ended = shoal("predict", "runs/digits", "digits", cwd=tmp_path)
    assert ended.returncode == 0 and len(ended.stdout.splitlines()) == 1 + 1797, ended.stderr  # the best so far


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    typed: list[float] = []

    def press_twice(text: str, terminal: int) -> None:
        if (not typed and "Initial loss" in text) or (len(typed) == 1 and "Stopping after" in text):
            typed.append(time.monotonic())
            os.write(terminal, b"\x03")

    code, text = in_terminal(["fit", "digits", "--budget", "trials=120"], tmp_path, press_twice)
    assert code == 130
    assert len(typed) == 1 or time.monotonic() - typed[1] < 5
    assert "Traceback" not in text
    RunFolder.open(tmp_path / "runs/digits").read_events()


@pytest.mark.slow
def test_the_printed_command_and_the_run_s_file_give_its_numbers_again(
    fitted: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    """Of the command, its words; of the file, its settings and plans: all that differs are names and seconds."""
    folder, ended = fitted
    (begun,) = (event for event in RunFolder(folder / "runs/iris").read_events() if isinstance(event, RunStarted))
    first = json.loads(ended.stdout)
    for words in (shlex.split(begun.command)[1:], ["fit", "--config", "runs/iris/run.toml"]):
        again = subprocess.run(
            [*PROGRAM, *words, "--json"], capture_output=True, text=True, timeout=300, cwd=folder, check=True
        )
        other = json.loads(again.stdout)
        own = {name for name in first if first[name] != other[name]}
        assert first.keys() == other.keys() and own <= {"run", "seconds", "model", "report"}
        assert other["run"] != first["run"]
