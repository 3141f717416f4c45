"""The matrix itself: K rows of weights, and everything else that is kept by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoal import optim
from shoal.core.errors import InputError
from shoal.losses import Loss
from shoal.optim.compilation import why_not
from shoal.population.batches import Batches
from shoal.population.block import AVERAGE, Block, Epoch
from shoal.population.examples import BlockExamples, Examples, checked
from shoal.population.executor import Workers, quickest
from shoal.population.member import Member
from shoal.population.plan import Computation, Plan, Plans, by_rule, candidates
from shoal.population.probe import measured_cost, output_shape
from shoal.population.rows import Rows, row_numbers
from shoal.population.template import Template

Array = Tensor | NDArray[np.generic]
STATUSES = ("ok", "stopped", "pruned", "diverged")
TIMED_STEPS = 3  # that a plan is timed for, after one to warm up; ...
TIMED_S = 0.2  # ... fewer where they take longer than this
HOPELESS = 3.0  # a plan is given up if its warm-up step takes so many times the quickest plan's


PLANS = Plans()  # of this process


def _matrices(member: Member) -> int:
    """How many numbers a training keeps for each weight: theta twice, gradient, best weights, optimizer state, ..."""
    moved = bool(member.weight_noise or member.dropconnect)
    return 4 + member.rule().copies + (member.average != "none") + moved


class Matrix:
    """The data of a population and the steps of its training; users call `Population`.

    Args:
        template: the structure that all rows share.
        members: K of them.
        theta: [K, P].
        buffers: each [K, ...].
        loss: what is minimised.
        memory_bytes: how much memory the rows in training may take together.
        bfloat16: let layers compute in it.
        plans: the plans chosen before, by kind of work; new choices are added.
    """

    def __init__(
        self,
        template: Template,
        members: tuple[Member, ...],
        theta: Tensor,
        buffers: Mapping[str, Tensor],
        loss: Loss,
        memory_bytes: int,
        bfloat16: bool,
        plans: Plans,
    ) -> None:
        self.template, self.members, self.loss, self.memory_bytes = template, members, loss, memory_bytes
        self.bfloat16, self.plans = bfloat16, plans
        self.theta = theta
        self.buffers = {name: stack.to(theta.device) for name, stack in buffers.items()}
        self.status = ["ok"] * len(members)  # one of STATUSES by row
        self.steps = torch.zeros(len(members), dtype=torch.int64)  # gradient steps done, by row
        self.epochs = torch.zeros(len(members), dtype=torch.int64)  # passes over the data, by row
        self.state: list[dict[str, Tensor]] = [{}] * len(members)  # the optimizer's, by row; {} before a step
        self.working: list[Block] = []  # of the running training; they hold the newest optimizer state

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

    def stop(self, rows: Rows, status: str = "pruned") -> None:
        """Stop training these rows.

        Args:
            rows: their numbers, or a mask such as `record.loss > 2`; see `row_numbers`.
            status: what they are called from now on, one of `STATUSES` but ok.

        Raises:
            InputError: there is no such row or status; nothing has been changed.
        """
        if status not in STATUSES[1:]:
            raise InputError(f"status={status!r}: a row that is stopped is one of {', '.join(STATUSES[1:])}.")
        for row in self.places(rows):
            self.status[row] = status

    def places(self, rows: Rows) -> list[int]:
        """The numbers of the rows that are meant; see `row_numbers`.

        Raises:
            InputError: there is no such row; nothing has been changed.
        """
        return row_numbers(rows, len(self)).tolist()  # type: ignore[no-any-return]

    def tensor(self, values: Array) -> Tensor:
        """Values on the population's device; floating-point ones in its type.

        Raises:
            InputError: they are no array of numbers.
        """
        try:
            tensor = torch.as_tensor(values if isinstance(values, Tensor) else np.asarray(values, order="C"))
        except (TypeError, ValueError) as error:
            raise InputError(f"The data are no array of numbers: {error}") from None
        if tensor.layout != torch.strided:
            raise InputError("The data are a sparse tensor: give a dense one, as .to_dense() makes.")
        if tensor.is_complex() or tensor.dim() == 0:
            raise InputError(
                f"The data are {tensor.dtype} {list(tensor.shape)}: give an array of real numbers, [N, ...]."
            )
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)

    def examples(
        self,
        x: Array,
        y: Array,
        *,
        views: Sequence[Array] | None = None,
        weights: Array | None = None,
        names: tuple[str, str] = ("view", "sample_weight"),
    ) -> Examples:
        """Inputs and targets as the loss wants them, and what each member sees of them.

        Args:
            x: [N, ...].
            y: int64 [N], or numbers [N] or [N, C]; [K, N] or [K, N, C] where each member has targets of its own.
            views: row numbers of x, K lists.
            weights: of the rows of x, [N] or [K, N].
            names: what messages call a view and the weights.

        Raises:
            InputError: they have no rows, differ in rows, or the targets do not fit the loss.
        """
        inputs, targets = self.tensor(x), self.tensor(y)
        own = targets.dim() == (2 if self.loss.categorical else 3) and len(targets) == len(self)
        rows = targets.shape[1] if own else len(targets)
        if len(inputs) != rows or not rows:
            raise InputError(f"x has {len(inputs)} rows and y has {rows}: give as many of each, at least one.")
        if not self.loss.categorical:
            targets = targets.to(self.dtype)
            targets = targets.unsqueeze(1) if targets.dim() == 1 else targets
        elif targets.is_floating_point() or targets.dim() != 1 + own:
            raise InputError(
                f"{self.loss.name} needs class numbers as y, int64 [N], but y is {targets.dtype} {list(targets.shape)}."
            )
        else:
            targets = targets.to(torch.int64)
        return checked(inputs, targets, len(self), own_targets=own, views=views, weights=weights, names=names)

    def check_answers(self, examples: Examples, batch_size: int) -> None:
        """Check that the network takes the inputs and that its outputs can be compared with the targets.

        Raises:
            InputError: they do not fit.
        """
        x = examples.x
        if not x.is_floating_point() and any(member.input_noise for member in self.members):
            raise InputError(f"input_noise needs floating-point inputs, and x is {x.dtype}.")
        self.loss.check(output_shape(self.template, x[:batch_size]), examples.answers)
        if self.loss.own:
            answers = measured_cost(self.template, x[:batch_size]).answers
            self.loss.try_on(torch.stack([answers, answers / 2]), examples.data[1][: len(answers)])

    def plan(self, rows: Sequence[int], data: tuple[Tensor, Tensor | None], batch_size: int, steps: int = 0) -> Plan:
        """How to compute these rows.

        Args:
            rows: their numbers.
            data: inputs, and targets where there are any.
            batch_size: of the mini-batches.
            steps: gradient steps of each row; 0 to evaluate.

        Raises:
            InputError: the network does not take the data.
        """
        members = [self.members[row] for row in rows]
        work = Computation(
            template=self.template,
            members=len(rows),
            optimizers=tuple(sorted({member.optimizer for member in members})),
            matrices=max(_matrices(member) for member in members) if steps else 2,
            batch=data[0][:batch_size],
            steps=steps,
            memory_bytes=self.memory_bytes,
            bfloat16=self.bfloat16,
            compiler=not why_not(self.device),
        )
        signature = work.signature()
        known = self.plans.find(signature)
        if known is None:
            known = by_rule(work)
            if work.measuring_pays and self.plans.measures and data[1] is not None:
                known = quickest(candidates(work), partial(self._seconds, rows, (data[0], data[1]), batch_size))
            self.plans.put(signature, known)
        return known

    def _seconds(
        self, rows: Sequence[int], data: tuple[Tensor, Tensor], batch_size: int, plan: Plan, least: float
    ) -> float:
        """Seconds that a step of one row takes by this plan, timed on copies of the first rows.

        A plan whose warm-up step is hopelessly slower than the `least` of the others is not timed any further.
        """
        first = [row for row in rows if self.members[row].optimizer == self.members[rows[0]].optimizer]
        blocks = self.blocks(first[: plan.rows * plan.workers], plan)
        batches = Batches(torch.arange(len(data[0])), (0, min(batch_size, len(data[0]))))
        count, times = sum(len(block.rows) for block in blocks), []

        def step(block: Block) -> None:
            shown = BlockExamples(*data, len(block.rows))
            block.train_epoch(Epoch(shown, batches, block.steps.clone(), 1))

        with Workers(plan.workers) as workers:
            for _ in range(1 + TIMED_STEPS):
                start = perf_counter()
                workers.map(step, blocks)
                times.append((perf_counter() - start) / count)
                if times[0] > HOPELESS * least or count * sum(times[1:]) > TIMED_S:
                    break
        return min(times[1:] or times)

    def blocks(self, rows: Sequence[int], plan: Plan, examples: Examples | None = None) -> list[Block]:
        """Group rows into blocks of one optimizer rule and one count of epochs, and by their examples.

        The bits of a stacked row do not depend on the other rows of its block, except where there are none: a single
        row takes other kernels. So a row that is left alone in a stacked plan is computed twice, lest its bits tell
        whether others diverged or stopped (law 1).
        """
        alike: dict[tuple[object, ...], list[int]] = {}
        for row in rows:
            member, group = self.members[row], None if examples is None else examples.group(row)
            key = member.optimizer, member.average != "none", int(self.epochs[row]), group
            alike.setdefault(key, []).append(row)
        chunks = [
            same[start : start + plan.rows] for same in alike.values() for start in range(0, len(same), plan.rows)
        ]
        least = 1 if plan.alone else 2
        return [self._block(chunk * 2 if len(chunk) < least else chunk, plan) for chunk in chunks]

    def _block(self, rows: list[int], plan: Plan) -> Block:
        first = self.members[rows[0]]
        state = optim.fresh_state(first.rule(), len(rows), self.parameters, self.device, self.dtype)
        if first.average != "none":
            state[AVERAGE] = torch.zeros_like(self.theta[rows])
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
            plan=plan,
        )

    def make_blocks(self, rows: Sequence[int], plan: Plan, examples: Examples) -> None:
        """Make the blocks of a training. Between epochs `theta` is current, `state` only after `drop_blocks`."""
        self.working = self.blocks(rows, plan, examples)

    def take_weights(self, blocks: Sequence[Block]) -> None:
        """Write the blocks' weights, buffers and step counts into the matrix."""
        for block in blocks:
            self.theta[block.rows] = block.theta
            self.steps[block.rows] = block.steps
            for name, stack in block.buffers.items():
                self.buffers[name][block.rows] = stack

    def answering(self, rows: Sequence[int]) -> Tensor:
        """The weights that were scored after the last epoch, [len(rows), P]: averages where rows keep them."""
        weights, place = self.theta[rows], {row: number for number, row in enumerate(rows)}
        for block in self.working:
            for number in torch.nonzero(block.begun).flatten().tolist():
                if block.rows[number] in place:
                    weights[place[block.rows[number]]] = block.state[AVERAGE][number]
        return weights

    def keep_state(self) -> None:
        """Point `state` at the blocks' optimizer state; it is not copied, so that further training changes it."""
        for block in self.working:
            for number, row in enumerate(block.rows):
                self.state[row] = {slot: values[number] for slot, values in block.state.items()}

    def drop_blocks(self) -> None:
        """Keep the optimizer state of the blocks, so that training can continue from it, and drop the blocks."""
        self.keep_state()
        self.working = []
