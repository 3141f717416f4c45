"""Part of step 4: which changes of the training samples keep their labels, so that the search may use them.

What is allowed becomes one dimension of the search: `augment`, the share of the allowed strengths, from 0 to 1. Each
operation is judged on training rows alone, in a piece of work of its own; with a budget in time the judging ends where
its share of the time does, and what was not judged is not used.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict
from math import prod, sqrt

import numpy as np
import torch
from pydantic import JsonValue

from shoal.augment import Augment, default_for, parse
from shoal.core.events import Event, Finding
from shoal.core.wording import count
from shoal.diagnose import label_preservation as preservation
from shoal.diagnose.label_preservation import FLIPS, FULL, JUDGED, QUICK, Effort, Judge, Preservation
from shoal.experiment.cache import Arrays
from shoal.recipe.problem import Problem
from shoal.recipe.run_state import RunState, decided, once

AUTO = "auto"
ONCE = 0.5  # of a measured step: short trainings also measure what happens once
LESSONS = 0.5  # that an operation needs on average, beside the one that all share
ORDER = ("shear", "stretch", "scale", "rotate", "translate")  # the cheap ones to judge first, the flips and turns last


def asked(text: str) -> Augment | None:
    """What the user asked for; None where the data shall propose it.

    Raises:
        InputError: an unknown operation, or a strength that cannot be.
    """
    return None if text.strip() == AUTO else parse(text)


def wanted(state: RunState) -> Augment:
    """What is judged: the user's wish, else what the data propose."""
    own = state.options.augment
    return default_for(state.problem.kind, state.problem.train.x.shape[1]) if own is None else own


def find_allowed(state: RunState) -> Generator[Event, None, None]:
    """Judge each operation, and let the search use what is left: `state.augment`."""
    problem, own, asked_for = state.problem, state.options.augment, wanted(state)
    apart = preservation.apart(asked_for)
    if not apart:  # noise and mixtures
        state.augment = asked_for
        yield from decided(4, _left(asked_for, asked_for, (), QUICK, ()), _action(asked_for))
        return
    reason = _unaskable(problem)
    if reason:
        state.augment = Augment() if own is None else asked_for
        yield from decided(4, _unjudged(asked_for, state.augment, reason), _action(state.augment))
        return
    judged, effort, late = yield from _judgements(state, apart)
    state.augment = preservation.allowed(asked_for, judged)
    for each in judged:
        if each.action != "keep" and each.operation not in late:
            level = each.verdict.level if own is not None else "note"  # nobody asked for what was only proposed
            yield from decided(4, each.verdict.model_copy(update={"level": level}), each.verdict.fix)
    yield from decided(4, _left(asked_for, state.augment, judged, effort, late), _action(state.augment))


def _unaskable(problem: Problem) -> str:
    """Why nobody can say whether labels survive; empty where one can."""
    if problem.pixels is None:
        return "the preparation treats every place of a sample differently, and augmentation moves places"
    if problem.classes is None:
        return "the target is a number, and what a change does to it cannot be asked of classes"
    rows = torch.bincount(problem.train.y, minlength=len(problem.classes))
    if int((rows >= preservation.LEAST_ROWS).sum()) < 2:
        return f"fewer than two classes have {preservation.LEAST_ROWS} training rows to be asked about"
    return ""


def _judgements(
    state: RunState, apart: Mapping[str, Augment]
) -> Generator[Event, None, tuple[list[Preservation], Effort, list[str]]]:
    """A judgement of each operation, with what effort, and the names of those for which there was no time."""
    problem, allocator = state.problem, state.allocator
    began_s = yield from state.read_clock()
    share_s, step_s = allocator.judging_s(), allocator.step_s * _of_a_step(state)
    effort = _affordable(share_s, step_s, len(apart))
    judge = Judge(
        problem.train.x,
        problem.train.y,
        problem.classes or (),
        problem.kind,
        pixels=problem.pixels,
        seed=state.options.seed,
        effort=effort or QUICK,
        plans=state.cache.plans,
    )
    judged: dict[str, Preservation] = {}
    late: list[str] = []
    lessons, spent_s = 0, 0.0
    for number, name in enumerate(_in_order(apart)):
        candidate = apart[name]
        if name == "turn" and sum(flip in judged and judged[flip].action == "keep" for flip in FLIPS) < 2:
            continue
        lesson_s = spent_s / lessons if lessons else step_s * judge.effort.member_steps
        if effort is None or (share_s is not None and spent_s + LESSONS * lesson_s > share_s):
            judged[name] = _not_judged(name, candidate)
            late.append(name)
            continue
        key = state.key((), judged=str(candidate), effort=asdict(effort))
        work = _judgement(state, judge, name, candidate, number / len(apart))
        judged[name] = _read(name, candidate, (yield from once(state, f"augment {name}", key, work)))
        spent_s = (yield from state.read_clock()) - began_s
        lessons += _lessons(judged[name]) + (not lessons)
    return [judged[name] for name in apart if name in judged], judge.effort, late


