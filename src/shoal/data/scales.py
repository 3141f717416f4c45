"""Words that have an order: known scales, numbered grades, and bands of numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

FEWEST = 3  # distinct values: two words are told apart as well without an order
MOST = 40

# Lowest first; words of one place mean the same.
SCALES: tuple[tuple[tuple[str, ...], ...], ...] = (
    (("very low",), ("low",), ("medium", "moderate", "middle", "mid", "normal"), ("high",), ("very high",)),
    (("xxs",), ("xs",), ("s",), ("m",), ("l",), ("xl",), ("xxl",), ("xxxl",)),
    (("tiny",), ("small",), ("medium",), ("large",), ("huge",)),
    (("never",), ("rarely", "seldom"), ("sometimes", "occasionally"), ("often", "frequently"), ("always",)),
    (("strongly disagree",), ("disagree",), ("neutral", "neither"), ("agree",), ("strongly agree",)),
    (("very poor",), ("poor",), ("fair",), ("good",), ("very good",), ("excellent",)),
    (("fair",), ("good",), ("very good",), ("premium",), ("ideal",)),
    (("bad",), ("average", "ok", "okay"), ("good",)),
    (("no", "none", "absent"), ("mild", "slight"), ("moderate",), ("severe",), ("critical",)),
    (("beginner", "novice"), ("intermediate",), ("advanced",), ("expert",)),
    (("cold",), ("cool",), ("mild", "warm"), ("hot",)),
    (("first", "1st"), ("second", "2nd"), ("third", "3rd"), ("fourth", "4th"), ("fifth", "5th"), ("sixth", "6th")),
)
GRADE = re.compile(r"(grade|level|stage|class|tier|rank|degree|step|phase|year|quartile|quintile|decile)[ _-]?(\d+)")
ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii")
NUMBER = r"(\d+(?:[.,]\d+)?)"
BAND = re.compile(rf"[\[(]?{NUMBER}\s*(?:-|–|to|\.\.)\s*{NUMBER}[\])]?")
BELOW = re.compile(rf"(?:<=?|≤|under|below|less than|up to)\s*{NUMBER}")
ABOVE = re.compile(rf"(?:>=?|≥|over|above|more than)\s*{NUMBER}|{NUMBER}\s*(?:\+|plus|and over|and more|or more)")


def ordered(values: Sequence[str], *, fewest: int = FEWEST) -> tuple[str, ...] | None:
    """The distinct values from lowest to highest, or None where no order is known.

    >>> ordered(["high", "Low", "medium"])
    ('Low', 'medium', 'high')
    >>> ordered(["65+", "18-24", "25-64"])
    ('18-24', '25-64', '65+')
    >>> ordered(["red", "green", "blue"])
    """
    if not fewest <= len(values) <= MOST:
        return None
    words = [re.sub(r"[\s_-]+", " ", value.strip().lower()) for value in values]
    for scale in SCALES:
        places = {word: place for place, step in enumerate(scale) for word in step}
        if all(word in places for word in words):
            return _sorted(values, [float(places[word]) for word in words])
    return _grades(values, words) or _bands(values)


def _grades(values: Sequence[str], words: list[str]) -> tuple[str, ...] | None:
    """`Grade 1`, `grade 2`; `stage I`, `stage II`."""
    found = [GRADE.fullmatch(word) for word in words]
    if all(found) and len({match[1] for match in found if match}) == 1:
        return _sorted(values, [float(match[2]) for match in found if match])
    parts = [word.rsplit(" ", 1) for word in words]
    heads = {part[0] for part in parts}
    if len(heads) == 1 and heads <= {"stage", "grade", "class", "type"} and all(p[-1] in ROMAN for p in parts):
        return _sorted(values, [float(ROMAN.index(part[-1])) for part in parts])
    return None


def _bands(values: Sequence[str]) -> tuple[str, ...] | None:
    """Bands of numbers that do not overlap, perhaps open below the first and above the last."""
    bands: list[tuple[float, float]] = []
    for value in values:
        text = value.strip().lower()
        if match := BAND.fullmatch(text):
            bands.append((_float(match[1]), _float(match[2])))
        elif match := BELOW.fullmatch(text):
            bands.append((float("-inf"), _float(match[1])))
        elif match := ABOVE.fullmatch(text):
            bands.append((_float(match[1] or match[2]), float("inf")))
        else:
            return None
    order = sorted(bands)
    apart = all(low <= high for low, high in order) and all(a[1] <= b[0] for a, b in pairwise(order))
    return _sorted(values, [low for low, _ in bands]) if apart else None


def _sorted(values: Sequence[str], keys: list[float]) -> tuple[str, ...] | None:
    """By their keys, if these differ."""
    if len(set(keys)) < len(keys):
        return None
    return tuple(value for _, value in sorted(zip(keys, values, strict=True)))


def _float(text: str) -> float:
    return float(text.replace(",", "."))
