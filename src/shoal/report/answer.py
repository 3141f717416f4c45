"""The report's first screen: the answer in one sentence, what is wrong, and four numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shoal.core import events as ev
from shoal.ensemble import scoring
from shoal.report import formats
from shoal.report.story import Story

UNEQUAL = 1.5  # the commonest class has as many times its equal share, or more
MAE_SPREAD = 1.96 * 0.756  # of normal errors the absolute ones spread by sqrt(pi / 2 - 1) = 0.756 of their mean


@dataclass(frozen=True)
class Figure:
    """One of the four numbers beside the answer."""

    label: str
    value: str
    note: str = ""
    explained: str = ""


@dataclass(frozen=True)
class Score:
    """The score that answers the run's question, and on which rows it was read."""

    value: float
    interval: tuple[float, float] | None
    baseline: float | None
    on_test: bool


def sentence(story: Story) -> str:
    """The answer in one sentence; names stand in backticks.

    "An ensemble of 8 networks predicts `income` with 86.9 % accuracy (86.3-87.5) on test rows, 10.8 points above always
    answering `<=50K`." Where the classes are of unequal size, their mean is said too. A run that has not read its test
    rows says what it has, on which rows, and that this flatters.

    Args:
        story: the run, finished or not.

    Returns:
        One to three sentences; never empty.
    """
    start, found = story.start, score(story)
    if start is None:
        return "Nothing has been read yet."
    target = f"`{formats.shorten(start.target)}`"
    if found is None:
        if story.searches:
            tried = formats.count(story.members_searched, "network")
            return f"None of {tried} that were to predict {target} has a finite score."
        rows = formats.count(start.rows, "row")
        return f"Shoal has read {rows} of `{formats.shorten(start.source)}` to predict {target}; no score is known yet."
    who = _who(story)
    if found.on_test:
        said = f"{who} predicts {target} with {_score_phrase(story, found)}{_against(story, start, found)}."
        return f"{said}{_without_interval(story, found)}{_by_class(story)}"
    value = _shown(story, found, found.value)
    named = f"{value} {formats.metric_word(start.metric)}" if start.metric in formats.SHARES else f"an R2 of {value}"
    if start.metric not in formats.SHARES and start.metric != "r2":
        named = f"a {formats.metric_word(start.metric)} of {value}"
    return (
        f"So far {who[0].lower()}{who[1:]} predicts {target} with {named} on the validation rows. "
        "It was chosen on those rows, so they flatter it; the test rows have not been read."
    )


def score(story: Story) -> Score | None:
    """The score to answer with: on test rows where they were read, else the best on validation rows, else None."""
    baseline = story.start.baseline if story.start else None
    if story.test is not None:
        return Score(story.test.score, story.test.interval, story.test.baseline, True)
    stated = story.summary.get("test")
    if isinstance(stated, int | float):
        known = story.summary.get("baseline")
        baseline = float(known) if isinstance(known, int | float) else baseline
        return Score(float(stated), _pair(story.summary.get("test_interval")), baseline, True)
    if story.ensemble is not None and math.isfinite(story.ensemble.score):
        return Score(story.ensemble.score, None, baseline, False)
    finite = [s for search in story.searches for s in search.score if math.isfinite(s)]
    return Score(max(finite), None, baseline, False) if finite else None


def _pair(value: object) -> tuple[float, float] | None:
    if isinstance(value, list) and len(value) == 2 and all(isinstance(v, int | float) for v in value):
        return float(value[0]), float(value[1])
    return None


def ensemble_size(story: Story) -> int:
    """How many different networks answer together; 1 where one network answers, or nothing was chosen yet."""
    if story.ensemble is not None:
        return max(1, len(story.ensemble.members))
    stated = story.summary.get("ensemble")
    members = stated.get("members") if isinstance(stated, dict) else None
    if isinstance(members, list):
        return max(1, len(members))
    return members if isinstance(members, int) and members > 0 else 1


def _who(story: Story) -> str:
    size = ensemble_size(story)
    if size > 1:
        return f"An ensemble of {size} networks"
    tried = story.members_searched  # only these could be chosen; step 3's short trainings could not
    return f"The best of {formats.count(tried, 'network')}" if tried > 1 else "One network"


def _score_phrase(story: Story, found: Score) -> str:
    metric = story.metric
    value = _shown(story, found, found.value)
    band = f" ({formats.bounds(metric, found.interval)})" if found.interval else ""
    band += " on test rows"
    if metric in formats.SHARES:
        return f"{value} {formats.metric_word(metric)}{band}"
    error = story.test.scores.get("mae") if story.test else None
    off = ""
    if error is not None and math.isfinite(error) and story.test:
        half = MAE_SPREAD * error / math.sqrt(max(1, story.test.rows))
        off = f", off by {formats.settled(error, half)} on average"
    word = formats.metric_word(metric)
    return f"{'an' if word[0] in 'RMF' else 'a'} {word} of {value}{band}{off}"


def _without_interval(story: Story, found: Score) -> str:
    """What a score without an interval is worth; nothing is added to one with an interval."""
    if found.interval:
        return ""
    return f" That is from {_test_rows(story)}: {scoring.worth(_rows_tested(story))}."


def _shown(story: Story, found: Score, value: float) -> str:
    """A score or its baseline, in the digits that the interval supports, or else the number of rows."""
    rows = _rows_tested(story) if found.on_test else story.validation_rows
    return formats.score(story.metric, value, found.interval, rows)


