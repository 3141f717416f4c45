"""Does another setting of the training do better? Any hyperparameters against each other, paired by seed."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any, Literal

import numpy as np
from pydantic import JsonValue

from shoal.comparison import Compared, Design, Estimate, Level
from shoal.comparison import run as compare
from shoal.comparison.paired import gain_said, mean, score_said
from shoal.core.dimensions import DIMENSIONS, Value
from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.core.events import Level as Severity
from shoal.core.names import did_you_mean
from shoal.core.wording import count
from shoal.experiment import Architecture, Threads, check_memory
from shoal.population import Member
from shoal.population.member import check
from shoal.prepare.pixels import pixels as pixels_of
from shoal.studies.record import Number, Picture, Progress, Section, Study, StudyOptions, Table
from shoal.studies.subject import Subject
from shoal.studies.watched import told
from shoal.task import Split

SEEDS, EPOCHS, BATCH = 8, 10, 64
MOST_NETWORKS = 2000
TOGETHER = 0.95  # that all differences lie in their intervals

Setting = tuple[tuple[str, Value | bool | tuple[float, ...] | None], ...]
"""Names and values of what differs, in the order given."""

_SIZES = tuple(name for name, of in DIMENSIONS.items() if of.structural)
_MOVES_SAMPLES = ("augment", "mixup", "cutmix", "cutout")
_ELSEWHERE = {"model": "give it as model=, or --model", "seed": "replicates, or --replicates, are seeds"}
NAMES = (*(name for name in Member.model_fields if name != "seed"), *_SIZES)


def run(
    subject: Subject, options: StudyOptions, architecture: Architecture, vary: Mapping[str, Sequence[Any]]
) -> Generator[Progress, None, Study]:
    """Train every combination of the values with every seed, and compare each with the first.

    All are trained on the same batches, from the same initial weights where the network is the same, so that what a
    seed decides cancels in a difference. The first value of each name makes the setting that the others are compared
    with.

    Args:
        subject: the rows; the test rows stay sealed.
        options: `seed`, `replicates` (8 seeds), `epochs` (10).
        architecture: of the networks.
        vary: as `plain` returns it.

    Returns:
        The study; decisions by setting: SHL460 (clearly better), SHL461 (clearly worse, or every training diverged),
        SHL462 (could be chance, or makes no difference), SHL463 (some trainings diverged).

    Raises:
        InputError: there is nothing to compare, or a value cannot be trained with.
    """
    replicates = options.replicates or SEEDS
    settings, common = _settings(vary, replicates)
    fold = subject.fold
    pixels = None
    if any(name in vary for name in _MOVES_SAMPLES) and subject.task.kind != "table":
        pixels = pixels_of(fold.preparation, subject.task.dataset, fold.plan.train)
    folds = [Split(train=fold.train, validation=fold.validation, pixels=pixels)]
    design = Design(
        levels={each: _level({**common, **dict(each)}, architecture, folds, replicates) for each in settings},
        seeds=[(options.seed + k) % 2**63 for k in range(replicates)],
        loss=subject.task.loss,
        epochs=options.epochs or EPOCHS,
        batch_size=BATCH,
        order_seed=options.seed,
    )
    compared = yield from told(compare(design, Threads(options.device)), said)
    return _study(subject, options, compared, settings, common)


def plain(vary: Any) -> dict[str, list[Any]]:
    """What is to be varied as plain values, which JSON and a command can hold.

    Args:
        vary: the values by name of `Member`, or `width`, `depth`, `batch_size`.

    Raises:
        InputError: a name or a value cannot be read.
    """
    if not isinstance(vary, Mapping) or not all(isinstance(name, str) for name in vary):
        raise InputError('vary needs a dict of names and their values, such as {"optimizer": ["sgd", "adam"]}.')
    found: dict[str, list[Any]] = {}
    for name, values in vary.items():
        if name not in NAMES:
            near = f"; {_ELSEWHERE[name]}" if name in _ELSEWHERE else did_you_mean(name, NAMES)
            raise InputError(f"`{name}` cannot be varied" + (near or f"; what can: {', '.join(NAMES)}"))
        if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
            raise InputError(f"vary needs the values of `{name}` as a list, such as {name}=[..., ...]")
        found[name] = [_value(name, value) for value in values]
        if not found[name]:
            raise InputError(f"vary needs the values of `{name}` as a list, such as {name}=[..., ...]")
    return found


def said(setting: Setting) -> str:
    """A setting in words."""
    return ", ".join(f"{name} {value:.4g}" if type(value) is float else f"{name} {value}" for name, value in setting)


def _value(name: str, value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if name in _SIZES:
        return _size(name, value)
    if value == "":
        raise InputError(f"{name} has an empty value among those to compare: take it out.")
    read = getattr(Member(**{name: value}), name)
    return read if isinstance(read, str | int | float | tuple | None) else str(read)


def _size(name: str, value: Any) -> int:
    try:
        size = int(value)
        if not isinstance(value, bool) and size == float(value) and DIMENSIONS[name].allows(size):
            return size
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"{name} cannot be {value!r}: it is a whole number {DIMENSIONS[name].said()}.")


def _settings(vary: Mapping[str, Sequence[Any]], replicates: int) -> tuple[list[Setting], dict[str, Any]]:
    """The settings, and what they have in common."""
    for name, values in vary.items():
        twice = next((value for k, value in enumerate(values) if value in values[:k]), None)
        if twice is not None:
            raise InputError(f"{said(((name, twice),))} stands twice in what is to be compared: leave one out.")
    common = {name: values[0] for name, values in vary.items() if len(values) == 1}
    varied = {name: values for name, values in vary.items() if len(values) > 1}
    if not varied:
        raise InputError("There is one setting, and nothing to compare it with: vary needs two values at least.")
    combinations = prod(map(len, varied.values()))
    if combinations * replicates > MOST_NETWORKS:
        raise InputError(
            f"{count(combinations, 'setting')} with {replicates} seeds each are {combinations * replicates} networks: "
            f"compare {MOST_NETWORKS} at most, with fewer values or replicates."
        )
    return [tuple(zip(varied, values, strict=True)) for values in product(*varied.values())], common


def _level(values: Mapping[str, Any], architecture: Architecture, folds: Sequence[Split], replicates: int) -> Level:
    member = Member(**{name: value for name, value in values.items() if name not in _SIZES})
    try:
        check((member,))
    except InputError as error:
        hint = "" if "optimizer" in values else " Or say which optimizer, with one value: optimizer=nesterov."
        sentence = str(error).removeprefix("Member 0: ").replace(" for this member", "")
        raise InputError(f"{sentence}{hint}") from None
    sizes = {name: value for name, value in values.items() if name in _SIZES}
    batch_size = sizes.pop("batch_size", None)
    if missing := [name for name in sizes if name not in architecture.sizes()]:
        has = ", ".join(architecture.sizes()) or "no size"
        raise InputError(f"This network has no {missing[0]} that can be set; what it has: {has}.")
    network = architecture.resized(**sizes) if sizes else architecture
    if sizes:
        check_memory(network, replicates, said(tuple(sizes.items())))
    return Level(member, lambda split: network, folds, batch_size)


# --- reading ----------------------------------------------------------------------------------------------------------


def _study(
    subject: Subject,
    options: StudyOptions,
    compared: Compared,
    settings: Sequence[Setting],
    common: Mapping[str, Any],
) -> Study:
    design, metric = compared.design, subject.task.metric
    first, *others = settings
    confidence = 1 - (1 - TOGETHER) / len(others)
    found = [_against(compared, each, first, confidence, metric, len(subject.fold.validation)) for each in others]
    better, worse = (sum(each.verdict == word for each in found) for word in ("better", "worse"))
    return Study(
        name="settings",
        title="Comparison",
        source=subject.task.dataset.source,
        answer=_answer(subject, found, first, metric),
        numbers=(
            Number(label="Compared with", value=_score(compared, first, metric), note=said(first)),
            Number(label="Clearly better", value=f"{better} of {len(found)}", note="settings"),
            Number(label="Clearly worse", value=f"{worse} of {len(found)}", note="settings"),
            Number(label="Networks trained", value=str(design.networks), note=f"{len(design.seeds)} seeds"),
        ),
        decisions=tuple(_decision(each, first, metric, design) for each in found),
        sections=(_section(compared, settings, common, found, metric),),
        seed=options.seed,
        networks_trained=design.networks,
    )


@dataclass(frozen=True)
class Against:
    """A setting against the first one."""

    setting: Setting
    gain: Estimate  # over the seeds with which neither diverged
    diverged: int  # trainings of the setting that did
    first_diverged: int
    same: bool  # every network came out as that of the first setting

    @property
    def verdict(self) -> Literal["better", "worse", "no difference", "chance", "diverged"]:
        """What can be said of it."""
        if self.same:
            return "no difference"
        if self.diverged or self.first_diverged:
            return "diverged"
        if not self.gain.clear:
            return "chance"
        return "better" if self.gain.low > 0 else "worse"


def _against(
    compared: Compared, setting: Setting, first: Setting, confidence: float, metric: str, rows: int
) -> Against:
    gain = compared.gain(setting, first, confidence)
    if metric == "accuracy" and gain.n:  # one row more or less is no finding, and no share leaves 0 to 1
        low, high = min(gain.low, gain.value - 1 / rows), max(gain.high, gain.value + 1 / rows)
        gain = replace(gain, low=max(low, -1.0), high=min(high, 1.0))
    lost, first_lost = (int(np.isnan(compared.by_seed(each)).sum()) for each in (setting, first))
    same = np.array_equal(compared.loss[setting], compared.loss[first], equal_nan=True)
    return Against(setting, gain, lost, first_lost, bool(same and not lost))


def _score(compared: Compared, setting: Setting, metric: str) -> str:
    found = mean(compared.by_seed(setting)).value
    return score_said(found, metric) if np.isfinite(found) else "diverged"


def _answer(subject: Subject, found: Sequence[Against], first: Setting, metric: str) -> str:
    name = f"On `{subject.task.dataset.name}`, on this split,"
    clear = [each for each in found if each.verdict in ("better", "worse")]
    lost = [each for each in found if each.diverged]
    if found[0].first_diverged:
        return f"{name} trainings with {said(first)} diverged, so that nothing can be compared with it."
    rest = f" Trainings of {count(len(lost), 'setting')} diverged." if lost else ""
    if not clear:
        return f"{name} no setting differs from {said(first)} by more than chance.{rest}"
    better = sum(each.verdict == "better" for each in clear)
    most = max(clear, key=lambda each: each.gain.value if better else -each.gain.value)
    counted = f" Of {len(found)} settings, {better} did clearly better, {len(clear) - better} worse."
    return (
        f"{name} {said(most.setting)} is {most.verdict} than {said(first)}: {gain_said(most.gain, metric)}."
        f"{counted if len(found) > 1 else ''}{rest}"
    )


def _decision(of: Against, first: Setting, metric: str, design: Design) -> Finding:
    gain, seeds = of.gain, len(design.seeds)
    evidence: dict[str, JsonValue] = {
        "setting": _document(of.setting),
        "compared_with": _document(first),
        "difference": gain.value,
        "interval": [gain.low, gain.high],
        "seeds": seeds,
        "pairs": gain.n,
        "diverged": of.diverged,
        "diverged_of_the_first": of.first_diverged,
        "epochs": design.epochs,
        "together": TOGETHER,
    }
    code, level, sentence, fix = _sentence(of, first, metric, seeds)
    return Finding(code=code, level=level, sentence=f"{said(of.setting)}: {sentence}.", evidence=evidence, fix=fix)


def _document(setting: Setting) -> dict[str, JsonValue]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in setting}


def _sentence(of: Against, first: Setting, metric: str, seeds: int) -> tuple[str, Severity, str, str]:
    """Code, level, the sentence after the setting's name, and what to do."""
    against, words = said(first), gain_said(of.gain, metric)
    if of.verdict == "no difference":
        return "SHL462", "note", f"makes no difference here: every network came out as with {against}", ""
    if of.verdict == "diverged":
        if of.diverged == seeds:
            return "SHL461", "note", "every training diverged", ""
        left = f"; the {count(of.gain.n, 'pair')} left differ by {words}" if of.gain.n > 1 else ""
        lost = f"{of.diverged} of {seeds} trainings diverged, and {of.first_diverged} with {against}"
        return "SHL463", "warning", f"{lost}{left}", "Lower the learning rate, and compare again."
    if of.verdict == "better":
        return "SHL460", "note", f"clearly better than {against}, {words}", f"Train with {said(of.setting)}."
    if of.verdict == "worse":
        return "SHL461", "note", f"clearly worse than {against}, {words}", ""
    return "SHL462", "fine", f"{words} against {against}, which could be chance", ""


