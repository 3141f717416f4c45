"""Names that a person mistyped: what they may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(name: str, among: Iterable[str], count: int = 3) -> list[str]:
    """Return the names nearest in spelling to `name`, nearest first; letter case does not matter.

    >>> closest("Incme", ["age", "income", "in_come"])
    ['income', 'in_come']
    """
    names = list(dict.fromkeys(among))
    by_folded: dict[str, list[str]] = {}
    for each in names:
        by_folded.setdefault(each.casefold(), []).append(each)
    found = get_close_matches(name.casefold(), list(by_folded), n=count, cutoff=0.6)
    return [each for folded in found for each in by_folded[folded]][:count]


def did_you_mean(name: str, among: Iterable[str]) -> str:
    """Return the end of an error's sentence: the closest names, or all of them when they are few, or nothing.

    >>> did_you_mean("incom", ["age", "income"])
    '; did you mean `income`?'
    >>> did_you_mean("zzz", ["age", "income"])
    '; there are `age`, `income`'
    """
    names = list(dict.fromkeys(among))
    near = closest(name, names)
    if near:
        return f"; did you mean {' or '.join(f'`{each}`' for each in near)}?"
    if 0 < len(names) <= 12:
        return f"; there are {', '.join(f'`{each}`' for each in names)}"
    return ""
