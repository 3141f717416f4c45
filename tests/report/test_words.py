"""What the sentences and numbers of the page claim, against the events: one number for one thing, signs kept."""

from __future__ import annotations

from typing import Any

import pytest

from shoal.core import events as ev
from shoal.report import advice, answer, chapters, exhibits, story
from shoal.report.formats import MINUS
from tests.report import streams


def changed(events: list[ev.Event], kind: type[Any], **update: Any) -> list[ev.Event]:
    """The events, those of one kind with other values."""
    return [e.model_copy(update=update) if isinstance(e, kind) else e for e in events]


def baseline(events: list[ev.Event]) -> str:
    return next(f.value for f in answer.figures(story.read(events)) if f.label == "baseline")


def test_once_the_test_was_read_the_baseline_is_that_of_the_test_rows() -> None:
    events = changed(streams.income(), ev.TestRead, baseline=0.719)
    assert baseline(events) == "71.9 %"
    assert "14.6 points above" in answer.sentence(story.read(events))
    unread = [e for e in events if not isinstance(e, ev.TestRead | ev.RunFinished)]
    assert baseline(unread) == "76.1 %"


def advised(events: list[ev.Event]) -> list[str]:
    return [" ".join((a.what, a.why, a.effect)) for a in advice.actions(story.read(events))]


def test_nothing_is_advised_that_no_command_does() -> None:
    """A run answers with its ensemble; what one network alone would lose stands in the ensemble's chapter."""
    events = changed(streams.income(), ev.EnsembleChosen, gain=-0.002, gain_interval=(-0.005, 0.001))
    assert not [text for text in advised(events) if "single network" in text or "points (in %)" in text]
    caption = chapters.together(story.read(events))[0].caption
    assert f"{MINUS}0.2 points against its best network on validation rows ({MINUS}0.5 points to +0.1" in caption


def test_the_greedy_path_keeps_its_sign() -> None:
    """The selection goes by the loss, so the score may fall on the way."""
    lower = changed(streams.income(), ev.EnsembleChosen, path=[0.8358, 0.8300, 0.8284], score=0.8284)
    caption = chapters.together(story.read(lower))[1].caption
    assert f"3 additions changed the score by {MINUS}0.74 points on validation rows, to 82.8 %" in caption
    higher = changed(streams.income(), ev.EnsembleChosen, path=[0.8284, 0.8358])
    assert "2 additions changed the score by +0.74 points" in chapters.together(story.read(higher))[1].caption
