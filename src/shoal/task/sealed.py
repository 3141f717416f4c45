"""The test rows, which can be read once (law 5)."""

from __future__ import annotations

from collections.abc import Callable

from shoal.core.errors import RunError
from shoal.task.part import Part


class Sealed:
    """Rows that nobody has seen.

    Args:
        prepared: makes them when they are asked for, not before.
        rows: how many there are.
    """

    def __init__(self, prepared: Callable[[], Part], rows: int) -> None:
        self._prepared: Callable[[], Part] | None = prepared
        self.rows = rows

    def open(self) -> Part:
        """The rows.

        Raises:
            RunError: they have been read before.
        """
        if self._prepared is None:
            raise RunError("The test rows have been read already: a second look would make their score worthless.")
        prepared, self._prepared = self._prepared, None
        return prepared()
