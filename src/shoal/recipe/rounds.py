"""Steps 6 and 7: read the curves, do what they ask for, and go round until nothing improves beyond the noise."""

from __future__ import annotations

import time
from collections.abc import Generator
from math import sqrt

from shoal.core.events import CurveVerdict, Event, Range, StepStarted
from shoal.data.wording import count, range_setting, setting
from shoal.diagnose import curves
from shoal.diagnose.curves import NOISES, Curves, Reading
from shoal.diagnose.initial_loss import expected
from shoal.diagnose.verdict import Verdict
from shoal.ensemble.combination import row_scores
from shoal.losses import all_equal
from shoal.recipe.course import Candidate, Course, decided, finished
from shoal.recipe.search_steps import Loop, inside, words
from shoal.recipe.trials import Trials
from shoal.search import edges
from shoal.search.narrow import narrow

MOST_ROUNDS = 6
MOST_EPOCHS = 60
SEEN_ROWS = 2000  # training rows that the training score is read from, at least: fewer would blur the gap


def read_curves(course: Course, loop: Loop, trials: Trials, round_: int) -> Generator[Event, None, Reading]:
    """Step 6: what the curves of the round's best member say."""
    started = time.perf_counter()
    yield StepStarted(step=6, round=round_, why="the curves of the round's best network")
    _settle_larger(course, loop)
    trained = trials.trained
    best = trained.best()
    problem = course.problem
    seen = course.sample(6, max(len(problem.validation), SEEN_ROWS))
    train_score = float(trained.population[0].evaluate(seen.x, seen.y)[1][0])
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
            baseline=problem.loss.baseline(problem.train.y, problem.validation.y),
            chance_loss=expected(classes, problem.train.y if all_equal(problem.validation.y) else problem.validation.y),
            diverged_share=trained.last.status.count("diverged") / len(trials.ids),
        ),
        larger_was_no_better=loop.larger_failed,
    )
    shown = reading.model_dump(exclude={"rise", "rise_threshold"})
    yield CurveVerdict(round=round_, population=trials.name, member=trials.ids[best], **shown)
    verdict = Verdict(
        code=reading.code,
        level="fine" if reading.verdict == "good" else ("problem" if reading.verdict == "diverged" else "note"),
        phrase=reading.verdict.replace("_", " "),
        sentence=reading.sentence,
        evidence={**reading.model_dump(mode="json"), "train_score": train_score, "validation_score": score},
    )
    yield from decided(6, verdict, _answer_to(course, loop, reading))
    yield finished(6, verdict, f"gap {reading.gap:+.3f}, slope {reading.slope:+.2%}", started, round_)
    return reading


def go_again(course: Course, loop: Loop, trials: Trials, reading: Reading, round_: int) -> Generator[Event, None, bool]:
    """Step 7: apply what the verdict asks for and say whether another round is worth it."""
    started = time.perf_counter()
    yield StepStarted(step=7, round=round_, why="was the last round better than chance would make it?")
    gain, error = _improvement(course, loop.incumbent)
    improved = gain > NOISES * error
    changed = _apply(course, loop, trials, reading)
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
            f"The best validation score changed by {gain:+.4f} (standard error {error:.4f}), which "
            f"{'is' if improved else 'is not'} beyond the noise ({NOISES:g} standard errors): {why}."
        ),
        evidence={"gain": gain, "standard_error": error, "noises": NOISES, "round": round_, "verdict": reading.verdict},
    )
    action = f"Go to step 5 with {words(loop.ranges)}." if again else "Stop searching."
    yield from decided(7, verdict, action)
    yield finished(7, verdict, f"best {course.best().score:.3f}", started, round_)
    return again


