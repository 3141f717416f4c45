"""One process to a run: a lock of the operating system, which is free again however its holder ended."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shoal.core.atomic import write_error
from shoal.core.errors import InputError

_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)
_UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # some file systems of networks have no locks


@contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold a file's lock; whoever asks for it meanwhile is refused.

    Args:
        path: of the lock's file, which is made and stays. What stands in it, the holder's process number, is for
            people: nothing is decided by it.
        what: that is locked, for the sentence.

    Raises:
        InputError: another process, or another part of this one, holds the lock; or the file may not be written.
        RunError: the disk refuses.
    """
    try:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise write_error(path, error) from error
    try:
        if not _lock(number):
            raise InputError(f"{what} is being worked on by another process{_holder(path)}: wait for it, or stop it")
        with suppress(OSError):
            os.ftruncate(number, 0)
            os.write(number, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(number)  # and with it goes the lock


def _holder(path: Path) -> str:
    """Who holds it, where that can be read."""
    with suppress(OSError, ValueError):
        return f" (number {int(path.read_text(encoding='ascii'))})"
    return ""


def _lock(number: int) -> bool:
    """Take the lock of an open file; False when somebody else has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(number, 1 << 30, os.SEEK_SET)  # a byte that nobody reads: Windows would refuse the reader
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
            os.lseek(number, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _UNKNOWN:
            return True
        if error.errno in _TAKEN:
            return False
        raise
    return True
