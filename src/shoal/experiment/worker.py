"""A worker process: it trains some members of a job, one epoch whenever it is asked for one.

Asked for, over a connection to the process that started it:

    path    folders where the modules of the user's network are      -> None
    begin   a share of a job, from its first epoch or from a state   -> None
    epoch   the next one, as long as a member has epochs left        -> EpochRecord
    stop    rows, and what they are called from now on               -> the statuses of all rows
    state   everything, to go on from                                -> Packed
    end     every row as it is to be kept                            -> Packed; the share is forgotten
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import connection as connections
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoal.augment import Pixels
from shoal.core import process
from shoal.core.errors import InputError, RunError, ShoalError, first_line
from shoal.experiment.data import Data
from shoal.experiment.job import Job
from shoal.experiment.runner import ended, fresh, records, restored
from shoal.experiment.shared import Handle, received
from shoal.population import EpochRecord, Population
from shoal.population.plan import Plans
from shoal.population.saving import State
from shoal.task import Part

Rows = NDArray[np.int64]
Packed = tuple[dict[str, NDArray[Any]], dict[str, Any]]
"""A state as it is sent: torch would make files in shared memory of its tensors."""


def packed(state: State) -> Packed:
    """To be sent."""
    return {name: tensor.numpy() for name, tensor in state.tensors.items()}, state.document


def unpacked(state: Packed) -> State:
    """As it was."""
    return State({name: torch.from_numpy(array) for name, array in state[0].items()}, state[1])


@dataclass(frozen=True)
class Share:
    """Some members of a job; the tensors of its data follow over the connection."""

    job: Job
    handles: Mapping[str, Handle]  # by name: x, y, and those of the validation rows
    views: Sequence[Rows] | None
    validation_views: Sequence[Rows] | None
    pixels: tuple[Pixels, ...] | None
    state: Packed | None = None  # where they stand

    def data(self, tensors: Mapping[str, Tensor]) -> Data:
        """What its members are trained and scored on."""
        scored = "validation_x" in tensors
        return Data(
            Part(tensors["x"], tensors["y"]),
            Part(tensors["validation_x"], tensors["validation_y"]) if scored else None,
            None if self.views is None else tuple(torch.from_numpy(view) for view in self.views),
            None if self.validation_views is None else tuple(torch.from_numpy(view) for view in self.validation_views),
            self.pixels,
        )


@dataclass(frozen=True)
class Refusal:
    """What went wrong, instead of an answer."""

    kind: str  # the name of an error of `core.errors`
    sentence: str

    def error(self) -> ShoalError:
        """To be raised in the process that asked."""
        return (InputError if self.kind == "InputError" else RunError)(self.sentence)


def work(connection: Connection) -> None:
    """Answer until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal interrupts everybody: the parent decides what follows
    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    process.use_one_core()
    desk = _Desk(connection)
    while True:
        try:
            asked, *given = connection.recv()
            answer = desk.ask(asked, *given)
        except (EOFError, ConnectionError):
            return
        except ShoalError as error:
            answer = Refusal(type(error).__name__, str(error))
        except Exception as error:  # whatever the user's network raises
            answer = Refusal("RunError", f"{type(error).__name__}: {first_line(error)}")
        try:
            connection.send(answer)
        except OSError:
            return


class _Desk:
    """The share that a worker has."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._population: Population | None = None
        self._records: Generator[EpochRecord, None, None] | None = None

    def ask(self, asked: str, *given: Any) -> Any:
        """Whatever is asked for, by the name of the method."""
        return getattr(self, asked)(*given)

    def path(self, folders: Sequence[str]) -> None:
        sys.path.extend(folder for folder in folders if folder not in sys.path)

    def begin(self, share: Share) -> None:
        tensors = {name: received(self._connection, handle) for name, handle in share.handles.items()}
        job, data, plans = share.job, share.data(tensors), _Rule()
        if share.state is None:
            self._population = fresh(job, plans)
            self._records = records(job, self._population, data)
        else:
            self._population = restored(job, unpacked(share.state), plans)
            self._records = self._population.resume(**data.arguments())

    def epoch(self) -> EpochRecord:
        assert self._records is not None
        return next(self._records)

    def stop(self, rows: Sequence[int], status: str) -> list[str]:
        assert self._population is not None
        self._population.stop(rows, status)
        return list(self._population.status)

    def state(self) -> Packed:
        assert self._population is not None
        return packed(self._population.state_now())

    def end(self) -> Packed:
        assert self._population is not None and self._records is not None
        state = packed(ended(self._population, self._records).state_now())
        self._population = self._records = None
        return state


class _Rule(Plans):
    """Plans by the rule alone: workers that tried several would disturb each other, and choose differently."""

    measures = False


def _die_with_the_parent() -> None:
    """End this process as soon as the one that started it is gone, however that came about."""
    parent = parent_process()
    if parent is not None:
        connections.wait([parent.sentinel])
        os._exit(1)
