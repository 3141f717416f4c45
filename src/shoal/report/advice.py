"""What would help next: a ranked list of actions, each with its reason and the effect to expect."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from shoal.core import events as ev
from shoal.report import exhibits, formats, wrong
from shoal.report.pictures import finite
from shoal.report.story import Story

MATTERS = 0.05  # share of the score's variance below which a hyperparameter's bound is not worth a round
_RANK = {"problem": 0, "warning": 1, "note": 2, "fine": 3}


@dataclass(frozen=True)
class Action:
    """One thing to do: what, why, the effect to expect, and what it follows from. `size` orders within a level."""

    what: str
    why: str
    effect: str
    level: ev.Level
    size: float = 0.0  # at most so much of the score, as a share; 0 where it cannot be said


def actions(story: Story) -> list[Action]:
    """Everything that a run's findings and decisions suggest, the most urgent and the largest expected effect first.

    Args:
        story: the run, finished or not.

    Returns:
        The actions in order; empty where nothing follows from the numbers.
    """
    found = [
        *_unfinished(story),
        *_findings(story),
        *_curves(story),
        *_bounds(story),
        *_rounds(story),
        *_mistakes(story),
        *_test_rows(story),
        *_decisions(story),
    ]
    kept: dict[str, Action] = {}
    for action in found:
        kept.setdefault(action.what, action)
    return sorted(kept.values(), key=lambda a: (_RANK[a.level], -a.size))


def _unfinished(story: Story) -> list[Action]:
    if story.start is None or story.finished is not None:
        return []
    why = "It did not reach its end: the ensemble was not chosen and the test rows were not read."
    if story.interrupted is not None and any(finite(s.score) for s in story.searches):
        why += " The best network so far is kept as its model, so `shoal predict` works on this run's folder."
    return [
        Action(
            f"Run it again: `{story.start.command}`.",
            why + " A new run begins at step 1, in a folder of its own; if the command names `--out`, name another.",
            "The remaining steps, the ensemble and the one look at the test rows.",
            "problem",
        )
    ]


def _findings(story: Story) -> list[Action]:
    return [
        Action(
            formats.order(finding.fix),
            finding.sentence,
            _stated(finding.evidence),
            finding.level,
        )
        for finding in story.findings
        if finding.fix and finding.level != "fine"
    ]


def _stated(evidence: Mapping[str, object]) -> str:
    for key in ("expected", "expected_effect", "effect"):
        if key in evidence:
            return formats.number(evidence[key])
    return "Not measured by this run."


def _curves(story: Story) -> list[Action]:
    if not story.verdicts:
        return []
    last = story.verdicts[-1]
    why = last.sentence
    gap = formats.difference(story.metric, last.gap) if math.isfinite(last.gap) else "unknown"
    if last.verdict == "more_training":
        effect = f"In its last epochs the validation loss {exhibits.fell(last.slope)}; how much score that brings "
        effect += "was not measured."
        return [Action("Train longer: give the run a larger `--budget`.", why, effect, "warning")]
    if last.verdict == "overfitting":
        effect = f"At most about {gap}, the whole gap between training and validation; usually a part of it."
        what = "Collect more rows, or regularize more (dropout, weight decay, augmentation)."
        return [Action(what, why, effect, "warning", abs(last.gap))]
    if last.verdict == "underfitting":
        effect = "Not measured: training and validation score are both low and close, so only a stronger fit can help."
        return [Action("Use a larger network or train longer.", why, effect, "warning")]
    if last.verdict == "diverged":
        effect = "A finite score; nothing else can be judged before."
        return [Action("Lower the upper bound of the learning rate, or clip gradients.", why, effect, "problem")]
    return []


def _bounds(story: Story) -> list[Action]:
    if not story.searches or _settled(story):
        return []
    last = story.searches[-1]
    best = next((m for m in last.members if m.id == last.best), None)
    if best is None:
        return []
    weighed = exhibits.weighed(story)
    shares = weighed.importance if weighed else {}
    matter = [name for name in last.ranges if not shares.get(name, 1.0) < MATTERS]
    said = [edge for name in matter if (edge := exhibits.at_edge(last, best, name))]
    if not said:
        return []
    why = f"In the last round the best {' and the best '.join(said)}, so a better value may lie outside."
    return [Action("Search another round with wider bounds: a larger `--budget`.", why, "Not measured.", "warning")]


def _settled(story: Story) -> bool:
    """Whether the last step 7 found that the last round changed nothing beyond the noise."""
    evidence = next((d.evidence for d in reversed(story.decisions) if d.step == 7), {})
    told = (evidence.get("gain"), evidence.get("standard_error"), evidence.get("noises", 1))
    known = [float(v) for v in told if isinstance(v, int | float)]
    return len(known) == 3 and known[0] <= known[2] * known[1]


def _rounds(story: Story) -> list[Action]:
    best = finite([max(finite(s.score), default=math.nan) for s in story.searches])
    if len(best) < 2 or not story.finished or _settled(story) or _bounds(story):
        return []
    step = best[-1] - max(best[:-1])
    half = formats.half_width(story.metric, best[-1], story.validation_rows)
    if step <= 0 or step <= half / 2:
        return []
    effect = f"The last round added {formats.difference(story.metric, step)}; a further one usually adds less."
    why = "The best validation score was still rising from round to round."
    return [Action("Search one more round: a larger `--budget`.", why, effect, "note", step)]


def _mistakes(story: Story) -> list[Action]:
    if story.test is None or story.test.metric not in formats.SHARES:
        return []
    common = wrong.pairs(story.test)
    rows = sum(map(sum, story.test.confusion or []))
    if not common or not rows or common[0].count < 3:
        return []
    first = common[0]
    name, other = formats.shorten(first.truth, 32), formats.shorten(first.answer, 32)
    share = first.count / rows
    return [
        Action(
            f"Look at rows of `{name}` that are answered as `{other}`: check their labels, collect more of both.",
            f"It is the commonest mistake: {formats.count(first.count, 'test row')}, {first.share} of that class.",
            f"At most {formats.difference(story.test.metric, share)}, if every one of them were mended.",
            "note",
            share,
        )
    ]


def _test_rows(story: Story) -> list[Action]:
    test = story.test
    if test is None or test.interval is None:  # without an interval a finding says so already
        return []
    half = (test.interval[1] - test.interval[0]) / 2
    limit = 0.02 if test.metric in formats.SHARES else 0.05
    if not math.isfinite(half) or half <= limit:
        return []
    return [
        Action(
            "Keep more rows for the test.",
            f"The score is known only to about {formats.difference(test.metric, half)} either way, from "
            f"{formats.count(test.rows, 'test row')}.",
            "Four times the rows halve the interval; the score itself does not change.",
            "note",
        )
    ]


def _decisions(story: Story) -> list[Action]:
    return [
        Action(decision.action, decision.sentence, "Not measured by this run.", decision.level)
        for decision in story.decisions
        if decision.step in (1, 2, 3) and decision.level in ("warning", "problem") and decision.action
    ]
