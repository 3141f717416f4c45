"""`shoal doctor`: a planted fault in data or network ends with 1, a sound one with 0; once through the real program."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from shoal.cli import run
from tests.cli.test_study_verb import shoal

NETS = """
from torch import nn

def sound():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

def faint():
    layers = [each for _ in range(6) for each in (nn.Linear(64, 64), nn.Tanh())]
    net = nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, 10))
    for layer in layers[::2]:
        nn.init.normal_(layer.weight, std=0.01)
    return net

def sure():
    net = sound()
    nn.init.normal_(net[-1].weight, std=5.0)
    return net
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


def test_a_sound_network_is_healthy_and_leaves_nothing_behind(folder: Path) -> None:
    ended = shoal("doctor", "digits", "--model", "nets:sound", "--json", cwd=folder)
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    assert document["healthy"] and [step["step"] for step in document["steps"]] == [1, 2, 3]
    assert "SHL130" in [decision["code"] for decision in document["decisions"]]
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(("net", "code"), [("faint", "SHL131"), ("sure", "SHL101")])
def test_a_planted_fault_ends_with_1_and_can_be_ignored(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], net: str, code: str
) -> None:
    monkeypatch.chdir(folder)
    assert run(["doctor", "digits", "--model", f"nets:{net}", "--json"]) == 1
    document = json.loads(capfd.readouterr().out)
    found = {finding["code"]: finding for finding in document["findings"] if finding["unhealthy"]}
    assert not document["healthy"] and code in found and found[code]["fix"]
    ignored = [word for each in found for word in ("--ignore", each)]
    assert run(["doctor", "digits", "--model", f"nets:{net}", *ignored]) == 0
    said = capfd.readouterr().out
    assert "are healthy" in said and code not in said


def test_contradicting_rows_are_unhealthy(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each input twice, with two answers: no network can learn that by heart."""
    x = np.repeat(np.random.default_rng(0).normal(size=(60, 5)), 2, axis=0)
    np.savez(folder / "torn.npz", X=x, y=np.arange(120) % 2)
    monkeypatch.chdir(folder)
    assert run(["doctor", "torn.npz", "--kind", "table"]) == 1
    said = capfd.readouterr().out
    assert "not healthy" in said and "SHL11" in said


def test_bad_usage_is_2(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    for arguments, words in ((["none.csv"], "none.csv"), (["digits", "--ignore", "x"], "SHL101")):
        assert run(["doctor", *arguments]) == 2
        said = capfd.readouterr().err
        assert words in said and "Traceback" not in said
