"""Several processes, each with some members of a job: for networks whose steps hold Python's lock."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import current_process
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np

from shoal.core import process
from shoal.core.errors import InputError, RunError, first_line
from shoal.experiment.architecture import Architecture, Given
from shoal.experiment.data import Data
from shoal.experiment.job import Job
from shoal.experiment.pool import POOL, Worker
from shoal.experiment.runner import Running, restored
from shoal.experiment.shared import Shared
from shoal.experiment.worker import Refusal, Share, packed, unpacked
from shoal.losses import Loss
from shoal.population import EpochRecord, Population, saving
from shoal.population.plan import Plans
from shoal.population.saving import State

LIVES = 3  # workers that may be lost over one share before that is taken for a fault of the work


class Processes:
    """A warm pool of worker processes, each with one thread; the data stand once in memory that all see.

    A worker that is killed costs what it had trained of its own members, and no number: they are trained again.

    Args:
        count: workers; by default as many as there are cores.

    Raises:
        InputError: the system cannot hand memory from one process to another.
    """

    def __init__(self, count: int | None = None) -> None:
        if not hasattr(os, "fork"):
            raise InputError("The runner `processes` needs Linux or macOS: use `threads`.")
        if count is not None and count < 1:
            raise InputError(f"The runner `processes` needs at least one worker, not {count}.")
        self.count = count or process.cores()

    def check(self, architecture: Architecture, loss: Loss) -> None:
        """See `Runner`: another process must be able to make the network again."""
        if current_process().daemon:
            raise InputError(
                "The runner `processes` cannot start workers from a process that is itself a worker, such as one of "
                "multiprocessing's Pool: use the runner `threads`."
            )
        made = architecture.make_net if isinstance(architecture, Given) else None
        try:
            if getattr(made, "__module__", "") == "__main__":
                raise pickle.PicklingError("it stands in the script itself")
            ForkingPickler.dumps((architecture, loss))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"The runner `processes` cannot send this network, or its loss, to other processes "
                f"({first_line(error)}): put the function that makes it into a module, outside of any other function, "
                "or use the runner `threads`."
            ) from error

    def begin(self, job: Job, data: Data, plans: Plans) -> Running:
        """See `Runner`."""
        self.check(job.architecture, job.loss)
        return _InProcesses(job, data, plans, self.count)

    def go_on(self, job: Job, data: Data, plans: Plans, path: Path) -> Running:
        """See `Runner`."""
        self.check(job.architecture, job.loss)
        return _InProcesses(job, data, plans, self.count, saving.read(path))

    def read(self, job: Job, plans: Plans, path: Path) -> Population:
        """See `Runner`."""
        return restored(job, saving.read(path), plans)


class _InProcesses:
    """See `Running`."""

    def __init__(self, job: Job, data: Data, plans: Plans, count: int, state: State | None = None) -> None:
        self._job, self._plans, self._size = job, plans, len(job.members)
        self._shares: list[_Held] = []
        self._shared: dict[str, Shared] = {}
        try:
            for name, tensor in _tensors(data).items():
                self._shared[name] = Shared(tensor)
            order = sorted(range(self._size), key=job.fold_of)  # members of one fold share its batches
            for chunk in np.array_split(order, min(count, self._size)):
                rows = [int(row) for row in chunk]
                share = _share(job, data, rows, self._shared, state)
                last = None if state is None else _stood(state, rows)
                self._shares.append(_Held(rows, share, self._shared, last=last))
            for held in self._shares:
                held.ask("begin")
            for held in self._shares:
                held.answer()
        except BaseException:
            self.leave()
            raise

    def epochs(self) -> Iterator[EpochRecord]:
        while going_on := [held for held in self._shares if not held.over]:
            for held in going_on:
                held.ask("epoch")
            for held in going_on:
                held.last = held.answer()
            yield self._merged({row for held in going_on for row in held.rows})

    def stop(self, rows: Sequence[int], record: EpochRecord) -> EpochRecord:
        status = list(record.status)
        for held in self._shares:
            mine = [place for place, row in enumerate(held.rows) if row in set(rows)]
            if mine:
                held.ask("stop", mine, "pruned")
                for row, called in zip(held.rows, held.answer(), strict=True):
                    status[row] = called
                if held.last is not None:
                    held.last = held.last.with_status([status[row] for row in held.rows])
        return record.with_status(status)

    def save(self, path: Path) -> None:
        saving.write(self._gathered("state"), path)

    def end(self) -> Population:
        state = self._gathered("end")
        self.leave()
        return restored(self._job, state, self._plans)

    def leave(self) -> None:
        """See `Running`: the workers go back, and the memory."""
        for held in self._shares:
            held.leave()
        for shared in self._shared.values():
            shared.close()

    def _gathered(self, what: str) -> State:
        for held in self._shares:
            held.ask(what)
        states = [unpacked(held.answer()) for held in self._shares]
        return saving.joined(states, [held.rows for held in self._shares])

    def _merged(self, trained: set[int]) -> EpochRecord:
        """The shares' records as one; what a share that is over does not train any more is NaN."""
        fields: dict[str, Any] = {}
        known = [(held.rows, held.last, held.rows[0] in trained) for held in self._shares if held.last is not None]
        for name in ("epochs", "best_epoch", "best_score", "best_loss"):
            whole = np.zeros(self._size, dtype=getattr(known[0][1], name).dtype)
            for rows, record, _ in known:
                whole[rows] = getattr(record, name)
            fields[name] = whole
        for name in ("loss", "score", "validation_loss", "validation_score", "lr"):
            whole = np.full(self._size, np.nan)
            for rows, record, now in known:
                if now:
                    whole[rows] = getattr(record, name)
            fields[name] = whole
        status = [""] * self._size
        for rows, record, _ in known:
            for row, called in zip(rows, record.status, strict=True):
                status[row] = called
        epoch = max(record.epoch for _, record, now in known if now)
        return EpochRecord(epoch=epoch, status=tuple(status), **fields)


