"""Worker processes that wait for work: they are warm, and end with the program."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType

from shoal.core.errors import RunError, first_line
from shoal.experiment.worker import work


@dataclass
class Worker:
    """A process that answers; see `worker`."""

    process: BaseProcess
    connection: Connection

    def end(self) -> int | None:
        """End it, if it is not gone; its exit code."""
        self.connection.close()
        self.process.kill()
        self.process.join()
        return self.process.exitcode


class Pool:
    """Workers that wait for work, of this process."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []
        self._lock = threading.Lock()
        self._owner = os.getpid()

    def take(self) -> Worker:
        """A worker that waits, or a new one.

        Raises:
            RunError: none can be started.
        """
        with self._lock:
            if self._owner != os.getpid():  # forked: the workers are the parent's
                self._idle, self._owner = [], os.getpid()
            while self._idle:
                found = self._idle.pop()
                if found.process.is_alive():
                    return found
                found.end()
        return self._new()

    def give(self, worker: Worker, *, busy: bool) -> None:
        """A worker that is needed no more."""
        if busy or not worker.process.is_alive():
            worker.end()
            return
        with self._lock:
            self._idle.append(worker)

    def close(self) -> None:
        """End all that wait."""
        with self._lock:
            idle, self._idle = self._idle, []
        if self._owner == os.getpid():
            for each in idle:
                each.end()

    def _new(self) -> Worker:
        context = get_context("forkserver")
        context.set_forkserver_preload([work.__module__])
        ours, theirs = context.Pipe()
        begun = context.Process(target=work, args=(theirs,), daemon=True, name="shoal worker")
        try:
            with _without_main():
                begun.start()
        except (OSError, EOFError) as error:
            ours.close()
            raise RunError(
                f"A worker process cannot be started: {first_line(error)}; use the runner `threads`"
            ) from error
        finally:
            theirs.close()
        return Worker(begun, ours)


@contextmanager
def _without_main() -> Iterator[None]:
    """The program itself is not carried out again in a worker, as multiprocessing would have it."""
    program = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program


POOL = Pool()
atexit.register(POOL.close)
