"""Steps 6 and 7: read the curves, do what they ask for, and go round until nothing improves beyond the noise."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from math import sqrt

from shoal.core.events import CurveVerdict, Event, Finding, StepStarted
from shoal.diagnose import curves
from shoal.diagnose.curves import NOISES, Curves
from shoal.diagnose.initial_loss import expected
from shoal.ensemble.combination import row_scores
from shoal.losses import all_equal
from shoal.recipe.changes import Change, asked_for
from shoal.recipe.run_state import Candidate, RunState, decided, finished
from shoal.recipe.search_steps import SearchState, words
from shoal.recipe.trials import Trials

MOST_ROUNDS = 6
SEEN_ROWS = 2000  # training rows that the training score is read from, at least: fewer would blur the gap


@dataclass(frozen=True)
class Asked:
    """What step 6 said."""

    verdict: str
    change: Change


def read_curves(state: RunState, search: SearchState, trials: Trials, round_: int) -> Generator[Event, None, Asked]:
    """Step 6: what the curves of the round's best member say."""
    started = time.perf_counter()
    yield StepStarted(step=6, round=round_, why="the curves of the round's best network")
    _settle_larger(state, search)
    best = trials.best()
    problem = state.problem
    seen = state.sample(6, max(len(problem.validation), SEEN_ROWS))
    train_score = trials.train_score(best, seen.x, seen.y)
    score = trials.scores()[best]
    classes = problem.classes
    reading = curves.judge(
        Curves(
            train_loss=trials.curve(best, "loss"),
            last_train_score=trials.curve(best, "score")[-1],
            validation_loss=trials.curve(best, "validation_loss"),
            validation_score=score,
            train_score=train_score,
            best_epoch=trials.best_epochs()[best],
            noise=_standard_error(state, score),
            baseline=problem.loss.baseline(problem.train.y, problem.validation.y),
            chance_loss=expected(classes, problem.train.y if all_equal(problem.validation.y) else problem.validation.y),
            diverged_share=trials.status.count("diverged") / len(trials.ids),
        ),
        larger_was_no_better=search.larger_failed,
    )
    shown = reading.model_dump(exclude={"rise", "rise_threshold"})
    yield CurveVerdict(round=round_, population=trials.population_of(best), member=trials.ids[best], **shown)
    verdict = Finding(
        code=reading.code,
        level="fine" if reading.verdict == "good" else ("problem" if reading.verdict == "diverged" else "note"),
        phrase=reading.verdict.replace("_", " "),
        sentence=reading.sentence,
        evidence={**reading.model_dump(mode="json"), "train_score": train_score, "validation_score": score},
    )
    change = asked_for(state, search, trials, reading)
    yield from decided(6, verdict, change.action)
    yield finished(6, verdict, f"gap {reading.gap:+.3f}, slope {reading.slope:+.2%}", started, round_)
    return Asked(reading.verdict, change)


def go_again(
    state: RunState, search: SearchState, trials: Trials, asked: Asked, round_: int
) -> Generator[Event, None, bool]:
    """Step 7: apply what the verdict asks for and say whether another round is worth it."""
    started = time.perf_counter()
    yield StepStarted(step=7, round=round_, why="was the last round better than chance would make it?")
    gain, error = _improvement(state, search.incumbent)
    improved = gain > NOISES * error
    asked.change.apply(state, search, trials.values[trials.best()])
    search.incumbent = state.best()
    search.history.append((asked.verdict, gain))
    room = state.allocator.next_round(1.0, search.epochs) is not None
    again = room and round_ < MOST_ROUNDS and (improved or asked.change.promising)
    why = (
        ("another round" if improved else "another round all the same, to try what step 6 asks for")
        if again
        else "the budget is spent"
        if not room
        else "enough rounds"
        if round_ >= MOST_ROUNDS
        else "nothing improves beyond the noise"
    )
    verdict = Finding(
        code="SHL170" if again else "SHL171",
        level="fine",
        phrase=why,
        sentence=(
            f"The best validation score changed by {gain:+.4f} (standard error {error:.4f}), which "
            f"{'is' if improved else 'is not'} beyond the noise ({NOISES:g} standard errors): {why}."
        ),
        evidence={"gain": gain, "standard_error": error, "noises": NOISES, "round": round_, "verdict": asked.verdict},
    )
    action = f"Go to step 5 with {words(search.ranges)}." if again else "Stop searching."
    yield from decided(7, verdict, action)
    yield finished(7, verdict, f"best {state.best().score:.3f}", started, round_)
    return again


def _settle_larger(state: RunState, search: SearchState) -> None:
    """After the round that tried a larger network: keep it where it was better beyond the noise, else go back."""
    if search.previous is None:
        return
    gain, error = _improvement(state, search.incumbent)
    if gain <= NOISES * error:
        state.network, search.larger_failed = search.previous, True
    search.previous = None


def _improvement(state: RunState, incumbent: Candidate) -> tuple[float, float]:
    """By how much the best candidate's metric beats the incumbent's on the same validation rows; standard error."""
    problem, y = state.problem, state.problem.validation.y
    score_of = row_scores(y, problem.classes is not None)
    best, before = (score_of(each.outputs.double().cpu().numpy())[0] for each in (state.best(), incumbent))
    difference = best - before
    variance = problem.loss.target_variance(y)
    return float(difference.mean() / variance), float(difference.std() / sqrt(len(difference)) / variance)


def _standard_error(state: RunState, score: float) -> float:
    """Standard error of a validation score: binomial for accuracy; for R^2 from the squared errors of the rows."""
    problem, y = state.problem, state.problem.validation.y
    if problem.classes is not None:
        return sqrt(max(score * (1 - score), 0.0) / len(y))
    rows = row_scores(y, categorical=False)(state.best().outputs.double().cpu().numpy())[0]
    return float(rows.std() / sqrt(len(y)) / problem.loss.target_variance(y))
