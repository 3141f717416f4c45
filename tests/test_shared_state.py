"""A test that leaves the process changed fails itself, and torch is not loaded to find that out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import left_as_it_was, shared_state

CHANGES: dict[str, Callable[[], object]] = {
    "working folder": lambda: os.chdir("/"),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "gradients": lambda: torch.set_grad_enabled(False),
    "deterministic": lambda: torch.use_deterministic_algorithms(True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_left_changed_is_named(name: str) -> None:
    folder, threads = Path.cwd(), torch.get_num_threads()
    watched = left_as_it_was()
    next(watched)
    try:
        CHANGES[name]()
        with pytest.raises(AssertionError, match=f"was otherwise before: {{'{name}'"):
            next(watched)
    finally:
        os.chdir(folder)
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.use_deterministic_algorithms(False)


def test_what_is_put_back_is_no_failure(tmp_path: Path) -> None:
    watched, folder = left_as_it_was(), Path.cwd()
    next(watched)
    os.chdir(tmp_path)
    os.chdir(folder)
    with pytest.raises(StopIteration):
        next(watched)


def test_torch_is_not_loaded_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    assert [*shared_state()] == ["working folder"] and "torch" not in sys.modules
