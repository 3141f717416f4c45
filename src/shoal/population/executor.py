"""How a population is computed: how many rows to a block, how many blocks at once.

The choice follows from the network, K and the memory alone, never from a clock, so a run with the same settings makes
the same choice; and the numbers do not depend on it (law 2).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from shoal.population.template import Template

Work = TypeVar("Work")
Result = TypeVar("Result")

STACKED_PARAMETERS = 130_000  # above this a stacked row's weights leave the cache between its layers' passes
STACKED_ACTIVATION_BYTES = 1 << 20  # above this stacked convolutions do
CONVOLUTION_ROWS = 8
STACKED_BLOCK_BYTES = 256 << 20


@dataclass(frozen=True)
class Plan:
    """`rows` to a block, `workers` blocks at once, each with one intra-op thread when there are several."""

    rows: int
    workers: int
    bytes_per_row: int


def plan(template: Template, members: int, batch: Tensor, copies: int, memory_bytes: int) -> Plan:
    """Choose how to compute a population.

    On a CPU, convolutions and large layers run fastest row by row, a thread each (stacked convolutions become grouped
    ones and leave the cache); small dense networks run fastest stacked. On a GPU everything is stacked.

    Args:
        template: the network.
        members: rows to compute.
        batch: one mini-batch [B, ...].
        copies: matrices [K, P] held by row: weights, gradient, optimizer state, best weights.
        memory_bytes: what all blocks at work may take together.
    """
    kept = kept_bytes(template, batch)
    size = torch.empty(0, dtype=template.decayed.dtype).element_size()
    row = copies * template.layout.parameters * size + 2 * kept
    if batch.device.type != "cpu":
        return Plan(max(1, min(members, memory_bytes // row)), 1, row)
    workers = min(os.cpu_count() or 1, members)
    if template.layout.parameters > STACKED_PARAMETERS or (template.convolutional and kept > STACKED_ACTIVATION_BYTES):
        return Plan(1, workers, row)
    most = CONVOLUTION_ROWS if template.convolutional else min(memory_bytes, STACKED_BLOCK_BYTES) // row
    return Plan(max(1, min(-(-members // workers), most)), workers, row)


def kept_bytes(template: Template, batch: Tensor) -> int:
    """What one row's forward pass keeps for its backward, measured."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    network = template.copy_skeleton().train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs: Tensor = network(batch)
    return sum(kept.values()) + outputs.numel() * outputs.element_size()


@contextmanager
def pool(workers: int) -> Iterator[Callable[[Callable[[Work], Result], Sequence[Work]], list[Result]]]:
    """A function that applies another to each piece of work, on `workers` threads.

    With several workers each one computes with a single intra-op thread; with one, torch's own threads are left alone.
    """
    if workers == 1:
        yield lambda function, work: [function(piece) for piece in work]
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(workers) as executor:
            yield lambda function, work: list(executor.map(function, work))
    finally:
        torch.set_num_threads(threads)
