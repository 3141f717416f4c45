"""A population: K networks of one architecture as one matrix `theta[K, P]`."""

from __future__ import annotations

import atexit
import copy
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import SupportsIndex

import torch
from torch import Tensor, nn

from shoal import losses
from shoal.augment import Pixels
from shoal.core import paths, process
from shoal.core.errors import InputError
from shoal.nn.own_network import MakeNet
from shoal.population import saving, training
from shoal.population.block import augmentation
from shoal.population.examples import Examples
from shoal.population.executor import Workers
from shoal.population.functional import RowsFunction, rows_function
from shoal.population.matrix import PLANS, Array, Matrix
from shoal.population.member import Member, check
from shoal.population.multipliers import Multipliers
from shoal.population.multipliers import checked as multipliers_of
from shoal.population.plan import EVALUATION_BATCH, Plans
from shoal.population.probe import measured_cost
from shoal.population.record import EpochRecord, Floats, scatter
from shoal.population.rows import Rows
from shoal.population.template import adopt, built, fresh_rows


@dataclass(frozen=True)
class _Asked:
    """The arguments of `train` and `resume`."""

    x: Array
    y: Array
    validation: tuple[Array, ...] | None
    views: Sequence[Array] | None
    validation_views: Sequence[Array] | None
    sample_weight: Array | None


