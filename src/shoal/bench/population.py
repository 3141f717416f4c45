"""`shoal bench population`: K networks as one matrix against the ways in which they are trained otherwise.

All sides train the same networks from the same weights with Adam on the same batches, a few steps in a turn. A first
turn, which does not count, takes in what each side compiles, measures or starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shoal.bench.case import Case
from shoal.bench.timing import Side, against, clocked, not_installed
from shoal.bench.workloads import WORKLOADS, Workload
from shoal.core.process import cores
from shoal.population import Member, Population
from shoal.population.batches import epoch_batches
from shoal.population.plan import Plans

LR = 1e-3
FOREVER = 1_000_000  # epochs: the executor sees a long training, in which measuring and compiling repay themselves
LOOP = "a loop over the networks"
JAX_TARGETS = {"MLP": 1.0, "CNN": 5.0}
AGREES = 1e-3  # of mean losses after one epoch, in float32


def cases(quick: bool) -> Iterator[Case]:
    """Every network against the loop, processes and, where it is written for them, JAX."""
    for workload in WORKLOADS[:2] if quick else WORKLOADS:
        yield from _cases(workload, 2 if quick else 9)
    yield from _half_precision(2 if quick else 9)


def _cases(workload: Workload, repeats: int) -> Iterator[Case]:
    data = workload.data()
    population, shoal, note = _shoal(workload, data)
    loop = Loop(workload, _networks(population), data)
    peers: dict[str, Side] = {
        LOOP: clocked(loop.epoch),
        "joblib processes": clocked(JoblibProcesses(workload, data).epoch),
    }
    targets = {LOOP: workload.target}
    if workload.name.startswith(("MLP", "CNN")):
        kind = workload.name[:3]
        if reason := not_installed("jax"):
            yield Case.missing(workload.case, "JAX, vmap and jit", reason, JAX_TARGETS[kind])
        else:
            peers["JAX, vmap and jit"] = clocked(_jax_epoch(workload, _networks(population), data))
            targets["JAX, vmap and jit"] = JAX_TARGETS[kind]
    _check_agreement(workload, data)
    yield from against(workload.case, shoal, peers, repeats, targets=targets, notes={LOOP: note()})


def _shoal(
    workload: Workload, data: tuple[Tensor, Tensor], dtype: torch.dtype = torch.float32
) -> tuple[Population, Side, Callable[[], str]]:
    plans = Plans()
    members = [Member(seed=k, optimizer="adam", lr=LR) for k in range(workload.members)]
    population = Population(workload.make_net, members, dtype=dtype, plans=plans)
    start = population[range(workload.members)]
    records = population.train(*data, epochs=FOREVER, batch_size=workload.batch)
    next(records)

    def note() -> str:
        training = population.training
        return "" if training is None or training.plan is None else training.plan.describe()

    return start, clocked(lambda: next(records)), note


def _networks(population: Population) -> list[nn.Module]:
    return [population.network(k).train() for k in range(len(population))]


class Loop:
    """The networks one after the other, each over all batches, with torch's own threads and optimizer."""

    def __init__(self, workload: Workload, networks: Sequence[nn.Module], data: tuple[Tensor, Tensor]) -> None:
        self.networks, self.data, self.batch = networks, data, workload.batch
        self.optimizers = [torch.optim.Adam(network.parameters(), lr=LR) for network in networks]
        self.epochs = 0

    def epoch(self) -> list[float]:
        """One epoch of every network; the mean losses."""
        (x, y), losses = self.data, []
        batches = epoch_batches(len(x), self.batch, 0, self.epochs, x.device)
        for network, optimizer in zip(self.networks, self.optimizers, strict=True):
            total = torch.zeros(())
            for step in range(batches.steps):
                rows = batches.at(step)
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(network(x[rows]), y[rows])
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += loss.detach() * len(rows)
            losses.append(float(total) / len(x))
        self.epochs += 1
        return losses


def _train_in_process(number: int, members: Sequence[int], x: Tensor, y: Tensor) -> list[float]:
    """What one process does: its share of the networks, with one thread."""
    torch.set_num_threads(1)
    workload = WORKLOADS[number]
    networks = []
    for seed in members:
        torch.manual_seed(seed)
        networks.append(workload.make_net())
    return Loop(workload, networks, (x, y)).epoch()


class JoblibProcesses:
    """A process for each core, which stay alive from turn to turn."""

    def __init__(self, workload: Workload, data: tuple[Tensor, Tensor]) -> None:
        self.number, self.data, self.workers = WORKLOADS.index(workload), data, cores()
        self.shares = [list(range(first, workload.members, self.workers)) for first in range(self.workers)]

    def epoch(self) -> object:
        """One epoch of every network."""
        from joblib import Parallel, delayed

        task = delayed(_train_in_process)
        return Parallel(n_jobs=self.workers)(task(self.number, share, *self.data) for share in self.shares if share)


