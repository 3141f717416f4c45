"""Several fits in threads of one process: the numbers of one after another, and the process is left as it was."""

from __future__ import annotations

import os
import random
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn

import shoal
from shoal.core import process

THREADS = 2  # torch's, whatever the machine or the runner of the tests has set


@pytest.fixture(autouse=True)
def _two_threads():  # type: ignore[no-untyped-def]
    """torch with two threads, here and in threads to come."""
    usual = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(usual)


def in_a_new_thread(work: Callable[[], int]) -> int:
    with ThreadPoolExecutor(1) as one:
        return one.submit(work).result()


def surroundings() -> dict[str, object]:
    """What belongs to the whole process."""
    return {
        "threads": torch.get_num_threads(),
        "threads of new threads": in_a_new_thread(torch.get_num_threads),
        "generator": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),  # type: ignore[index]
        "python": random.getstate(),
        "filters": list(warnings.filters),
        "path": list(sys.path),
        "folder": os.getcwd(),
        "type": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "gradients": torch.is_grad_enabled(),
        "environment": dict(os.environ),
    }


def told(run: shoal.Run) -> list[object]:
    """What a fit found, without what the clock and the folder say."""
    summary = {name: value for name, value in run.summary.items() if name not in ("seconds", "run", "model", "report")}
    return [summary, [decision.model_dump() for decision in run.decisions]]


def drawing_net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def test_populations_side_by_side_equal_populations_one_after_another() -> None:
    """Blocks on threads of their own, each computing alone, while others begin and end theirs."""
    x, y = torch.randn(300, 4, generator=torch.Generator().manual_seed(0)), torch.arange(300) % 3

    def trained(seed: int) -> list[list[float]]:
        members = [shoal.Member(seed=seed + k, optimizer="adam", lr=0.01) for k in range(6)]
        population = shoal.Population(drawing_net, members)
        records = [record.loss.tolist() for record in population.train(x, y, epochs=4, batch_size=30)]
        return [*records, population.predict(x).flatten().tolist()]

    one_by_one = [trained(seed) for seed in range(0, 80, 10)]
    before = surroundings()
    with ThreadPoolExecutor(8) as pool:
        side_by_side = list(pool.map(trained, range(0, 80, 10)))
    assert surroundings() == before
    assert side_by_side == one_by_one


@pytest.mark.slow
def test_fits_side_by_side_equal_fits_one_after_another(tmp_path: Path) -> None:
    def jobs(folder: Path) -> list[Callable[[], shoal.Run]]:
        return [
            lambda: shoal.fit("iris", budget="trials=4", epochs=2, seed=3, out=str(folder / "iris")),
            lambda: shoal.fit("iris", model=drawing_net, budget="trials=4", epochs=2, seed=4, out=str(folder / "own")),
        ]

    one_by_one = [told(job()) for job in jobs(tmp_path / "alone")]
    before = surroundings()
    with ThreadPoolExecutor(2) as pool:
        side_by_side = [told(run) for run in pool.map(lambda job: job(), jobs(tmp_path / "together"))]
    assert surroundings() == before
    assert side_by_side == one_by_one


def test_lone_threads_compute_alone_and_change_nobody_elses_number() -> None:
    before = torch.get_num_threads(), in_a_new_thread(torch.get_num_threads)
    with process.lone_threads(3) as pool:
        assert list(pool.map(lambda _: torch.get_num_threads(), range(9))) == [1] * 9
        assert (torch.get_num_threads(), in_a_new_thread(process.threads)) == before == (THREADS, THREADS)


def test_what_fails_in_a_thread_of_its_own_is_what_is_raised() -> None:
    with pytest.raises(RuntimeError, match="no more threads"):
        process._in_a_new_thread(Mock(side_effect=RuntimeError("no more threads")))


def test_the_generator_is_one_threads_at_a_time_and_stands_where_it_stood() -> None:
    def drawn(seed: int) -> list[float]:
        with process.torch_generator(seed):
            return [float(torch.rand(())) for _ in range(200)]

    before = torch.get_rng_state()
    expected = [drawn(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(drawn, range(4))) == expected
    assert torch.equal(torch.get_rng_state(), before)


def test_filters_of_warnings_survive_threads_that_set_their_own() -> None:
    before, inside = list(warnings.filters), threading.Barrier(2, timeout=60)

    def strict(_: int) -> None:
        inside.wait()
        for _ in range(50):
            with process.warning_filters():
                warnings.simplefilter("error")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(strict, range(2)))
    assert list(warnings.filters) == before


def test_the_search_path_is_put_back_also_when_the_module_fails(tmp_path: Path) -> None:
    before = list(sys.path)
    with pytest.raises(RuntimeError), process.search_path(str(tmp_path)):
        assert sys.path[0] == str(tmp_path)
        raise RuntimeError
    assert sys.path == before
