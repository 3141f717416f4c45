"""Whole runs, made up but plausible: what the report is tested on."""

from __future__ import annotations

import math

from shoal.core import events as ev
from tests.report.maker import Maker, Plan


def classification() -> list[ev.Event]:
    """Images of ten classes, two rounds, everything fine but one warning about the data."""
    near = ev.Finding(
        code="SHL042", level="warning",
        evidence={"pairs": 3, "rows": [12, 907, 4411], "expected": "At most 0.3 points lower, honestly measured."},
        sentence="3 test images are nearly the same as training images, so the score flatters a little.",
        fix="Remove the copies, or keep each group on one side with `--group`.",
    )  # fmt: skip
    sizes = ev.Finding(
        code="SHL040", level="note", sentence="All images are 28 x 28, grey.", evidence={"width": 28, "height": 28}
    )
    return list(Maker(Plan(findings=[sizes, near])).run())


def income() -> list[ev.Event]:
    """Two classes from a table with missing cells."""
    notes = [
        {"name": "age", "role": "numeric", "missing": 0, "unique": 74, "note": ""},
        {"name": "workclass", "role": "category", "missing": 2799, "unique": 8, "note": "missing is its own category"},
        {"name": "fnlwgt", "role": "numeric", "missing": 0, "unique": 28523, "note": ""},
        {"name": "education", "role": "category", "missing": 0, "unique": 16, "note": "says the same as education-num"},
        {"name": "hours-per-week", "role": "numeric", "missing": 0, "unique": 96, "note": ""},
    ]
    return list(
        Maker(
            Plan(
                run="adult-1", source="adult.csv.gz", kind="table", target="income", classes=["<=50K", ">50K"],
                rows=48842,
                columns=14, shape=[108], baseline=0.7607, baseline_answer="<=50K", top=0.869, interval=0.006,
                coarse=128,
                refine=(48, 32, 24), images=False, column_notes=notes, seed=3,
            )
        ).run()
    )  # fmt: skip


def regression() -> list[ev.Event]:
    """House prices, scored by R2."""
    return list(
        Maker(
            Plan(
                run="housing-1", source="california_housing.csv.gz", kind="table", task="regression", metric="r2",
                target="median_house_value", classes=None, rows=20640, columns=9, shape=[13], baseline=-0.0002,
                baseline_answer="206,856", top=0.801, interval=0.011, coarse=64, refine=(24,), images=False, seed=5,
            )
        ).run()
    )  # fmt: skip


def interrupted() -> list[ev.Event]:
    """Stopped by the user inside the first refinement."""
    events = classification()
    at = next(
        k
        for k, e in enumerate(events)
        if isinstance(e, ev.EpochFinished) and e.population == "refine 1" and e.epoch == 5
    )
    return [*events[: at + 1], ev.RunInterrupted(step=5, sentence="Stopped by the user.")]


HOSTILE = [
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '=HYPERLINK("http://example.invalid","click")',
    "'\"><svg onload=window.hacked=1>",
    "right\u202eleft\u0000null",
    "`back``ticks` & {{ 7*7 }} {% if %}",
    "a" * 3000,
    "<!--<script>",
]


def hostile() -> list[ev.Event]:
    """Names that try to become markup, a formula or a change of direction, and numbers that are none."""
    notes = [{"name": name, "role": "category", "missing": 0, "unique": 3, "note": name} for name in HOSTILE]
    finding = ev.Finding(
        code="<b>SHL</b>",
        level="problem",
        sentence=f"Column `{HOSTILE[1]}` leaks {HOSTILE[0]}.",
        fix=HOSTILE[3],
        evidence={HOSTILE[0]: HOSTILE[1], "x": math.nan, "deep": {"a": [1, HOSTILE[0]]}},
    )
    plan = Plan(
        run=HOSTILE[1], source=HOSTILE[0], kind="table", target=HOSTILE[3], classes=list(HOSTILE), rows=900,
        baseline_answer=HOSTILE[0], images=False, column_notes=notes, findings=[finding], coarse=12,
        refine=(6,), seed=11,
    )  # fmt: skip
    events = list(Maker(plan).run())
    out: list[ev.Event] = []
    for event in events:
        if isinstance(event, ev.InitialLosses):
            event = event.model_copy(
                update={"init": [HOSTILE[0]] * len(event.init), "loss": [math.inf, math.nan, *event.loss[2:]]}
            )
        if isinstance(event, ev.TestRead):
            bad = {
                "row": 1,
                "truth": HOSTILE[0],
                "answer": HOSTILE[1],
                "probability": math.nan,
                "image": "javascript:alert(1)",
            }
            worse = {
                "image": 'data:image/png;base64,AAAA" onerror="window.hacked=1',
                "values": {HOSTILE[0]: HOSTILE[1]},
            }
            event = event.model_copy(update={"worst": [bad, worse, *event.worst]})
        if isinstance(event, ev.SearchRound):
            members = [
                m.model_copy(update={"values": {**m.values, HOSTILE[0]: HOSTILE[k % 8]}})
                for k, m in enumerate(event.members)
            ]
            event = event.model_copy(update={"members": members})
        out.append(event)
    return out


def large() -> list[ev.Event]:
    """300 networks of 20 epochs, 50 classes."""
    classes = [f"species {k:02d} of a genus with quite a long name" for k in range(50)]
    plan = Plan(
        run="birds", source="birds", classes=classes, rows=40000, baseline=0.02, baseline_answer=classes[0], top=0.71,
        coarse=120, refine=(100, 80), epochs=20, seed=23,
    )  # fmt: skip
    return list(Maker(plan).run())


def single() -> list[ev.Event]:
    """One network in every population."""
    return list(Maker(Plan(run="one", coarse=1, refine=(1,), seed=2)).run())


def diverged() -> list[ev.Event]:
    """Every network diverged: no finite score anywhere, and the run stopped."""
    out: list[ev.Event] = []
    for event in classification():
        if isinstance(event, ev.EpochFinished):
            gone = [math.nan] * len(event.members)
            event = event.model_copy(
                update={"train_loss": [math.inf] * len(gone), "train_score": gone, "validation_loss": gone,
                        "validation_score": gone, "status": ["diverged"] * len(gone)}
            )  # fmt: skip
        if isinstance(event, ev.SearchRound):
            event = event.model_copy(
                update={"score": [math.nan] * len(event.score), "status": ["diverged"] * len(event.score)}
            )
        if isinstance(event, ev.CurveVerdict):
            event = event.model_copy(
                update={
                    "verdict": "diverged",
                    "slope": math.nan,
                    "gap": math.nan,
                    "sentence": "Every network diverged.",
                }
            )
        if isinstance(event, ev.EnsembleChosen | ev.TestRead | ev.RunFinished):
            continue
        out.append(event)
    return out


EVERY = {
    "classification": classification, "income": income, "regression": regression, "interrupted": interrupted,
    "hostile": hostile, "large": large, "single": single, "diverged": diverged,
}  # fmt: skip
