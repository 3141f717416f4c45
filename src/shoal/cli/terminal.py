"""A run in the terminal: seven lines that fill in as the steps end, and a bar for the one that runs.

A pure consumer of events. On a terminal the lines are redrawn in place; elsewhere (a pipe, a file, `TERM=dumb`) each
ended step is one plain line, without control codes.
"""

from __future__ import annotations

import os
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self, TextIO

from shoal.cli.output import one_line, say
from shoal.core.events import (
    RECIPE_STEPS,
    STEP_NAMES,
    Event,
    Finding,
    FindingRaised,
    Notice,
    RunFinished,
    RunInterrupted,
    RunResumed,
    RunStarted,
    StepFinished,
    StepProgress,
    StepStarted,
)
from shoal.report import formats

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from shoal.cli.console import Console

PLAIN_PROGRESS_S = 30.0  # how often a plain log says how far it is
NAME, SHORT_NAME, NUMBER, SECONDS = 32, 13, 24, 7  # columns of the table; the verdict gets the rest
FULL, WITH_NUMBER, WITH_SECONDS = 92, 72, 48  # from which width on there is room for full names, number and seconds
VERDICT_LINES = 3
SHORT_NAMES = {1: "Initial loss", 2: "Overfit", 3: "Learning rate", 4: "Coarse", 5: "Refine", 6: "Curves", 7: "Decide"}
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
    from shoal.cli.console import Console

    console = Console(stream)
    return LiveView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView(stream)


@dataclass
class _Line:
    """One of the seven lines."""

    step: int
    round: int = 1
    why: str = ""
    ended: StepFinished | None = None

    def name(self, full: bool) -> str:
        if full:
            return step_name(self.step, self.round)
        return SHORT_NAMES.get(self.step, "") + (f" {self.round}" if self.round > 1 else "")


def step_name(step: int, round_: int) -> str:
    """A step's name, with its round from the second on."""
    name = STEP_NAMES.get(step, f"Step {step}")
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
        f"Always answering `{event.baseline_answer}` scores {baseline} on validation rows. "
        f"Budget {event.budget}, seed {event.seed}."
    )


def finding_line(finding: Finding) -> str:
    """A finding as one line."""
    return one_line(f"{finding.level} {finding.code}: {finding.sentence} {formats.advice(finding.fix)}".rstrip())


def resumed_line(event: RunResumed) -> str:
    """That the run goes on and, where something is not as it was, what that may mean."""
    line = f"Resumed after {formats.duration(event.elapsed_s)} of work."
    if event.notes:
        line += f" The last digits of what is computed from here on may differ: {'; '.join(event.notes)}."
    return one_line(line)


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
            case RunResumed():
                self._say(resumed_line(event))
            case Notice(sentence=sentence):
                self._say(one_line(sentence))
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
        say(line, self._stream)
        self._said_s = self._now()

    def __enter__(self) -> Self:
        """Use the view in a `with` statement."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing to take back."""


@dataclass
class _State:
    """What the redrawn lines show."""

    lines: dict[int, _Line] = field(default_factory=lambda: {step: _Line(step) for step in RECIPE_STEPS})
    running: int | None = None
    cut: int | None = None  # the step in which the run was interrupted
    progress: StepProgress | None = None
    left_s: float | None = None  # as last heard
    left_at_s: float = 0.0
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
            case RunResumed():
                self._above(resumed_line(event), "default")
            case Notice(sentence=sentence):
                self._above(one_line(sentence), "yellow")
            case StepStarted():
                state.lines[event.step] = _Line(event.step, event.round, event.why)
                state.running, state.progress = event.step, None
            case StepProgress():
                if event.left_s != state.left_s:  # else it is from the same look at the clock
                    state.left_s, state.left_at_s = event.left_s, self._now()
                state.progress = event
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
        for what, width in widths.items():
            justify: Literal["left", "right"] = "right" if what in ("step", "seconds") else "left"
            table.add_column(justify=justify, no_wrap=True, overflow="ellipsis", width=width)
        for line in self._state.lines.values():
            cells = self._cells(line, widths["verdict"])
            table.add_row(*(cells[what] for what in widths))
        return table

    def _widths(self) -> dict[str, int]:
        """What a line shows at this width, and in how many columns.

        All but the verdict's are fixed, so that nothing jumps when a step ends; the verdict gets what is left.
        """
        width = self._console.width
        shown = {"step": 1, "name": NAME if width >= FULL else SHORT_NAME, "verdict": 0}
        shown |= {"number": NUMBER} if width >= WITH_NUMBER else {}
        shown |= {"seconds": SECONDS} if width >= WITH_SECONDS else {}
        return shown | {"verdict": max(4, width - sum(shown.values()) - 2 * len(shown))}

    def _cells(self, line: _Line, width: int) -> dict[str, Text]:
        """One line of the table; a verdict that needs more than `width` columns breaks between words."""
        from rich.text import Text

        def broken(words: str) -> str:
            return "\n".join(textwrap.wrap(one_line(words), width, max_lines=VERDICT_LINES, placeholder=" …"))

        style, said, said_style, number, seconds = "dim", "", "", "", ""
        if line.ended is not None:
            style, said, said_style = "", line.ended.verdict, _COLOURS[line.ended.level]
            number, seconds = one_line(line.ended.number), formats.duration(line.ended.seconds)
        elif line.step == self._state.running:
            style, said, said_style = "bold", line.why, "dim"
        elif line.step == self._state.cut:
            style, said, said_style = "", "interrupted", "yellow"
        return {
            "step": Text(str(line.step), style=style),
            "name": Text(line.name(self._console.width >= FULL), style=style),
            "verdict": Text(broken(said), style=said_style),
            "number": Text(number),
            "seconds": Text(seconds, style="dim"),
        }

    def _bar(self) -> Iterator[RenderableType]:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        state = self._state
        if state.running is not None:
            progress = state.progress or StepProgress(step=state.running, done=0.0)
            words = progress_words(progress, state.metric, state.rows, self._now() - state.left_at_s)
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
