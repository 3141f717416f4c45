"""`shoal doctor DATA`: are the data and the network sound? Steps 1 to 3 and the checks of the data, no search."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from shoal.cli.options import DEBUG, JSON, READING, Argument, Option, given_only, takes
from shoal.cli.output import one_line, reserved_stdout, say, write_json
from shoal.core.json_text import finite

if TYPE_CHECKING:
    from shoal.core.events import Event, Finding


@takes(
    Argument("data", "In any form that `shoal fit` reads, such as digits."),
    *READING,
    Option("model", "The network: chosen by the data, or yours.", "auto|mlp|cnn|resnet|pkg.mod:make_net"),
    Option("device", "Where to train. Default: auto.", "auto|cpu|cuda"),
    Option("batch_size", "Rows of one mini-batch.", "NUMBER", "number"),
    Option("seed", "Where all randomness starts. Default: 0.", "NUMBER", "number"),
    Option("ignore", "The code of a finding that is not to be raised; may be repeated.", "CODE", "many"),
    JSON,
    DEBUG,
)
def doctor(**given: Any) -> int:
    """Check data and network before any search; exit 1 when something is wrong."""
    from shoal import api
    from shoal.core.settings import FitSettings

    settings = FitSettings(
        **given_only({name: value for name, value in given.items() if name not in ("json", "debug")})
    )
    with reserved_stdout() as answer:
        said = sys.stderr if given["json"] else answer
        findings, steps, decisions = _watched(api.check_up(settings), said)
        ill = [each for each in findings if api.unwell(each)]
        sentence = _sentence(settings.data, settings.model, ill)
        say(sentence, said)
        if given["json"]:
            document = {
                "data": settings.data,
                "model": settings.model,
                "healthy": not ill,
                "answer": sentence,
                "steps": steps,
                "findings": [{**each.model_dump(), "unhealthy": api.unwell(each)} for each in findings],
                "decisions": decisions,
            }
            write_json(finite(document), answer)
    return 1 if ill else 0


def _watched(events: Any, to: TextIO) -> tuple[list[Finding], list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Say each finding and the end of each step as they come."""
    from shoal.cli.terminal import finding_line
    from shoal.core.events import STEP_NAMES, DecisionMade, FindingRaised, StepFinished

    findings: list[Finding] = []
    steps: list[Mapping[str, Any]] = []
    decisions: list[Mapping[str, Any]] = []
    event: Event
    for event in events:
        if isinstance(event, FindingRaised):
            findings.append(event.finding)
            say(finding_line(event.finding), to)
        elif isinstance(event, DecisionMade):
            decisions.append(event.decision.model_dump())
        elif isinstance(event, StepFinished):
            name = STEP_NAMES[event.step]
            steps.append({"step": event.step, "name": name, **event.model_dump(include={"level", "verdict", "number"})})
            say(one_line(f"{event.step}  {name}: {event.verdict} ({event.number})"), to)
    return findings, steps, decisions


def _sentence(data: str, model: str, ill: list[Finding]) -> str:
    network = "the network chosen for them" if model == "auto" else f"the network {model}"
    if not ill:
        return f"{data} and {network} are healthy."
    codes = ", ".join(dict.fromkeys(each.code for each in ill))
    return f"{data} or {network} is not healthy: {codes}. --ignore CODE leaves a finding out."
