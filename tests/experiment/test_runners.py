"""Every runner keeps the contract; processes that are killed, interrupted or left cost time and no number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shoal import losses
from shoal.core.errors import InputError, RunError
from shoal.experiment import Given, Job, Processes, Runner, Threads, Training, contract, run
from shoal.experiment.contract import CONTRACT, Check
from shoal.experiment.data import Data
from shoal.experiment.pool import POOL
from shoal.experiment.runner import Running
from shoal.experiment.shared import Shared
from shoal.population import Member
from shoal.population.plan import Plans
from shoal.task import Part, Split


@pytest.fixture(scope="module", autouse=True)
def no_worker_is_left() -> Iterator[None]:
    yield
    POOL.close()


class Watched(Processes):
    """Remembers what it began."""

    def begin(self, job: Job, data: Data, plans: Plans) -> Running:
        self.running = super().begin(job, data, plans)
        return self.running

    def pids(self) -> list[int]:
        return [held._worker.process.pid for held in self.running._shares]  # type: ignore[attr-defined]


def workers() -> list[int]:
    """The processes that wait in the pool."""
    return [each.process.pid or 0 for each in POOL._idle]


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.__name__)
@pytest.mark.parametrize("runner", [Threads(), Processes(2), Processes(3)], ids=["threads", "two", "three"])
def test_the_contract(runner: Runner, check: Check, tmp_path: Path) -> None:
    check(runner, tmp_path)


def test_a_worker_that_is_killed_costs_no_number() -> None:
    whole = run(contract.a_job(), contract.three_folds(), Processes(2))
    for epoch in range(contract.EPOCHS):
        runner = Watched(2)
        with Training(contract.a_job(), contract.three_folds(), runner) as training:
            for record in training:
                if record.epoch == epoch + 1:
                    os.kill(runner.pids()[epoch % 2], signal.SIGKILL)
        contract.assert_equal(training.trained, whole, 0)


def test_workers_that_die_again_and_again_end_the_run_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text(
        textwrap.dedent(
            """
            import os
            from multiprocessing import parent_process
            from torch import nn

            class Deadly(nn.Linear):
                def forward(self, x):
                    if parent_process() is not None:
                        os._exit(9)
                    return super().forward(x)

            def make_net():
                return Deadly(6, 2)
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import deadly  # type: ignore[import-not-found]

    job = contract.a_job(architecture=Given(deadly.make_net, "deadly:make_net"))
    with pytest.raises(RunError, match=r"3 worker processes were lost over 3 networks \(the last one ended with 9\)"):
        run(job, contract.three_folds(), Processes(2))
    run(contract.a_job(), contract.three_folds(), Processes(2))


def test_a_network_that_cannot_be_sent_is_refused_before_anything_is_done() -> None:
    job = contract.a_job(architecture=Given(lambda: nn.Linear(6, 2), "mine"))
    with pytest.raises(InputError, match=r"cannot send this network.* put the function that makes it into a module"):
        run(job, contract.three_folds(), Processes(2))


