"""The matrix itself: K rows of weights, and everything else that is kept by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoal import optim
from shoal.core.errors import InputError
from shoal.losses import Loss
from shoal.population import executor
from shoal.population.block import Block
from shoal.population.executor import Plan
from shoal.population.member import Member
from shoal.population.template import Template

Array = Tensor | NDArray[np.generic]
STATUSES = ("ok", "stopped", "pruned", "diverged")


class Matrix:
    """What a population is; what it does stands in `Population`.

    Args:
        template: the structure that all rows share.
        members: K of them.
        theta: [K, P].
        buffers: each [K, ...].
        loss: what is minimised.
        memory_bytes: what the rows at work may take together.
    """

    def __init__(
        self,
        template: Template,
        members: tuple[Member, ...],
        theta: Tensor,
        buffers: Mapping[str, Tensor],
        loss: Loss,
        memory_bytes: int,
    ) -> None:
        self.template, self.members, self.loss, self.memory_bytes = template, members, loss, memory_bytes
        self.theta = theta
        self.buffers = {name: stack.to(theta.device) for name, stack in buffers.items()}
        self.status = ["ok"] * len(members)  # one of STATUSES by row
        self.steps = torch.zeros(len(members), dtype=torch.int64)  # gradient steps done, by row
        self.epochs = 0  # passes over the data that this population has seen
        self.state: list[dict[str, Tensor]] = [{}] * len(members)  # the optimizer's, by row; {} before a step

    def __len__(self) -> int:
        return len(self.members)

    @property
    def parameters(self) -> int:
        """P: trainable numbers of one network."""
        return self.template.layout.parameters

    @property
    def device(self) -> torch.device:
        """Where the matrix lives."""
        return self.theta.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating-point type of weights and data."""
        return self.theta.dtype

    def stop(self, rows: Sequence[int], status: str = "pruned") -> None:
        """Train these rows no further.

        Args:
            rows: their numbers.
            status: what they are called from now on, one of `STATUSES`.
        """
        for row in rows:
            self.status[row] = status

    def tensor(self, values: Array) -> Tensor:
        """Values on the population's device; floating-point ones in its type."""
        tensor = torch.as_tensor(values)
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)

    def data(self, x: Array, y: Array) -> tuple[Tensor, Tensor]:
        """Inputs and targets as the loss wants them.

        Raises:
            InputError: they have no rows, differ in rows, or the targets do not fit the loss.
        """
        inputs, targets = self.tensor(x), self.tensor(y)
        if len(inputs) != len(targets) or not len(inputs):
            raise InputError(f"x has {len(inputs)} rows and y has {len(targets)}: give as many of each, at least one.")
        if not self.loss.categorical:
            targets = targets.to(self.dtype)
            return inputs, targets.unsqueeze(1) if targets.dim() == 1 else targets
        if targets.is_floating_point() or targets.dim() != 1:
            raise InputError(
                f"{self.loss.name} needs class numbers as y, int64 [N], but y is {targets.dtype} {list(targets.shape)}."
            )
        return inputs, targets.to(torch.int64)

    def plan(self, rows: Sequence[int], batch: Tensor) -> Plan:
        """How to compute these rows on batches like this one."""
        copies = 4 + max(optim.rule(self.members[row].optimizer).copies for row in rows)
        return executor.plan(self.template, len(rows), batch, copies, self.memory_bytes)

    def views(self, views: Sequence[Array], rows: int) -> list[Tensor]:
        """Views as int64 tensors; equal objects stay one tensor."""
        if len(views) != len(self):
            raise InputError(f"There are {len(views)} views for {len(self)} members: give one for each.")
        known: dict[int, Tensor] = {}
        for member, view in enumerate(views):
            tensor = torch.as_tensor(view)
            if tensor.dim() != 1 or not len(tensor) or tensor.is_floating_point() or tensor.dtype == torch.bool:
                raise InputError(f"The view of member {member} must be a list of row numbers, at least one.")
            if int(tensor.min()) < 0 or int(tensor.max()) >= rows:
                raise InputError(f"The view of member {member} has rows outside 0 to {rows - 1}, the rows of x.")
            known.setdefault(id(view), tensor.to(self.device, torch.int64))
        return [known[id(view)] for view in views]

    def blocks(self, rows: Sequence[int], plan: Plan, views: Sequence[Tensor] | None = None) -> list[Block]:
        """Rows as blocks of one optimizer rule each and, where they have views, of views of one length.

        Stacked rows give the same bits in any company but alone (one row takes other kernels), so a row that is left
        alone in a stacked plan is computed twice: that nobody else diverged or stopped must not show (law 1).
        """
        alike: dict[tuple[str, int], list[int]] = {}
        for row in rows:
            key = self.members[row].optimizer, 0 if views is None else len(views[row])
            alike.setdefault(key, []).append(row)
        chunks = [
            same[start : start + plan.rows] for same in alike.values() for start in range(0, len(same), plan.rows)
        ]
        return [self._block(chunk * 2 if len(chunk) == 1 < plan.rows else chunk) for chunk in chunks]

    def _block(self, rows: list[int]) -> Block:
        rule = optim.rule(self.members[rows[0]].optimizer)
        state = optim.fresh_state(rule, len(rows), self.parameters, self.device, self.dtype)
        for number, row in enumerate(rows):
            for slot, values in self.state[row].items():
                state[slot][number] = values
        return Block(
            template=self.template,
            rows=rows,
            members=[self.members[row] for row in rows],
            theta=self.theta[rows],
            buffers={name: stack[rows] for name, stack in self.buffers.items()},
            state=state,
            steps=self.steps[rows],
            loss=self.loss,
        )

    def take_weights(self, blocks: Sequence[Block]) -> None:
        """Write the blocks' weights, buffers and step counts into the matrix."""
        for block in blocks:
            self.theta[block.rows] = block.theta
            self.steps[block.rows] = block.steps
            for name, stack in block.buffers.items():
                self.buffers[name][block.rows] = stack

    def take_state(self, blocks: Sequence[Block]) -> None:
        """Keep the blocks' optimizer state, so that a later training goes on from it."""
        for block in blocks:
            for number, row in enumerate(block.rows):
                self.state[row] = {slot: values[number].clone() for slot, values in block.state.items()}