def _against(story: Story, start: ev.RunStarted, found: Score) -> str:
    """The comparison with always giving one answer, and whether it could be chance."""
    if found.baseline is None or not math.isfinite(found.baseline) or not math.isfinite(found.value):
        return ""
    gain = found.value - found.baseline
    answer = f"always answering `{_baseline_answer(start)}`"
    chance = " (which could be chance)" if found.interval and found.interval[0] <= found.baseline <= found.value else ""
    if start.metric in formats.SHARES:
        size = formats.gap(_shown(story, found, found.value), _shown(story, found, found.baseline))
        if not any(c in "123456789" for c in size):
            return f", no better than {answer}"
        return f", {size} {'above' if gain > 0 else 'below'} {answer}{chance}"
    verb = "gets" if gain > 0 else "would get"
    return f"; {answer} {verb} {_shown(story, found, found.baseline)}{chance}"


def _by_class(story: Story) -> str:
    """Where classes are of unequal size, the accuracy averaged over them: the rare ones hardly count in the other."""
    test = story.test
    classes = len(test.labels or ()) if test else 0
    balanced = test.scores.get("balanced_accuracy") if test else None
    if test is None or balanced is None or test.baseline * classes < UNEQUAL:
        return ""
    value, chance = formats.score("balanced_accuracy", balanced, test.interval), formats.fixed(100 / classes, 0)
    return f" Averaged over the classes, which are of unequal size, it is {value}; guessing gets {chance} %."


def _baseline_answer(start: ev.RunStarted, most: int = 48) -> str:
    """The answer that needs no network, a mean in the digits of the other numbers."""
    if start.task == "regression":
        try:
            return formats.number(float(start.baseline_answer), 4)
        except ValueError:
            pass
    return formats.shorten(start.baseline_answer, most)


def figures(story: Story) -> list[Figure]:
    """At most four numbers: score, baseline, networks trained, time."""
    start, found = story.start, score(story)
    if start is None:
        return []
    shown = []
    word = formats.metric_word(start.metric)
    explained = formats.EXPLAINED.get(word, "")
    if found is not None:
        value = _shown(story, found, found.value)
        if found.on_test and found.interval:
            note = f"{formats.bounds(start.metric, found.interval)} with 95 % confidence, on {_test_rows(story)}"
        elif found.on_test:
            note = f"on {_test_rows(story)}, without an interval"
        else:
            note = "on validation rows, which flatter"
        shown.append(Figure(word, value, note, explained))
    baseline = found.baseline if found and found.baseline is not None else start.baseline  # read on the score's rows
    shown.append(
        Figure(
            "baseline",
            _shown(story, found, baseline) if found else formats.score(start.metric, baseline),
            f"{word} of always answering `{_baseline_answer(start, 24)}`",
            "what the simplest possible answer scores: the commonest class, or the mean",
        )
    )
    if story.members_trained:
        shown.append(Figure("networks trained", f"{story.members_trained:,}", _epochs(story)))
    if story.seconds > 0:
        shown.append(Figure("time", formats.duration(story.seconds), f"on {start.device}, budget {start.budget}"))
    return shown[:4]


def _rows_tested(story: Story) -> int:
    return story.test.rows if story.test else (story.start.split.get("test", 0) if story.start else 0)


def _test_rows(story: Story) -> str:
    return formats.count(_rows_tested(story), "test row")


def _epochs(story: Story) -> str:
    stated = story.summary.get("epochs_trained")  # counts the short trainings too, by the share of an epoch they took
    total = sum(len(e.members) for population in story.populations.values() for e in population.epochs)
    if isinstance(stated, int | float) and math.isfinite(stated):
        total = round(stated)
    searched = story.members_searched
    most = f"{searched:,} of them in the search, " if 0 < searched < story.members_trained else ""
    return f"{most}{formats.count(total, 'epoch')} in all" if total else ""


def unfinished(story: Story) -> str:
    """What to say of a run that did not reach its end; empty for one that did.

    Args:
        story: the run.

    Returns:
        One or two sentences, or the empty string.
    """
    if story.interrupted is not None:
        own = story.interrupted.sentence.strip()
        said = f" {own}" if own and not own.lower().startswith("stopped by the user") else ""
        where = _where(story.interrupted.step)
        return f"Stopped by the user at {where}; what stands here is what was done until then.{said}"
    if story.finished is not None:
        return ""
    if story.start is None:
        return "This run has no events yet."
    if not story.last_step:
        return "This run has not begun its first step, or was cut off before it."
    return (
        f"This run has not ended, or was cut off: it was last seen at {_where(story.last_step)}. "
        "What stands here is what was done until then."
    )


def _where(step: int) -> str:
    name = ev.STEP_NAMES.get(step, "").lower()
    if step in ev.RECIPE_STEPS:
        return f"step {step} ({name})"
    return f"the {name}" if name else f"step {step}"


def problems(story: Story) -> list[ev.Finding]:
    """What is wrong or would serve the reader better, the worst first: it stands directly under the answer.

    Args:
        story: the run.

    Returns:
        The findings of level "problem" and "warning", and those that follow from the answer itself: a score that
        is not distinguishable from the baseline, networks that diverged in great numbers.
    """
    shown = [f for f in story.findings if f.level in ("problem", "warning")]
    found = score(story)
    if found and found.on_test and found.interval and found.baseline is not None and story.start:
        low, high = found.interval
        if high < found.baseline:
            worse = "The answer is worse than always giving the same answer; the network should not be used as it is."
            shown.append(ev.Finding(code="below baseline", sentence=worse, level="problem"))
        elif low <= found.baseline:
            same = "The score cannot be told from always giving the same answer: the difference could be chance."
            shown.append(ev.Finding(code="at baseline", sentence=same, level="problem"))
    return sorted(shown, key=lambda f: f.level != "problem")