def _section(
    compared: Compared, settings: Sequence[Setting], common: Mapping[str, Any], found: Sequence[Against], metric: str
) -> Section:
    share, seeds = metric == "accuracy", len(compared.design.seeds)
    gains = {each.setting: each.gain for each in found if each.verdict != "diverged" and np.isfinite(each.gain.high)}
    rows = tuple(
        (
            said(each),
            _score(compared, each, metric),
            gain_said(gains[each], metric) if each in gains else "",
            f"{np.isnan(compared.by_seed(each)).mean():.0%}",
        )
        for each in settings
    )
    data: list[JsonValue] = [
        {"name": said(each), "value": gain.value, "low": gain.low, "high": gain.high} for each, gain in gains.items()
    ]
    pictures = (
        Picture(
            kind="differences",
            title=f"Paired differences from {said(settings[0])}",
            caption=f"Dots: means over {seeds} seeds; lines: intervals that hold together with {TOGETHER:.0%}.",
            data={"rows": data, "percent": share, "label": f"{'points of ' if share else ''}{metric}"},
        ),
    )
    alike = f" All have {said(tuple(common.items()))}." if common else ""
    return Section(
        question=f"Is it better than {said(settings[0])}?",
        answer=f"{count(seeds, 'seed')} of each setting after {count(compared.design.epochs, 'epoch')}, on the same "
        f"batches of one split: the intervals hold for this split, and another one may differ by more.{alike} What is "
        "not named has its usual value, the learning rate too.",
        tables=(
            Table(
                title=f"Validation {metric} by setting",
                columns=("setting", "mean", "against the first", "diverged"),
                rows=rows,
            ),
        ),
        pictures=pictures if data else (),
    )
