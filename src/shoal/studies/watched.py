"""A comparison's progress in a study's words."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from shoal.comparison import Compared, Doing
from shoal.core.returning import Returning
from shoal.core.wording import count
from shoal.studies.record import Progress


def told(
    comparison: Generator[Doing, None, Compared],
    named: Callable[[Any], str],
    start: float = 0.0,
    end: float = 1.0,
) -> Generator[Progress, None, Compared]:
    """Carry a comparison out and say how far it is.

    Args:
        comparison: of `compare.run`.
        named: a level in words.
        start: share of the study that is done before it.
        end: share that is done after it.
    """
    steps = Returning(comparison)
    for doing in steps:
        said = f"{named(doing.level)}: {count(doing.networks, 'network')}"
        yield Progress(done=start + (end - start) * doing.done, doing=said)
    return steps.result