def _apply(course: Course, loop: Loop, trials: Trials, reading: Reading) -> bool:
    """Change the ranges, the epochs or the network as the verdict asks; True if anything new will be tried."""
    values = trials.values
    best = dict(values[trials.trained.best()])
    loop.best = best
    if reading.verdict == "more_training":
        if course.options.epochs is not None:
            return False
        epochs = len(trials.trained.records)
        loop.epochs = min(2 * epochs, MOST_EPOCHS)
        return loop.epochs > epochs
    if reading.verdict == "overfitting":
        loop.ranges = edges.within(_stronger(loop.ranges, best), course.options.ranges)
        return len(loop.history) < 2 or loop.history[-1][0] != "overfitting"
    if reading.verdict == "underfitting":
        larger = course.network.wider()
        if loop.larger_failed or larger is None:
            return False
        loop.previous, course.network = course.network, larger
        return True
    if reading.verdict == "diverged":
        before, lower = loop.ranges, _lower(loop.ranges)
        loop.ranges = edges.within(lower, course.options.ranges)
        return loop.ranges != before
    loop.ranges = {**loop.ranges, **narrow(loop.ranges, [inside(loop.ranges, v) for v in values], trials.standings())}
    return False


def _stronger(ranges: dict[str, Range], best: dict[str, float]) -> dict[str, Range]:
    """Ranges from the best value on to more regularization."""
    changed = dict(ranges)
    if "dropout" in ranges:
        low = min(best["dropout"], 0.6)
        changed["dropout"] = Range(low=low, high=min(0.8, max(low + 0.3, ranges["dropout"].high)), log=False)
    low = min(best["weight_decay"], 1.0)
    changed["weight_decay"] = Range(low=low, high=max(100 * low, ranges["weight_decay"].high))
    if "augment" in ranges:
        changed["augment"] = Range(low=min(best["augment"], 0.5), high=1.0, log=False)
    return changed


def _lower(ranges: dict[str, Range]) -> dict[str, Range]:
    """The same ranges with lower learning rates."""
    return {**ranges, "lr": Range(low=ranges["lr"].low / 10, high=ranges["lr"].high / 5)}


def _answer_to(course: Course, loop: Loop, reading: Reading) -> str:
    """What the verdict asks for, in words."""
    if reading.verdict == "more_training":
        if course.options.epochs is not None:
            most = course.options.epochs
            return f"Allow more than {count(most, 'epoch')}, as in {setting('epochs', 2 * most)}."
        return "Train for twice as many epochs."
    if reading.verdict == "overfitting":
        return f"Search stronger {'augmentation, ' if 'augment' in loop.ranges else ''}dropout and weight decay."
    if reading.verdict == "underfitting":
        if loop.larger_failed or course.network.wider() is None:
            return "Give the network more width or depth."
        return "Try a network twice as wide."
    if reading.verdict == "diverged":
        lower = _lower(loop.ranges)["lr"]
        if edges.within({"lr": lower}, course.options.ranges)["lr"] == lower:
            return "Lower the learning rates."
        wider = range_setting("lr", lower.low, course.options.ranges["lr"][1])
        return f"Lower the learning rates within the range that you gave; to let them go lower: {wider}."
    return "Narrow the ranges."


def _settle_larger(course: Course, loop: Loop) -> None:
    """After the round that tried a larger network: keep it where it was better beyond the noise, else go back."""
    if loop.previous is None:
        return
    gain, error = _improvement(course, loop.incumbent)
    if gain <= NOISES * error:
        course.network, loop.larger_failed = loop.previous, True
    loop.previous = None


def _improvement(course: Course, incumbent: Candidate) -> tuple[float, float]:
    """By how much the best candidate's metric beats the incumbent's on the same validation rows; standard error."""
    problem, y = course.problem, course.problem.validation.y
    score_of = row_scores(y, problem.classes is not None)
    best, before = (score_of(each.outputs.double().cpu().numpy())[0] for each in (course.best(), incumbent))
    difference = best - before
    variance = problem.loss.target_variance(y)
    return float(difference.mean() / variance), float(difference.std() / sqrt(len(difference)) / variance)


def _standard_error(course: Course, score: float) -> float:
    """Standard error of a validation score: binomial for accuracy; for R^2 from the squared errors of the rows."""
    problem, y = course.problem, course.problem.validation.y
    if problem.classes is not None:
        return sqrt(max(score * (1 - score), 0.0) / len(y))
    rows = row_scores(y, categorical=False)(course.best().outputs.double().cpu().numpy())[0]
    return float(rows.std() / sqrt(len(y)) / problem.loss.target_variance(y))
