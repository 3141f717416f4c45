"""A file is either as it was or complete: write beside it, force it to the disk, rename."""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

from shoal.core.errors import InputError, RunError, ShoalError

LONGEST = 200  # bytes of a name that can be made longer


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a whole file so that a reader, a kill or a full disk never meets half of it.

    Args:
        path: the file; its folder must exist. Where it is a link, the file that it leads to is written.
        content: text is written as UTF-8, line ends as they are.

    Raises:
        RunError: the disk is full or fails; the former file is untouched.
        InputError: the folder does not exist or may not be written to, or the path is a folder or a device.
    """
    data = content.encode() if isinstance(content, str) else content
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "no ordinary file"
        raise InputError(f"{path} cannot be written: it is {what}; choose another name")
    called = path.name if len(os.fsencode(path.name)) < LONGEST else "file"  # the whole name must fit too
    beside = path.with_name(f".{called}.{secrets.token_hex(6)}.tmp")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise write_error(path, error) from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def remove_left_over(folder: Path) -> None:
    """Remove what writers that were killed left in a folder; nobody may be writing there now."""
    for left in folder.glob(".*.tmp"):
        with suppress(OSError):
            left.unlink()


def write_error(path: Path, error: OSError) -> ShoalError:
    """Return what to tell the user when `path` could not be written: a choice that cannot work, or a refusing disk."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(f"{path} cannot be written: the disk is full; make room and run again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"{path} cannot be written: the folder may not be written to; choose another one")
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP):
        return InputError(f"{path} cannot be written: {error.strerror or error}; choose another place")
    return RunError(f"{path} cannot be written: {error.strerror or error}")


def _sync_folder(folder: Path) -> None:
    """Force the rename itself to the disk, where the system can open a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
