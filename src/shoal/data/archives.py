"""NumPy archives without pickle, and without trust in what their headers declare."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.wording import listing
from shoal.data.limits import check_bytes

LONGEST_HEADER = 10_000  # bytes, as numpy.load allows


def read_npz(path: Path) -> dict[str, NDArray[np.generic]]:
    """All arrays of an `.npz`, after their headers were checked: no objects, and no more bytes than the bound.

    Raises:
        InputError: damaged, holds pickled objects, declares more than the archive contains or the machine can hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            if not members:
                raise InputError(f"{path} holds no arrays; it must be written by numpy.savez or savez_compressed.")
            declared = [(info.filename, _declared(archive, info, path)) for info in members]
        check_bytes(
            sum(size for _, size in declared), str(path), f"its arrays ({listing(n[:-4] for n, _ in declared)})"
        )
        with np.load(path, allow_pickle=False) as file:
            return {info.filename[:-4]: file[info.filename[:-4]] for info in members}
    except InputError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        ValueError,
        KeyError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise InputError(f"{path} cannot be read as a NumPy archive ({_first_line(error)}); write it again.") from error


def read_npy(path: Path) -> NDArray[np.generic]:
    """One array of an `.npy` file.

    Raises:
        InputError: damaged, holds pickled objects, or too large.
    """
    try:
        with path.open("rb") as file:
            size = _check_header(file, str(path), path.stat().st_size)
        check_bytes(size, str(path), "its array")
        array: NDArray[np.generic] = np.load(path, allow_pickle=False)
    except InputError:
        raise
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a NumPy array ({_first_line(error)}); write it again.") from error
    return array


def _declared(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> int:
    with archive.open(info) as file:
        return _check_header(file, f"{path}, array {info.filename[:-4]!r}", info.file_size)


def _check_header(file: Any, where: str, stored: int) -> int:
    """The bytes that a header declares."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise InputError(f"{where}: an array in the unknown version {version[0]}.{version[1]} of the format.")
    start, width = file.tell(), 2 if version == (1, 0) else 4
    length = int.from_bytes(file.read(width), "little")
    if length > LONGEST_HEADER:  # a few bytes of an archive can unpack to gigabytes of header
        raise InputError(f"{where} declares a header of {length} bytes: the file is damaged.")
    file.seek(start)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise InputError(
            f"{where} holds pickled objects, which could run code and are not loaded; save plain numbers or text."
        )
    size = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or (dtype.itemsize == 0 and math.prod(shape) > 0):
        raise InputError(f"{where} declares the shape {list(shape)} of {dtype}: the file is damaged.")
    if size > stored:
        raise InputError(f"{where} declares {size} bytes and holds {stored}: the file is damaged.")
    return size


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
