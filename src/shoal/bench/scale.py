"""`shoal bench scale`: what one more network costs as the population grows, and what one more worker saves."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from shoal import losses
from shoal.bench.case import Case
from shoal.bench.timing import Side, clocked, in_turns
from shoal.bench.workloads import WORKLOADS, Numbered, Workload, mlp
from shoal.core import process
from shoal.experiment import Given, Job, NoCache, Processes, Runner, Threads, Training
from shoal.population import Member, Population
from shoal.population.plan import Plans
from shoal.task import Part, Split

FEW, MANY = 32, 256
MOST_GROWTH = 1.1  # seconds a member with MANY, over those with FEW
MEMORY_MEMBERS = 1000  # of the population whose peak memory is measured
SPARE = 1.2  # peak memory over the plan's estimate
NETWORKS = (WORKLOADS[0], WORKLOADS[1], WORKLOADS[4])
LOCKED = (5, 7, 8)  # workloads whose rows are computed one by one, which holds Python's lock
LEAST_GAIN = 0.8  # of as many times as there are workers


def cases(quick: bool) -> Iterator[Case]:
    """Seconds a member at K 256 against K 32, and peak memory at K 1000 against the plan."""
    for workload in NETWORKS[:1] if quick else NETWORKS:
        data = workload.data()
        seconds = in_turns({str(k): _epoch(workload, data, k) for k in (FEW, MANY)}, 2 if quick else 9)
        few, many = ([s / k for s in seconds[str(k)]] for k in (FEW, MANY))
        name = f"{workload.name}, batch {workload.batch}: a member's epoch, K {MANY}"
        yield Case.measured(name, many, f"K {FEW}", few, 1 / MOST_GROWTH)
    yield from _workers(quick)
    yield memory(100 if quick else MEMORY_MEMBERS)


def _workers(quick: bool) -> Iterator[Case]:
    """An epoch by worker processes, against one of them and against threads."""
    cores = process.cores()
    for number in LOCKED[:1] if quick else LOCKED:
        workload = WORKLOADS[number]
        runners: dict[str, Runner] = {"one worker": Processes(1), "threads": Threads(), "workers": Processes(cores)}
        with ExitStack() as held:
            trainings = {name: held.enter_context(_training(number, runner)) for name, runner in runners.items()}
            records = {name: iter(training) for name, training in trainings.items()}
            for each in records.values():
                next(each)  # workers have begun, plans are made
            sides = {name: clocked(partial(next, each)) for name, each in records.items()}
            seconds = in_turns(sides, 2 if quick else 9)
        for peer, target in (("one worker", LEAST_GAIN * cores), ("threads", None)):
            name = f"{workload.case}: an epoch, {cores} worker processes"
            note = f"{1e3 * median(seconds['workers']) / workload.members:.3g} ms a row" if target else ""
            yield Case.measured(name, seconds["workers"], peer, seconds[peer], target, note)


def _training(number: int, runner: Runner) -> Training:
    """A job without an end."""
    workload = WORKLOADS[number]
    members = tuple(Member(seed=k, optimizer="adam") for k in range(workload.members))
    network, loss = Given(Numbered(number), workload.name), losses.find("cross_entropy")
    job = Job(network, members, loss, epochs=1_000_000, batch_size=workload.batch)
    return Training(job, [Split(train=Part(*workload.data()))], runner, NoCache(Plans()))


def _epoch(workload: Workload, data: tuple[Tensor, Tensor], members: int) -> Side:
    population = Population(
        workload.make_net, [Member(seed=k, optimizer="adam") for k in range(members)], plans=Plans()
    )
    records = population.train(*data, epochs=1_000_000, batch_size=workload.batch)
    next(records)
    return clocked(lambda: next(records))


def memory(members: int) -> Case:
    """Peak memory of training many small networks, in bytes where other cases have seconds; a process of its own."""
    if not Path("/proc/self/clear_refs").exists():
        return Case.missing(f"peak bytes, K {members}", "the plan's estimate", "only Linux counts them", 1 / SPARE)
    program = f"from shoal.bench.scale import print_peak; print_peak({members})"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=600)
    peak, planned = (float(word) for word in done.stdout.split())
    note = f"bytes instead of seconds; at least {1 / SPARE:.2f} means at most {SPARE - 1:.0%} beyond the plan"
    name = f"peak bytes of MLP 64-50-10, K {members}, Adam, early stopping"
    return Case.measured(name, [peak], "the plan's estimate", [planned], 1 / SPARE, note)


def print_peak(members: int) -> None:
    """Train a population and print the memory that it took at most and what its plan had said."""
    x, y = torch.randn(2000, 64), torch.randint(0, 10, (2000,))

    def train(count: int) -> int:
        plans = Plans()
        population = Population(mlp(64, 50), [Member(seed=k, optimizer="adam") for k in range(count)], plans=plans)
        planned = 0
        for _ in population.train(x, y, epochs=3, batch_size=100, validation=(x[:500], y[:500]), patience=2):
            if population.training is not None and population.training.plan is not None:
                planned = population.training.plan.peak_bytes
        return planned

    train(4)  # libraries are loaded and have what they keep
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _status_bytes("VmRSS")
    planned = train(members)
    print(_status_bytes("VmHWM") - before, planned)


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
