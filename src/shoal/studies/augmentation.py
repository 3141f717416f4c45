"""Which augmentation helps on this data? One population: every operation alone and all together, paired by seed.

Rows of one seed start from the same weights and see the same batches; they differ by what is done to the samples
alone. Half of the validation rows choose each network's epoch, the other half score it.

| code | meaning |
| --- | --- |
| SHL450 | what lifts the score, with an interval above nothing |
| SHL451 | nothing does so clearly |
| SHL452 | what lowers the score |
| SHL401 to SHL403 | whether an operation keeps the labels; see `diagnose.label_preservation` |
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2

import numpy as np
import torch
from pydantic import JsonValue

from shoal.augment import Augment, Pixels, check, default_for, parse
from shoal.comparison import Design, Level
from shoal.comparison import run as compare
from shoal.comparison.paired import Estimate, Floats, difference, gain_said, score_said
from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.data import ArrayFeatures
from shoal.diagnose.label_preservation import FULL, LEAST_ROWS, Judge, Preservation, allowed, apart
from shoal.experiment import Architecture, BuiltIn, Given, Threads
from shoal.nn.networks import Cnn
from shoal.population import Member
from shoal.prepare.pixels import pixels as pixels_of
from shoal.studies import augmentation_pictures as drawn
from shoal.studies.record import Number, Progress, Section, Study, StudyOptions, Table
from shoal.studies.subject import Subject, some
from shoal.studies.watched import told
from shoal.task import Part, Split

SEEDS, EPOCHS, STEPS = 6, 15, 500  # the more of both: few rows are seen more often
ROWS, BATCH, WIDTH = 2000, 64, 8
LR = 2e-3
NONE, TOGETHER, KEPT = "none", "together", "together, as allowed"
EFFORT = FULL


@dataclass(frozen=True)
class AugmentationScores:
    """Scores of every setting, seed by seed."""

    settings: Mapping[str, Augment]  # by name, none first
    chosen: Mapping[str, Floats]  # [R]: at the epoch that other rows chose
    curves: Mapping[str, Floats]  # [T, R]: on the rows that choose
    judged: Sequence[Preservation]

    def gain(self, name: str) -> Estimate:
        """Against none, seed by seed."""
        return difference(self.chosen[name], self.chosen[NONE])

    def action(self, name: str) -> str:
        """What label preservation says of an operation; empty where it was not asked."""
        return next((each.action for each in self.judged if each.operation == name), "")


def run(subject: Subject, options: StudyOptions) -> Generator[Progress, None, Study]:
    """Judge each operation, then train with each of them, with all, and with none.

    Args:
        subject: images, signals or volumes; at most 2000 training rows are used.
        options: `augment` (the default of the kind), `seed`, `replicates` (6 seeds), `epochs` (15 or more).

    Raises:
        InputError: a table, operations that mean nothing for the data, or a preparation that knows places.
    """
    if not isinstance(subject.task.dataset.features, ArrayFeatures):
        raise InputError(
            f"{subject.task.dataset.source} is a table, whose columns have no neighbours: "
            "give images, signals or volumes, such as `digits`."
        )
    asked = default_for(subject.task.kind, subject.fold.shape[0]) if options.augment is None else parse(options.augment)
    check(asked, subject.task.kind, subject.fold.shape)
    if not asked.active:
        raise InputError("--augment names nothing to study: give operations, as in `hflip,rotate=15`.")
    pixels = pixels_of(subject.fold.preparation, subject.task.dataset, subject.fold.plan.train)
    part = some(subject.fold.train, ROWS, options.seed)
    judged = yield from _judged(subject, part, asked, pixels, options)
    settings = _settings(asked, judged)
    design = _design(subject, part, settings, pixels, options)
    compared = yield from told(compare(design, Threads(options.device)), lambda _: "all settings", 0.3, 0.95)
    yield Progress(done=0.97, doing="drawing pictures")
    chosen = {name: compared.by_seed(name) for name in settings}
    curves = {name: compared.curve[name].mean(axis=2) for name in settings}
    result = AugmentationScores(settings, chosen, curves, judged)
    return _study(subject, part, pixels, result, len(design.seeds), options)


def _judged(
    subject: Subject, part: Part, asked: Augment, pixels: Pixels, options: StudyOptions
) -> Generator[Progress, None, list[Preservation]]:
    """Label preservation of each operation; nothing where there are no classes to ask about."""
    classes = subject.task.dataset.classes
    if classes is None or int((torch.bincount(part.y) >= LEAST_ROWS).sum()) < 2:
        return []
    judge = Judge(part.x, part.y, classes, subject.task.kind, pixels=pixels, seed=options.seed, effort=EFFORT)
    found = []
    for number, (name, candidate) in enumerate(apart(asked).items()):
        yield Progress(done=0.3 * number / len(apart(asked)), doing=f"does {name} keep the labels?")
        found.append(judge.of(name, candidate))
    return found


def _settings(asked: Augment, judged: Sequence[Preservation]) -> dict[str, Augment]:
    """None, each operation alone, all together, and what label preservation leaves of all."""
    how = {"padding": asked.padding, "interpolation": asked.interpolation}
    settings = {NONE: Augment()} | {name: Augment(**{name: getattr(asked, name), **how}) for name in asked.active}
    if len(asked.active) > 1:
        settings[TOGETHER] = asked
        left = allowed(asked, judged)
        if left != asked and left.active:
            settings[KEPT] = left
    return settings


def _network(subject: Subject) -> Architecture:
    if subject.make_net is not None:
        return Given(subject.make_net, subject.model)
    blocks = max(2, min(3, ceil(log2(max(subject.fold.shape[1:]) / 4))))
    channels, *size = subject.fold.shape
    return BuiltIn(Cnn(channels=channels, size=tuple(size), outputs=subject.task.outputs, width=WIDTH, blocks=blocks))


def _design(
    subject: Subject, part: Part, settings: Mapping[str, Augment], pixels: Pixels, options: StudyOptions
) -> Design:
    """All settings with all seeds, as one population."""
    architecture = _network(subject)
    folds = [Split(train=part, validation=subject.fold.validation, pixels=pixels)]
    return Design(
        levels={
            name: Level(
                Member(optimizer="adam", lr=LR, schedule="cosine", augment=augment), lambda _: architecture, folds
            )
            for name, augment in settings.items()
        },
        seeds=[options.seed + k for k in range(options.replicates or SEEDS)],
        loss=subject.task.loss,
        epochs=options.epochs or max(EPOCHS, ceil(STEPS / ceil(len(part) / BATCH))),
        batch_size=BATCH,
        order_seed=options.seed,
        choose_epoch=True,
    )


# --- reading ----------------------------------------------------------------------------------------------------------


def _study(
    subject: Subject, part: Part, pixels: Pixels, result: AugmentationScores, seeds: int, options: StudyOptions
) -> Study:
    metric = subject.task.metric
    gains = {name: result.gain(name) for name in result.settings if name != NONE}
    best = max(gains, key=lambda name: gains[name].value)
    none = float(np.nanmean(result.chosen[NONE]))
    return Study(
        name="augmentation",
        title="Augmentation",
        source=subject.task.dataset.source,
        answer=_answer(subject, gains, metric),
        numbers=(
            Number(label=f"Best: {best}", value=score_said(float(np.nanmean(result.chosen[best])), metric)),
            Number(label="Samples as they are", value=score_said(none, metric)),
            Number(label="Difference, paired by seed", value=gain_said(gains[best], metric), note=f"{seeds} seeds"),
            Number(label="Training rows", value=f"{len(part):,}", note="fewer rows, larger differences"),
        ),
        decisions=(*_decisions(result, gains, metric, seeds), *_labels(result)),
        sections=(
            _effect(result, gains, metric, seeds),
            _preservation(subject, result),
            Section(
                question="What does it do to samples?",
                answer="The first line is the data; each other line is what one network saw at one step.",
                pictures=drawn.samples(subject, part, result.settings, pixels, options.seed),
            ),
        ),
        seed=options.seed,
        networks_trained=len(result.settings) * seeds,
    )


def _answer(subject: Subject, gains: Mapping[str, Estimate], metric: str) -> str:
    lifts = [name for name in gains if gains[name].low > 0]
    best = max(lifts or gains, key=lambda name: gains[name].value)
    where = f"on `{subject.task.dataset.name}`"
    if not lifts:
        gain = gain_said(gains[best], metric)
        return f"No augmentation clearly helps {where}: {gain} for {best}, which could be chance."
    return f"`{best}` helps most {where}: {gain_said(gains[best], metric)} of {metric} against samples as they are."


def _decisions(result: AugmentationScores, gains: Mapping[str, Estimate], metric: str, seeds: int) -> list[Finding]:
    lifts, lowers = ([n for n, g in gains.items() if sign * g.value > 0 and g.clear] for sign in (1, -1))
    best = max(gains, key=lambda name: gains[name].value)
    evidence: dict[str, JsonValue] = {
        "difference": {name: gain.value for name, gain in gains.items()},
        "interval_95": {name: [gain.low, gain.high] for name, gain in gains.items()},
        "seeds": seeds,
        "threshold": "an interval that does not hold 0",
    }
    said = "; ".join(f"{name} {gain_said(gains[name], metric)}" for name in lifts or [best])
    found = [
        Finding(
            code="SHL450" if lifts else "SHL451",
            level="note" if lifts else "fine",
            sentence=f"Above none: {said}." if lifts else f"Nothing is clearly above none; the most is {said}.",
            evidence=evidence,
            fix=f"fit with it: --augment {result.settings[best]}" if lifts else "",
        )
    ]
    if lowers:
        said = "; ".join(f"{name} {gain_said(gains[name], metric)}" for name in lowers)
        found.append(Finding(code="SHL452", level="note", sentence=f"Below none: {said}.", evidence=evidence))
    return found


def _labels(result: AugmentationScores) -> list[Finding]:
    """What label preservation found; a note, because nothing was asked of a model yet."""
    return [
        Finding(
            code=each.verdict.code,
            level="fine" if each.verdict.level == "fine" else "note",
            sentence=each.verdict.sentence,
            evidence=each.verdict.evidence,
            fix=each.verdict.fix,
        )
        for each in result.judged
    ]


def _effect(result: AugmentationScores, gains: Mapping[str, Estimate], metric: str, seeds: int) -> Section:
    rows = tuple(
        (
            name,
            str(result.settings[name]),
            round(float(np.nanmean(result.chosen[name])), 4),
            gain_said(gain, metric),
            result.action(name) or "not asked",
        )
        for name, gain in gains.items()
    )
    table = Table(
        title=f"{metric.capitalize()} against none",
        columns=("augmentation", "strength", metric, "difference", "labels"),
        rows=((NONE, "", round(float(np.nanmean(result.chosen[NONE])), 4), "", ""), *rows),
        caption=f"Means over {seeds} seeds; differences paired by seed with their 95 % intervals. They say how far "
        "seeds differ on these validation rows, not how far other rows would, and the highest of several is flattered "
        "by being the highest.",
    )
    clear = sum(gain.clear for gain in gains.values())
    return Section(
        question="Does it help?",
        answer="Each seed starts from the same weights and sees the same batches, with and without it. Half of the "
        "validation rows choose the epoch, the other half score.",
        pictures=(
            drawn.differences(gains, metric, f"{clear} of {len(gains)} differ from none by more than chance could do."),
            drawn.by_epoch(result.curves, [name for name in (NONE, TOGETHER, KEPT) if name in result.curves], metric),
        ),
        tables=(table,),
    )


def _preservation(subject: Subject, result: AugmentationScores) -> Section:
    question = "Does it keep the labels?"
    if not result.judged:
        why = "the target is a number" if subject.task.dataset.classes is None else "too few rows of each class"
        return Section(question=question, answer=f"That cannot be asked here: {why}.")
    rows: list[tuple[JsonValue, ...]] = []
    for each in result.judged:
        pairs = each.answers[0].pairs
        looks = ", ".join(f"{p.of} for {p.taken_for} ({100 * p.moved:.0f} %)" for p in pairs[:3])
        stays = ", ".join(f"{p.of} for {p.taken_for}" for p in each.answers[0].harmful[:3])
        rows.append((each.operation, str(each.asked), each.action, str(each.kept), looks, stays))
    names = [each.operation for each in result.judged]
    return Section(
        question=question,
        answer="Small networks that never saw a change are asked what they take the changed samples for; where classes "
        "look alike, others learn the change, and what they still doubt is a change of meaning.",
        tables=(
            Table(
                title="Operations one by one, each at an end of its range",
                columns=("operation", "asked", "verdict", "allowed", "looks like", "still doubted"),
                rows=tuple(rows),
                caption="`turn`: the flips together, a turn by 180 degrees." if "turn" in names else "",
            ),
        ),
    )