def _judgement(
    state: RunState, judge: Judge, name: str, candidate: Augment, done: float
) -> Generator[Event, None, Arrays]:
    yield state.progress(4, done, f"does {name} keep the labels?")
    state.check_interrupt(4)
    found = judge.of(name, candidate)
    document = {"kept": found.kept.model_dump(mode="json"), "verdict": found.verdict.model_dump(mode="json")}
    return {"found": np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)}


def _read(name: str, candidate: Augment, arrays: Arrays) -> Preservation:
    """What `_judgement` found, now or before the run was interrupted."""
    document = json.loads(np.asarray(arrays["found"]).tobytes())
    kept, verdict = Augment.model_validate(document["kept"]), Finding.model_validate(document["verdict"])
    return Preservation(name, candidate, kept, (), verdict)


def _lessons(found: Preservation) -> int:
    """How often probes had to learn the changed samples for this judgement."""
    answers = found.verdict.evidence["answers"]
    return sum(bool(answer["pairs"]) for answer in answers if isinstance(answer, dict)) if answers else 0  # type: ignore


def _in_order(apart: Mapping[str, Augment]) -> list[str]:
    """Names, what costs least first: what looks harmless needs no second question."""
    order = [*reversed([name for name in JUDGED if name not in (*ORDER, *FLIPS)]), *ORDER, *FLIPS, "turn"]
    return sorted(apart, key=order.index)


def _of_a_step(state: RunState) -> float:
    """What a probe's gradient step costs, in those of the search: roughly, by the rows of a batch and their places.

    The root, because much of a small step does not depend on its size.
    """
    size = tuple(state.problem.train.x.shape[2:])
    share = preservation.positions(size, state.problem.kind) / prod(size)
    return ONCE * sqrt(share * preservation.BATCH / state.batch_size)


def _affordable(share_s: float | None, step_s: float, operations: int) -> Effort | None:
    """The largest effort that there is time for, or None; for a budget in trials always the same."""
    if share_s is None:
        return QUICK
    for effort, lessons in ((FULL, 1 + operations), (QUICK, 1)):
        if lessons * effort.member_steps * step_s <= share_s:
            return effort
    return None


# --- in words ---------------------------------------------------------------------------------------------------------


def _action(allowed: Augment) -> str:
    if not allowed.active:
        return "Train on the samples as they are."
    return f"Search the share of these strengths, `augment` from 0 to 1: {allowed}."


def _not_judged(name: str, candidate: Augment) -> Preservation:
    sentence = f"There was no time to ask whether {name} ({candidate}) keeps the labels."
    verdict = Finding(code="SHL145", level="note", phrase=f"{name} not judged", sentence=sentence, evidence={})
    return Preservation(name, candidate, candidate.weakened(0.0), (), verdict)


def _unjudged(asked_for: Augment, allowed: Augment, reason: str) -> Finding:
    then = "they are searched because they were asked for" if allowed.active else "no augmentation is searched"
    return Finding(
        code="SHL145",
        level="note",
        phrase="labels not judged",
        sentence=f"Whether {asked_for} would keep the labels cannot be judged: {reason}; {then}.",
        evidence={"asked": str(asked_for), "allowed": str(allowed)},
    )


def _left(
    asked_for: Augment, allowed: Augment, judged: Sequence[Preservation], effort: Effort, late: Sequence[str]
) -> Finding:
    """What the search may use, in a sentence with its numbers."""
    unasked = [name for name in asked_for.active if name not in JUDGED]
    kept = [each.operation for each in judged if each.kept.active and each.operation != "turn"]
    parts = []
    if kept:
        parts.append(f"{', '.join(kept)} {'keeps' if len(kept) == 1 else 'keep'} the labels of training rows")
    if unasked:
        parts.append(f"{', '.join(unasked)} {'moves' if len(unasked) == 1 else 'move'} no class onto another")
    if late:
        parts.append(f"there was no time to judge {', '.join(late)}")
    if not parts:
        parts.append(f"none of the {count(len(judged), 'operation')} that were judged keeps the labels")
    evidence: dict[str, JsonValue] = {
        "asked": str(asked_for),
        "allowed": str(allowed),
        "judged": {each.operation: each.action for each in judged if each.operation not in late},
        "not_judged": [*unasked, *late],
        "rows_of_a_class": effort.rows,
        "probe_steps": effort.steps,
    }
    sentence = f"{'; '.join(parts)}."
    return Finding(
        code="SHL144" if allowed.active else "SHL145",
        level="fine" if allowed.active else "note",
        phrase="augmentation" if allowed.active else "no augmentation",
        sentence=sentence[:1].upper() + sentence[1:],
        evidence=evidence,
    )
