"""Generators in a plain `for` loop, with what they return."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Yielded = TypeVar("Yielded")
Returned = TypeVar("Returned")


class Returning(Generic[Yielded, Returned]):
    """A generator for one `for` loop; afterwards `result` is what it returned.

    >>> def count():
    ...     yield 1
    ...     yield 2
    ...     return "two"
    >>> steps = Returning(count())
    >>> list(steps), steps.result
    ([1, 2], 'two')

    Args:
        steps: a generator that has not begun.
    """

    def __init__(self, steps: Generator[Yielded, None, Returned]) -> None:
        self._steps = steps
        self._results: list[Returned] = []

    def __iter__(self) -> Iterator[Yielded]:
        """What the generator yields."""
        self._results.append((yield from self._steps))

    @property
    def result(self) -> Returned:
        """What the generator returned.

        Raises:
            RuntimeError: it has not come to its end.
        """
        if not self._results:
            raise RuntimeError("The generator has not come to its end: loop over it first.")
        return self._results[0]


def result_of(steps: Generator[Yielded, None, Returned]) -> Returned:
    """Carry a generator out, whatever it yields, and return what it returns."""
    whole = Returning(steps)
    for _ in whole:
        pass
    return whole.result
