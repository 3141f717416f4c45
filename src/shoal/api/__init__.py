"""`fit`, `resume`, `load`, `predict`, `evaluate`: wires the rooms together and decides nothing."""

from __future__ import annotations

from shoal.api.going_on import go_on
from shoal.api.running import command, stream
from shoal.api.runs import Prediction, Run, evaluate, fit, load, predict, resume
from shoal.api.work import check_up

__all__ = [
    "Prediction",
    "Run",
    "check_up",
    "command",
    "evaluate",
    "fit",
    "go_on",
    "load",
    "predict",
    "resume",
    "stream",
]
