"""Passes over memory compiled to one loop, where a compiler is there; one notice where none is."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from shoal.optim import compiled_cache

_KEPT_GUARDS = frozenset(
    {"TENSOR_MATCH", "SHAPE_ENV", "DUPLICATE_INPUT", "GLOBAL_STATE", "GRAD_MODE", "TORCH_FUNCTION_STATE"}
)

InPlace = Callable[[Sequence[Tensor]], None]
"""Writes new values into some of the tensors that it is given."""


class _Compiled:
    """The compiled loops of this process by key, and why there will be no more."""

    def __init__(self) -> None:
        self.loops: dict[tuple[object, ...], Callable[..., None]] = {}
        self.compiling = threading.Lock()
        self.refusal = ""

    def refuse(self, reason: str) -> None:
        """Compile nothing from now on, and say so once."""
        if not self.refusal:
            self.refusal = reason
            warnings.warn(f"Optimizers run uncompiled, with the same results but slower: {reason}.", stacklevel=4)


_compiled = _Compiled()


def why_not(device: torch.device | str = "cpu") -> str:
    """Why nothing can be compiled here, or nothing when it can.

    Args:
        device: where the tensors are.

    Returns:
        a phrase such as `there is no C++ compiler (g++)`.
    """
    if _compiled.refusal:
        return _compiled.refusal
    if torch.device(device).type == "cpu":
        name = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
        return "" if shutil.which(name) else f"there is no C++ compiler ({name})"
    return ""


def run(key: tuple[object, ...], name: str, work: InPlace, tensors: Sequence[Tensor]) -> bool:
    """Do elementwise work in one compiled loop.

    Args:
        key: what distinguishes this work from others, apart from shapes, type, device and threads: work with one key is
            compiled once for each type, device and number of threads (and apart for axes of length 1), whatever the
            other lengths are. What is compiled is kept on disk for other processes; see `compiled_cache`.
        name: what profilers call the loop.
        work: written as tensor arithmetic on its arguments alone.
        tensors: its arguments.

    Returns:
        whether it was done; where nothing can be compiled, nothing was changed, and a warning said so once.
    """
    first = tensors[0]
    if not _compiled.loops and (reason := why_not(first.device)):
        _compiled.refuse(reason)
    if _compiled.refusal:
        return False
    single = tuple(length == 1 for tensor in tensors for length in tensor.shape)
    whole_key = (*key, single, first.dtype, first.device.type, torch.get_num_threads())
    loop = _compiled.loops.get(whole_key)
    try:
        if loop is not None:
            loop(*tensors)
            return True
        with _compiled.compiling, compiled_cache.kept():
            loop = _compiled.loops.get(whole_key) or _loop(name, work)
            loop(*tensors)
            _compiled.loops[whole_key] = loop
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a compiler may refuse with; a failing step fails again, uncompiled
        _compiled.refuse(f"compilation failed with {type(error).__name__}")
        return False
    return True


def _loop(name: str, work: InPlace) -> Callable[..., None]:
    """Compiled work for any shapes; its code object is its own, because torch counts recompilations by that."""

    def loop(*tensors: Tensor) -> None:
        work(tensors)

    own = FunctionType(loop.__code__.replace(co_name=name), loop.__globals__, name, None, loop.__closure__)
    options: dict[str, str | int | bool | Callable[..., Any]] = {
        "guard_filter_fn": _on_tensors_and_state,
        "cpp_cache_precompile_headers": False,  # torch keeps those in the system's folder, whatever the cache's is
    }
    return torch.compile(own, dynamic=True, fullgraph=True, options=options)


def _on_tensors_and_state(guards: Sequence[Any]) -> list[bool]:
    """Keep torch's checks of shapes, types and its global state; drop those on our own code, which stays as it is."""
    return [guard.guard_type in _KEPT_GUARDS for guard in guards]
