"""The one console that tables, colours and live views are drawn on: nothing that it shows can steer the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

import rich.console
from rich.segment import Segment

from shoal.cli.output import one_line


class Console(rich.console.Console):
    """rich's console; text from elsewhere (a column's name, a path, a class) is cleaned as it is drawn."""

    def __init__(self, to: TextIO, width: int | None = None, *, colours: bool | None = None) -> None:
        """Draw on a stream.

        Args:
            to: the stream.
            width: in columns; that of the terminal by default.
            colours: whether the stream is a terminal, where it cannot be asked.
        """
        super().__init__(file=to, width=width, force_terminal=colours, highlight=False)

    def render(
        self, renderable: rich.console.RenderableType, options: rich.console.ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What a renderable consists of, its text cleaned; moves of the cursor are rich's own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=_cleaned(segment.text))


def _cleaned(text: str) -> str:
    return text if text.isprintable() else "\n".join(one_line(line) for line in text.split("\n"))
