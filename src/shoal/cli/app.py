"""The verbs put together."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

import shoal
from shoal.cli import bench, compare, data, doctor, evaluate, fit, predict, report, resume, study
from shoal.cli.output import say


def application() -> Any:
    """Return the command that parses and runs a line."""
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,  # plain help: nothing is loaded for colours
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_about)
    verbs = (fit.fit, resume.resume, predict.predict, evaluate.evaluate, compare.compare, study.study, doctor.doctor)
    for verb in (*verbs, report.report, bench.bench):
        app.command()(verb)
    app.add_typer(data.application(), name="data")
    return typer.main.get_command(app)


def _say_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        say(f"shoal {shoal.__version__}", sys.stdout)
        raise typer.Exit


def _about(
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and end.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Train many neural networks as one, and choose with evidence how a network should be trained."""
