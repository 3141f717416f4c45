"""A description of data as a person reads it: what they are, what is wrong, what each column holds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from shoal.cli.output import one_line
from shoal.core.wording import percent
from shoal.report import formats
from shoal.report.description_page import headline, own_note

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from shoal.diagnose.description import Description

COLOURS = {"problem": "bold red", "warning": "yellow", "note": "cyan", "fine": "green"}
MOST_COLUMNS = 60
BAR = 6  # cells of the bar of missing cells
NAME_WIDTH = 32
WITH_NOTE, WITH_BAR = 64, 80  # columns of the terminal
PLAIN_WIDTH = 140


def show(description: Description, to: TextIO) -> None:
    """Print it, as wide as the terminal is; without one at a fixed width and without colours."""
    from shoal.cli.console import Console

    console = Console(to)
    if console.is_terminal:
        for part in _parts(description, console.width):
            console.print(part)
        return
    page = io.StringIO()
    console = Console(page, PLAIN_WIDTH)
    for part in _parts(description, PLAIN_WIDTH):
        console.print(part)
    to.write("\n".join(line.rstrip() for line in page.getvalue().splitlines()) + "\n")


def _parts(description: Description, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    for at, line in enumerate(headline(description)):
        yield Text(one_line(line), style="" if at else "bold")
    yield Text()
    yield from _findings(description)
    if description.columns:
        yield Text()
        yield _columns(description, width)
        if len(description.columns) > MOST_COLUMNS:
            more = len(description.columns) - MOST_COLUMNS
            yield Text(f"and {formats.count(more, 'more column')}; --json lists all", style="dim")
    if description.kind == "table" and description.target is None:
        yield Text("\nWith --target COLUMN also leaks, the split and the labels are looked at.", style="dim")


def _findings(description: Description) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    if not description.findings:
        yield Text("Nothing wrong was found.", style=COLOURS["fine"])
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    for finding in description.findings:
        said = Text(one_line(finding.sentence))
        if finding.fix:
            said.append(f"\n{one_line(formats.advice(finding.fix))}", style="dim")
        table.add_row(Text(finding.level, style=COLOURS[finding.level]), Text(finding.code, style="dim"), said)
    yield Padding(table, (0, 0, 0, 0))


def _columns(description: Description, width: int) -> Table:
    """One line a column; what is not learned from stands dim."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False, show_edge=False)
    table.add_column("column", no_wrap=True, overflow="ellipsis", max_width=NAME_WIDTH)
    table.add_column("holds", no_wrap=True)
    table.add_column("missing", justify="right", no_wrap=True)
    if width >= WITH_BAR:
        table.add_column("", no_wrap=True, width=BAR)
    table.add_column("values", justify="right", no_wrap=True)
    if width >= WITH_NOTE:
        table.add_column("", overflow="ellipsis")  # the only one that may shrink
    for column in description.columns[:MOST_COLUMNS]:
        share = column.missing / max(1, description.rows)
        shown = column.feature or column.role == "target"
        holds = Text(column.role, style="green" if column.role == "target" else "")
        cells = [Text(one_line(column.name)), holds, Text(percent(share) if column.missing else "")]
        if width >= WITH_BAR:
            filled = max(1, round(BAR * share)) if column.missing else 0
            cells.append(Text("━" * filled, style="yellow" if share > 0.5 else "dim"))
        cells.append(Text(f"{column.unique:,}"))
        if width >= WITH_NOTE:
            cells.append(Text(one_line(own_note(column)), style="dim", no_wrap=True, overflow="ellipsis"))
        table.add_row(*cells, style="" if shown else "dim")
    return table
