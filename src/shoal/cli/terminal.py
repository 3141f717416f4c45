"""A run in the terminal: seven lines that fill in as the steps end, and a bar for the one that runs.

A pure consumer of events. On a terminal the lines are redrawn in place; elsewhere (a pipe, a file, `TERM=dumb`) each
ended step is one plain line, without control codes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TextIO

from shoal.cli.output import one_line
from shoal.core.events import (
    STEP_NAMES,
    Event,
    Finding,
    FindingRaised,
    RunFinished,
    RunInterrupted,
    RunStarted,
    StepFinished,
    StepProgress,
    StepStarted,
)
from shoal.report import formats

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table
    from rich.text import Text

PLAIN_PROGRESS_S = 30.0  # how often a plain log says how far it is
WIDE = 76  # columns from which on the key number has room
VERDICT = 44  # the most columns of a verdict
_COLOURS = {"fine": "green", "note": "default", "warning": "yellow", "problem": "red"}
_STOPPING = "Stopping after the current epoch. Ctrl-C again ends at once."


class TerminalView(Protocol):
    """What shows a run's events."""

    started: bool  # the data are read, so that there is something to keep

    def show(self, event: Event) -> None: ...
    def stopping(self) -> None: ...
    def let_go(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...


def terminal_view(stream: TextIO) -> TerminalView:
    """Return the view that suits where the lines go."""
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    return LiveView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView(stream)


@dataclass
class _Line:
    """One of the seven lines."""

    step: int
    round: int = 1
    why: str = ""
    ended: StepFinished | None = None

    @property
    def name(self) -> str:
        return step_name(self.step, self.round)


def step_name(step: int, round_: int) -> str:
    """A step's name, with its round from the second on."""
    name = STEP_NAMES.get(step, {8: "Ensemble", 9: "Test rows"}.get(step, f"Step {step}"))
    return name if round_ == 1 else f"{name}, round {round_}"


def heading(event: RunStarted) -> str:
    """What is fitted, in one line."""
    what = {"table": "table", "image": "images", "signal": "signals", "volume": "volumes"}[event.data_kind]
    parts = [formats.count(event.rows, "row")]
    if event.data_kind == "table":
        parts.append(formats.count(event.columns, "column"))
    else:
        parts[0] = f"{event.rows:,} {what} of {' x '.join(str(size) for size in event.shape)}"
    if event.classes:
        parts.append(formats.count(len(event.classes), "class", "classes"))
    split = ", ".join(f"{count:,} {name}" for name, count in event.split.items())
    baseline = formats.score(event.metric, event.baseline, rows=event.split.get("test"))
    return one_line(
        f"{event.source}: {', '.join(parts)} ({split}). "
        f"Always answering `{event.baseline_answer}` scores {baseline}. Budget {event.budget}, seed {event.seed}."
    )


def finding_line(finding: Finding) -> str:
    """A finding as one line."""
    return one_line(f"{finding.level} {finding.code}: {finding.sentence} {finding.fix}".rstrip())


def progress_words(event: StepProgress, metric: str, rows: int | None, passed_s: float) -> str:
    """Share done, time left and the best so far."""
    words = [f"{min(max(event.done, 0.0), 1.0):.0%}"]
    if event.left_s is not None:
        left = max(0, round(event.left_s - passed_s))
        words.append(f"{left // 60}:{left % 60:02d} left")
    if event.best is not None and event.best - event.best == 0:
        words.append(f"best {formats.score(metric, event.best, rows=rows)}")
    if event.doing:
        words.append(one_line(event.doing))
    return "  ".join(words)


class PlainView:
    """One plain line for the data, for each warning, for each ended step, and now and then for progress."""

    def __init__(self, stream: TextIO, now: Callable[[], float] = time.monotonic) -> None:
        """Write to `stream`; `now` is a clock in seconds."""
        self.started = False
        self._stream, self._now = stream, now
        self._metric = "accuracy"
        self._rows: int | None = None
        self._said_s = now()

    def show(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case RunStarted():
                self.started = True
                self._metric, self._rows = event.metric, event.split.get("validation")
                self._say(heading(event))
            case FindingRaised(finding=finding) if finding.level in ("warning", "problem"):
                self._say(finding_line(finding))
            case StepFinished():
                parts = [event.verdict, event.number, formats.duration(event.seconds)]
                said = "; ".join(one_line(part) for part in parts if part)
                self._say(f"{event.step} {step_name(event.step, event.round)}: {said}")
            case StepProgress() if self._now() - self._said_s >= PLAIN_PROGRESS_S:
                self._say(f"{event.step} {progress_words(event, self._metric, self._rows, 0.0)}")

    def stopping(self) -> None:
        """Say that the run will end soon; safe in a signal handler."""
        with suppress(OSError):
            os.write(2, f"{_STOPPING}\n".encode())

    def let_go(self) -> None:
        """Leave the terminal in order before the process ends at once: there is nothing to do."""

    def _say(self, line: str) -> None:
        print(line, file=self._stream, flush=True)
        self._said_s = self._now()

    def __enter__(self) -> Self:
        """Use the view in a `with` statement."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing to take back."""


@dataclass
class _State:
    """What the redrawn lines show."""

    lines: dict[int, _Line] = field(default_factory=lambda: {step: _Line(step) for step in STEP_NAMES})
    running: int | None = None
    cut: int | None = None  # the step in which the run was interrupted
    progress: StepProgress | None = None
    progress_at_s: float = 0.0
    metric: str = "accuracy"
    rows: int | None = None
    stopping: bool = False


class LiveView:
    """The seven lines, redrawn in place, in the terminal's own palette."""

    def __init__(self, console: Console, now: Callable[[], float] = time.monotonic) -> None:
        """Draw on `console`; `now` is a clock in seconds."""
        from rich.live import Live

        self.started = False
        self._console, self._now = console, now
        self._state = _State()
        self._live = Live(console=console, get_renderable=self.picture, refresh_per_second=6, redirect_stdout=False)

    def show(self, event: Event) -> None:
        """Take the next event; the terminal is redrawn a few times a second."""
        state = self._state
        match event:
            case RunStarted():
                self.started = True
                state.metric, state.rows = event.metric, event.split.get("validation")
                self._above(heading(event), "default")
            case FindingRaised(finding=finding) if finding.level in ("warning", "problem"):
                self._above(finding_line(finding), _COLOURS[finding.level])
            case StepStarted():
                state.lines[event.step] = _Line(event.step, event.round, event.why)
                state.running, state.progress = event.step, None
            case StepProgress():
                state.progress, state.progress_at_s = event, self._now()
            case StepFinished():
                state.lines[event.step] = _Line(event.step, event.round, ended=event)
                if state.running == event.step:
                    state.running, state.progress = None, None
            case RunInterrupted():
                state.cut, state.running, state.progress, state.stopping = state.running, None, None, False
            case RunFinished():
                state.running, state.progress, state.stopping = None, None, False

    def picture(self) -> RenderableType:
        """What the terminal shows now: the lines, and the bar of the running one."""
        from rich.console import Group
        from rich.text import Text

        if not self.started:
            return Text("Reading the data.", style="dim")
        return Group(Text(), self._table(), *self._bar())

    def stopping(self) -> None:
        """Say that the run will end soon; safe in a signal handler, since only a flag changes."""
        self._state.stopping = True

    def let_go(self) -> None:
        """Show the cursor again before the process ends at once."""
        with suppress(OSError):
            os.write(2, b"\x1b[?25h\n")

    def _above(self, line: str, colour: str) -> None:
        from rich.text import Text

        self._console.print(Text(line, style=colour))

    def _table(self) -> Table:
        from rich.table import Table

        table = Table.grid(padding=(0, 2, 0, 0))
        widths = self._widths()
        for place, width in enumerate(widths):
            last_or_first = place in (0, len(widths) - 1)
            table.add_column(
                justify="right" if last_or_first else "left", no_wrap=True, overflow="ellipsis", width=width
            )
        for line in self._state.lines.values():
            cells = self._cells(line)
            table.add_row(*(cells if len(widths) == 5 else (*cells[:3], cells[4])))
        return table

    def _widths(self) -> list[int]:
        """Columns for step, name, verdict, number and seconds; the number only where there is room.

        The name gets the width that it will need later, so that nothing jumps; the verdict gets what is left.
        """
        wide = self._console.width >= WIDE
        ended = [line.ended for line in self._state.lines.values() if line.ended is not None]
        number = min(24, max([len(each.number) for each in ended], default=20))
        seconds = max([6, *(len(formats.duration(each.seconds)) for each in ended)])
        name = len(step_name(5, 2)) if wide else len(step_name(5, 1))
        taken = [1, name, number, seconds] if wide else [1, name, seconds]
        left = self._console.width - sum(taken) - 2 * (len(taken) + 1)
        return [*taken[:2], max(4, min(left, VERDICT)), *taken[2:]]

    def _cells(self, line: _Line) -> tuple[Text, ...]:
        from rich.text import Text

        if line.ended is not None:
            verdict = Text(one_line(line.ended.verdict), style=_COLOURS[line.ended.level])
            seconds = Text(formats.duration(line.ended.seconds), style="dim")
            return Text(str(line.step)), Text(line.name), verdict, Text(one_line(line.ended.number)), seconds
        if line.step == self._state.running:
            name = Text(line.name, style="bold")
            return Text(str(line.step), style="bold"), name, Text(one_line(line.why), style="dim"), Text(), Text()
        if line.step == self._state.cut:
            return Text(str(line.step)), Text(line.name), Text("interrupted", style="yellow"), Text(), Text()
        return Text(str(line.step), style="dim"), Text(line.name, style="dim"), Text(), Text(), Text()

    def _bar(self) -> Iterator[RenderableType]:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        state = self._state
        if state.running is not None:
            progress = state.progress or StepProgress(step=state.running, done=0.0)
            words = progress_words(progress, state.metric, state.rows, self._now() - state.progress_at_s)
            row = Table.grid(padding=(0, 2, 0, 0))
            row.add_column(width=28)
            row.add_column(no_wrap=True, overflow="ellipsis")
            bar = ProgressBar(
                total=1.0, completed=progress.done, width=28, complete_style="cyan", finished_style="cyan", style="dim"
            )
            row.add_row(bar, Text(words))
            yield Text()
            yield row
        if state.stopping:
            yield Text(_STOPPING, style="yellow")

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave the last picture and the cursor in order; nothing is left where nothing began."""
        self._live.transient = not self.started
        self._live.stop()
