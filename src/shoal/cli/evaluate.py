"""`shoal evaluate RUN DATA`: how good the saved model is on rows whose target is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shoal.cli.options import DEBUG, JSON, OWN_NETWORK, Argument, takes
from shoal.cli.output import one_line, reserved_stdout, say, write_json


@takes(
    Argument("run", "The folder of a run, such as runs/digits."),
    Argument("data", "Rows with their target, in any form that `shoal fit` reads."),
    OWN_NETWORK,
    JSON,
    DEBUG,
)
def evaluate(run: str, data: str, **also: Any) -> int:
    """Score the saved model on labelled rows."""
    with reserved_stdout() as answer:
        from shoal import api

        found = dict(api.evaluate(run, data, also["model"]))
        for finding in found.get("findings", []):
            say(one_line(f"{finding['level']} {finding['code']}: {finding['sentence']}"))
        if also["json"]:
            write_json(found, answer)
        else:
            say(_sentence(found), answer)
    return 0


def _sentence(found: Mapping[str, Any]) -> str:
    """The score as a person reads it."""
    from shoal.report import formats

    metric, interval = str(found["metric"]), found.get("interval")
    span = f" ({formats.bounds(metric, tuple(interval))})" if interval else ""
    score = formats.score(metric, float(found["score"]), tuple(interval) if interval else None)
    return f"{formats.metric_word(metric)} {score}{span} on {formats.count(int(found['rows']), 'row')}"
