"""How a population is computed: how many rows to a block, how many blocks at once, in which layout and precision.

The numbers do not depend on it (law 2); the last bits may, so plans are kept by signature (`Plans`), and a run that is
repeated from its record repeats them.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from shoal.core import process
from shoal.population.chain import is_chain
from shoal.population.probe import Cost, measured_cost, not_stackable, runs_channels_last
from shoal.population.template import Template

STACKED_PARAMETERS = 130_000  # above this a stacked row's weights leave the cache between its layers' passes, ...
CHAIN_PARAMETERS = 1_200_000  # ... and above this even those of a chain of linear layers (see `chain`)
STACKED_ACTIVATION_BYTES = 1 << 18  # above this, those of stacked convolutions do
CONVOLUTION_ROWS = 8
SEQUENTIAL_ROWS = 8  # rows computed one by one that share an optimizer's pass and a thread, ...
SEQUENTIAL_PARAMETERS = 1 << 20  # ... as long as all their weights stay in cache
STACKED_BLOCK_BYTES = 256 << 20
EVALUATION_BATCH = 1024
COMPILING_PAYS = 3_000_000_000  # weights moved: 3 ns of each are saved, and a compilation takes some seconds
MEASURING_PAYS = 1_000_000_000_000  # floating-point operations: half a minute of two cores
_FORMER_NAMES = {"looped": "sequential", "bytes": "peak_bytes"}


@dataclass(frozen=True)
class Plan:
    """`rows` to a block, `workers` blocks at once, each with one intra-op thread when there are several."""

    rows: int
    workers: int
    sequential: bool = False  # gradients row by row; only the optimizer takes the block as one
    channels_last: bool = False  # of convolutions, row by row
    compiled: bool = False  # the optimizer's pass over memory
    bfloat16: bool = False  # layers compute in it; weights and sums stay float32
    evaluation_batch: int = EVALUATION_BATCH
    peak_bytes: int = 0  # most memory that the work takes, without the data
    why: str = ""

    @property
    def alone(self) -> bool:
        """Each row is a network by itself."""
        return self.sequential or self.rows == 1

    def describe(self) -> str:
        """One line for people."""
        blocks = "row by row" if self.alone else f"{self.rows} rows to a block"
        threads = f"{self.workers} at once" if self.workers > 1 else "one at a time"
        ways = [
            name
            for name, on in (
                ("channels-last", self.channels_last),
                ("bfloat16", self.bfloat16),
                ("optimizer compiled", self.compiled),
            )
            if on
        ]
        return ", ".join([blocks, threads, *ways]) + (f" ({self.why})" if self.why else "")


def current_names(values: Mapping[str, object]) -> dict[str, Any]:
    """The fields of a recorded plan by the names that they have now.

    >>> current_names({"rows": 4, "looped": True})
    {'rows': 4, 'sequential': True}
    """
    return {_FORMER_NAMES.get(name, name): value for name, value in values.items()}


class Plans:
    """Plans by signature: of this process, or of a run that records them.

    >>> plans = Plans()
    >>> plans.put("1f", Plan(rows=4, workers=2))
    >>> Plans.of(plans.document()).find("1f").rows
    4
    """

    measures = True  # long work may be planned by trying several plans, which only this machine's clock can tell apart

    def __init__(self) -> None:
        self._by_signature: dict[str, Plan] = {}

    def find(self, signature: str) -> Plan | None:
        """The plan made before for the same work, or None."""
        return self._by_signature.get(signature)

    def put(self, signature: str, plan: Plan) -> None:
        """Keep a plan."""
        self._by_signature[signature] = plan

    def document(self) -> dict[str, dict[str, object]]:
        """All plans as plain values."""
        return {signature: asdict(plan) for signature, plan in self._by_signature.items()}

    @staticmethod
    def of(document: Mapping[str, Mapping[str, object]]) -> Plans:
        """The plans that `document` described."""
        plans = Plans()
        for signature, values in document.items():
            plans.put(signature, Plan(**current_names(values)))
        return plans


@dataclass(frozen=True)
class Computation:
    """A piece of work that a plan is wanted for."""

    template: Template
    members: int
    optimizers: tuple[str, ...]  # their names, sorted
    matrices: int  # [K, P] each, held as long as the work lasts: weights, gradient, optimizer state, ...
    batch: Tensor  # one mini-batch [B, ...]
    steps: int  # gradient steps of each row; 0 to evaluate
    memory_bytes: int  # what all blocks at work may take together
    bfloat16: bool
    compiler: bool  # one is installed
    cost: Cost = field(init=False)
    not_stackable: str = field(init=False)  # why rows cannot be stacked, or "", also where nobody would stack them
    channels_last: bool = field(init=False)  # rows may run by themselves, there are convolutions, and they may run so
    chain: bool = field(init=False)  # stacked rows run layer by layer, and no layer is a convolution

    def __post_init__(self) -> None:
        """Learn of the network what this work needs, no more: each trial runs it again."""
        object.__setattr__(self, "cost", measured_cost(self.template, self.batch))
        object.__setattr__(self, "chain", is_chain(self.template.skeleton) and not self.template.kernels)
        stacking = self.members > 1 and (self.measuring_pays or not self.large)
        object.__setattr__(self, "not_stackable", not_stackable(self.template, self.batch) if stacking else "")
        alone = bool(self.not_stackable) or self.large or self.measuring_pays or self.share == 1
        object.__setattr__(self, "channels_last", alone and runs_channels_last(self.template, self.batch))

    @property
    def share(self) -> int:
        """The rows of each worker on a CPU."""
        return -(-self.members // min(process.cores(), self.members))

    @property
    def large(self) -> bool:
        """On a CPU, stacked rows would leave the cache: they run faster by themselves."""
        if self.batch.device.type != "cpu":
            return False
        if self.template.layout.parameters > (CHAIN_PARAMETERS if self.chain else STACKED_PARAMETERS):
            return True
        return bool(self.template.kernels) and self.cost.kept_bytes > STACKED_ACTIVATION_BYTES

    @property
    def weights_bytes(self) -> int:
        """One row's weights."""
        return self.template.layout.parameters * torch.empty(0, dtype=self.template.decay_factor.dtype).element_size()

    @property
    def row_bytes(self) -> int:
        """Memory that one row needs while its gradient is computed; the factors were measured.

        The gradients of the weights twice; the kept activations, as much for their gradients, and half as much for
        what a layer allocates and frees.
        """
        return 2 * self.weights_bytes + 5 * self.cost.kept_bytes // 2

    def peak_bytes(self, rows: int, workers: int) -> int:
        """The most memory that the work takes: the matrices, and `rows` at once for each worker."""
        return self.matrices * self.members * self.weights_bytes + workers * rows * self.row_bytes

    @property
    def compiling_pays(self) -> bool:
        """A compiled optimizer saves more time than its compilation takes."""
        moved = self.members * self.template.layout.parameters * self.steps
        return self.compiler and moved > COMPILING_PAYS

    @property
    def measuring_pays(self) -> bool:
        """The work is long enough to try several plans first. Follows from shapes alone, never from a clock.

        A backward pass costs about twice what the forward pass does.
        """
        return self.members > 1 and 3 * self.members * self.steps * self.cost.operations > MEASURING_PAYS

    def signature(self) -> str:
        """A short hash of all that the choice of a plan depends on."""
        device = self.batch.device
        facts = [
            str(self.template.skeleton),
            self.template.layout.shapes,
            self.members,
            self.optimizers,
            self.matrices,
            self.not_stackable,
            self.channels_last,
            self.chain,
            list(self.batch.shape),
            str(self.template.decay_factor.dtype),
            self.steps > 0,
            self.compiling_pays,
            self.measuring_pays,
            self.memory_bytes,
            self.bfloat16,
            torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine(),
            process.cores(),
            torch.__version__,
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def by_rule(work: Computation) -> Plan:
    """The plan by rule, without timing anything.

    On a CPU, convolutions and large layers run fastest row by row, a thread each (stacked convolutions become grouped
    ones and leave the cache); small dense networks run fastest stacked. On a GPU everything is stacked.
    """
    if work.batch.device.type != "cpu":
        rows = max(1, min(work.members, work.memory_bytes // work.row_bytes))
        return _row_by_row(work, 1) if work.not_stackable else _complete(work, Plan(rows, 1))
    workers = min(process.cores(), work.members)
    if work.not_stackable or work.large:
        return _row_by_row(work, workers)
    most = CONVOLUTION_ROWS if work.template.kernels else _most_rows(work, workers)
    return _complete(work, Plan(max(1, min(work.share, most)), workers))


def candidates(work: Computation) -> list[Plan]:
    """Plans worth timing, the rule's first: row by row, on threads or each on all of them; blocks on a ladder."""
    rule = by_rule(work)
    if work.batch.device.type != "cpu":
        return [rule]
    workers = min(process.cores(), work.members)
    alone = [_row_by_row(work, workers), _row_by_row(work, 1)]
    if work.not_stackable:
        return list(dict.fromkeys([rule, *alone]))
    ladder = {4, 8} if work.template.kernels else {8, 16, 32, 64, work.share}
    widths = {_even(work.share, rows) for rows in ladder if 1 < rows <= min(work.share, _most_rows(work, workers))}
    plans = [rule, *(_complete(work, Plan(rows, workers)) for rows in sorted(widths)), *alone]
    return list(dict.fromkeys(plans))


def _row_by_row(work: Computation, workers: int) -> Plan:
    """A plan that computes row by row, in blocks small enough that no worker waits for another."""
    fitting = max(1, min(SEQUENTIAL_ROWS, SEQUENTIAL_PARAMETERS // max(work.template.layout.parameters, 1)))
    rows = _even(-(-work.members // workers), fitting)
    return _complete(work, Plan(rows, workers, sequential=True, why=work.not_stackable))


def _even(share: int, rows: int) -> int:
    """The block width of at most `rows` that makes all blocks even, so that no worker waits for a small last one."""
    return -(-share // -(-share // rows))


def _most_rows(work: Computation, workers: int) -> int:
    return max(1, min(work.memory_bytes // workers, STACKED_BLOCK_BYTES) // work.row_bytes)


def _complete(work: Computation, plan: Plan) -> Plan:
    """The plan with the fields that follow from its block size."""
    at_once = 1 if plan.alone else plan.rows
    outputs_bytes = max(1, work.cost.kept_bytes // len(work.batch)) * at_once  # of one row of the data, at most
    fitting = max(len(work.batch), STACKED_BLOCK_BYTES // plan.workers // outputs_bytes)
    batch = min(EVALUATION_BATCH, fitting, len(work.batch) if work.steps and at_once > 1 else EVALUATION_BATCH)
    return replace(
        plan,
        channels_last=plan.alone and work.channels_last,
        compiled=work.compiling_pays,
        bfloat16=work.bfloat16,
        evaluation_batch=batch,
        peak_bytes=work.peak_bytes(at_once, plan.workers),
    )
