"""How long a run may search: a time, or a number of trainings."""

from __future__ import annotations

import re

from shoal.core.errors import InputError
from shoal.core.events import Record

_UNIT_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*([smh])")
_TRIALS = re.compile(r"trials\s*=\s*(\d+)")
_ALLOWED = "a budget is a time (`60s`, `10m`, `1h`) or a number of trainings (`trials=200`)"


class Budget(Record):
    """Exactly one of the two is set."""

    seconds: float | None = None
    trials: int | None = None


def parse_budget(text: str) -> Budget:
    """Read a budget as a person writes it.

    Args:
        text: `60s`, `10m`, `1.5h` or `trials=200`; letter case and blanks around do not matter.

    Returns:
        The budget, in seconds or in trainings.

    Raises:
        InputError: the text is neither, or the number is zero.

    >>> parse_budget("10m").seconds
    600.0
    >>> parse_budget("trials=200").trials
    200
    """
    cleaned = text.strip().lower()
    if found := _TIME.fullmatch(cleaned):
        seconds = float(found[1]) * _UNIT_S[found[2]]
        if 0 < seconds < float("inf"):
            return Budget(seconds=seconds)
    if (found := _TRIALS.fullmatch(cleaned)) and 0 < int(found[1]) < 2**31:
        return Budget(trials=int(found[1]))
    raise InputError(f"the budget `{text}` cannot be read: {_ALLOWED}")
