"""Standard output belongs to the answer: a JSON document, rows or a path. Everything else is on standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class BrokenOutput(Exception):
    """Nobody reads standard output any more, as in `shoal predict ... | head`."""


@contextmanager
def reserved_stdout() -> Iterator[TextIO]:
    """Keep standard output for the caller; what any library prints meanwhile goes to standard error.

    Yields:
        Where the answer is written.
    """
    sys.stdout.flush()
    usual = sys.stdout
    try:
        kept = os.dup(sys.stdout.fileno())
    except OSError:  # standard output is no file of the system, as in a notebook
        sys.stdout = sys.stderr
        try:
            yield usual
        finally:
            sys.stdout = usual
        return
    os.dup2(sys.stderr.fileno(), usual.fileno())
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8", newline="", closefd=True) as answer:
            try:
                yield answer
                answer.flush()
            except BrokenPipeError as error:
                with suppress(OSError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), answer.fileno())
                raise BrokenOutput from error
    finally:
        usual.flush()
        os.dup2(kept, usual.fileno())
        os.close(kept)


def write_json(document: Any, to: TextIO | None = None) -> None:
    """Write one JSON document; NaN and infinity, which JSON has not, become `null`."""
    text = json.dumps(_finite(document), ensure_ascii=False, allow_nan=False, indent=2)
    print(text, file=to or sys.stdout)


def one_line(text: str) -> str:
    """Return text from elsewhere (a file's name, a cell) so that it cannot steer the terminal or break the line."""
    return "".join(each if each.isprintable() else " " for each in text)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(name): _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
