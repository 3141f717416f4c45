"""A description of data as a person reads it: what they are, what is wrong, what each column holds."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, TextIO

from shoal.cli.output import one_line
from shoal.data.wording import percent
from shoal.report import formats

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from shoal.data.schema import Column
    from shoal.diagnose.description import Description

COLOURS = {"problem": "bold red", "warning": "yellow", "note": "cyan", "fine": "green"}
MOST_COLUMNS = 60
MOST_CLASSES = 6
BAR = 6  # cells of the bar of missing cells
NAME_WIDTH = 32
WITH_NOTE, WITH_BAR = 64, 80  # columns of the terminal
PLAIN_WIDTH = 140


def show(description: Description, to: TextIO) -> None:
    """Print it, as wide as the terminal is; without one at a fixed width and without colours."""
    from rich.console import Console

    console = Console(file=to, highlight=False)
    if console.is_terminal:
        for part in _parts(description, console.width):
            console.print(part)
        return
    page = io.StringIO()
    console = Console(file=page, highlight=False, width=PLAIN_WIDTH)
    for part in _parts(description, PLAIN_WIDTH):
        console.print(part)
    to.write("\n".join(line.rstrip() for line in page.getvalue().splitlines()) + "\n")


def _parts(description: Description, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    for line in headline(description):
        yield Text(line, style="bold" if line == headline(description)[0] else "")
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


def headline(description: Description) -> list[str]:
    """What the data are, in one sentence, and how they would be split."""
    kinds = {"table": "table", "image": "images", "signal": "signals", "volume": "volumes"}
    if description.kind == "table":
        used = sum(column.feature for column in description.columns)
        what = f"{formats.count(description.rows, 'row')} of {formats.count(len(description.columns), 'column')}"
        what += f", {used} to learn from" if description.target is not None else ""
    else:
        shape = " × ".join(str(side) for side in description.shape or ())
        what = f"{description.rows:,} {kinds[description.kind]} of {shape}"
        if description.values is not None:
            low, mean, high = description.values
            what += f", values {low:g} to {high:g}, mean {mean:.4g}"
    lines = [one_line(f"{description.source}: {what}.")]
    if description.classes is not None:
        parts = [f"{name}: {percent(rows / description.rows)}" for name, rows in description.classes.items()]
        more = f" and {len(parts) - MOST_CLASSES} more" if len(parts) > MOST_CLASSES else ""
        shown = ", ".join(parts[:MOST_CLASSES])
        lines.append(one_line(f"Predicts {description.target}: {len(parts)} classes ({shown}{more})."))
    elif description.target is not None:
        lines.append(one_line(f"Predicts {description.target}, a number."))
    if description.split is not None:
        train, validation, test = (f"{description.split[part]:,}" for part in ("train", "validation", "test"))
        lines.append(f"A run would train on {train} rows, choose by {validation} and judge by {test}.")
    return lines


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
            fix = one_line(finding.fix)
            said.append(f"\n{fix[:1].upper()}{fix[1:]}.", style="dim")
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
        table.add_column("", no_wrap=True, overflow="ellipsis")
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
            cells.append(Text(one_line(_note(column)), style="dim"))
        table.add_row(*cells, style="" if shown else "dim")
    return table


def _note(column: Column) -> str:
    """The note without the share of missing cells, which has a column of its own."""
    return "; ".join(part for part in column.note.split("; ") if not part.endswith(" missing"))
