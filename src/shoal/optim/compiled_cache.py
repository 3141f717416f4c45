"""Compiled loops on disk: a folder of the user's own in place of torch's, which everybody could have made before.

torch keeps what it compiles, by a digest of the code, its own version, the compiler and the processor's instructions,
below the system's folder of temporary files: under a name that can be foretold, until the machine starts anew. It
unpickles from there and runs the code that it finds. See docs/decisions/0008.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import torch

VARIABLE = "TORCHINDUCTOR_CACHE_DIR"  # where torch looks for the folder; what the user has set there stands
STALE_S = 30 * 24 * 3600  # a folder of another torch or processor that was not used for so long is removed


@contextmanager
def kept() -> Iterator[None]:
    """Let torch keep what is compiled inside in the user's folder, and find there what another process compiled.

    The environment is as it was afterwards: what else the process compiles stays where torch puts it.
    """
    before = os.environ.get(VARIABLE)
    if before and not _is_torchs_own(before):
        yield
        return
    own = private(root() / name())
    with suppress(OSError):
        if own:
            _remove_stale(own.parent)
    temporary = None if own else tempfile.TemporaryDirectory(prefix="shoal-", ignore_cleanup_errors=True)
    os.environ[VARIABLE] = str(own) if own else temporary.name  # type: ignore[union-attr]
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before:
            os.environ[VARIABLE] = before
        if temporary is not None:
            temporary.cleanup()  # what was loaded from there stays loaded


def _is_torchs_own(folder: str) -> bool:
    """Whether torch has set the variable itself, as it does when its compiler is loaded."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir  # takes longer than all of this

    return Path(folder) == Path(default_cache_dir())


def root() -> Path:
    """The folder of all that Shoal compiles for this user; it need not be there."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~/.cache"))) / "shoal" / "compiled"


@cache
def name() -> str:
    """The folder's name for this torch and this processor: machines may share a home, and code is made for one kind."""
    facts = [platform.machine(), torch.backends.cpu.get_cpu_capability()]
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        facts += sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))})
    return f"{torch.__version__}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:12]}"


def private(folder: Path) -> Path | None:
    """The folder, made where it is missing; None where that fails, or where others own it or could write into it."""
    if not folder.is_absolute():
        return None  # the user has no home
    try:
        for each in (folder.parent.parent, folder.parent, folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _ours_alone(each.lstat()):
                return None
        if not os.access(folder, os.W_OK | os.X_OK):
            return None
        os.utime(folder)
    except OSError:
        return None
    return folder


def _ours_alone(found: os.stat_result) -> bool:
    if os.name != "posix":
        return stat.S_ISDIR(found.st_mode)
    shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not shared


def _remove_stale(folder: Path) -> None:
    """Remove what other versions of torch, or other processors, left behind; who still has it open goes on with it."""
    for each in folder.iterdir():
        if each.name != name() and time.time() - each.lstat().st_mtime > STALE_S:
            shutil.rmtree(each, ignore_errors=True)
