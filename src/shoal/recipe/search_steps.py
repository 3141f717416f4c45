"""Steps 4 to 7: search coarsely, refine, read the curves, and go round until nothing improves beyond the noise."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from math import isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import RunError
from shoal.core.events import CurveVerdict, Event, Range, SearchRound, StepFinished, StepStarted
from shoal.diagnose import curves
from shoal.diagnose.curves import Curves, Reading
from shoal.diagnose.initial_loss import expected
from shoal.diagnose.verdict import Verdict
from shoal.population import Member
from shoal.recipe.course import Candidate, Course, Trained, decided, infos, row_scores, train
from shoal.recipe.problem import Architecture
from shoal.search import edges
from shoal.search.importance import importance
from shoal.search.narrow import narrow
from shoal.search.space import draw

MOST_ROUNDS = 6
MOST_EPOCHS = 60
SEEN_ROWS = 2000  # training rows that the training score is read from, at least: fewer would blur the gap
RANGES = {
    "adamw": Range(low=1e-4, high=1.0),  # decoupled: the share of a weight that lr = 1 would take away
    "nesterov": Range(low=1e-6, high=1e-2),  # coupled: added to the gradient
}
DROPOUT = Range(low=0.0, high=0.5, log=False)
SMOOTHING = Range(low=0.0, high=0.15, log=False)


@dataclass
class Loop:
    """What the rounds of steps 5 to 7 hand on."""

    ranges: dict[str, Range]
    best: dict[str, float]  # hyperparameters to start the next round with
    incumbent: Candidate  # the best before the round
    epochs: int | None  # None: the usual number
    previous: Architecture | None = None  # while a larger network is on trial
    larger_failed: bool = False  # it was no better: the network's size is not the trouble
    history: list[tuple[str, float]] = field(default_factory=list)  # verdict and gain of each round


def coarse_search(course: Course) -> Generator[Event, None, Loop]:
    """Step 4: random search over wide ranges, few epochs each."""
    started = time.perf_counter()
    ranges = _initial_ranges(course)
    allotment = course.pace.coarse()
    yield StepStarted(step=4, why=f"{allotment.members} random settings for {allotment.epochs} epochs each")
    values = [draw(ranges, course.options.seed, trial) for trial in range(allotment.members)]
    trained = yield from train(course, "coarse", 4, 1, values, allotment.epochs, paired=True)
    yield _exhibit(trained, 4, 1, ranges)
    scores = trained.scores()
    finer = narrow(ranges, values, scores)
    best = values[trained.best()]
    moved, sides = _beyond(ranges, finer, best, 1)
    spread = [score for score in scores if isfinite(score)]
    if not spread:
        sentence = f"All {len(values)} trainings diverged."
    else:
        sentence = (
            f"{len(values)} random settings scored from {min(spread):.3f} to {max(spread):.3f} ({_edge_words(sides)})."
        )
    verdict = Verdict(
        code="SHL141" if sides else "SHL140",
        level="note" if sides else ("fine" if spread else "problem"),
        phrase=f"best {max(spread):.3f}" + (f", near the edge of {', '.join(sides)}" if sides else "")
        if spread
        else "all diverged",
        sentence=sentence,
        evidence={
            "members": len(values),
            "epochs": allotment.epochs,
            "best": best,
            "edges": dict(sides),
            "margin": edges.MARGIN,
            "diverged": trained.last.status.count("diverged"),
        },
    )
    yield from decided(4, verdict, f"Refine within {_words(moved)}.")
    yield _finished(4, 1, verdict, f"{len(values)} networks", started)
    if not course.candidates:
        raise RunError("Every training diverged: no network can be kept; check the scale of inputs and targets.")
    return Loop(ranges=moved, best=best, incumbent=course.best(), epochs=course.options.epochs)


def refine(course: Course, loop: Loop, round_: int) -> Generator[Event, None, Trained | None]:
    """Step 5: fewer settings, finer ranges, more epochs; None when the budget has no room for a round."""
    started = time.perf_counter()
    factor = 3.0 if loop.previous is not None else 1.0
    allotment = course.pace.next_round(factor, loop.epochs)
    if allotment is None:
        return None
    yield StepStarted(
        step=5, round=round_, why=f"{allotment.members} settings near the best for {allotment.epochs} epochs each"
    )
    offset = round_ * 100_000  # each round has draws of its own
    values = [loop.best] + [
        draw(loop.ranges, course.options.seed, offset + trial) for trial in range(1, allotment.members)
    ]
    trained = yield from train(course, f"refine {round_}", 5, round_, values, allotment.epochs, halve=True)
    yield _exhibit(trained, 5, round_, loop.ranges)
    best = trained.best()
    moved, sides = edges.extend(loop.ranges, _inside(loop.ranges, values[best]), round_)
    score = trained.scores()[best]
    verdict = Verdict(
        code="SHL151" if sides else "SHL150",
        level="note" if sides else "fine",
        phrase=f"best {score:.3f}" + (f", near the edge of {', '.join(sides)}" if sides else ""),
        sentence=(
            f"{len(values)} settings, {allotment.epochs} epochs: best validation score {score:.4f} "
            f"({_edge_words(sides)})."
        ),
        evidence={
            "members": len(values),
            "epochs": allotment.epochs,
            "best": values[best],
            "score": score,
            "edges": dict(sides),
            "margin": edges.MARGIN,
            "pruned": trained.last.status.count("pruned"),
            "diverged": trained.last.status.count("diverged"),
        },
    )
    action = f"Move the walls to {_words({name: moved[name] for name in sides})}." if sides else "Keep the ranges."
    loop.ranges = moved
    yield from decided(5, verdict, action)
    yield _finished(5, round_, verdict, f"{len(values)} networks, {allotment.epochs} epochs", started)
    return trained


def read_curves(course: Course, loop: Loop, trained: Trained, round_: int) -> Generator[Event, None, Reading]:
    """Step 6: what the curves of the round's best member say."""
    started = time.perf_counter()
    yield StepStarted(step=6, round=round_, why="the curves of the best network")
    _settle_larger(course, loop)
    best = trained.best()
    problem = course.problem
    seen = course.sample(6, max(len(problem.validation), SEEN_ROWS))
    train_score = float(trained.population[[best]].evaluate(seen.x, seen.y)[1][0])
    score = trained.scores()[best]
    classes = problem.classes
    reading = curves.judge(
        Curves(
            train_loss=trained.curve(best, "loss"),
            last_train_score=trained.curve(best, "score")[-1],
            validation_loss=trained.curve(best, "validation_loss"),
            validation_score=score,
            train_score=train_score,
            best_epoch=int(trained.last.best_epoch[best] - trained.records[0].epoch + 1),
            noise=_standard_error(course, score),
            baseline=baseline(problem.train.y.numpy(), problem.validation.y.numpy(), classes is not None),
            chance_loss=expected(classes, problem.validation.y),
            diverged_share=trained.last.status.count("diverged") / len(trained.ids),
        ),
        larger_was_no_better=loop.larger_failed,
    )
    shown = reading.model_dump(exclude={"rise", "rise_threshold"})
    yield CurveVerdict(round=round_, population=trained.name, member=trained.ids[best], **shown)
    verdict = Verdict(
        code=reading.code,
        level="fine" if reading.verdict == "good" else ("problem" if reading.verdict == "diverged" else "note"),
        phrase=reading.verdict.replace("_", " "),
        sentence=reading.sentence,
        evidence={**reading.model_dump(mode="json"), "train_score": train_score, "validation_score": score},
    )
    yield from decided(6, verdict, _answer_to(course, loop, reading))
    yield _finished(6, round_, verdict, f"gap {reading.gap:+.3f}, slope {reading.slope:+.2%}", started)
    return reading


