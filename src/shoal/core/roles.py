"""What a user may say that a column holds, and how that is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from shoal.core.errors import InputError
from shoal.core.names import did_you_mean

# `exact`: a category whose cells are values as they are written, whatever word or spelling they hold.
GIVEN_ROLES = ("numeric", "category", "exact", "ordered", "boolean", "date", "identifier", "free text", "constant")
OTHER_WORDS: Mapping[str, str] = {
    "number": "numeric",
    "categorical": "category",
    "ordinal": "ordered",
    "bool": "boolean",
    "datetime": "date",
    "id": "identifier",
    "text": "free text",
    "free-text": "free text",
    "free_text": "free text",
}


def check_role(column: str, written: str) -> str:
    """A role as it is stored: one of `GIVEN_ROLES`, `ordered` perhaps with its values, lowest first.

    Args:
        column: for the message.
        written: such as `category`, `text` or `ordered:S<M<L`.

    Raises:
        InputError: no such role, values for another role than `ordered`, fewer than two of them, or one of them twice.

    >>> check_role("zip", "categorical"), check_role("size", "ordered: S < M < L")
    ('category', 'ordered:S<M<L')
    """
    word, colon, _ = written.partition(":")
    word = word.strip().lower()
    role = OTHER_WORDS.get(word, word)
    if role not in GIVEN_ROLES:
        raise InputError(f"the column `{column}` cannot be `{written}`{did_you_mean(word, GIVEN_ROLES)}")
    if not colon:
        return role
    levels = levels_of(written)
    if role != "ordered" or len(levels) < 2 or len(set(levels)) < len(levels) or "" in levels:
        raise InputError(
            f"the role `{written}` of column `{column}` cannot be read: values are listed for `ordered` alone, lowest "
            "first and each once, as in `ordered:S<M<L`"
        )
    return f"ordered:{'<'.join(levels)}"


def levels_of(role: str) -> tuple[str, ...]:
    """The values that an ordered role lists, lowest first; none where it leaves them to be found.

    >>> levels_of("ordered:S<M<L"), levels_of("ordered")
    (('S', 'M', 'L'), ())
    """
    _, colon, rest = role.partition(":")
    return tuple(level.strip() for level in rest.split("<")) if colon else ()


def parse_roles(given: str | Iterable[str] | Mapping[str, str | Iterable[str]]) -> dict[str, str]:
    """Roles by column, from any form in which they are written.

    Args:
        given: `NAME=role,NAME=role` as on the command line, a list of such texts, or a mapping; there a list of values
            stands for `ordered`, lowest first.

    Raises:
        InputError: another form, an unknown role, or two roles for one column.

    >>> parse_roles("zip=category,size=ordered:S<M<L")
    {'zip': 'category', 'size': 'ordered:S<M<L'}
    >>> parse_roles({"size": ["S", "M", "L"]})
    {'size': 'ordered:S<M<L'}
    """
    if isinstance(given, Mapping):
        for name, role in given.items():
            if not isinstance(name, str) or not isinstance(role, str | list | tuple):
                raise InputError(
                    f"the role `{role}` of column `{name}` cannot be read: give a text or a list of values"
                )
        return {
            name: check_role(name, role if isinstance(role, str) else f"ordered:{'<'.join(map(str, role))}")
            for name, role in given.items()
        }
    found: dict[str, str] = {}
    for text in (given,) if isinstance(given, str) else given:
        for part in _parts(str(text)):
            split = re.fullmatch(r"(.+)=([\w -]+(?::.*)?)", part, flags=re.DOTALL)
            if split is None:
                raise InputError(f"the roles `{text}` cannot be read: write NAME=role, such as `zip=category`")
            name = split[1].strip()
            if name in found:
                raise InputError(f"the column `{name}` is given two roles; choose one")
            found[name] = check_role(name, split[2])
    return found


def _parts(text: str) -> list[str]:
    """The text cut at its commas, but for those inside a name."""
    parts: list[str] = []
    held = ""
    for piece in str(text).split(","):
        held = f"{held},{piece}" if held else piece
        if "=" in piece:
            parts.append(held.strip())
            held = ""
    return [*parts, held.strip()] if held.strip() else parts
