"""One door for every path from outside: what the system cannot take or read is refused in one sentence."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

from shoal.core.errors import InputError

_SAID = {
    errno.EACCES: "may not be read: permission denied",
    errno.EPERM: "may not be read: permission denied",
    errno.EISDIR: "is a folder, where a file is meant",
    errno.ELOOP: "is a link that leads back to itself: give the file that is meant",
    errno.ENAMETOOLONG: "cannot be: the name is longer than this system allows",
    errno.ENOTDIR: "does not exist: a part of the path is a file",
    errno.ENOENT: "does not exist",
    errno.EIO: "cannot be read: the disk reports an error",
}


def given(path: str | bytes | os.PathLike[str]) -> Path:
    """A path as a user or a caller wrote it, `~` expanded; nothing need be there.

    Raises:
        InputError: it is no text, empty, holds what no name can, is not UTF-8, or starts at the home of nobody.
    """
    try:
        text = os.fspath(path)
    except TypeError:
        raise InputError(f"{path!r} is no path: give text or a pathlib.Path.") from None
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if not text:
        raise InputError("An empty path names nothing: give a file or a folder.")
    if "\0" in text:
        raise InputError(f"{text!r} is no path: it holds a character that no file's name can (NUL).")
    check_name(text)
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InputError(f"{text}: there is no such user; write ./{text} where the name begins with ~.") from None


def check_name(text: str) -> None:
    """Refuse a path that could not be written down, neither in a model nor in a run's events.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"'{shown(text)}' cannot be used: the name is not UTF-8; rename it.") from None


def shown(name: str) -> str:
    r"""A name of the file system as text that can be stored and printed: bytes that are not UTF-8 as their numbers.

    >>> print(shown(os.fsdecode(b"caf\xe9.png")))
    caf\xe9.png
    """
    return re.sub("[\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", name)


def there(path: Path) -> bool:
    """Whether there is something: a file, a folder or a device.

    Raises:
        InputError: that cannot be known, or it is a link that leads nowhere.
    """
    try:
        os.stat(path)
    except FileNotFoundError:
        if path.is_symlink():
            raise InputError(f"{path} is a link to {os.readlink(path)}, which does not exist.") from None
        return False
    except OSError as error:
        raise read_error(path, error) from error
    return True


def to_write(path: str | os.PathLike[str], *, beside: Iterable[str | os.PathLike[str]] = (), outside: str = "") -> Path:
    """A file that is going to be written, looked at before the work is done whose result it holds.

    Args:
        path: the file; it may be there.
        beside: files that are read: it must not be one of them, by whatever name; nor a file that is there below a
            folder that is read. A new one there replaces nothing.
        outside: a run's folder that it must not lie in.

    Raises:
        InputError: it cannot be written there, or what is read or kept would be lost.
    """
    file = given(path)
    try:
        is_folder, folder_there = file.is_dir(), file.absolute().parent.is_dir()
        file.exists()
    except OSError as error:
        raise read_error(file, error) from error
    if is_folder:
        raise InputError(f"{file} cannot be written: it is a folder; give the name of a file.")
    if not folder_there:
        raise InputError(f"{file} cannot be written: there is no folder {file.parent}; make it, or choose another.")
    if any(_same(file, each) or _lies_in(file, each) for each in beside):
        raise InputError(f"{file} is what is read here, and the result would replace it: choose another name.")
    if outside and Path(os.path.realpath(file)).is_relative_to(os.path.realpath(outside)):
        raise InputError(
            f"{file} lies in the run's folder {outside}, which is for the run alone: choose another place."
        )
    return file


def _same(file: Path, other: str | os.PathLike[str]) -> bool:
    try:
        return os.path.samefile(file, other)
    except (OSError, ValueError):  # one of them is not there, or no file at all
        return False


def _lies_in(file: Path, folder: str | os.PathLike[str]) -> bool:
    """Whether a file is there and lies below a folder, as it is written or where links lead."""
    try:
        if not (file.exists() and os.path.isdir(folder)):
            return False
    except (OSError, ValueError):
        return False
    ways = (os.path.abspath, os.path.realpath)
    return any(Path(way(file)).is_relative_to(way(folder)) for way in ways)


def read_error(path: Path, error: OSError, what: str = "") -> InputError:
    """What to tell the user when `path` could not be read; `what` it is stands before its name."""
    reason = _SAID.get(error.errno or 0, f"cannot be read: {error.strerror or error}")
    return InputError(f"{what}{path} {reason}.")