def go_again(
    course: Course, loop: Loop, trained: Trained, reading: Reading, round_: int
) -> Generator[Event, None, bool]:
    """Step 7: apply what the verdict asks for and say whether another round is worth it."""
    started = time.perf_counter()
    yield StepStarted(step=7, round=round_, why="was the last round better than chance would make it?")
    gain, error = _improvement(course, loop.incumbent)
    improved = gain > error
    changed = _apply(course, loop, trained, reading)
    loop.incumbent = course.best()
    loop.history.append((reading.verdict, gain))
    room = course.pace.next_round(1.0, loop.epochs) is not None
    again = room and round_ < MOST_ROUNDS and (improved or changed)
    why = (
        ("another round" if improved else "another round all the same, to try what step 6 asks for")
        if again
        else "the budget is spent"
        if not room
        else "enough rounds"
        if round_ >= MOST_ROUNDS
        else "nothing improves beyond the noise"
    )
    verdict = Verdict(
        code="SHL170" if again else "SHL171",
        level="fine",
        phrase=why,
        sentence=(
            f"The best validation score changed by {gain:+.4f} (standard error {error:.4f}), "
            f"{'beyond' if improved else 'not beyond'} the noise: {why}."
        ),
        evidence={"gain": gain, "standard_error": error, "round": round_, "verdict": reading.verdict},
    )
    action = f"Go to step 5 with {_words(loop.ranges)}." if again else "Stop searching."
    yield from decided(7, verdict, action)
    yield _finished(7, round_, verdict, f"best {course.best().score:.4f}", started)
    return again


