"""A run that is resumed: its recipe is carried out again, and must tell the events that are stored."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from shoal.core.events import ClockRead, Event, Notice, RunResumed, StopNoticed

# Fields that may differ when a run is repeated: where it lies, who wrote it, and how long it took.
UNTOLD = {
    "run_started": {"run", "source", "versions", "device", "command"},
    "step_finished": {"seconds"},
}


class Replay:
    """The stored events of a run that was interrupted, compared with those that it tells now, one by one.

    A clock's readings are answered from the events too, so that whatever was decided from them is decided again; after
    the last one, time goes on from there.

    Args:
        told: the run's stored events; empty for a new run.
        now: a clock in seconds.
    """

    def __init__(self, told: Sequence[Event] = (), now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._told = [event for event in to_go_on_from(told) if not isinstance(event, RunResumed | Notice)]
        self._place = 0
        readings = [event.elapsed_s for event in self._told if isinstance(event, ClockRead)]
        self._readings = deque([0.0, *readings])
        self._last_s, self._at_s = 0.0, now()

    @property
    def over(self) -> bool:
        """All stored events have been repeated."""
        return self._place >= len(self._told)

    @property
    def known(self) -> int:
        """How many events are to be repeated, in all."""
        return len(self._told)

    @property
    def told(self) -> int:
        """How many events have been repeated."""
        return self._place

    def now(self) -> float:
        """The recipe's clock: seconds since it began, without the time in which the run was interrupted."""
        if self._readings:
            self._last_s, self._at_s = self._readings.popleft(), self._now()
            return self._last_s
        return self._last_s + self._now() - self._at_s

    def repeats(self, event: Event) -> Event | None:
        """The stored event that this one repeats, or None when it is new or differs from the stored one."""
        if self.over or not _alike(self._told[self._place], event):
            return None
        self._place += 1
        return self._told[self._place - 1]

    def give_up(self) -> Sequence[Event]:
        """Forget the stored events from here on; returns them."""
        forgotten = self._told[self._place :]
        del self._told[self._place :]
        self._readings.clear()
        return forgotten


def to_go_on_from(events: Sequence[Event]) -> Sequence[Event]:
    """The events up to where the user stopped the run; later ones only closed it."""
    stops = [place for place, event in enumerate(events) if isinstance(event, StopNoticed)]
    return events[: stops[0]] if stops else events


def _alike(one: Event, other: Event) -> bool:
    apart = UNTOLD.get(one.kind, set())
    return one.kind == other.kind and one.model_dump_json(exclude=apart) == other.model_dump_json(exclude=apart)
