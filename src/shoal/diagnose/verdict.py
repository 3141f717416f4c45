"""The verdict of a diagnosis."""

from __future__ import annotations

from pydantic import JsonValue

from shoal.core.events import Level, Record


class Verdict(Record):
    """A judgement with the numbers it rests on; `code` is stable, `fix` empty where nothing is wrong."""

    code: str
    level: Level
    phrase: str  # a few words for the step's line
    sentence: str
    evidence: dict[str, JsonValue]
    fix: str = ""