@dataclass
class _Held:
    """A share of the job, whoever works on it: a worker that dies is replaced, and does all that was asked again."""

    rows: list[int]
    share: Share
    shared: dict[str, Shared]
    last: EpochRecord | None = None
    _worker: Worker | None = None
    _asked: list[tuple[Any, ...]] = field(default_factory=list)  # all that changes its state, and the question now open
    _open: bool = False
    _lost: int = 0

    @property
    def over(self) -> bool:
        """None of its members has an epoch left. Its worker is asked for no further one: it could not be saved then."""
        if self.last is None:
            return False
        rows = zip(self.last.status, self.last.epochs.tolist(), strict=True)
        return not any(status == "ok" and epochs < self.share.job.epochs for status, epochs in rows)

    def ask(self, what: str, *given: Any) -> None:
        """Begin a question; `answer` ends it."""
        self._asked.append((what, *given))
        self._open = True
        if self._worker is None:
            self._worker = POOL.take()
        with suppress(OSError, EOFError):  # it is gone: `answer` finds out
            self._put(self._worker, self._asked[-1])

    def answer(self) -> Any:
        """What the worker says to the question.

        Raises:
            InputError: the network cannot take the rows.
            RunError: it says so, or several workers were lost over the question.
        """
        while True:
            assert self._worker is not None
            try:
                answer = self._worker.connection.recv()
                break
            except (EOFError, OSError):
                self._replace()
        self._open = False
        if self._asked[-1][0] == "state":  # changes nothing
            self._asked.pop()
        if isinstance(answer, Refusal):
            raise answer.error()
        return answer

    def leave(self) -> None:
        """Let the worker go; one that was left in the middle of its work is of no use to others."""
        if self._worker is not None:
            POOL.give(self._worker, busy=self._open or self._asked[-1][0] != "end")
            self._worker = None

    def _replace(self) -> None:
        """Another worker does all that the lost one had done, up to the open question."""
        while True:
            self._lost += 1
            assert self._worker is not None
            code = self._worker.end()
            if self._lost >= LIVES:
                raise RunError(
                    f"{LIVES} worker processes were lost over {len(self.rows)} networks (the last one ended with "
                    f"{code}): there may be too little memory for them; use fewer workers, or the runner `threads`."
                )
            self._worker = POOL.take()
            try:
                *before, now = self._asked
                for question in before:
                    self._put(self._worker, question)
                    self._worker.connection.recv()
                self._put(self._worker, now)
                return
            except (EOFError, OSError):
                continue

    def _put(self, to: Worker, question: tuple[Any, ...]) -> None:
        if question[0] == "begin":
            to.connection.send(("path", _folders(self.share.job)))
            to.connection.recv()
            to.connection.send(("begin", self.share))
            for name in self.share.handles:
                self.shared[name].send(to.connection, to.process.pid or 0)
        else:
            to.connection.send(question)


def _folders(job: Job) -> list[str]:
    """Where the module of the user's own network is found."""
    made = job.architecture.make_net if isinstance(job.architecture, Given) else None
    name = getattr(made, "__module__", None) or ""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return []
    path = Path(file).resolve()
    inside = name.count(".") + (path.name == "__init__.py")
    return [str(path.parents[inside])]


def _share(job: Job, data: Data, rows: Sequence[int], shared: dict[str, Shared], state: State | None) -> Share:
    """What the worker of some members is told."""

    def of(views: Sequence[Any] | None) -> list[Any] | None:
        return None if views is None else [views[row].numpy() for row in rows]

    return Share(
        job=replace(
            job,
            members=tuple(job.members[row] for row in rows),
            folds=tuple(job.folds[row] for row in rows) if job.folds else (),
        ),
        handles={name: each.handle for name, each in shared.items()},
        views=of(data.views),
        validation_views=of(data.validation_views),
        pixels=None if data.pixels is None else tuple(data.pixels[row] for row in rows),
        state=None if state is None else packed(saving.of_rows(state, rows)),
    )


def _stood(state: State, rows: Sequence[int]) -> EpochRecord:
    """What is known of some members before they go on: those that have ended will tell no more."""
    nothing = np.full(len(rows), np.nan)
    chosen = list(rows)
    epochs = state.tensors["epochs"].numpy()[chosen]
    best = {name: state.tensors[f"training.best.{name}"].numpy()[chosen] for name in ("epoch", "score", "loss")}
    return EpochRecord(
        epoch=int(epochs.max()),
        epochs=epochs,
        loss=nothing,
        score=nothing,
        validation_loss=nothing,
        validation_score=nothing,
        lr=nothing,
        best_epoch=best["epoch"],
        best_score=best["score"],
        best_loss=best["loss"],
        status=tuple(state.document["status"][row] for row in rows),
    )


def _tensors(data: Data) -> dict[str, Any]:
    """By the names of `worker.Share`."""
    found = {"x": data.train.x, "y": data.train.y}
    if data.validation is not None:
        found |= {"validation_x": data.validation.x, "validation_y": data.validation.y}
    return found