def test_what_the_users_network_raises_in_a_worker_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late.py").write_text(
        textwrap.dedent(
            """
            from torch import nn

            class Late(nn.Linear):
                calls = 0

                def forward(self, x):
                    Late.calls += 1
                    if Late.calls > 20:
                        raise ValueError("the twentieth was enough")
                    return super().forward(x)

            def make_net():
                return Late(6, 2)
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import late  # type: ignore[import-not-found]

    job = contract.a_job(architecture=Given(late.make_net, "late:make_net"))
    with pytest.raises((RunError, InputError), match="the twentieth was enough"):
        run(job, contract.three_folds(), Processes(2))


def test_twenty_trainings_leave_what_one_leaves() -> None:
    def open_now() -> tuple[int, int]:
        maps = Path(f"/proc/{os.getpid()}/maps").read_text().count("memfd:shoal")
        return len(os.listdir("/proc/self/fd")), maps

    def one() -> None:
        run(contract.a_job(epochs=1, patience=None), contract.three_folds(), Processes(2))

    one()
    before, pool = open_now(), sorted(workers())
    for _ in range(20):
        one()
    assert open_now() == before and sorted(workers()) == pool and len(pool) >= 2


def test_what_a_worker_writes_into_its_rows_no_other_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that changes its inputs in place, as some activations do."""
    (tmp_path / "rude.py").write_text(
        textwrap.dedent(
            """
            from torch import nn

            class Rude(nn.Linear):
                def forward(self, x):
                    return super().forward(x.mul_(1.5) if not self.training else x)

            def make_net():
                return Rude(6, 2)
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import rude  # type: ignore[import-not-found]

    folds = contract.three_folds()[:1]
    before = folds[0].validation.x.clone()  # type: ignore[union-attr]
    run(contract.a_job(architecture=Given(rude.make_net, "rude")), folds, Processes(2))
    assert torch.equal(folds[0].validation.x, before)  # type: ignore[union-attr]


PROGRAM = """
import sys
from shoal.experiment import Processes, Training, contract, run


class Watched(Processes):
    def begin(self, *given):
        self.running = super().begin(*given)
        return self.running


runner = Watched(2)
for record in Training(contract.a_job(epochs=100000), contract.three_folds(), runner):
    if record.epoch == 1:
        print(*(held._worker.process.pid for held in runner.running._shares), flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_die_with_the_process_that_has_them_and_leave_no_memory(how: int, tmp_path: Path) -> None:
    def named() -> set[str]:
        return set(os.listdir("/dev/shm")) if Path("/dev/shm").is_dir() else set()

    before = named()
    file = tmp_path / "program.py"  # without a guard: a worker must not carry it out again
    file.write_text(PROGRAM)
    program = subprocess.Popen([sys.executable, str(file)], stdout=subprocess.PIPE, text=True)
    assert program.stdout is not None
    pids = [int(each) for each in program.stdout.readline().split()]
    assert len(pids) == 2
    program.send_signal(how)
    program.wait(60)
    until = time.monotonic() + 60
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert named() <= before


def test_an_interrupt_in_the_terminal_reaches_the_program_alone(tmp_path: Path) -> None:
    """Ctrl-C is sent to all processes of the terminal: the workers go on, and the program decides."""
    file = tmp_path / "program.py"
    file.write_text(
        "try:\n"
        + textwrap.indent(PROGRAM, "    ")
        + textwrap.dedent(
            """
            except KeyboardInterrupt:
                again = run(contract.a_job(), contract.three_folds(), Processes(2))
                print("stopped", len(again.records), flush=True)
            """
        )
    )
    program = subprocess.Popen(
        [sys.executable, str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert program.stdout is not None
    assert len(program.stdout.readline().split()) == 2
    os.killpg(program.pid, signal.SIGINT)
    out, err = program.communicate(timeout=120)
    assert (out, program.returncode, err) == (f"stopped {contract.EPOCHS}\n", 0, "")


def test_more_workers_than_members_are_not_begun() -> None:
    POOL.close()
    job = contract.a_job()
    few = Job(
        job.architecture, job.members[:2], losses.find("cross_entropy"), epochs=1, batch_size=16, precision="float64"
    )
    run(few, contract.three_folds(), Processes(8))
    assert len(workers()) == 2


@pytest.mark.parametrize("shape", [(0, 3), (4,), (2, 3, 4)])
def test_memory_holds_what_was_put_into_it(shape: tuple[int, ...]) -> None:
    from multiprocessing import Pipe

    from shoal.experiment.shared import received

    tensor = torch.from_numpy(np.random.default_rng(0).normal(size=shape))
    one, other = Pipe()
    shared = Shared(tensor)
    shared.send(one, os.getpid())
    assert torch.equal(received(other, shared.handle), tensor)
    shared.close()
    shared.close()  # closed once
    one.close()
    other.close()


def test_no_workers_are_refused() -> None:
    with pytest.raises(InputError, match="at least one worker, not 0"):
        Processes(0)


def test_members_with_numbers_for_targets() -> None:
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(60, 6)))
    split = Split(train=Part(x[:40], x[:40, :1]), validation=Part(x[40:], x[40:, :1]))
    asked = contract.a_job(
        architecture=contract.BuiltIn(contract.Mlp(inputs=6, outputs=1, width=8, depth=1)),
        members=tuple(Member(seed=k, optimizer="adam", lr=0.01) for k in range(3)),
        loss=losses.find("squared_error"),
    )
    contract.assert_equal(run(asked, [split], Processes(2)), run(asked, [split]), contract.CLOSE)
