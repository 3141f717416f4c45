"""Runs that the tests of faults damage copies of."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import planted_runs


@pytest.fixture
def everything_is_kept_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece of work and each epoch is written to the checkpoint."""
    planted_runs.keep_everything(monkeypatch)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, to be copied before it is changed."""
    return planted_runs.finished(tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped, with pieces of its work beside it."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        planted_runs.keep_everything(patch)
        planted_runs.stopped_after(out, 2)
    assert [*(out / "checkpoint").glob("*.safetensors")]
    return out
