"""How names and counts are put into a sentence."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def listing(names: Iterable[object], most: int = 8) -> str:
    """Names in a row, cut after `most`.

    >>> listing(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    parts = [str(name) for name in names]
    if len(parts) > most:
        return f"{', '.join(parts[:most])} and {len(parts) - most} more"
    return ", ".join(parts)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """A number with its noun.

    >>> count(1, "row"), count(2, "class", "classes")
    ('1 row', '2 classes')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def closest(name: str, names: Sequence[str]) -> str:
    """What to try instead of a name that does not exist: the closest ones, or else what there is.

    >>> closest("incme", ["age", "income"])
    'did you mean income?'
    """
    folded: dict[str, str] = {}
    for each in names:
        folded.setdefault(each.casefold(), each)
    near = get_close_matches(name.casefold(), list(folded), n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(folded[each] for each in near)}?"
    if not names:
        return "there is nothing to choose from."
    return f"there is {listing(names, most=20)}."


def percent(share: float) -> str:
    """A share as a percentage with as many digits as it needs.

    >>> percent(0.771), percent(0.004)
    ('77 %', '0.4 %')
    """
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1g} %"


def setting(name: str, value: str | int) -> str:
    """How an option is given, from Python and on the command line.

    >>> setting("time", "date")
    'time="date", or --time date'
    >>> setting("epochs", 20)
    'epochs=20, or --epochs 20'
    >>> print(setting("decimal", "."))  # a sign alone would be lost at the end of a sentence
    decimal=".", or --decimal '.'
    """
    if isinstance(value, int):
        return f"{name}={value}, or --{name} {value}"
    quoted = value.replace('"', '\\"')
    typed = shlex.quote(value)
    typed = f"'{value}'" if typed == value and not any(map(str.isalnum, value)) else typed
    return f'{name}="{quoted}", or --{name} {typed}'


def range_setting(name: str, low: float, high: float) -> str:
    """How a range of the search is given, from Python and on the command line.

    >>> range_setting("lr", 1e-4, 0.1)
    'ranges={"lr": (0.0001, 0.1)}, or --range lr=0.0001:0.1'
    """
    least, most = (f"{bound:.0f}" if 1 <= bound < 1e6 and bound % 1 == 0 else f"{bound:.3g}" for bound in (low, high))
    return f'ranges={{"{name}": ({least}, {most})}}, or --range {name}={least}:{most}'
