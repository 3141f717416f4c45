"""`shoal.study` and `shoal.doctor`: the same as on the command line, and without a folder where none is asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import shoal
from shoal.core.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")


def rows(seed: int = 0) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(160, 3)) * [1, 20, 300]
    return x, np.where(x[:, 0] + 0.3 * rng.normal(size=160) > 0, "up", "down")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_study_of_arrays_leaves_nothing_behind_unless_it_is_asked_to(here: Path) -> None:
    found = shoal.study("preparation", rows(), replicates=2, epochs=1, seed=3)
    assert found.folder is None and not list(here.iterdir())
    assert found.study.seed == 3 and found.document["answer"] == found.study.answer
    kept = shoal.study("preparation", rows(), replicates=2, epochs=1, seed=3, device="cpu", out=here / "kept")
    assert kept.folder == here / "kept"
    document = json.loads((here / "kept/study.json").read_text())
    assert document["decisions"] == found.document["decisions"]  # the same numbers
    assert (here / "kept/report.html").stat().st_size > 10_000
    assert "shoal study preparation" in document["command"] and "--seed 3" in document["command"]
    assert "device" not in document["command"]  # the command has no such option


def test_a_network_of_ones_own_is_studied(here: Path) -> None:
    def dead() -> nn.Module:
        return nn.Sequential(nn.Linear(3, 4), nn.Sigmoid(), nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 2))

    found = shoal.study("initialization", rows(), model=dead, replicates=2)
    assert any("the given model" in section.answer for section in found.study.sections)
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("preparations", {}, "there is no study `preparations`; did you mean `preparation`"),
        ("preparation", {"replicates": 1}, "replicates cannot be 1: it should be greater than or equal to 2"),
        ("preparation", {"targt": "y"}, "there is no option `targt`; did you mean `target`"),
        ("convolution", {}, "is a table, whose columns have no neighbours"),
    ],
)
def test_what_cannot_be_studied_is_one_sentence_and_no_folder(
    name: str, given: dict[str, Any], said: str, here: Path
) -> None:
    with pytest.raises(InputError, match=said):
        shoal.study(name, rows(), out="kept", **given)
    assert not list(here.iterdir())


def test_doctor_says_what_is_well_and_what_is_not(here: Path) -> None:
    well = shoal.doctor(rows())
    assert well.healthy and not well.ill
    assert {decision.step for decision in well.decisions} == {1, 2, 3}
    x, y = rows()
    contradicting = np.concatenate([x[:40], x[:40]]), np.concatenate([y[:40], np.where(y[:40] == "up", "down", "up")])
    ill = shoal.doctor(contradicting)
    assert not ill.healthy and "SHL111" in [finding.code for finding in ill.ill]
    assert "SHL111" not in [finding.code for finding in shoal.doctor(contradicting, ignore=["SHL111"]).findings]
    assert not list(here.iterdir())


def test_doctor_looks_at_ones_own_network(here: Path) -> None:
    class Idle(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 2)
            self.spare = nn.Parameter(self.weight.detach().clone())

    found = [finding for finding in shoal.doctor(rows(), model=Idle).findings if finding.code == "SHL106"]
    assert len(found) == 1 and "spare" in found[0].sentence
