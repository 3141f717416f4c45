"""Does another setting of the training do better? Any hyperparameters against each other, paired by seed."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from pydantic import JsonValue

from shoal.comparison import Compared, Design, Estimate, Level
from shoal.comparison import run as compare
from shoal.comparison.paired import gain_said, mean, score_said
from shoal.core.dimensions import DIMENSIONS
from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.core.names import did_you_mean
from shoal.core.wording import count
from shoal.experiment import Architecture, Threads
from shoal.population import Member
from shoal.studies.record import Number, Picture, Progress, Section, Study, StudyOptions, Table
from shoal.studies.subject import Subject
from shoal.studies.watched import told
from shoal.task import Split

SEEDS, EPOCHS, BATCH = 8, 10, 64
MOST_NETWORKS = 2000
TOGETHER = 0.95  # that all differences lie in their intervals

Setting = tuple[tuple[str, Any], ...]  # names and values, in the order in which they were given
_SIZES = tuple(name for name, of in DIMENSIONS.items() if of.structural)
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
        vary: by name of `Member`, or `width`, `depth`, `batch_size`: the values.

    Returns:
        The study; decisions SHL460 (clearly better), SHL461 (clearly worse) or SHL462 (could be chance), by setting.

    Raises:
        InputError: there is nothing to compare, or a value cannot be trained with.
    """
    settings = _settings(vary)
    folds = [Split(train=subject.fold.train, validation=subject.fold.validation)]
    seeds = [options.seed + k for k in range(options.replicates or SEEDS)]
    if (networks := len(settings) * len(seeds)) > MOST_NETWORKS:
        raise InputError(
            f"{count(len(settings), 'setting')} with {len(seeds)} seeds each are {networks} networks: compare fewer "
            f"than {MOST_NETWORKS}, with fewer values or replicates."
        )
    design = Design(
        levels={setting: _level(dict(setting), architecture, folds) for setting in settings},
        seeds=seeds,
        loss=subject.task.loss,
        epochs=options.epochs or EPOCHS,
        batch_size=BATCH,
        order_seed=options.seed,
    )
    compared = yield from told(compare(design, Threads(options.device)), said)
    return _study(subject, options, compared, settings)


def said(setting: Setting) -> str:
    """A setting in words."""
    return ", ".join(f"{name} {value}" for name, value in setting)


def _settings(vary: Mapping[str, Sequence[Any]]) -> list[Setting]:
    for name, values in vary.items():
        if name not in NAMES:
            near = did_you_mean(name, NAMES)
            raise InputError(f"`{name}` cannot be varied" + (near or f"; what can: {', '.join(NAMES)}"))
        if isinstance(values, str) or not values:
            raise InputError(f"vary needs the values of `{name}` as a list, such as {name}=[..., ...]")
    settings = [tuple(zip(vary, values, strict=True)) for values in product(*vary.values())]
    if len(settings) < 2:
        raise InputError("There is one setting, and nothing to compare it with: vary needs two values at least.")
    twice = next((each for k, each in enumerate(settings) if each in settings[:k]), None)
    if twice is not None:
        raise InputError(f"The setting {said(twice)} stands twice in what is to be compared: leave one out.")
    return settings


def _level(values: Mapping[str, Any], architecture: Architecture, folds: Sequence[Split]) -> Level:
    member = Member(**{name: value for name, value in values.items() if name not in _SIZES})
    member.hyper()  # refuses what the optimizer has not
    sizes = {name: _size(name, value) for name, value in values.items() if name in _SIZES}
    batch_size = sizes.pop("batch_size", None)
    if missing := [name for name in sizes if name not in architecture.sizes()]:
        raise InputError(f"The network has no {missing[0]} that can be set: vary {missing[0]} of Shoal's own networks.")
    network = architecture.resized(**sizes) if sizes else architecture
    return Level(member, lambda split: network, folds, batch_size)


def _size(name: str, value: Any) -> int:
    try:
        size = int(value)
        if size == float(value) and DIMENSIONS[name].allows(size):
            return size
    except (TypeError, ValueError):
        pass
    raise InputError(f"{name} cannot be {value!r}: it is a whole number {DIMENSIONS[name].said()}.")


# --- reading ----------------------------------------------------------------------------------------------------------


