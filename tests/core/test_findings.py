"""Findings and decisions are one record; what they look like in JSON is a promise."""

from __future__ import annotations

import json

import pytest

from shoal.core.events import DecisionMade, Finding, FindingRaised, from_json, to_json

DECISION = (
    '{"kind":"decision_made","decision":{"step":3,"code":"SHL120","verdict":"It goes down.","evidence":{"lr":0.001,'
    '"end":[NaN,Infinity]},"action":"Search.","level":"fine"}}'
)
FINDING = (
    '{"kind":"finding_raised","finding":{"code":"SHL214","sentence":"Rows repeat.","level":"warning","evidence":'
    '{"rows":[1,2]},"fix":"drop them"}}'
)


@pytest.mark.parametrize("line", [DECISION, FINDING])
def test_what_is_stored_is_read_and_written_as_it_was(line: str) -> None:
    assert to_json(from_json(line)) == line


def test_a_decision_is_a_finding_with_a_step_and_an_action() -> None:
    event = from_json(DECISION)
    assert isinstance(event, DecisionMade)
    found = event.decision
    assert (found.step, found.code, found.action, found.level) == (3, "SHL120", "Search.", "fine")
    assert found.sentence == found.verdict == "It goes down." and found.evidence["lr"] == 0.001
    assert list(found.model_dump()) == ["step", "code", "verdict", "evidence", "action", "level"]
    assert json.loads(DECISION)["decision"].keys() == found.model_dump(mode="json").keys()


def test_a_decision_that_was_stored_without_a_level_was_fine() -> None:
    assert Finding.model_validate({"step": 1, "code": "SHL100", "verdict": "v", "action": "a"}).level == "fine"
    assert Finding(code="SHL100", sentence="s").level == "note"


def test_the_phrase_of_a_finding_comes_back() -> None:
    event = FindingRaised(finding=Finding(code="SHL110", sentence="It was learned.", phrase="learned", level="fine"))
    assert from_json(to_json(event)) == event
    assert list(event.finding.model_dump()) == ["code", "sentence", "level", "evidence", "fix", "phrase"]
