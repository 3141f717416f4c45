"""Ctrl-C, `kill` and a closed terminal: all three end a command in order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Protocol

NOTHING_YET = "interrupted before anything was trained; nothing is kept"


class Stopped(BaseException):
    """The user ended the command; no `except Exception` of a library may keep it."""


_ASKED = threading.Event()  # a signal came: what is raised in its place, while libraries load, may be another error


def asked_to_end() -> bool:
    """Whether the user asked this command to end."""
    return _ASKED.is_set()


class Told(Protocol):
    """Who is told that the run will end soon: what shows it."""

    started: bool

    def stopping(self) -> None: ...
    def let_go(self) -> None: ...


@contextmanager
def ends_in_order() -> Iterator[None]:
    """A signal raises `Stopped`, wherever the program is."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        _ASKED.set()
        raise Stopped("interrupted")

    _ASKED.clear()
    with _handled(stop):
        yield


@contextmanager
def ends_after_the_epoch(stop: threading.Event, told: Told) -> Iterator[None]:
    """The first signal asks the run to end after the current epoch, a second one ends the process at once.

    Args:
        stop: what the run looks at.
        told: what shows the run. Until it has started there is nothing to keep, and the first signal ends the run.
    """

    def interrupted(number: int, _frame: FrameType | None) -> None:
        hung_up = number == getattr(signal, "SIGHUP", None)
        if stop.is_set():
            if hung_up:  # a closed terminal may say so twice
                return
            told.let_go()
            os._exit(130)
        stop.set()  # a library may swallow what is raised here
        if not told.started:
            _ASKED.set()
            raise Stopped(NOTHING_YET)
        told.stopping()

    with _handled(interrupted):
        yield


@contextmanager
def _handled(by: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the three signals; what the caller has chosen to ignore, as `nohup` does, stays ignored."""
    with ExitStack() as former:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)  # Windows has no SIGHUP
                if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
                    continue
                former.callback(signal.signal, number, signal.signal(number, by))
        yield
