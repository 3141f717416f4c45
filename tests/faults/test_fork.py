"""A process forked from one that had computed: a sentence where torch would wait for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, torch, shoal
torch.set_num_threads({threads})
x, y = torch.randn(300, 4), torch.arange(300) % 3

def train():
    population = shoal.Population(lambda: torch.nn.Linear(4, 3), [shoal.Member(seed=k) for k in range(4)])
    list(population.train(x, y, epochs=1))
    return population

def alone():
    torch.set_num_threads(1)
    train()

population = train()
half_read = population.train(x, y, epochs=3)
next(half_read)
for act in (train, lambda: population.predict(x), lambda: next(half_read), alone):
    if (child := os.fork()) == 0:
        signal.alarm(60)
        try:
            act()
            print("works", flush=True)
        except Exception as error:
            print(type(error).__name__, str(error), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_forked_child_says_why_it_cannot_compute_and_computes_with_one_thread() -> None:
    program = PROGRAM.format(threads=2)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    trained, predicted, half_read, alone = ended.stdout.splitlines()
    for said in (trained, predicted):
        assert said.startswith("RunError This process was forked") and "spawn" in said
    assert half_read.startswith("RunError This work was begun in the process")
    assert alone == "works"
