"""The command line that says what a record of settings says."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

from shoal.core.reading import Reading

WRITTEN = {"ranges": "range"}  # options whose name on the command line is another one


def command(verb: str, data: str, options: Mapping[str, object]) -> str:
    """The command as a shell reads it.

    Args:
        verb: such as `fit`.
        data: the source; a name that begins with `-` stands last, where it is no option.
        options: by their names in Python; None and empty ones are left out.

    >>> command("fit", "a.csv", {"target": "y", "ranges": {"lr": (1e-4, 0.1)}, "drop": ("b", "-c")})
    'shoal fit a.csv --target y --range lr=0.0001:0.1 --drop b --drop=-c'
    """
    words = []
    for name, value in options.items():
        option = f"--{WRITTEN.get(name, name).replace('_', '-')}"
        for text in _texts(name, value):
            words += [f"{option}={text}"] if text.startswith("-") or not text else [option, text]
    first, last = ([], ["--", data]) if data.startswith("-") else ([data], [])
    return shlex.join(["shoal", *verb.split(), *first, *words, *last])


def said(settings: Reading, *, always: tuple[str, ...] = (), never: tuple[str, ...] = ()) -> dict[str, object]:
    """The options of a record that differ from their defaults, and those of `always`."""
    fields = type(settings).model_fields
    given = {name: getattr(settings, name) for name in fields if name not in never}
    return {name: value for name, value in given.items() if name in always or value != fields[name].default}


def _texts(name: str, value: object) -> Iterator[str]:
    """The values of an option, one for each time that it is written."""
    if value is None:
        return
    if name == "missing" and isinstance(value, tuple):
        yield ",".join(value)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if isinstance(each, tuple):
                yield f"{key}={each[0]!r}:{each[1]!r}"
            else:
                yield f"{key}={_values(each)}" if isinstance(each, list) else f"{key}={each}"
    elif isinstance(value, tuple | list):
        yield from map(str, value)
    else:
        yield str(value)


def _values(values: Sequence[object]) -> str:
    """Values in one word: with commas between them, or semicolons where they hold commas."""
    words = [_word(value) for value in values]
    return (";" if any("," in word for word in words) else ",").join(words)


def _word(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
