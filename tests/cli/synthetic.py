"""A run as a list of events, made by hand: what the terminal shows of it can be read off."""

from __future__ import annotations

from shoal.core.events import (
    CurveVerdict,
    EnsembleChosen,
    Event,
    Finding,
    FindingRaised,
    MemberInfo,
    PopulationStarted,
    RunFinished,
    RunInterrupted,
    RunStarted,
    SearchRound,
    StepFinished,
    StepProgress,
    StepStarted,
    TestRead,
)

STARTED = RunStarted(
    run="flowers",
    source="flowers.csv",
    data_kind="table",
    task="classification",
    metric="accuracy",
    target="species",
    classes=["a", "b", "c"],
    rows=1500,
    columns=4,
    shape=[4],
    split={"train": 960, "validation": 240, "test": 300},
    baseline=1 / 3,
    baseline_answer="a",
    budget="60s",
    seed=0,
    device="cpu",
    data_hash="00",
    versions={},
    command="shoal fit flowers.csv",
)
_MEMBERS = [MemberInfo(id=k, values={"lr": 10.0**-k}) for k in (1, 2, 3)]


def step(number: int, verdict: str, figure: str, round_: int = 1, level: str = "fine") -> list[Event]:
    """One step with a tick in its middle."""
    return [
        StepStarted(step=number, round=round_, why=f"trying {number}"),
        StepProgress(step=number, done=0.5, best=0.9 if number > 3 else None, left_s=42.0, doing=f"half of {number}"),
        StepFinished.model_validate(
            {"step": number, "round": round_, "level": level, "verdict": verdict, "number": figure, "seconds": 1.25}
        ),
    ]


def finished_run() -> list[Event]:
    """Two rounds, a warning and a note, and the end."""
    return [
        STARTED,
        FindingRaised(finding=Finding(code="SHL215", sentence="The classes are unequal.", level="note")),
        FindingRaised(
            finding=Finding(
                code="SHL206", sentence="`colour` is the target again.", level="warning", fix="It is left out."
            )
        ),
        *step(1, "as chance gives", "1.10"),
        *step(2, "learnt by heart", "in 40 steps"),
        *step(3, "the loss goes down", "lr 0.01"),
        PopulationStarted(population="coarse 1", step=4, network={}, parameters=9, batch_size=32, members=_MEMBERS),
        SearchRound(
            step=4,
            round=1,
            population="coarse 1",
            ranges={},
            members=_MEMBERS,
            score=[0.8, 0.9, 0.7],
            best_epoch=[3, 3, 3],
            status=["ok", "ok", "ok"],
            best=2,
        ),
        *step(4, "a region is clear", "90 %"),
        *step(5, "better", "94 %"),
        CurveVerdict(
            round=1,
            population="coarse 1",
            member=2,
            code="SHL603",
            verdict="underfitting",
            sentence="Both losses still fall.",
            epochs_read=(5, 10),
            slope=-0.1,
            gap=0.0,
            gap_threshold=0.1,
            slope_threshold=0.01,
        ),
        *step(6, "underfitting", "gap 0.0", level="warning"),
        *step(7, "go again", "wider network"),
        *step(5, "better", "96 %", round_=2),
        *step(6, "good", "gap 0.5 points", round_=2),
        *step(7, "stop", "within the noise", round_=2),
        EnsembleChosen(
            members=[1, 2],
            counts=[1, 2],
            single=0.95,
            score=0.96,
            gain=0.01,
            gain_interval=(0.0, 0.02),
            path=[0.95, 0.96],
            candidates=3,
        ),
        TestRead(
            metric="accuracy", score=0.96, interval=(0.93, 0.98), baseline=1 / 3, rows=300, scores={"log_loss": 0.1}
        ),
        RunFinished(summary={"run": "flowers", "test": 0.96, "report": "runs/flowers/report.html"}),
    ]


def interrupted_run() -> list[Event]:
    """The same, stopped by the user in the middle of step 5."""
    events = finished_run()
    cut = next(place for place, each in enumerate(events) if isinstance(each, StepProgress) and each.step == 5)
    sentence = "Stopped by the user; 3 networks are kept."
    return [*events[: cut + 1], RunInterrupted(step=5, sentence=sentence)]
