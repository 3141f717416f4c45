"""A study in the terminal: one line of progress while it works, then the answer, its reasons and its tables."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Generator, Mapping, Sequence
from contextlib import nullcontext
from io import StringIO
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from shoal.cli.output import one_line, reserved_stdout, say, write_json
from shoal.core.returning import Returning
from shoal.report import formats

if TYPE_CHECKING:
    from shoal.api import Studied
    from shoal.studies.record import Progress

Found = TypeVar("Found")

WIDTH = 100  # where the stream is no terminal
MOST_ROWS = 24  # of one table; the report holds the rest
_COLOURS = {"fine": "green", "note": "default", "warning": "yellow", "problem": "red"}


def watched(steps: Generator[Progress, None, Found], stream: TextIO) -> Found:
    """Carry a study out and show how far it is.

    Args:
        steps: a study that has not begun.
        stream: where the progress goes; on a terminal one line is redrawn, elsewhere each new phrase is a line.
    """
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    from shoal.cli.console import Console

    console = Console(stream)
    bar = None
    if console.is_terminal and not console.is_dumb_terminal:
        look = (TextColumn("{task.description}"), BarColumn(32), TimeElapsedColumn())
        bar = Bar(*look, console=console, transient=True)
    said, study = "", Returning(steps)
    with bar or nullcontext():
        task = bar.add_task("", total=1.0) if bar else None
        for event in study:
            words = one_line(event.doing)
            if bar is not None and task is not None:
                bar.update(task, completed=event.done, description=words)
            elif words != said:
                say(f"{event.done:4.0%} {words}", stream)
            said = words
    return study.result


def carry_out(steps: Generator[Progress, None, Studied], *, as_json: bool) -> int:
    """Carry a study out before the user: progress on standard error, then what it found, as text or JSON; returns 0."""
    with reserved_stdout() as answer:
        document = watched(steps, sys.stderr).document
        show(document, sys.stderr if as_json else answer)
        if as_json:
            write_json(document, answer)
    return 0


def show(document: Mapping[str, Any], stream: TextIO) -> None:
    """Write the whole study to a stream; see `shown`."""
    stream.write(f"{shown(document, stream)}\n")
    stream.flush()


def shown(document: Mapping[str, Any], stream: TextIO) -> str:
    """The whole study as text for a stream: colours and the stream's own width on a terminal, plain lines elsewhere.

    Args:
        document: what `study.json` holds.
        stream: where the text will be written.
    """
    from rich.text import Text

    from shoal.cli.console import Console

    terminal = stream.isatty()
    text = StringIO()
    console = Console(text, max(40, shutil.get_terminal_size().columns if terminal else WIDTH), colours=terminal)
    console.print()
    console.print(Text(one_line(document["answer"]), style="bold"))
    for finding in (*document["findings"], *document["decisions"]):
        if finding["level"] == "fine" and not finding["fix"]:
            continue
        line = Text(f"{finding['level']} {finding['code']}: ", style=_COLOURS[finding["level"]])
        line.append(one_line(" ".join((finding["sentence"], formats.order(finding["fix"]) if finding["fix"] else ""))))
        console.print(line)
    for section in document["sections"]:
        console.print()
        console.print(Text(one_line(section["question"]), style="bold"))
        console.print(Text(one_line(section["answer"])))
        for table in section["tables"]:
            console.print(_table(table))
    console.print()
    console.print(Text(f"The report with its pictures: {document['report']}"))
    return text.getvalue().rstrip("\n")


def _table(table: Mapping[str, Any]) -> Any:
    """One table; numbers to the right, long ones cut."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    rows: Sequence[Sequence[Any]] = table["rows"]
    drawn = Table(title=one_line(table["title"]), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    if len(rows) > MOST_ROWS:
        drawn.caption, drawn.caption_justify = f"{len(rows) - MOST_ROWS} more rows are in the report", "left"
    for number, name in enumerate(table["columns"]):
        numeric = bool(rows) and all(_figure(row[number]) for row in rows)
        drawn.add_column(textwrap.shorten(one_line(name), 32), justify="right" if numeric else "left")
    for row in rows[:MOST_ROWS]:
        drawn.add_row(*(_cell(cell) for cell in row))
    return drawn


def _figure(value: Any) -> bool:
    """A number, also as it is said (`0.50`, `12%`), or none."""
    return not isinstance(value, str) or value.removesuffix("%").replace(",", "").replace(".", "", 1).isdigit()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return one_line(value) if isinstance(value, str) else formats.number(value)