def baseline(train_y: NDArray[np.generic], y: NDArray[np.generic], categorical: bool) -> float:
    """The score on `y` of always answering the training rows' most frequent class, or their mean."""
    if categorical:
        return float((y == np.bincount(train_y.astype(np.int64)).argmax()).mean())
    values = y.astype(np.float64)
    return float(1 - ((values - train_y.astype(np.float64).mean(axis=0)) ** 2).mean() / values.var())


def _initial_ranges(course: Course) -> dict[str, Range]:
    """Where the coarse search looks; what the network or the task has no use for is left out."""
    ranges = dict(course.ranges)
    ranges["weight_decay"] = RANGES[course.optimizer]
    if course.population([Member(seed=course.options.seed)]).template.dropouts:
        ranges["dropout"] = DROPOUT
    if course.problem.classes is not None:
        ranges["label_smoothing"] = SMOOTHING
    for name, (low, high) in course.options.ranges.items():
        if name != "lr":
            ranges[name] = Range(low=low, high=high, log=name not in ("dropout", "label_smoothing", "momentum"))
    if course.optimizer == "adamw":
        ranges.pop("momentum", None)
    return ranges


def _beyond(
    searched: dict[str, Range], finer: dict[str, Range], best: dict[str, float], round_: int
) -> tuple[dict[str, Range], dict[str, edges.Side]]:
    """The finer ranges, reaching past the walls that were searched where the best value lies near one."""
    extended, sides = edges.extend(searched, best, round_)
    moved = {}
    for name, range_ in finer.items():
        wall = extended[name]
        side = sides.get(name)
        moved[name] = range_.model_copy(
            update={
                "low": wall.low if side == "low" else range_.low,
                "high": wall.high if side == "high" else range_.high,
                "was": wall.was,
                "moved_in_round": wall.moved_in_round,
            }
        )
    return moved, sides


def _inside(ranges: dict[str, Range], values: dict[str, float]) -> dict[str, float]:
    """Values clamped to their ranges: the incumbent's may lie outside after a verdict moved them."""
    return {name: min(max(values[name], r.low), r.high) for name, r in ranges.items()}


