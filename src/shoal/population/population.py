"""A population: K networks of one architecture as one matrix `theta[K, P]`."""

from __future__ import annotations

import copy
from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shoal import losses, optim
from shoal.core.errors import InputError
from shoal.population import executor, saving, training
from shoal.population.block import EVALUATION_BATCH, Block
from shoal.population.executor import Plan
from shoal.population.member import Member, check
from shoal.population.record import EpochRecord, Floats, scatter
from shoal.population.template import MakeNet, adopt, fresh_rows

Array = Tensor | NDArray[np.generic]
STATUSES = ("ok", "stopped", "pruned", "diverged")


class Population:
    """K networks as one matrix.

    Rows are independent: what one row computes does not depend on which others are there.

    Args:
        make_net: a zero-argument callable that returns a fresh `nn.Module`, called once per distinct seed with torch's
            generator seeded from it; or a module, from whose weights every row starts.
        members: K `Member`s (or dicts of their fields).
        loss: `cross_entropy` (targets int64 [N]) or `squared_error` (targets [N] or [N, C]).
        device: where the matrix lives.
        dtype: floating-point type of weights and data.
        memory_bytes: what the rows at work may take together.

    Raises:
        InputError: no members, a field out of range (the message names the member), or a network that cannot be
            trained.
    """

    theta: Tensor  # [K, P]
    buffers: dict[str, Tensor]  # each [K, ...]
    status: list[str]  # one of STATUSES by row

    def __init__(
        self,
        make_net: MakeNet | nn.Module,
        members: Sequence[Member | dict[str, object]],
        *,
        loss: str = "cross_entropy",
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        memory_bytes: int = 2 << 30,
    ) -> None:
        self.members = check(members)
        self.loss = losses.find(loss)
        self.device, self.dtype, self.memory_bytes = torch.device(device), dtype, memory_bytes
        self._make_net: MakeNet = (lambda: copy.deepcopy(make_net)) if isinstance(make_net, nn.Module) else make_net
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.members[0].seed)
            network = self._make_net()
        self.template = adopt(network, dtype, self.device)
        theta, buffers = fresh_rows(self._make_net, self.template, self.members, dtype)
        self.theta = theta.to(self.device)
        self.buffers = {name: stack.to(self.device) for name, stack in buffers.items()}
        self.status = ["ok"] * len(self.members)
        self.steps = torch.zeros(len(self.members), dtype=torch.int64)  # gradient steps done, by row
        self.epochs = 0  # passes over the data that this population has seen
        self.state: list[dict[str, Tensor]] = [{}] * len(self.members)  # the optimizer's, by row; {} before a step

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, rows: int | slice | Sequence[int]) -> Population:
        """The population of some rows, copied; training it goes on where these rows stood."""
        chosen = [int(row) for row in np.atleast_1d(np.arange(len(self))[rows])]
        part = copy.copy(self)
        part.members = tuple(self.members[row] for row in chosen)
        part.theta = self.theta[chosen]
        part.buffers = {name: stack[chosen] for name, stack in self.buffers.items()}
        part.status = [self.status[row] for row in chosen]
        part.steps = self.steps[chosen]
        part.state = [self.state[row] for row in chosen]
        return part

    @property
    def parameters(self) -> int:
        """P: trainable numbers of one network."""
        return self.template.layout.parameters

    def train(
        self,
        x: Array,
        y: Array,
        *,
        epochs: int,
        batch_size: int = 128,
        validation: tuple[Array, Array] | None = None,
        patience: int | None = None,
        order_seed: int = 0,
        views: Sequence[Array] | None = None,
    ) -> Generator[EpochRecord, None, None]:
        """Train every row whose status is `ok`, all on the same mini-batches; one record an epoch.

        Args:
            x: data [N, ...].
            y: targets, int64 [N] classes or [N] / [N, C] numbers.
            epochs: passes over the data; schedules stretch over all of them.
            batch_size: rows of a mini-batch; N or more means batch gradient descent.
            validation: (x, y) that are scored after each epoch.
            patience: stop a row when its validation score has not improved for so many epochs; every row gets the
                weights of its best epoch back at the end. None trains to the end and keeps the last weights.
            order_seed: seed of the order of the mini-batches.
            views: row numbers of x that each member sees (a fold, a bootstrap sample, ...), K of them; each member is
                trained exactly as if it had been given x[view], y[view] alone. Members with one view share its batches
                in memory.

        Yields:
            An `EpochRecord` whose fields are [K]. Between two records the caller may call `stop`.

        Raises:
            InputError: shapes do not fit each other, the loss or the network.
        """
        data = self.data(x, y)
        held_out = None if validation is None else self.data(*validation)
        if patience is not None and held_out is None:
            raise InputError("patience needs validation data: without them no row knows when to stop.")
        seen = None if views is None else self._views(views, len(data[0]))
        return training.train(self, data, held_out, epochs, batch_size, patience, order_seed, seen)

    def stop(self, rows: Sequence[int], status: str = "pruned") -> None:
        """Train these rows no further.

        Args:
            rows: their numbers.
            status: what they are called from now on, one of `STATUSES`.
        """
        for row in rows:
            self.status[row] = status

    def predict(self, x: Array) -> Tensor:
        """Outputs [K, N, C] (logits, or numbers) of every row in evaluation mode, on the CPU."""
        inputs = self.tensor(x)
        plan = self.plan(range(len(self)), inputs[:EVALUATION_BATCH])
        blocks = self.blocks(range(len(self)), plan)
        with executor.pool(plan.workers) as run:
            parts = run(lambda block: block.predict(inputs).cpu(), blocks)
        outputs = torch.empty(len(self), *parts[0].shape[1:], dtype=self.dtype)
        for block, part in zip(blocks, parts, strict=True):
            outputs[block.rows] = part
        return outputs

    def evaluate(self, x: Array, y: Array) -> tuple[Floats, Floats]:
        """Mean loss (without smoothing) and score (accuracy, R^2) of every row in evaluation mode, each [K]."""
        data = self.data(x, y)
        plan = self.plan(range(len(self)), data[0][:EVALUATION_BATCH])
        blocks = self.blocks(range(len(self)), plan)
        with executor.pool(plan.workers) as run:
            parts = run(lambda block: block.evaluate(*data), blocks)
        rows = [block.rows for block in blocks]
        loss = scatter(len(self), rows, [loss for loss, _ in parts])
        mean = scatter(len(self), rows, [score for _, score in parts])
        return loss, self.loss.metric(mean, self.loss.target_variance(data[1]))

    def network(self, row: int) -> nn.Module:
        """Row `row` as an ordinary module of the user's own class, in evaluation mode."""
        member = self.members[row]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(member.seed)
            network = self._make_net()
        weights = {name: view[0] for name, view in self.template.layout.views(self.theta[row : row + 1]).items()}
        stacked = {name: stack[row] for name, stack in self.buffers.items()}
        network = network.to(device=self.device, dtype=self.dtype)
        with torch.no_grad():
            for name, tensor in (*network.named_parameters(), *network.named_buffers()):
                tensor.copy_(weights[name] if name in weights else stacked[name])
        if member.dropout is not None:
            for module in network.modules():
                if isinstance(module, nn.modules.dropout._DropoutNd):
                    module.p = member.dropout
        return network.eval()

    def save(self, path: str | Path) -> None:
        """Write everything but the network's code: weights, buffers, optimizer state, members, counts.

        Args:
            path: one safetensors file, written whole or not at all.

        Raises:
            RunError: the file cannot be written.
        """
        saving.save(self, Path(path))

    @classmethod
    def load(
        cls,
        path: str | Path,
        make_net: MakeNet | nn.Module,
        *,
        device: str | torch.device = "cpu",
        memory_bytes: int = 2 << 30,
    ) -> Population:
        """The population that `save` wrote; training it goes on as if it had never stopped.

        Args:
            path: of `save`.
            make_net: as at the first time; its weights are overwritten.
            device: where the matrix shall live.
            memory_bytes: what the rows at work may take together.

        Raises:
            InputError: the file is missing, damaged, or of another network.
        """

        def build(members: list[Member], loss: str, dtype: torch.dtype) -> Population:
            return cls(make_net, members, loss=loss, dtype=dtype, device=device, memory_bytes=memory_bytes)

        return saving.load(build, Path(path))

    # --- what the training loop uses ------------------------------------------------------------------------------

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

    def _views(self, views: Sequence[Array], rows: int) -> list[Tensor]:
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
