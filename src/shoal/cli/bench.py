"""`shoal bench NAME`: Shoal and its peers side by side; without a name, which benches there are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from shoal.cli.options import DEBUG, JSON, Argument, Option, takes
from shoal.cli.output import reserved_stdout, say, write_json

if TYPE_CHECKING:
    from shoal.bench.case import Case

_COLOURS = {"met": "green", "missed": "yellow", "no target": "default", "not measured": "default"}
WIDEST = 150


@takes(
    Argument("name", "Which bench; without one, the benches are listed.", required=False),
    Option("quick", "Small sizes and few repeats: shows that it works, not how fast it is.", kind="flag"),
    Option("record", "Keep cases, machine and versions in this folder, or in this JSON file.", "PATH"),
    JSON,
    DEBUG,
)
def bench(name: str | None, **also: Any) -> int:
    """Measure Shoal against its peers on this machine."""
    with reserved_stdout() as answer:
        from shoal.bench import catalogue, record

        if name is None:
            _list(catalogue.available(), also["json"], answer)
            return 0
        cases: list[Case] = []
        for case in catalogue.bench(name)(also["quick"]):
            cases.append(case)
            say(f"{name}: {_sentence(case)}")
        kept = None
        if also["record"]:
            found = record.document(name, cases, also["quick"])
            kept = record.path_for(found, also["record"])
            _keep(kept, found)
        if also["json"]:
            write_json([case.as_json() for case in cases], answer)
        else:
            _show(cases, answer)
        if kept is not None:
            say(f"kept in {kept}")
    return 0


def _list(available: dict[str, str], as_json: bool, answer: TextIO) -> None:
    """What can be run."""
    if as_json:
        write_json([{"bench": name, "about": phrase} for name, phrase in available.items()], answer)
        return
    for name, phrase in available.items():
        say(f"shoal bench {name:12}{phrase}", answer)


def _keep(path: Path, found: dict[str, Any]) -> None:
    """Write a record as JSON, its folder made where it is missing."""
    import io

    from shoal.core.atomic import write_atomically, write_error

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(path, error) from error
    text = io.StringIO()
    write_json(found, text)
    write_atomically(path, text.getvalue())


def _sentence(case: Case) -> str:
    """One case in a line, as it comes."""
    if case.ratio is None:
        return f"{case.case}, against {case.peer}: not measured, {case.note}"
    aim = "" if case.target is None else f", aim {case.target:g}x: {case.verdict}"
    return f"{case.case}, against {case.peer}: {case.ratio:.2f}x{aim}"


def _show(cases: Sequence[Case], answer: TextIO) -> None:
    """The table, then how many targets were met and who is missing."""
    from rich.table import Table
    from rich.text import Text

    from shoal.cli.console import Console

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("case", "against"):
        table.add_column(heading, overflow="fold")
    for heading in ("shoal", "peer", "ratio", "smallest - largest", "aim", "n"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for case in cases:
        if case.ratio is None:
            continue
        spread = "" if case.spread is None else f"{case.spread[0]:.2f} - {case.spread[1]:.2f}"
        table.add_row(
            Text(case.case),
            Text(case.peer),
            _seconds(case.shoal_s),
            _seconds(case.peer_s),
            f"{case.ratio:.2f}x",
            spread,
            "" if case.target is None else f"{case.target:g}x",
            str(case.n),
            "" if case.target is None else Text(case.verdict, style=_COLOURS[case.verdict]),
        )
    console = Console(answer, None if answer.isatty() else WIDEST)
    console.print(table)
    for note in dict.fromkeys(f"{case.case}: {case.note}" for case in cases if case.note and case.ratio is not None):
        console.print(Text(note))
    for case in cases:
        if case.ratio is None:
            console.print(Text(f"{case.case}: {case.peer} is not compared: {case.note}"))
    aimed = [case.verdict for case in cases if case.target is not None]
    console.print(f"{aimed.count('met')} of {len(aimed)} targets met. A ratio above 1 means that Shoal is quicker.")


def _seconds(value: float | None) -> str:
    """Seconds with a unit that suits them."""
    if value is None:
        return ""
    if value >= 1:
        return f"{value:.3g} s"
    return f"{value * 1000:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"
