"""`shoal report RUN`: the report once more, from the stored events; also of an interrupted or killed run."""

from __future__ import annotations

from typing import Any

from shoal.cli.options import DEBUG, JSON, STORE, Argument, takes
from shoal.cli.output import reserved_stdout, say, write_json


@takes(Argument("run", "The folder of a run, such as runs/digits."), STORE, JSON, DEBUG)
def report(run: str, **also: Any) -> int:
    """Draw report.html again from the stored events."""
    with reserved_stdout() as answer:
        from shoal.core.atomic import write_atomically
        from shoal.report import render
        from shoal.store.run_folder import RunFolder

        folder = RunFolder.open(run)
        events = folder.read_events(also["store"])
        write_atomically(folder.report_html, render(events))
        if also["json"]:
            write_json({"run": folder.name, "report": str(folder.report_html), "events": len(events)}, answer)
        else:
            say(str(folder.report_html), answer)
    return 0
