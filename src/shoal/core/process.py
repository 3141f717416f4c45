"""What a process has only once, and several runs in its threads share: borrowed under one lock, given back as it was.

torch's generator, the filters of warnings and the search path of modules belong to the whole process; torch's number of
threads belongs to each thread, and new ones begin with that of the process. Nothing else of Shoal touches them.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from shoal.core.errors import RunError

_lock = threading.RLock()


class _OfThread(threading.local):
    """What is known of the thread that asks."""

    has_team = False  # it has computed with several of torch's threads
    lost_team = False  # it had, and the process was forked since: they are in the parent


_here = _OfThread()
_lent_cores: int | None = None  # of a process that is one of several; None: all that there are


@contextmanager
def torch_generator(seed: int | None = None) -> Iterator[None]:
    """torch's global generator for oneself, seeded; afterwards it stands where it stood.

    Args:
        seed: where it starts; None leaves it where it stands.
    """
    import torch  # here and below: readers of data come by, which do without it

    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with _lock, torch.random.fork_rng(devices=devices):
        if seed is not None:
            torch.manual_seed(seed)
        yield


@contextmanager
def warning_filters() -> Iterator[None]:
    """The filters of warnings for oneself, to be set inside."""
    with _lock, warnings.catch_warnings():
        yield


@contextmanager
def search_path(folder: str) -> Iterator[None]:
    """Modules are looked for in this folder too, before all others unless it was on the path already."""
    with _lock:
        added = folder not in sys.path
        if added:
            sys.path.insert(0, folder)
        try:
            yield
        finally:
            if added and folder in sys.path:  # what was loaded may have changed the path too
                sys.path.remove(folder)


def lone_threads(count: int) -> ThreadPoolExecutor:
    """Threads each of which computes alone: torch adds none of its own. Close the pool as any other.

    torch keeps the number by thread, and sets with it what new threads begin with; that is put back at once, by a
    thread that lives for nothing else.
    """
    import torch

    pool = ThreadPoolExecutor(count)
    begun = threading.Barrier(count)

    def begin(_: int) -> None:
        torch.get_num_threads()  # else the first look at it would undo what follows
        torch.set_num_threads(1)
        begun.wait()  # so that each thread of the pool takes one of these calls

    with _lock:
        usual = _in_a_new_thread(torch.get_num_threads) or 1
        try:
            list(pool.map(begin, range(count)))
        except BaseException:  # no more threads can be had, or the user has interrupted
            begun.abort()
            pool.shutdown()
            raise
        finally:
            _in_a_new_thread(partial(torch.set_num_threads, usual))
    return pool


def cores() -> int:
    """CPU cores that this process may use."""
    if _lent_cores is not None:
        return _lent_cores
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def use_one_core() -> None:
    """From now on this process computes with one thread: others like it have the other cores."""
    global _lent_cores
    import torch

    _lent_cores = 1
    torch.set_num_threads(1)


def threads() -> int:
    """How many threads torch uses for this one, or would."""
    import torch

    with _lock:  # a thread that asks for the first time learns what `lone_threads` may be changing
        return torch.get_num_threads()


def computing() -> None:
    """Say that this thread is about to compute with torch; whoever computes says so first.

    Raises:
        RunError: the process was forked from one whose torch had several threads: the first operation that wants them
            would wait for ever.
    """
    if threads() == 1:
        return
    if _here.lost_team:
        raise RunError(
            "This process was forked from one in which torch had computed with several threads, and they do not exist "
            "here: start processes by multiprocessing's `spawn` or `forkserver`, or call torch.set_num_threads(1) here "
            "first."
        )
    _here.has_team = True


def _in_a_new_thread(work: Callable[[], int | None]) -> int | None:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def _forked() -> None:
    """In a child: nobody holds the lock, and the threads that torch had for this one are gone."""
    global _lock
    _lock = threading.RLock()
    _here.lost_team = _here.lost_team or _here.has_team


if hasattr(os, "register_at_fork"):  # systems without it cannot fork
    os.register_at_fork(after_in_child=_forked)