def _apply(course: Course, loop: Loop, trained: Trained, reading: Reading) -> bool:
    """Change the ranges, the epochs or the network as the verdict asks; True if anything new will be tried."""
    values = trained.values
    best = dict(values[trained.best()])
    loop.best = best
    fixed = course.options.ranges
    if reading.verdict == "more_training":
        if course.options.epochs is not None:
            return False
        epochs = len(trained.records)
        loop.epochs = min(2 * epochs, MOST_EPOCHS)
        return loop.epochs > epochs
    if reading.verdict == "overfitting":
        if "dropout" in loop.ranges and "dropout" not in fixed:
            low = min(best["dropout"], 0.6)
            loop.ranges["dropout"] = Range(
                low=low, high=min(0.8, max(low + 0.3, loop.ranges["dropout"].high)), log=False
            )
        if "weight_decay" not in fixed:
            low = min(best["weight_decay"], 1.0)
            loop.ranges["weight_decay"] = Range(low=low, high=max(100 * low, loop.ranges["weight_decay"].high))
        return len(loop.history) < 2 or loop.history[-1][0] != "overfitting"
    if reading.verdict == "underfitting":
        larger = course.network.wider()
        if loop.larger_failed or larger is None:
            return False
        loop.previous, course.network = course.network, larger
        return True
    if reading.verdict == "diverged":
        loop.ranges["lr"] = Range(low=loop.ranges["lr"].low / 10, high=loop.ranges["lr"].high / 5)
        return True
    loop.ranges = {**loop.ranges, **narrow(loop.ranges, [_inside(loop.ranges, v) for v in values], trained.scores())}
    return False


def _answer_to(course: Course, loop: Loop, reading: Reading) -> str:
    """What the verdict asks for, in words."""
    if reading.verdict == "more_training":
        if course.options.epochs is not None:
            return f"Allow more than {course.options.epochs} epochs (--epochs)."
        return "Train for twice as many epochs."
    if reading.verdict == "overfitting":
        return "Search stronger dropout and weight decay."
    if reading.verdict == "underfitting":
        if loop.larger_failed or course.network.wider() is None:
            return "Give the network more width or depth."
        return "Try a network twice as wide."
    if reading.verdict == "diverged":
        return "Lower the learning rates."
    return "Narrow the ranges."


def _settle_larger(course: Course, loop: Loop) -> None:
    """After the round that tried a larger network: keep it where it was better beyond the noise, else go back."""
    if loop.previous is None:
        return
    gain, error = _improvement(course, loop.incumbent)
    if gain <= error:
        course.network, loop.larger_failed = loop.previous, True
    loop.previous = None


def _improvement(course: Course, incumbent: Candidate) -> tuple[float, float]:
    """By how much the best candidate's metric beats the incumbent's on the same validation rows; standard error."""
    problem, y = course.problem, course.problem.validation.y
    score_of = row_scores(problem, y)
    difference = score_of(course.best().outputs)[0] - score_of(incumbent.outputs)[0]
    variance = problem.loss.target_variance(y)
    return float(difference.mean() / variance), float(difference.std() / sqrt(len(difference)) / variance)


def _standard_error(course: Course, score: float) -> float:
    """Standard error of a validation score: binomial for accuracy; for R^2 from the squared errors of the rows."""
    problem, y = course.problem, course.problem.validation.y
    if problem.classes is not None:
        return sqrt(max(score * (1 - score), 0.0) / len(y))
    rows = row_scores(problem, y)(course.best().outputs)[0]
    return float(rows.std() / sqrt(len(y)) / problem.loss.target_variance(y))


def _exhibit(trained: Trained, step: int, round_: int, ranges: dict[str, Range]) -> SearchRound:
    last = trained.last
    inside = [_inside(ranges, values) for values in trained.values]
    return SearchRound(
        step=step,
        round=round_,
        population=trained.name,
        ranges=ranges,
        members=infos(trained.ids, trained.population.members),
        score=trained.scores(),
        best_epoch=[int(epoch) for epoch in last.best_epoch],
        status=list(last.status),
        best=trained.ids[trained.best()],
        importance=importance(ranges, inside, trained.scores()),
    )


def _edge_words(sides: dict[str, edges.Side]) -> str:
    if not sides:
        return "no best value near the edge of its range"
    return "; ".join(
        f"the best {name} lies near the {side} edge of its range, which moves" for name, side in sides.items()
    )


def _words(ranges: dict[str, Range]) -> str:
    return ", ".join(f"{name} {r.low:.2g} to {r.high:.2g}" for name, r in ranges.items())


def _finished(step: int, round_: int, verdict: Verdict, number: str, started: float) -> StepFinished:
    return StepFinished(
        step=step,
        round=round_,
        level=verdict.level,
        verdict=verdict.phrase,
        number=number,
        seconds=time.perf_counter() - started,
    )