def _check_agreement(workload: Workload, data: tuple[Tensor, Tensor]) -> None:
    """All sides do the same work: the losses of the first epoch agree.

    Raises:
        RuntimeError: they do not; a figure would mean nothing.
    """
    members = [Member(seed=k, optimizer="adam", lr=LR) for k in range(2)]
    population = Population(workload.make_net, members)
    sides = {"the loop": Loop(workload, _networks(population), data).epoch()}
    if workload.name.startswith(("MLP", "CNN")) and not not_installed("jax"):
        sides["JAX"] = list(_jax_epoch(workload, _networks(population), data)())
    ours = next(population.train(*data, epochs=1, batch_size=workload.batch)).loss
    for side, losses in sides.items():
        if float(np.abs(ours - np.asarray(losses)).max()) > AGREES:
            raise RuntimeError(f"{workload.name}: Shoal's losses {ours} and those of {side} {losses} differ.")


def _half_precision(repeats: int) -> Iterator[Case]:
    """The CNN in bfloat16, where the processor computes in it."""
    workload = next(each for each in WORKLOADS if each.name.startswith("CNN"))
    case, target = f"{workload.case}, bfloat16", 2.0
    if not torch.cpu._is_avx512_bf16_supported():
        yield Case.missing(case, LOOP, "this processor has no bfloat16 instructions", target)
        return
    data = workload.data()
    population, shoal, note = _shoal(workload, data, torch.bfloat16)
    loop = Loop(workload, _networks(population), data)
    yield from against(case, shoal, {LOOP: clocked(loop.epoch)}, repeats, targets={LOOP: target}, notes={LOOP: note()})


def _jax_epoch(
    workload: Workload, networks: Sequence[nn.Module], data: tuple[Tensor, Tensor]
) -> Callable[[], NDArray[np.float32]]:
    """An epoch of all networks by JAX: vmap of the gradient of one network and Adam, jitted as one step."""
    import jax
    import jax.numpy as jnp

    convolutional = workload.name.startswith("CNN")
    weights = [jnp.stack([p.detach().numpy() for p in same]) for same in zip(*map(_parameters, networks), strict=True)]
    state: list[Any] = [weights, [jnp.zeros_like(w) for w in weights], [jnp.zeros_like(w) for w in weights], 0]
    x, y = jnp.asarray(data[0].numpy()), jnp.asarray(data[1].numpy())

    def conv(inputs: Any, w: Any, b: Any) -> Any:
        outputs = jax.lax.conv_general_dilated(inputs, w, (1, 1), "SAME", dimension_numbers=("NCHW", "OIHW", "NCHW"))
        outputs = jax.nn.relu(outputs + b[:, None, None])
        return jax.lax.reduce_window(outputs, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")

    def loss(row: Any, xb: Any, yb: Any) -> Any:
        *inner, w, b = row
        for weight, bias in zip(inner[::2], inner[1::2], strict=True):
            xb = conv(xb, weight, bias) if convolutional else jax.nn.relu(xb @ weight.T + bias)
        logits = xb.reshape(len(yb), -1) @ w.T + b
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), yb[:, None], axis=1))

    @partial(jax.jit, donate_argnums=(0, 1, 2))
    def step(theta: Any, m: Any, v: Any, t: Any, xb: Any, yb: Any) -> Any:
        values, grads = jax.vmap(jax.value_and_grad(loss), in_axes=(0, None, None))(theta, xb, yb)
        m = [0.9 * a + 0.1 * g for a, g in zip(m, grads, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, grads, strict=True)]
        c1, c2 = 1 - 0.9**t, 1 - 0.999**t
        theta = [w - LR * (a / c1) / (jnp.sqrt(b / c2) + 1e-8) for w, a, b in zip(theta, m, v, strict=True)]
        return theta, m, v, values

    epochs = 0

    def epoch() -> NDArray[np.float32]:
        nonlocal epochs
        batches = epoch_batches(len(x), workload.batch, 0, epochs, torch.device("cpu"))
        epochs += 1
        total = jnp.zeros(len(networks))
        for number in range(batches.steps):
            rows = batches.at(number).numpy()
            state[3] += 1
            *state[:3], values = step(*state[:3], float(state[3]), x[rows], y[rows])
            total += values * len(rows)
        return np.asarray(jax.block_until_ready(total / len(x)))

    return epoch


def _parameters(network: nn.Module) -> list[Tensor]:
    return list(network.parameters())
