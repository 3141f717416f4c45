"""A run told to its store: what is new is kept before anybody sees it, what is told again is checked."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shoal.core.errors import RunError
from shoal.core.events import Event, Notice, RunResumed, StepProgress, TestRead
from shoal.store.checkpoint import Checkpoint, NoCheckpoint
from shoal.store.events_store import EventStore
from shoal.store.replay import Replay


@dataclass(frozen=True)
class Telling:
    """One process's part in the telling of a run.

    Args:
        store: of the events.
        key: of the run in the store.
        replay: what was told by the processes before.
        checkpoint: of the run's long work.
        started_s: when this process began, by `time.monotonic`.
        resumed: that the run goes on; None for its first process.
    """

    store: EventStore
    key: str
    replay: Replay
    checkpoint: Checkpoint | NoCheckpoint
    started_s: float
    resumed: RunResumed | None = None

    def elapsed_s(self) -> float:
        """The work on this run so far, in this process and those before."""
        before_s = 0.0 if self.resumed is None else self.resumed.elapsed_s
        return before_s + time.monotonic() - self.started_s

    def told(self, events: Iterable[Event]) -> Iterator[Event]:
        """Hand on a run's events, from its first one, each after it is stored.

        Raises:
            RunError: the disk refuses; or the test rows were read, and the numbers that led there are others now.
        """
        resumed = None if self.resumed is None else self._keep(self.resumed)
        for event in events:
            if isinstance(event, StepProgress):
                if self.replay.over:  # else the run is further already
                    self.store.append(self.key, event)
                yield event
                continue
            known = self.replay.repeats(event)
            if known is None and not self.replay.over:
                yield self._differs(event)
            yield known or self._keep(event)
            if resumed is not None:  # after the first event, which says what the run is
                yield resumed
                resumed = None
            for sentence in self.checkpoint.notices():
                yield self._keep(Notice(sentence=sentence))

    def _keep(self, event: Event) -> Event:
        self.checkpoint.plans.settle()  # an event may depend on them
        self.store.append(self.key, event)
        return event

    def _differs(self, event: Event) -> Event:
        """Replace the record from here on: numbers that were told are no longer what is computed."""
        forgotten = self.replay.give_up()
        place = f"from event {self.replay.told + 1} on (`{event.kind}`)"
        if any(isinstance(each, TestRead) for each in forgotten):
            raise RunError(
                f"the run cannot go on: {place} its numbers differ from those that it told before, for which its test "
                "rows were read; fit again, or go on where it was begun"
            )
        self.store.cut(self.key, self.replay.told)
        sentence = (
            f"The numbers differ {place} from those that the run told before it was interrupted: its record is "
            "replaced from there."
        )
        return self._keep(Notice(sentence=sentence))
