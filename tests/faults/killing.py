"""The real program in processes that kill themselves with SIGKILL at the n-th durable write."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_wine

from shoal.store.run_folder import RunFolder

FIT = ["fit", "wine.csv", "--target", "kind", "--budget", "trials=6", "--epochs", "4", "--out", "run"]
AUGMENTED = ["fit", "bars.npz", "--augment", "hflip,vflip", "--budget", "trials=4", "--epochs", "2", "--out", "run"]
IN_PROCESSES = [*FIT, "--runner", "processes"]
RESUME = ["resume", "run"]
KILLED = -signal.SIGKILL

_PROCESSES = multiprocessing.get_context("forkserver")  # everything is loaded once; no process inherits a thread
_PROCESSES.set_forkserver_preload(["shoal.api", "shoal.cli.app", "shoal.cli.terminal", "torch"])


def write_wine(folder: Path) -> None:
    """Real data as a file."""
    wine = load_wine()
    lines = [",".join([*(f"f{k}" for k in range(13)), "kind"])]
    lines += [",".join([*map(str, x), f"cultivar {y}"]) for x, y in zip(wine.data.tolist(), wine.target, strict=True)]
    (folder / "wine.csv").write_text("\n".join(lines) + "\n")


def write_bars(folder: Path) -> None:
    """Pictures of which two classes are each other upside down."""
    draw, y = np.random.default_rng(0), np.arange(90) % 3
    x = draw.integers(0, 60, (90, 8, 8))
    for image, label in zip(x, y, strict=True):
        if label == 2:
            image[:, draw.integers(2, 6)] += 150
        else:
            image[1 if label else 6, 1:7] += 150
    np.savez(folder / "bars.npz", x=x.astype(np.uint8), y=y)


def shoal(arguments: list[str], folder: Path, kill_at: int | str | None = None) -> int:
    """Run a command, and return its exit code.

    Args:
        arguments: of the command line.
        folder: to run it in.
        kill_at: the moment when the process kills itself; each event and each renamed file counts two of them, before
            and after. Or the name of a file: right after it is there.
    """
    process = _PROCESSES.Process(target=_command, args=(arguments, str(folder), kill_at))
    process.start()
    process.join(110)
    assert process.exitcode is not None, "the program hangs"
    return process.exitcode


def writes(folder: Path) -> int:
    """How many moments the last command that ended had."""
    return int((folder / "writes").read_text())


def said(folder: Path) -> str:
    """All that the commands in a folder printed."""
    return (folder / "said").read_text()


def told(run: Path, *, also_resumed: bool = False) -> list[str]:
    """What a run told, but for what a clock says."""
    lines = []
    for event in RunFolder.open(run).read_events():
        body: dict[str, Any] = event.model_dump(mode="json")
        if event.kind == "run_resumed" and not also_resumed:
            continue
        for timed in (body, body.get("summary", {})):
            timed.pop("seconds", None)
        lines.append(json.dumps(body, sort_keys=True))
    return lines


def summary(run: Path) -> dict[str, Any]:
    """The summary, but for the seconds."""
    document: dict[str, Any] = json.loads((run / "summary.json").read_text())
    document.pop("seconds")
    return document


def same(one: Path, other: Path) -> bool:
    """Two runs told, concluded and saved the same, byte for byte."""
    assert told(one) == told(other)
    assert summary(one) == summary(other)
    for name in ("model.safetensors", "model.json"):
        assert (one / "model" / name).read_bytes() == (other / "model" / name).read_bytes()
    return True


def _command(arguments: list[str], folder: str, kill_at: int | str | None) -> None:
    os.chdir(folder)
    sys.stderr = sys.stdout = open("said", "a")  # noqa: SIM115 - until the process ends
    import torch

    from shoal.cli import run
    from shoal.diagnose.label_preservation import Effort
    from shoal.recipe import augmenting
    from shoal.store import checkpoint, events_store

    torch.set_num_threads(1)
    checkpoint.EVERY_S = checkpoint.LEAST_S = checkpoint.SHARE = 0.0  # everything is kept at once
    augmenting.QUICK = Effort(rows=30, probes=1, steps=30)
    moments = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def one(*given: Any) -> Any:
            moment("")
            answer = function(*given)
            moment(str(given[1]).rpartition(os.sep)[2])
            return answer

        return one

    def moment(name: str) -> None:
        nonlocal moments
        moments += 1
        if kill_at in (moments, name):
            os.kill(os.getpid(), signal.SIGKILL)

    os.replace = counted(os.replace)  # type: ignore[assignment]
    events_store.EventStore.append = counted(events_store.EventStore.append)  # type: ignore[method-assign]
    code = run(arguments)
    sys.stderr.flush()
    Path("writes").write_text(str(moments))
    os._exit(code)