class Population(Matrix):
    """K networks as one matrix.

    Rows are independent: what one row computes does not depend on which others are there.

    Args:
        make_net: a zero-argument callable that returns a fresh `nn.Module`, called once per distinct seed with torch's
            generator seeded from it; or a module, from whose weights every row starts.
        members: K `Member`s (or dicts of their fields).
        loss: `cross_entropy` (targets int64 [N]), `squared_error` (targets [N] or [N, C]), or a function of outputs
            [K, B, ...] and targets [K, B, ...] that returns [K, B]; where its targets are class numbers, give
            `losses.custom(function, categorical=True)`.
        device: where the matrix lives.
        dtype: floating-point type of weights and data. bfloat16 is that of the layers' arithmetic alone, by autocast:
            weights, optimizer state and losses then are float32.
        memory_bytes: how much memory the rows in training may take together.
        plans: the plans chosen before, by kind of work; new choices are added. By default those of this process.
        multipliers: of the learning rate and of the penalties of some parameters, by pattern of their names:
            `{"embedding.*": {"lr": 0.1, "weight_decay": 0}}`. Without them matrices decay and nothing else does.

    Raises:
        InputError: no members, a field out of range (the message names the member), or a network that cannot be
            trained.
    """

    def __init__(
        self,
        make_net: MakeNet | nn.Module,
        members: Sequence[Member | dict[str, object]],
        *,
        loss: str | Callable[[Tensor, Tensor], Tensor] | losses.Loss = "cross_entropy",
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        memory_bytes: int = 2 << 30,
        plans: Plans | None = None,
        multipliers: Multipliers | None = None,
    ) -> None:
        checked, place = check(members), _device(device)
        if not isinstance(make_net, nn.Module) and not callable(make_net):
            raise InputError(f"make_net={make_net!r}: give a function that returns a torch.nn.Module, or a module.")
        self._make_net: MakeNet = (lambda: copy.deepcopy(make_net)) if isinstance(make_net, nn.Module) else make_net
        process.computing()
        network = built(self._make_net, checked[0].seed)
        bfloat16 = dtype == torch.bfloat16
        dtype = torch.float32 if bfloat16 else dtype
        if dtype not in saving.DTYPES.values():
            raise InputError(f"dtype={dtype} is not supported: use torch.float32, torch.float64 or torch.bfloat16.")
        template = adopt(network, dtype, place, multipliers_of(multipliers))
        theta, buffers = fresh_rows(self._make_net, template, checked, dtype)
        super().__init__(
            template,
            checked,
            theta.to(place),
            buffers,
            losses.find(loss),
            memory_bytes,
            bfloat16,
            PLANS if plans is None else plans,
        )
        self.training: training.TrainingState | None = None  # that is running, or was when this was saved
        self._at_work = False  # its records are being read

    def __getitem__(self, rows: Rows) -> Population:
        """The population of some rows, copied; training it goes on where these rows stood.

        Args:
            rows: numbers, a slice, or a mask [K] of truth values; see `row_numbers`.

        Raises:
            InputError: there is no such row, or none at all.
        """
        chosen = self.places(rows)
        if not chosen:
            raise InputError("A population has at least one row, and these are none.")
        part = copy.copy(self)
        part.members = tuple(self.members[row] for row in chosen)
        part.theta = self.theta[chosen]
        part.buffers = {name: stack[chosen] for name, stack in self.buffers.items()}
        part.status = [self.status[row] for row in chosen]
        part.steps = self.steps[chosen]
        part.epochs = self.epochs[chosen]
        self.keep_state()
        part.state = [{slot: values.clone() for slot, values in self.state[row].items()} for row in chosen]
        part.working, part.training, part._at_work = [], None, False
        return part

    def __iter__(self) -> Iterator[Population]:
        """The rows one by one, each a population of its own."""
        return (self[[row]] for row in range(len(self)))

    def enter(self, rows: Rows, members: Sequence[Member | dict[str, object]]) -> None:
        """Put new members into rows that are no longer trained.

        Between two records of `train` this is how a search asks for more: each new member is trained from its first
        epoch for as many epochs as the others were, exactly as if it had been alone, while they go on.

        Args:
            rows: places that are free: of stopped, pruned or diverged rows, or of rows that have had all their epochs;
                numbers, or a mask [K] of truth values.
            members: as many.

        Raises:
            InputError: a place is not free, there are not as many members as rows, or a member cannot be.
        """
        newcomers, places = check(members), self.places(rows)
        if len(newcomers) != len(places) or len(set(places)) != len(places):
            raise InputError(f"{len(newcomers)} members cannot enter the rows {places}: give one place for each.")
        taken = sorted(set(places) & set(self.training.active(self))) if self.training else []
        if taken:
            raise InputError(f"The rows {taken} are still being trained: stop them before others take their places.")
        if self.training:
            augmentation(newcomers, self.training.data_shape[1:])
        theta, buffers = fresh_rows(self._make_net, self.template, newcomers, self.dtype)
        if self.training:
            self.training.restore_best(self)
        self.drop_blocks()
        self.theta[places] = theta.to(self.device)
        for name, stack in buffers.items():
            self.buffers[name][places] = stack.to(self.device)
        self.steps[places], self.epochs[places] = 0, 0
        present = list(self.members)
        for row, member in zip(places, newcomers, strict=True):
            present[row], self.status[row], self.state[row] = member, "ok", {}
        self.members = tuple(present)
        if self.training:
            self.training.enter(places)

    def train(
        self,
        x: Array,
        y: Array,
        *,
        epochs: int,
        batch_size: int = 128,
        validation: tuple[Array, ...] | None = None,
        patience: int | None = None,
        order_seed: int = 0,
        views: Sequence[Array] | None = None,
        validation_views: Sequence[Array] | None = None,
        sample_weight: Array | None = None,
        pixels: Pixels | Sequence[Pixels] | None = None,
    ) -> Generator[EpochRecord, None, None]:
        """Train every row whose status is `ok`, all on the same mini-batches; one record an epoch.

        Args:
            x: data [N, ...].
            y: targets, int64 [N] classes or [N] / [N, C] numbers; [K, N] classes or [K, N, C] numbers where each member
                has targets of its own.
            epochs: passes over the data; schedules stretch over all of them.
            batch_size: rows of a mini-batch; N or more means batch gradient descent.
            validation: (x, y) that are scored after each epoch, or (x, y, weights).
            patience: stop a row when its validation score has not improved for so many epochs; every row gets the
                weights of its best epoch back at the end. None trains to the end and keeps the last weights.
            order_seed: seed of the order of the mini-batches.
            views: rows of x that each member sees (a fold, a bootstrap sample, ...), K of them, by number or as a mask
                [N]; each member is trained exactly as if it had been given x[view], y[view] alone. Members with one
                view share its batches in memory.
            validation_views: row numbers that each member is scored on, K of them: of the validation data, or of x
                where there are none. Early stopping then goes by each member's own rows.
            sample_weight: of the rows of x, [N] or [K, N], at least 0: the loss of an example counts by weight / mean
                weight of what the member sees. Examples of weight 0 are not seen at all. Where scores come from x too,
                they are weighted alike.
            pixels: what the inputs' numbers mean, for the colours and borders of members that augment images; K of them
                where it differs by view.

        Yields:
            An `EpochRecord` whose fields are [K]. Between two records the caller may call `stop`, `enter` and `save`.

        Raises:
            InputError: shapes do not fit each other, the loss or the network.
        """
        self._check_idle()
        for name, value, least in (("epochs", epochs, 1), ("batch_size", batch_size, 1), ("patience", patience, 1)):
            if not (value is None and name == "patience") and (not isinstance(value, int) or value < least):
                raise InputError(f"{name}={value!r}: it must be a whole number of at least {least}.")
        if not isinstance(order_seed, int) or not -(2**63) <= order_seed < 2**63:
            raise InputError(f"order_seed={order_seed!r}: it must be a whole number of 64 bits.")
        if patience is not None and validation is None and validation_views is None:
            raise InputError("patience needs validation data: without them no row knows when to stop.")
        if not isinstance(pixels, Pixels | None) and len(pixels) != len(self):
            raise InputError(f"There are {len(pixels)} pixels for {len(self)} members: give one for each, or one.")
        begun = training.TrainingState.begin(self, epochs, batch_size, patience, order_seed, pixels)
        asked = _Asked(x, y, validation, views, validation_views, sample_weight)
        return self._train(begun, asked)

    def resume(
        self,
        x: Array,
        y: Array,
        *,
        validation: tuple[Array, ...] | None = None,
        views: Sequence[Array] | None = None,
        validation_views: Sequence[Array] | None = None,
        sample_weight: Array | None = None,
    ) -> Generator[EpochRecord, None, None]:
        """Continue the training that was running when this population was saved, from its next epoch.

        Args:
            x: as at the first time, as are the others.
            y: targets.
            validation: what is scored after each epoch.
            views: row numbers of x that each member sees.
            validation_views: row numbers that each member is scored on.
            sample_weight: of the rows of x.

        Yields:
            The records that were still to come, bit for bit those of an uninterrupted training on the same machine.

        Raises:
            InputError: no training was under way.
        """
        if self._at_work:
            self._check_idle()
        if self.training is None:
            raise InputError("No training was under way when this population was saved: call train.")
        if tuple(self.tensor(x).shape) != self.training.data_shape:
            was = list(self.training.data_shape)
            raise InputError(
                f"x is {list(self.tensor(x).shape)}, but the training began with {was}: give the same data."
            )
        scored = validation is not None or validation_views is not None
        if self.training.validated != scored:
            raise InputError("The training began " + ("without" if scored else "with") + " validation data.")
        return self._train(self.training, _Asked(x, y, validation, views, validation_views, sample_weight))

    def _check_idle(self) -> None:
        if self._at_work:
            raise InputError("This population is being trained: close that training, or exhaust it, before the next.")

    def _train(self, begun: training.TrainingState, asked: _Asked) -> Generator[EpochRecord, None, None]:
        train, validation = self._examples(asked)
        train = replace(train, pixels=begun.pixels)
        for given in (train, validation):
            if given is not None:
                self.check_answers(given, begun.batch_size)
        if not measured_cost(self.template, train.x[: begun.batch_size]).learns:
            raise InputError("The network's answers have no gradient: compute them from its parameters, undetached.")
        begun.data_shape, begun.validated = tuple(train.x.shape), validation is not None
        augmentation(self.members, train.x.shape[1:])

        def watched() -> Generator[EpochRecord, None, None]:
            self._check_idle()
            self.training, self._at_work = begun, True
            try:
                yield from training.run(self, begun, train, validation)
            finally:
                self.training, self._at_work = None, False

        loop = watched()
        _half_read.add(loop)
        return loop

    def _examples(self, asked: _Asked) -> tuple[Examples, Examples | None]:
        """The training and the validation examples."""
        train = self.examples(asked.x, asked.y, views=asked.views, weights=asked.sample_weight)
        if asked.validation is None and asked.validation_views is None:
            return train, None
        validation = (asked.x, asked.y, asked.sample_weight) if asked.validation is None else asked.validation
        if not isinstance(validation, tuple | list) or len(validation) not in (2, 3):
            raise InputError("validation must be a pair (x, y), or (x, y, weights).")
        x, y, weights = (*validation, None)[:3]
        called = "sample_weight on the validation rows" if asked.validation is None else "weights of validation"
        names = "validation view", called
        return train, self.examples(x, y, views=asked.validation_views, weights=weights, names=names)

    def predict(self, x: Array) -> Tensor:
        """Outputs [K, N, C] (logits, or numbers) of every row in evaluation mode, on the CPU."""
        inputs = self.tensor(x)
        if not len(inputs):
            raise InputError("x has no rows: there is nothing to predict.")
        plan = self.plan(range(len(self)), (inputs, None), EVALUATION_BATCH)
        blocks = self.blocks(range(len(self)), plan)
        with Workers(plan.workers) as workers:
            parts = workers.map(lambda block: block.predict(inputs).cpu(), blocks)
        outputs = torch.empty(len(self), *parts[0].shape[1:], dtype=self.dtype)
        for block, part in zip(blocks, parts, strict=True):
            outputs[block.rows] = part
        return outputs

    def evaluate(self, x: Array, y: Array) -> tuple[Floats, Floats]:
        """Mean loss (without smoothing) and score (accuracy, R^2) of every row in evaluation mode, each [K]."""
        examples = self.examples(x, y)
        self.check_answers(examples, EVALUATION_BATCH)
        plan = self.plan(range(len(self)), examples.data, EVALUATION_BATCH)
        blocks = self.blocks(range(len(self)), plan)
        with Workers(plan.workers) as workers:
            parts = workers.map(lambda block: block.evaluate(examples.of(block.rows, uniform=True)), blocks)
        rows = [block.rows for block in blocks]
        loss = scatter(len(self), rows, [loss for loss, _ in parts])
        mean = scatter(len(self), rows, [score for _, score in parts])
        return loss, self.loss.metric(mean, examples.variance(self.loss))

    def functional(self, rows: int | Iterable[int] | None = None) -> tuple[RowsFunction, Tensor, dict[str, Tensor]]:
        """Some rows' networks as a pure function in evaluation mode, with their weights and buffers.

        Args:
            rows: their numbers; None is all of them.

        Returns:
            f, theta [c, P] and buffers [c, ...] by name, copied: f(theta, buffers, x) are the outputs [c, B, ...] for
            inputs x [B, ...] that all rows share, differentiable any number of times by theta and x.

        Raises:
            InputError: there is no such row.

        >>> population = Population(lambda: nn.Linear(2, 1, bias=False), [Member(seed=0)], loss="squared_error")
        >>> f, theta, buffers = population.functional()
        >>> torch.func.jacrev(lambda theta: f(theta, buffers, torch.tensor([[3.0, 4.0]])).sum())(theta)
        tensor([[3., 4.]])
        """
        chosen = list(range(len(self))) if rows is None else self.places(rows)
        buffers = {name: stack[chosen] for name, stack in self.buffers.items()}
        return rows_function(self.template), self.theta[chosen], buffers

    def network(self, row: SupportsIndex) -> nn.Module:
        """Row `row` as an ordinary module of the user's own class, in evaluation mode."""
        row = self.places([row])[0]
        member = self.members[row]
        network = built(self._make_net, member.seed)
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
        """Write everything but the network's code: weights, buffers, optimizer state, members, counts, and what a
        training under way needs to be resumed after its last record.

        Args:
            path: one safetensors file, written whole or not at all.

        Raises:
            RunError: the file cannot be written.
        """
        saving.write(self.state_now(), paths.given(path))

    @classmethod
    def load(
        cls,
        path: str | Path,
        make_net: MakeNet | nn.Module,
        *,
        device: str | torch.device = "cpu",
        memory_bytes: int = 2 << 30,
        plans: Plans | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] | losses.Loss | None = None,
    ) -> Population:
        """The population that `save` wrote; `train` and `resume` go on as if it had never stopped.

        Args:
            path: of `save`.
            make_net: as at the first time; its weights are overwritten.
            device: where the matrix shall live.
            memory_bytes: how much memory the rows in training may take together.
            plans: the plans chosen before, by kind of work.
            loss: the function, where the population had one of the user's own.

        Raises:
            InputError: the file is missing, damaged, or of another network.
        """
        state = saving.read(paths.given(path))
        if state.document["own_loss"] and loss is None:
            called = state.document["loss"]
            raise InputError(f"{path} was trained with the loss {called} of your own: give it as loss=.")
        return cls.of_state(
            state, make_net, device=device, memory_bytes=memory_bytes, plans=plans, loss=loss, path=Path(path)
        )

    def state_now(self) -> saving.State:
        """Everything but the network's code; see `save`."""
        return saving.state_of(self, self.training)

    @classmethod
    def of_state(
        cls,
        state: saving.State,
        make_net: MakeNet | nn.Module,
        *,
        device: str | torch.device = "cpu",
        memory_bytes: int = 2 << 30,
        plans: Plans | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] | losses.Loss | None = None,
        path: Path = Path("the state"),
    ) -> Population:
        """The population that `state_now` described; see `load`."""
        document = state.document
        members = [Member.model_validate(member) for member in document["members"]]
        population = cls(
            make_net,
            members,
            loss=loss if document["own_loss"] and loss is not None else document["loss"],
            dtype=saving.DTYPES[document["dtype"]],
            device=device,
            memory_bytes=memory_bytes,
            plans=plans,
            multipliers=document.get("multipliers"),
        )
        population.training = saving.fill(population, state, path)
        return population


_half_read: weakref.WeakSet[Generator[EpochRecord, None, None]] = weakref.WeakSet()


@atexit.register
def _close_half_read() -> None:
    """Close loops that a program leaves half read when it ends, while everything that they need is still there."""
    for loop in list(_half_read):
        loop.close()


def _device(name: str | torch.device) -> torch.device:
    """The device of that name.

    Raises:
        InputError: there is none, or torch cannot use it here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise InputError(f"device={str(name)!r} cannot be used here: {str(error).splitlines()[0]}") from None
    return device
