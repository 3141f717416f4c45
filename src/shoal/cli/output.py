"""Standard output belongs to the answer: a JSON document, rows or a path. Everything else is on standard error."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from shoal.core.errors import RunError
from shoal.core.json_text import json_text
from shoal.core.paths import shown

_CLOSED = {0: os.O_RDONLY, 1: os.O_RDONLY, 2: os.O_WRONLY}
"""How the null device is opened in the place of a closed stream: what is written to standard output is then refused."""


class BrokenOutput(Exception):
    """Nobody reads standard output any more, as in `shoal predict ... | head`."""


class _Descriptor(io.RawIOBase):
    """What is written goes to a descriptor; what the system refuses goes to `refused`, or is lost without it."""

    def __init__(self, number: int, refused: Callable[[OSError], Exception] | None = None) -> None:
        self._number, self._refused, self._broken = number, refused, False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: Any) -> int | None:
        if self._broken:  # said once; the last flush must not say it again
            return len(data)
        try:
            return os.write(self._number, data)
        except BlockingIOError:
            return None
        except OSError as error:
            if self._refused is None:
                return len(data)
            self._broken = True
            raise self._refused(error) from error


def forgiving_stderr() -> TextIO:
    """Return standard error as a stream that never fails: a progress line that nobody takes must not end a run."""
    try:
        number = sys.stderr.fileno()
    except (OSError, ValueError, AttributeError):  # no file of the system, or none at all
        return sys.stderr
    raw = io.BufferedWriter(_Descriptor(number))
    return io.TextIOWrapper(raw, encoding=sys.stderr.encoding, errors="backslashreplace", line_buffering=True)


def take_streams() -> None:
    """Take over the three standard streams, whatever the caller has made of them.

    In the place of a closed one the null device is opened, so that no file of a run gets its number. What is written to
    a closed standard output is refused, as by a full disk; standard error never fails.
    """
    for number, mode in _CLOSED.items():
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, mode)
            if opened != number:  # never so while the lower ones are open
                os.dup2(opened, number)
                os.close(opened)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the whole process
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        encoding = "utf-8" if sys.stdout is None else sys.stdout.encoding
        answers = io.BufferedWriter(_Descriptor(1, _no_answer))
        sys.stdout = io.TextIOWrapper(answers, encoding=encoding, errors="backslashreplace", newline=None)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = forgiving_stderr()


def forget_stdout() -> None:
    """Send the rest of standard output nowhere, so that nothing complains when the process ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def reserved_stdout() -> Iterator[TextIO]:
    """Keep standard output for the caller; what any library prints meanwhile goes to standard error.

    Yields:
        Where the answer is written.

    Raises:
        BrokenOutput: the reader went away.
        RunError: standard output refuses for another reason, such as a full disk.
    """
    sys.stdout.flush()
    stdout = sys.stdout
    try:
        kept = os.dup(stdout.fileno())
    except OSError:  # standard output is no file of the system, as in a notebook
        sys.stdout = sys.stderr
        try:
            yield stdout
        finally:
            sys.stdout = stdout
        return
    os.dup2(sys.stderr.fileno(), stdout.fileno())
    sys.stdout = sys.stderr
    try:
        raw = io.BufferedWriter(_Descriptor(kept, _no_answer))
        with io.TextIOWrapper(raw, encoding="utf-8", newline="") as answer:
            yield answer
    finally:
        sys.stdout = stdout
        with suppress(OSError):
            stdout.flush()
        os.dup2(kept, stdout.fileno())
        os.close(kept)


def _no_answer(error: OSError) -> Exception:
    if isinstance(error, BrokenPipeError):
        return BrokenOutput()
    reason = "it is closed" if error.errno == errno.EBADF else error.strerror or error
    return RunError(f"the answer cannot be written to standard output: {reason}")


def write_json(document: Any, to: TextIO | None = None) -> None:
    """Write one JSON document; see `json_text`."""
    print(json_text(document), end="", file=to or sys.stdout)


def say(text: str, to: TextIO | None = None) -> None:
    """Print lines for people: what cannot be printed, as in a file's name, steers no terminal.

    Nothing else of the command line prints, but for documents (`write_json`) and tables and colours (`console`).

    Args:
        text: may have line ends.
        to: standard error by default.
    """
    stream = to or sys.stderr
    print("\n".join(one_line(line) for line in text.split("\n")), file=stream, flush=True)


def one_line(text: str) -> str:
    """Return text from elsewhere (a file's name, a cell) so that it cannot steer the terminal or break the line."""
    return "".join(each if each.isprintable() else " " for each in shown(text))
