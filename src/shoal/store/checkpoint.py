"""The checkpoint of a run: the results of its long work so far, one pair of files for each piece.

    checkpoint/coarse@done.safetensors               arrays, JSON, and the digest of the other file
    checkpoint/coarse@done.networks.safetensors      a population
    checkpoint/refine-1@00003.safetensors            a piece that is under way; the last two are there

Nothing here decides what a run computes: a file that is missing or damaged costs time, never a number.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from shoal.core.atomic import write_atomically, write_error
from shoal.core.digest import digest_of
from shoal.core.errors import ShoalError
from shoal.experiment.cache import Arrays, Kept, Networks, NoCache
from shoal.store.plans import RecordedPlans

FORMAT = "shoal-checkpoint-2"
EVERY_S = 10.0  # between two checkpoints of a piece that is under way
LEAST_S = 0.5  # shorter work is not kept but done again
SHARE = 30.0  # a checkpoint that took a second is written after thirty: at most some 3 % of the time
FORMER = 1  # checkpoints of a piece under way that are kept beside the newest
DONE = "done"
NETWORKS = ".networks.safetensors"


class Checkpoint:
    """Keeps pieces of work in a folder; see `experiment.cache.TaskCache`.

    Args:
        folder: made when the first piece is kept.
        plans: how the run's populations are computed; they are recorded before any result that depends on them.
        now: a clock in seconds.
    """

    def __init__(self, folder: Path, plans: RecordedPlans, now: Callable[[], float] = time.monotonic) -> None:
        self.plans = plans
        self._folder, self._now = folder, now
        self._cost_s = 0.0  # of the latest write
        self._since_s = now()  # the piece began, or was last kept
        self._failed = False
        self._notices: list[str] = []

    def recall(self, piece: str, key: str) -> Kept | None:
        """The newest intact state of a piece, if it was kept under this key."""
        self._since_s = self._now()
        for path in sorted(self._states(piece), key=_age, reverse=True):
            try:
                return _read(path, key)
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                self._notices.append(f"{path} is damaged: what it held is computed again")
        return None

    def due(self) -> bool:
        """Whether so much time has passed that a write costs little in comparison."""
        return self._now() - self._since_s >= max(EVERY_S, SHARE * self._cost_s)

    def keep(
        self,
        piece: str,
        key: str,
        arrays: Arrays,
        document: Mapping[str, JsonValue] | None = None,
        population: Networks | None = None,
        *,
        done: bool = True,
    ) -> None:
        """Write a piece, and remove the states that it replaces. If the disk refuses, that is noticed once."""
        began_s = self._now()
        if done and began_s - self._since_s < max(LEAST_S, SHARE * self._cost_s):
            return
        former = sorted(self._states(piece), key=_age)
        mark = DONE if done else f"{1 + max((_age(path) for path in former), default=0):05d}"
        path = self._folder / f"{_slug(piece)}@{mark}.safetensors"
        try:
            self._write(
                path, {"piece": piece, "key": key, "done": done, "document": document or {}}, arrays, population
            )
        except (ShoalError, OSError) as error:
            _remove(path)
            if not self._failed:
                self._failed = True
                sentence = str(error if isinstance(error, ShoalError) else write_error(self._folder, error))
                self._notices.append(f"No checkpoint: {sentence}. The run goes on; killed, it would go on from before.")
        else:
            for old in former if done else former[: len(former) - FORMER]:
                _remove(old)
        self._since_s = self._now()
        self._cost_s = self._since_s - began_s

    def notices(self) -> list[str]:
        """Sentences that the user should know, each once."""
        said, self._notices = self._notices, []
        return said

    def remove(self) -> None:
        """Remove the folder: the run is finished."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _states(self, piece: str) -> list[Path]:
        """The first files of all states of a piece."""
        found = self._folder.glob(f"{_slug(piece)}@*.safetensors")
        return [path for path in found if not path.name.endswith(NETWORKS)]

    def _write(self, path: Path, header: dict[str, Any], arrays: Arrays, population: Networks | None) -> None:
        """Write the networks first: a state is valid once the file that describes them is there."""
        from safetensors.numpy import save

        self._folder.mkdir(exist_ok=True)
        header["format"] = FORMAT
        if population is not None:
            population.save(_networks(path))
            header["networks"] = _digest(_networks(path))
        tensors = {name: np.array(array, order="C") for name, array in arrays.items()}
        header["digest"] = digest_of(header, _contents(tensors))
        write_atomically(path, save(tensors, metadata={"shoal": json.dumps(header)}))


class NoCheckpoint(NoCache):
    """Keeps nothing, of a run that ends with its process.

    Args:
        plans: how the run's populations are computed.
    """

    plans: RecordedPlans

    def __init__(self, plans: RecordedPlans) -> None:
        super().__init__(plans)

    def notices(self) -> list[str]:
        """None."""
        return []

    def remove(self) -> None:
        """Nothing."""


def _read(path: Path, key: str) -> Kept | None:
    """Read one state; None where it was kept under another key.

    Raises:
        ValueError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header = dict(json.loads((file.metadata() or {})["shoal"]))
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    if header["format"] != FORMAT:
        return None
    if header.pop("digest") != digest_of(header, _contents(arrays)) or _slug(header["piece"]) != _piece(path):
        raise ValueError(f"{path} is not the file that was written")
    if header["key"] != key:
        return None
    networks = _networks(path) if "networks" in header else None
    if networks is not None and _digest(networks) != header["networks"]:
        raise ValueError(f"{networks} is not the file that was written")
    return Kept(arrays, header["document"], networks, header["done"])


def _contents(arrays: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, tuple[str, bytes]]:
    """Arrays as their digest takes them."""
    return {name: (f"{array.dtype.str} {array.shape}", array.tobytes()) for name, array in arrays.items()}


def _piece(path: Path) -> str:
    """The piece that a file is a state of, by its name."""
    return path.name.rpartition("@")[0]


def _slug(piece: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", piece)


def _networks(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".safetensors") + NETWORKS)


def _age(path: Path) -> int:
    """The order of a piece's states: by their number; the finished one is the newest."""
    mark = path.name.removesuffix(".safetensors").rpartition("@")[2]
    return 1_000_000 if mark == DONE else int(mark) if mark.isdigit() else 0


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    """Remove a state, first the file that makes it valid."""
    for each in (path, _networks(path)):
        with suppress(OSError):
            each.unlink(missing_ok=True)
