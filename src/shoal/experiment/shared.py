"""Tensors that several processes see in one piece of memory, which is gone when the last of them is.

The memory has no name: a process that is killed leaves nothing behind.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from dataclasses import dataclass
from multiprocessing import reduction
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import Tensor

from shoal.core.errors import RunError, first_line


@dataclass(frozen=True)
class Handle:
    """What a tensor in shared memory is, for whoever gets its descriptor."""

    shape: tuple[int, ...]
    dtype: str  # NumPy's


class Shared:
    """A copy of a tensor in shared memory; close it when everybody has it.

    Args:
        tensor: on the CPU.

    Raises:
        RunError: there is no such memory left.
    """

    def __init__(self, tensor: Tensor) -> None:
        array = tensor.detach().contiguous().numpy()
        self.handle = Handle(tuple(array.shape), array.dtype.str)
        self._descriptor = -1
        try:
            self._descriptor = _anonymous()
            with os.fdopen(os.dup(self._descriptor), "wb") as file:
                array.tofile(file) if array.size else file.write(b"\0")  # nothing cannot be mapped
        except OSError as error:
            self.close()
            raise RunError(f"The rows cannot be put into memory that processes share: {first_line(error)}") from error
        except BaseException:
            self.close()
            raise

    def send(self, connection: Connection, process: int) -> None:
        """Give another process the memory; it calls `received`."""
        reduction.send_handle(connection, self._descriptor, process)

    def close(self) -> None:
        """Forget the memory; who received it keeps it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def received(connection: Connection, handle: Handle) -> Tensor:
    """The tensor that the other end sends."""
    descriptor = reduction.recv_handle(connection)
    try:
        memory = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)  # what one writes into it, no other sees
    finally:
        os.close(descriptor)
    dtype = np.dtype(handle.dtype)
    count = int(np.prod(handle.shape, dtype=np.int64))
    return torch.from_numpy(np.frombuffer(memory, dtype, count).reshape(handle.shape))


def _anonymous() -> int:
    """The descriptor of a file without a name: in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("shoal")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