def _study(subject: Subject, options: StudyOptions, compared: Compared, settings: Sequence[Setting]) -> Study:
    design, metric = compared.design, subject.task.metric
    first, *others = settings
    confidence = 1 - (1 - TOGETHER) / len(others)
    gains = {each: compared.gain(each, first, confidence) for each in others}
    best = max(settings, key=lambda each: np.nan_to_num(_mean(compared, each).value, nan=-np.inf))
    return Study(
        name="settings",
        title="Comparison",
        source=subject.task.dataset.source,
        answer=_answer(subject, gains, first, metric),
        numbers=(
            Number(label="Best mean", value=_score(compared, best, metric), note=said(best)),
            Number(label="Compared with", value=_score(compared, first, metric), note=said(first)),
            Number(label="Networks trained", value=str(design.networks), note=f"{len(design.seeds)} seeds"),
        ),
        decisions=tuple(_decision(each, first, gain, metric, design) for each, gain in gains.items()),
        sections=(_section(compared, settings, gains, metric),),
        seed=options.seed,
        networks_trained=design.networks,
    )


def _mean(compared: Compared, setting: Setting) -> Estimate:
    return mean(compared.by_seed(setting))


def _score(compared: Compared, setting: Setting, metric: str) -> str:
    found = _mean(compared, setting).value
    return score_said(found, metric) if np.isfinite(found) else "diverged"


def _answer(subject: Subject, gains: Mapping[Setting, Estimate], first: Setting, metric: str) -> str:
    clear = {each: gain for each, gain in gains.items() if gain.clear}
    name = f"On `{subject.task.dataset.name}`"
    if not clear:
        return f"{name}, no setting differs from {said(first)} by more than chance."
    better, worse = (sum(1 for gain in clear.values() if (gain.low > 0) == wanted) for wanted in (True, False))
    most = max(clear, key=lambda each: clear[each].value if better else -clear[each].value)
    word = "better" if better else "worse"
    rest = f" Of {count(len(gains), 'setting')}, {better} did better, {worse} worse." if len(gains) > 1 else ""
    lead = gain_said(clear[most], metric)
    return f"{name}, on this split, {said(most)} is {word} than {said(first)} by {lead}.{rest}"


def _decision(setting: Setting, first: Setting, gain: Estimate, metric: str, design: Design) -> Finding:
    evidence: dict[str, JsonValue] = {
        "setting": dict(setting),
        "compared_with": dict(first),
        "difference": gain.value,
        "interval": [gain.low, gain.high],
        "seeds": gain.n,
        "epochs": design.epochs,
        "together": TOGETHER,
    }
    if not gain.n:
        return Finding(
            code="SHL461", level="note", sentence=f"{said(setting)}: every training diverged.", evidence=evidence
        )
    words = gain_said(gain, metric)
    if gain.low > 0:
        return Finding(
            code="SHL460",
            level="note",
            sentence=f"{said(setting)}: clearly better than {said(first)}, by {words}.",
            evidence=evidence,
            fix=f"train with {said(setting)}",
        )
    if gain.high < 0:
        sentence = f"{said(setting)}: clearly worse than {said(first)}, by {words}."
        return Finding(code="SHL461", level="note", sentence=sentence, evidence=evidence)
    sentence = f"{said(setting)}: {words} against {said(first)}, which could be chance."
    return Finding(code="SHL462", level="fine", sentence=sentence, evidence=evidence)


def _section(
    compared: Compared, settings: Sequence[Setting], gains: Mapping[Setting, Estimate], metric: str
) -> Section:
    share, seeds = metric == "accuracy", len(compared.design.seeds)
    rows = tuple(
        (
            said(each),
            _score(compared, each, metric),
            "" if each not in gains else gain_said(gains[each], metric),
            f"{np.isnan(compared.by_seed(each)).mean():.0%}",
        )
        for each in settings
    )
    finite = {each: gain for each, gain in gains.items() if np.isfinite([gain.low, gain.high]).all()}
    data: list[JsonValue] = [
        {"name": said(each), "value": gain.value, "low": gain.low, "high": gain.high} for each, gain in finite.items()
    ]
    pictures = (
        Picture(
            kind="differences",
            title=f"Paired differences from {said(settings[0])}",
            caption=f"Dots: means over {seeds} seeds; lines: intervals that hold together with {TOGETHER:.0%}.",
            data={"rows": data, "percent": share, "label": f"{'points of ' if share else ''}{metric}"},
        ),
    )
    return Section(
        question=f"Is it better than {said(settings[0])}?",
        answer=f"{count(seeds, 'seed')} of each setting after {count(compared.design.epochs, 'epoch')}, on the same "
        "batches of one split: the intervals hold for this split, and another one may differ by more. What is not "
        "varied has its usual value, the learning rate too.",
        tables=(
            Table(
                title=f"Validation {metric} by setting",
                columns=("setting", "mean", "against the first", "diverged"),
                rows=rows,
            ),
        ),
        pictures=pictures if data else (),
    )
