"""CUDA graphs: a step of many small kernels is captured once and replayed by one call.

On a CPU, and for inputs of another shape than the captured ones, the step runs as it is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, Self, TypeVar

import torch
from torch import Tensor


class StepInputs(Protocol):
    """The inputs of a step."""

    def tensors(self) -> Sequence[Tensor]:
        """Everything that changes from step to step, in a fixed order."""
        ...

    def clone(self) -> Self:
        """The same in memory of its own."""
        ...


Given = TypeVar("Given", bound=StepInputs)
WARM_UP_STEPS = 3  # run as written before the capture: libraries choose their kernels and reserve memory


def captured(step: Callable[[Given], None], device: torch.device) -> Callable[[Given], None]:
    """The step, which on a GPU is replayed as a graph.

    Args:
        step: reads its inputs and tensors of fixed addresses, and writes the latter in place. It must not read a
            number back to the CPU.
        device: where it runs.
    """
    return CapturedStep(step) if device.type == "cuda" else step


class CapturedStep(Generic[Given]):
    """Captures a step once it has run a few times; see `captured`."""

    def __init__(self, step: Callable[[Given], None]) -> None:
        self._step = step
        self._runs = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._static: Given | None = None  # the inputs that the graph reads, always at these addresses

    def __call__(self, inputs: Given) -> None:
        """One step."""
        if self._graph is None or self._static is None or not _fit(self._static.tensors(), inputs.tensors()):
            self._step(inputs)
            self._runs += 1
            if self._graph is None and self._runs == WARM_UP_STEPS:
                self._capture(inputs)
            return
        for static, tensor in zip(self._static.tensors(), inputs.tensors(), strict=True):
            static.copy_(tensor)
        self._graph.replay()

    def _capture(self, inputs: Given) -> None:
        """Record the step; recording computes nothing."""
        self._static = inputs.clone()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step(self._static)
        self._graph = graph


def _fit(static: Sequence[Tensor], given: Sequence[Tensor]) -> bool:
    return all(one.shape == other.shape for one, other in zip(static, given, strict=True))
