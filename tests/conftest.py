"""What every room's tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of larger real data beside the clone; the test is skipped where there is none."""
    folder = (ROOT / "../shared/data").resolve()
    if not folder.is_dir():
        pytest.skip("needs the data folder ../shared/data beside the clone")
    return folder


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Torch computes with one thread, so that sums of floats have the same bits on every machine."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


@pytest.fixture(autouse=True, scope="module")
def module_leaves_the_process_as_it_was() -> Iterator[None]:
    """Neither a module's tests nor its own fixtures change what all tests of the process share."""
    yield from left_as_it_was()


@pytest.fixture(autouse=True)
def each_test_leaves_the_process_as_it_was() -> Iterator[None]:
    """What is left changed is said of the very test that did it, and not of the next one that fails by it."""
    yield from left_as_it_was()


def left_as_it_was() -> Iterator[None]:
    """Compare what is shared when it goes on with what it was when it began."""
    before = shared_state()
    yield
    after = shared_state()
    changed = {name: (was, after[name]) for name, was in before.items() if after[name] != was}
    assert not changed, f"was otherwise before: {changed}"


def shared_state() -> dict[str, object]:
    """The working folder and, where torch is loaded already, its settings for the whole process."""
    state: dict[str, object] = {"working folder": os.getcwd()}
    if (torch := sys.modules.get("torch")) is not None:
        state["threads"] = torch.get_num_threads()
        state["default dtype"] = torch.get_default_dtype()
        state["gradients"] = torch.is_grad_enabled()
        state["deterministic"] = torch.are_deterministic_algorithms_enabled()
    return state
