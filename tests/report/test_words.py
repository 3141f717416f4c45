"""What the sentences and numbers of the page claim, against the events: one number for one thing, signs kept."""

from __future__ import annotations

from typing import Any

import pytest

from shoal.core import events as ev
from shoal.report import advice, answer, chapters, exhibits, story
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
