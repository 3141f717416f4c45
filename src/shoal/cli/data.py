"""`shoal data ...`: look at data before anything is trained on them. One function for each of its words."""

from __future__ import annotations

from typing import Any

import typer

from shoal.cli.options import DEBUG, JSON, READING, Argument, Option, given_only, takes
from shoal.cli.output import reserved_stdout, say, write_json
from shoal.cli.preview import preview

WORDS = ("describe", "preview")

DATA = Argument("data", "A CSV, TSV, Parquet or .npz file, a folder of images, or built-in data such as digits.")
OPTIONS = (
    *READING,
    Option("ignore", "The code of a finding that is not to be raised; may be repeated.", "CODE", "many"),
)

REPORT = Option("report", "Also write it as a page there.", "FILE.html")


def application() -> typer.Typer:
    """Return `shoal data` with its words."""
    words = typer.Typer(
        help="Look at data before anything is trained on them.",
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    words.callback()(lambda: None)
    words.command()(describe)
    words.command()(preview)
    return words


@takes(DATA, *OPTIONS, REPORT, JSON, DEBUG)
def describe(**given: Any) -> int:
    """What the columns hold, and what is wrong with the data."""
    with reserved_stdout() as answer:
        from shoal.cli.description_view import show
        from shoal.core import paths
        from shoal.diagnose.description import describe as described

        options = given_only({option.name: given[option.name] for option in OPTIONS})
        to = paths.to_write(given["report"], beside=[given["data"]]) if given["report"] else None
        found = described(given["data"], **options)
        if to is not None:
            from shoal.core.atomic import write_atomically
            from shoal.report.description_page import render_description

            write_atomically(to, render_description(found))
            say(f"the page is {given['report']}")
        if given["json"]:
            write_json(found.document(), answer)
        else:
            show(found, answer)
    return 0
