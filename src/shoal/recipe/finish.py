"""After the steps: the ensemble, the one look at the test rows, and the summary."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from shoal.core.events import (
    ENSEMBLE,
    TEST,
    EnsembleChosen,
    Event,
    Finding,
    FindingRaised,
    Interval,
    TestRead,
)
from shoal.core.wording import count
from shoal.ensemble import combination, scoring
from shoal.ensemble.combination import Combination
from shoal.ensemble.greedy import paired_gain
from shoal.ensemble.model import outputs_of
from shoal.ensemble.scoring import Scores
from shoal.recipe.problem import Problem
from shoal.recipe.run_state import Candidate, RunState, decided

Floats = NDArray[np.float64]
MOST_CANDIDATES = 30
SHOWN = 1000  # rows of the residual picture
WORST = 12


@dataclass(frozen=True)
class Chosen:
    """The ensemble, and its scores on the validation rows that it was chosen on."""

    members: tuple[Candidate, ...]
    combination: Combination
    gain: float
    gain_interval: Interval
    validation: float


def choose_ensemble(state: RunState) -> Generator[Event, None, Chosen]:
    """Greedy selection among the best candidates of all rounds, by validation rows."""
    problem, y = state.problem, state.problem.validation.y
    categorical = problem.classes is not None
    pool = sorted(state.candidates, key=lambda candidate: (-candidate.score, candidate.id))[:MOST_CANDIDATES]
    outputs = [candidate.outputs for candidate in pool]
    alone, fitted = (combination.fit(some, y, categorical) for some in (outputs[:1], outputs))
    scores = combination.row_scores(y, categorical)
    variance = problem.loss.target_variance(y)

    def metric(mean: Floats) -> Floats:
        return problem.loss.metric(mean, variance)

    (single, single_merit), (together, merit) = (
        scores(each.combination.predict(outputs[k] for k in each.members)) for each in (alone, fitted)
    )
    gain, interval = paired_gain(single, together, metric, state.options.seed)
    loss, single_loss = -float(merit.mean()), -float(single_merit.mean())
    members = tuple(pool[k] for k in fitted.members)
    score = float(metric(np.array([together.mean()]))[0])
    yield EnsembleChosen(
        members=[member.id for member in members],
        counts=list(fitted.combination.counts),
        single=float(metric(np.array([single.mean()]))[0]),
        score=score,
        gain=gain,
        gain_interval=interval,
        path=[float(metric(np.array([value]))[0]) for value in fitted.path],
        candidates=len(pool),
        loss=loss,
        single_loss=single_loss,
    )
    sure = interval[0] > 0
    verdict = Finding(
        code="SHL180",
        level="fine",
        phrase=f"{len(members)} networks",
        sentence=(
            f"{len(members)} of {len(pool)} candidates were chosen by the loss of their mean, {loss:.4f} against "
            f"{single_loss:.4f} for the network with the best score; they score {gain:+.4f} against it "
            f"({interval[0]:+.4f} to {interval[1]:+.4f}{'' if sure else ', which could be chance'}). Both are read on "
            "the validation rows that they were chosen on."
        ),
        evidence={
            "members": [member.id for member in members],
            "counts": list(fitted.combination.counts),
            "gain": gain,
            "gain_interval": list(interval),
            "loss": loss,
            "single_loss": single_loss,
        },
    )
    action = f"Answer with the mean of {len(members)} networks." if len(members) > 1 else "Answer with one network."
    yield from decided(ENSEMBLE, verdict, action)
    return Chosen(members, fitted.combination, gain, interval, score)


def read_test(state: RunState, chosen: Chosen) -> Generator[Event, None, TestRead]:
    """Score the ensemble on the test rows: the one time that they are read."""
    problem = state.problem
    part = problem.test.open()
    outputs = (outputs_of(member.network, part.x) for member in chosen.members)
    mean, truth = chosen.combination.predict(outputs), part.y.cpu().numpy()
    categorical = problem.classes is not None
    scores, read = _classes(problem, mean, truth) if categorical else _numbers(problem, mean, truth, state.options.seed)
    yield read
    few = scoring.findings(scores, truth if categorical else truth[:, 0] * problem.scale + problem.shift)
    verdict = _verdict(problem, read, few)
    for finding in few if verdict.level == "fine" else ():
        yield FindingRaised(finding=finding)
    actions = {
        "fine": "Report this score.",
        "warning": "Test the model on more rows.",
        "problem": "Do not use this model.",
    }
    yield from decided(TEST, verdict, actions[verdict.level])
    return read


def _verdict(problem: Problem, read: TestRead, few: Sequence[Finding]) -> Finding:
    """Whether the test score is evidence that the inputs say anything of the target; `few` is said of the rows."""
    chance = max(read.baseline, 1 / len(problem.classes)) if problem.classes is not None else read.baseline
    beats = read.interval is not None and read.interval[0] > chance
    span = f" ({read.interval[0]:.4f} to {read.interval[1]:.4f})" if read.interval else ""
    sentence = (
        f"On {count(read.rows, 'test row')}, read once, {problem.metric} is {read.score:.4f}{span}; "
        f"without a network it is {read.baseline:.4f}."
    )
    evidence: dict[str, JsonValue] = {
        "score": read.score,
        "interval": list(read.interval) if read.interval else None,
        "baseline": read.baseline,
        "chance": chance,
        "rows": read.rows,
    }
    phrase = f"{problem.metric} {read.score:.3f}"
    if beats:
        return Finding(code="SHL190", level="fine", phrase=phrase, sentence=sentence, evidence=evidence)
    if few:
        return Finding(
            code=few[0].code,
            level="warning",
            phrase=phrase,
            sentence=" ".join([sentence, *(finding.sentence for finding in few)]),
            evidence=evidence,
            fix=few[0].fix,
        )
    return Finding(
        code="SHL301",
        level="problem",
        phrase=phrase,
        sentence=f"{sentence} That is no evidence that the inputs say anything about the target.",
        evidence=evidence,
        fix=problem.crowding() or "Check that targets belong to their rows; collect other columns or more rows.",
    )


def _classes(problem: Problem, mean: Floats, truth: NDArray[np.int64]) -> tuple[Scores, TestRead]:
    labels, answer = problem.classes or (), mean.argmax(axis=1)
    scores = scoring.of_classes(mean, truth)
    wrong = np.flatnonzero(answer != truth)
    worst = wrong[np.argsort(-mean[wrong, answer[wrong]], kind="stable")][:WORST]  # most sure first
    return scores, TestRead(
        metric=problem.metric,
        score=scores.score,
        interval=scores.interval,
        baseline=problem.loss.baseline(problem.train.y.cpu(), torch.from_numpy(truth)),
        rows=scores.rows,
        scores=scores.further,
        labels=list(labels),
        confusion=scoring.confusion(answer, truth, len(labels)).tolist(),
        worst=[
            {
                "row": int(row),
                "truth": labels[truth[row]],
                "answer": labels[answer[row]],
                "probability": float(mean[row, answer[row]]),
                **problem.describe_row(int(row)),
            }
            for row in worst
        ],
    )


def _numbers(problem: Problem, mean: Floats, truth: Floats, seed: int) -> tuple[Scores, TestRead]:
    predicted, true = mean[:, 0] * problem.scale + problem.shift, truth[:, 0] * problem.scale + problem.shift
    scores = scoring.of_numbers(predicted, true, problem.scale)
    shown = np.sort(np.random.default_rng(seed).permutation(len(true))[:SHOWN])
    worst = np.argsort(-np.abs(predicted - true), kind="stable")[:WORST]
    return scores, TestRead(
        metric=problem.metric,
        score=scores.score,
        interval=scores.interval,
        baseline=problem.loss.baseline(problem.train.y.cpu(), torch.from_numpy(truth)),
        rows=scores.rows,
        scores=scores.further,
        truth=true[shown].tolist(),
        predicted=predicted[shown].tolist(),
        worst=[
            {
                "row": int(row),
                "truth": float(true[row]),
                "answer": float(predicted[row]),
                **problem.describe_row(int(row)),
            }
            for row in worst
        ],
    )
