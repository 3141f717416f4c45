"""Runs whose validation or test rows are too few, and causes that are not the labels' fault."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

import shoal
from shoal.core.events import Finding, FindingRaised
from shoal.diagnose import crowding, small_sample
from shoal.report.answer import sentence
from shoal.report.story import read as story_of


def test_one_validation_and_one_test_row_give_a_finite_score_that_is_called_what_it_is(tmp_path: Path) -> None:
    """Of nine rows one validates and one tests: R2 cannot be had from either, and no training is called diverged."""
    x = np.random.default_rng(0).normal(size=(9, 2))
    run = shoal.fit((x, x[:, 0] + 0.5), task="regression", budget="trials=4", epochs=2, out=str(tmp_path / "run"))
    found = {event.finding.code: event.finding for event in run.events if isinstance(event, FindingRaised)}
    assert "1 validation row with one target value" in found["SHL262"].sentence
    assert "1 test row with one target value" in found["SHL193"].sentence
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["test_interval"] is None and np.isfinite(summary["test"]) and np.isfinite(summary["validation"])
    said = sentence(story_of(run.events))
    assert "That is from 1 test row: it says next to nothing." in said and "(" not in said.split("predicts")[1]


def judged(crowded: str) -> Finding:
    return small_sample.judge(0.6, None, 300, 48, 0, 1.0, 0, 8, crowded)


def test_a_wild_column_is_blamed_before_labels_and_network() -> None:
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    labels = (x[:, 1] > 0).long()
    assert crowding.advice(x, labels, ["a", "b"], True) == ""
    spoiled = x.clone()
    spoiled[5, 1] = 1e4
    advice = crowding.advice(spoiled, labels, ["a", "b"], True)
    assert "Look at b first" in advice and "robust-clip" in advice
    assert judged(advice).fix == advice and "wider" in judged("").fix
    flags = torch.zeros(300, 1)
    flags[0] = 1  # a flag that is set once is no crowd
    assert crowding.advice(flags, labels, ["flag"], True) == ""
    target = torch.randn(300, 1)
    target[3] = 1e5
    assert "target first" in crowding.advice(x, target, ["a", "b"], False)
