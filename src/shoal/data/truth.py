"""Spellings of truth values: which there are, and whether the values of a column are all of them.

Single letters are spellings where they go with words (`y` with `yes`) or stand as a pair (`t` and `f`). `t` beside `y`
may be a code, and so may a lone `n` among numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

PAIRS = (("true", "false"), ("yes", "no"), ("y", "n"), ("t", "f"), ("on", "off"))
TRUE = (*(pair[0] for pair in PAIRS), "1", "1.0")
FALSE = (*(pair[1] for pair in PAIRS), "0", "0.0")
STYLES: tuple[Callable[[str], str], ...] = (str.lower, str.capitalize, str.upper)


def truth(cell: str) -> float | None:
    """What a cell says as a truth value: 1, 0 or neither.

    >>> truth("Yes"), truth("0.00"), truth("2")
    (1.0, 0.0, None)
    """
    word = cell.lower()
    if word in TRUE or word in FALSE:
        return float(word in TRUE)
    return float(cell) if re.fullmatch(r"[01]\.0*", cell) else None


def are_truths(values: Collection[str]) -> bool:
    """Whether the distinct values of a column are all spellings of truth values, and not all of them numbers.

    >>> are_truths(["True", "true", "1", "false", "0"]), are_truths(["0", "1"])
    (True, False)
    >>> are_truths(["t", "y", "n"]), are_truths(["0", "1", "n"])
    (False, False)
    """
    if not values or any(truth(value) is None for value in values):
        return False
    words = {value.lower() for value in values if value[0].isalpha()}
    letters = {word for word in words if len(word) == 1}
    if len({truth(value) for value in values}) == 1:  # of the other there is none: several words say more than that
        return len({value.lower() for value in values}) == 1 and bool(words)
    return letters < words or any(letters == {*pair} for pair in PAIRS)


def names(rows: Mapping[str, int]) -> dict[float, str]:
    """What the two values are called: by the commonest pair of words, in its commonest style, as far as cells hold it.

    Args:
        rows: of each spelling.

    >>> names({"YES": 2, "Yes": 9, "no": 5, "No": 1, "1": 30})
    {1.0: 'Yes', 0.0: 'No'}
    """
    words = [value for value in rows if value[0].isalpha()]
    pair = max(PAIRS, key=lambda each: sum(rows[value] for value in words if value.lower() in each))
    of_pair = [value for value in words if value.lower() in pair]
    style = max(STYLES, key=lambda each: sum(rows[value] for value in of_pair if each(value) == value))
    found: dict[float, str] = {}
    for side, word in zip((1.0, 0.0), pair, strict=True):
        held = [value for value in words if truth(value) == side]
        common = max(held, key=lambda value: (value in of_pair, rows[value]), default=style(word))
        found[side] = style(word) if style(word) in held else common
    return found
