"""What other versions wrote is read: events with fewer fields, with more fields, and of kinds that are not known here.

`events_0.1.jsonl` holds an event of every kind as version 0.1.0 stored it, from a run on the iris data that was stopped
and resumed. It is never written anew: a change that cannot read it cannot read the runs that people have. Where events
change, add a second file beside it.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

import shoal
from shoal.core import events as ev
from shoal.core.digest import digest_of
from shoal.core.errors import InputError
from shoal.core.events import StepStarted, UnknownEvent, from_json, to_json
from shoal.report import render
from shoal.store.events_store import EventStore
from shoal.store.replay import Replay

FILES = sorted(Path(__file__).parent.glob("events_*.jsonl"))
LINES = [line for file in FILES for line in file.read_text(encoding="utf-8").splitlines()]
KINDS = {each.model_fields["kind"].default for each in get_args(ev._Known)}
STEP = next(line for line in LINES if '"step_started"' in line)
FISH = '{"kind": "fish_counted", "fish": 12, "pond": {"depth_m": 1.5, "empty": null}}'


def kind_of(line: str) -> str:
    return str(json.loads(line)["kind"])


def common(now: Any, then: Any) -> tuple[Any, Any]:
    """Both documents without the fields that one of them lacks."""
    if isinstance(now, dict) and isinstance(then, dict):
        pairs = {name: common(now[name], then[name]) for name in now.keys() & then.keys()}
        return {name: a for name, (a, _) in pairs.items()}, {name: b for name, (_, b) in pairs.items()}
    if isinstance(now, list) and isinstance(then, list) and len(now) == len(then):
        both = [common(a, b) for a, b in zip(now, then, strict=True)]
        return [a for a, _ in both], [b for _, b in both]
    return now, then


def store_of(path: Path, bodies: Sequence[str], run: str = "digits") -> Path:
    """A store as whoever wrote these bodies left it, digests included."""
    EventStore(path).close()
    connection, last = sqlite3.connect(path), ""
    for number, body in enumerate(bodies):
        last = digest_of([last, run, float(number), kind_of(body), body])
        connection.execute(
            "INSERT INTO events (run, time_s, kind, body, digest) VALUES (?, ?, ?, ?, ?)",
            (run, float(number), kind_of(body), body, last),
        )
    connection.commit()
    connection.close()
    return path


# --- what earlier versions wrote --------------------------------------------------------------------------------------


def test_the_first_version_is_there_with_every_kind_that_it_had() -> None:
    assert FILES[0].name == "events_0.1.jsonl"
    kinds = [kind_of(line) for line in FILES[0].read_text(encoding="utf-8").splitlines()]
    assert len(kinds) == len({*kinds}) == 22


@pytest.mark.parametrize("line", LINES, ids=kind_of)
def test_an_event_of_an_earlier_version_says_what_it_said(line: str) -> None:
    event = from_json(line)
    assert event.kind == kind_of(line) and not isinstance(event, UnknownEvent)
    now, then = common(json.loads(to_json(event)), json.loads(line))
    assert now and str(now) == str(then)  # NaN, which equals nothing, as NaN


def test_a_run_of_an_earlier_version_is_read_and_drawn(tmp_path: Path) -> None:
    with EventStore(store_of(tmp_path / "store.db", LINES), read_only=True) as store:
        events = store.read("digits")
    assert [event.kind for event in events] == [kind_of(line) for line in LINES]
    page = render(events)
    test = next(event for event in events if isinstance(event, ev.TestRead))
    assert "iris" in page and re.search(rf">{100 * test.score:.0f}\s%<", page)


# --- what later versions may write ------------------------------------------------------------------------------------


def with_more(value: Any) -> Any:
    """A document with an unknown field in every record of it; what a user names is no record."""
    if isinstance(value, dict) and ("kind" in value or "code" in value or "id" in value or "histogram" in value):
        return {**{name: with_more(each) for name, each in value.items()}, "mood": {"of": "the day"}}
    return [with_more(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("line", LINES, ids=kind_of)
def test_fields_that_are_not_known_are_left_out(line: str) -> None:
    changed = json.dumps(with_more(json.loads(line)))
    assert "mood" in changed
    event = from_json(changed)
    assert event.kind == kind_of(line)
    if not isinstance(event, ev.RunFinished | ev.TestRead | ev.DecisionMade | ev.FindingRaised | ev.SearchRound):
        assert to_json(event) == to_json(from_json(line))  # those hold documents, of which nothing is left out


def test_who_makes_an_event_cannot_misspell_a_field() -> None:
    with pytest.raises(ValidationError, match="mood"):
        StepStarted(step=1, mood="good")  # type: ignore[call-arg]


def test_an_event_of_an_unknown_kind_keeps_all_that_it_says() -> None:
    event = from_json(FISH)
    assert isinstance(event, UnknownEvent) and event.kind == "fish_counted"
    assert json.loads(to_json(event)) == json.loads(FISH)


@pytest.mark.parametrize(
    "text",
    ["{}", "[]", "12", "no JSON", '{"kind": 12}', '{"kind": null}', '{"kind": "step_started"}', '{"step": 3}'],
)
def test_what_is_no_event_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        from_json(text)


def test_a_run_with_events_of_unknown_kinds_is_read_and_drawn_without_them(tmp_path: Path) -> None:
    path = store_of(tmp_path / "store.db", [*LINES[:3], FISH, *LINES[3:]])
    with EventStore(path, read_only=True) as store:
        events = store.read("digits")
        assert [number for number, event in store.tail("digits", 3).events if isinstance(event, UnknownEvent)] == [4]
    assert sum(isinstance(event, UnknownEvent) for event in events) == 1
    assert render(events) == render([event for event in events if not isinstance(event, UnknownEvent)])


def test_a_run_with_an_event_of_an_unknown_kind_is_opened(whole_run: Path) -> None:
    run = shoal.load(whole_run)
    assert isinstance(run.events[1], UnknownEvent) and run.decisions is not None


@pytest.fixture
def whole_run(tmp_path: Path) -> Path:
    """A folder as one was left behind whose settings had not been written yet."""
    (tmp_path / "run").mkdir()
    store_of(tmp_path / "run/store.db", [LINES[0], FISH, *LINES[1:]], "run")
    return tmp_path / "run"


def test_what_was_told_in_unknown_words_is_not_told_again() -> None:
    """A run that goes on in another version notices that it would tell something else."""
    replay = Replay([from_json(STEP), from_json(FISH)])
    assert replay.repeats(from_json(STEP)) is not None
    assert replay.repeats(StepStarted(step=2)) is None and not replay.over


# --- what is damaged --------------------------------------------------------------------------------------------------


def test_an_unknown_event_that_was_changed_is_damage(tmp_path: Path) -> None:
    path = store_of(tmp_path / "store.db", [*LINES[:3], FISH])
    connection = sqlite3.connect(path)
    connection.execute("UPDATE events SET body = replace(body, '12', '13') WHERE seq = 4")
    connection.commit()
    connection.close()
    with EventStore(path, read_only=True) as store, pytest.raises(InputError, match="damaged: event 4"):
        store.read("digits")


def test_an_event_that_cannot_be_understood_is_named(tmp_path: Path) -> None:
    """It is of a known kind, and says what this version does not understand: leaving it out would change the story."""
    body = STEP.replace('"step":1', '"step":"first"')
    assert body != STEP
    with (
        EventStore(store_of(tmp_path / "store.db", [*LINES[:2], body]), read_only=True) as store,
        pytest.raises(InputError, match=r"cannot be read \(number 3, `step_started`\): .* another version of Shoal"),
    ):
        store.read("digits")
