"""What a study works on: a task, and the user's network where one was given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from shoal import data
from shoal.core.keyed import Purpose, key, permutation
from shoal.task import Fold, Part, Task


def some(part: Part, rows: int, seed: int) -> Part:
    """At most so many rows, drawn without replacement by a keyed order."""
    if rows >= len(part):
        return part
    return part.take(permutation(key(seed, Purpose.SAMPLE, len(part)), len(part))[:rows])


@dataclass(frozen=True)
class Subject:
    """Training and validation rows; the test rows stay sealed."""

    task: Task
    make_net: Callable[[], nn.Module] | None = None  # the user's own
    model: str = ""  # what the user calls it

    @property
    def fold(self) -> Fold:
        """The task's one fold."""
        return self.task.fold()

    @classmethod
    def read(
        cls,
        source: Any,
        *,
        seed: int = 0,
        most_rows: int | None = None,
        make_net: Callable[[], nn.Module] | None = None,
        model: str = "",
        **reading: Any,
    ) -> Subject:
        """Read and split.

        Args:
            source: anything that `shoal.data.read` takes.
            seed: of the split.
            most_rows: keep at most so many training rows (a fixed draw), and half as many validation rows.
            make_net: the user's network.
            model: its name.
            reading: target, time, group, drop, kind, ..., as `shoal.data.read` takes them.

        Raises:
            InputError: the data cannot be used.
        """
        subject = cls(Task.hold_out(data.read(source, **reading), seed=seed, most_rows=most_rows), make_net, model)
        subject.task.fold()  # what cannot be prepared is refused here
        return subject
