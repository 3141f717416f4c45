"""`fit`, `resume`, `load`, `predict`, `evaluate`, `compare`, `study`, `doctor`: wires rooms, decides nothing."""

from __future__ import annotations

from shoal.api.checkup import Checkup, doctor, unwell
from shoal.api.comparing import compare, compare_steps
from shoal.api.going_on import go_on
from shoal.api.running import command, stream
from shoal.api.runs import Prediction, Run, evaluate, fit, load, predict, resume
from shoal.api.studying import Studied, study, study_steps
from shoal.api.work import check_up

__all__ = [
    "Checkup",
    "Prediction",
    "Run",
    "Studied",
    "check_up",
    "command",
    "compare",
    "compare_steps",
    "doctor",
    "evaluate",
    "fit",
    "go_on",
    "load",
    "predict",
    "resume",
    "stream",
    "study",
    "study_steps",
    "unwell",
]
