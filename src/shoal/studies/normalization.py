"""Which normalization lets deeper networks learn, and at which learning rates? Populations paired by seed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, log10

import numpy as np
from pydantic import JsonValue
from torch import nn

from shoal.comparison import Compared, Design, Level
from shoal.comparison import run as compare
from shoal.comparison.paired import Estimate, Floats, difference, gain_said, mean, score_said
from shoal.core.events import Finding
from shoal.experiment import Architecture, Given, Threads
from shoal.nn.normalization import BatchNorm, GroupNorm, InstanceNorm
from shoal.population import Member
from shoal.studies import pictures
from shoal.studies.record import Number, Picture, Progress, Section, Study, StudyOptions, Table
from shoal.studies.subject import Subject, some
from shoal.studies.watched import told
from shoal.task import Split

SEEDS, EPOCHS = 4, 4
LRS = (1e-3, 4e-3, 1.6e-2, 6.3e-2, 0.25, 1.0)
DEPTHS = {"table": (2, 6, 12), "image": (2, 6), "signal": (2, 6), "volume": (2, 4)}
WIDTH, CHANNELS, GROUPS = 64, 16, 4
ROWS, BATCH = 512, 64
USEFUL = 0.9  # of the way from the baseline to the best score of all: what a learning rate must reach

Norm = Callable[[int], nn.Module]
NORMS: Mapping[str, Norm | None] = {
    "none": None,
    "batch": BatchNorm,
    "layer": lambda channels: GroupNorm(1, channels),  # all channels and positions of a row
    "group": lambda channels: GroupNorm(GROUPS, channels),
    "instance": lambda channels: InstanceNorm(channels, affine=True),
}


@dataclass(frozen=True)
class DepthScores:
    """Scores of one depth on validation rows: [learning rates, seeds] by normalization; the baseline where diverged."""

    depth: int
    scores: Mapping[str, Floats]
    diverged: Mapping[str, Floats]  # share of the seeds, by learning rate


def run(subject: Subject, options: StudyOptions) -> Generator[Progress, None, Study]:
    """Train every normalization at every depth and learning rate, all seeds paired, and compare.

    Dense networks for tables; convolutional ones, which alone have positions to take an instance's statistics over,
    for everything else. Momentum SGD, Kaiming's initial weights.

    Args:
        subject: at most 512 training rows are used.
        options: `seed`, `replicates` (4 seeds), `epochs` (4).

    Returns:
        The study; decisions SHL420 (a normalization is clearly better than none) or SHL421 (none is), by depth.
    """
    seeds = [options.seed + k for k in range(options.replicates or SEEDS)]
    names = [name for name in NORMS if name != "instance" or subject.task.kind != "table"]
    depths = DEPTHS[subject.task.kind]
    train = some(subject.fold.train, ROWS, options.seed)
    validation = some(subject.fold.validation, 2 * ROWS, options.seed)
    baseline = subject.task.loss.baseline(train.y, validation.y)
    folds = [Split(train=train, validation=validation)]
    design = Design(
        levels={
            (depth, name, lr): Level(_member(lr), network, folds)
            for depth in depths
            for name in names
            for network in [_network(subject, depth, name)]
            for lr in LRS
        },
        seeds=seeds,
        loss=subject.task.loss,
        epochs=options.epochs or EPOCHS,
        batch_size=BATCH,
    )
    compared = yield from told(compare(design, Threads(options.device)), lambda level: f"{level[0]} layers, {level[1]}")
    results = [_result(compared, depth, names, baseline) for depth in depths]
    return _study(subject, options, results, seeds, baseline, design.networks)


# --- training ---------------------------------------------------------------------------------------------------------


def _member(lr: float) -> Member:
    return Member(optimizer="momentum", momentum=0.9, lr=lr, init="kaiming")


def _network(subject: Subject, depth: int, name: str) -> Callable[[Split], Architecture]:
    """A plain stack of `depth` layers: (dense or convolution), normalization, ReLU; then linear."""
    norm = NORMS[name]

    def dense() -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        size = subject.fold.inputs
        for _ in range(depth):
            layers += [nn.Linear(size, WIDTH), *([norm(WIDTH)] if norm else []), nn.ReLU()]
            size = WIDTH
        return nn.Sequential(*layers, nn.Linear(size, subject.task.outputs))

    def convolutional() -> nn.Module:
        rank = len(subject.fold.shape) - 1
        conv: type[nn.Module] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
        layers: list[nn.Module] = []
        channels, size = subject.fold.shape[0], max(subject.fold.shape[1:])
        for _ in range(depth):
            stride = 2 if size > 8 else 1  # few positions keep the study short
            layers += [conv(channels, CHANNELS, 3, stride=stride, padding=1)]
            layers += [*([norm(CHANNELS)] if norm else []), nn.ReLU()]
            channels, size = CHANNELS, -(-size // stride)
        pool: type[nn.Module] = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[rank - 1]
        return nn.Sequential(*layers, pool(2), nn.Flatten(), nn.Linear(CHANNELS * 2**rank, subject.task.outputs))

    architecture = Given(dense if subject.task.kind == "table" else convolutional, f"{depth} layers, {name}")
    return lambda split: architecture


def _result(compared: Compared, depth: int, names: Sequence[str], baseline: float) -> DepthScores:
    """Validation scores of one depth after the last epoch."""
    scores = {name: np.stack([compared.by_seed((depth, name, lr)) for lr in LRS]) for name in names}
    return DepthScores(
        depth,
        {name: np.where(np.isnan(found), baseline, found) for name, found in scores.items()},
        {name: np.isnan(found).mean(axis=1) for name, found in scores.items()},
    )


# --- reading ----------------------------------------------------------------------------------------------------------


def _best(result: DepthScores, name: str) -> int:
    """The learning rate with the highest mean score."""
    return int(result.scores[name].mean(axis=1).argmax())


def _against_none(result: DepthScores, name: str) -> Estimate:
    """Each at its own best learning rate, seed by seed."""
    return difference(result.scores[name][_best(result, name)], result.scores["none"][_best(result, "none")])


def _decades(result: DepthScores, name: str, top: float, baseline: float) -> Floats:
    """Width of the learning rates that are useful, in decades, by seed."""
    bound = baseline + USEFUL * (top - baseline)
    step = log10(LRS[-1] / LRS[0]) / (len(LRS) - 1)
    return np.asarray((result.scores[name] >= bound).sum(axis=0) * step)


def _study(
    subject: Subject,
    options: StudyOptions,
    results: Sequence[DepthScores],
    seeds: Sequence[int],
    baseline: float,
    networks: int,
) -> Study:
    names = list(results[0].scores)
    top = max(float(r.scores[n].mean(axis=1).max()) for r in results for n in names)
    deepest = results[-1]
    gains = {name: _against_none(deepest, name) for name in names if name != "none"}
    clear = [name for name in gains if gains[name].low > 0]
    winner = max(clear or gains, key=lambda name: gains[name].value)
    gain = gains[winner]
    metric = subject.task.metric
    return Study(
        name="normalization",
        title="Normalization",
        source=subject.task.dataset.source,
        answer=_answer(subject, deepest, winner, gain, metric),
        numbers=(
            Number(label=f"Most gained at {deepest.depth} layers", value=winner, note=_score(deepest, winner, metric)),
            Number(label="Without any", value=_score(deepest, "none", metric), note=f"at {deepest.depth} layers"),
            Number(label="Without a network", value=score_said(baseline, metric)),
            Number(label="Networks trained", value=str(networks), note=f"{len(seeds)} seeds"),
        ),
        decisions=tuple(_decision(result, names, metric, len(seeds)) for result in results),
        sections=(
            _rates_section(results, names, metric, baseline),
            _differences_section(results, names, metric, seeds),
            _width_section(results, names, top, baseline),
        ),
        seed=options.seed,
        networks_trained=networks,
    )


def _score(result: DepthScores, name: str, metric: str) -> str:
    return score_said(float(result.scores[name].mean(axis=1).max()), metric)


def _answer(subject: Subject, result: DepthScores, winner: str, gain: Estimate, metric: str) -> str:
    what = f"With {result.depth} layers on `{subject.task.dataset.name}`"
    if gain.low <= 0:
        return f"{what}, no normalization is clearly better than none: {gain_said(gain, metric)} for {winner}."
    lead = gain_said(gain, metric)
    return f"{what}, {winner} normalization is better than none by {lead}, each at its best learning rate."


def _decision(result: DepthScores, names: Sequence[str], metric: str, seeds: int) -> Finding:
    gains = {name: _against_none(result, name) for name in names if name != "none"}
    better = [name for name, gain in gains.items() if gain.low > 0]
    best = max(better or gains, key=lambda name: gains[name].value)
    evidence: dict[str, JsonValue] = {
        "difference": {name: gain.value for name, gain in gains.items()},
        "interval_95": {name: [gain.low, gain.high] for name, gain in gains.items()},
        "best_lr": {name: LRS[_best(result, name)] for name in names},
        "seeds": seeds,
        "threshold": "an interval above 0",
    }
    if better:
        return Finding(
            code="SHL420",
            level="note",
            sentence=f"{result.depth} layers: {', '.join(better)} clearly above none; {best} by "
            f"{gain_said(gains[best], metric)}.",
            evidence=evidence,
            fix=f"normalize by {best}, at lr about {LRS[_best(result, best)]:g}",
        )
    return Finding(
        code="SHL421",
        level="fine",
        sentence=f"{result.depth} layers: no normalization clearly above none; {best} by "
        f"{gain_said(gains[best], metric)}, which could be chance.",
        evidence=evidence,
    )


def _rates_section(results: Sequence[DepthScores], names: Sequence[str], metric: str, baseline: float) -> Section:
    within = (0.0, 1.0) if metric == "accuracy" else (-inf, 1.0)
    panels = {
        f"{r.depth} layers": [pictures.series(name, LRS, r.scores[name].T, within=within) for name in names]
        for r in results
    }
    data = pictures.curves(
        panels,
        {"label": "learning rate", "log": True},
        {"label": metric, "percent": metric == "accuracy", "include": [baseline]},
    )
    data["rules"] = [{"at": baseline, "say": "without a network"}]
    rows = tuple(
        (
            str(r.depth),
            name,
            *(f"{v:.3f}" for v in r.scores[name].mean(axis=1)),
            f"{r.diverged[name].mean():.0%}",
        )
        for r in results
        for name in names
    )
    return Section(
        question="At which learning rates does each learn?",
        answer="All on the same batches, with the same seeds. A high line is good; a wide one forgives a learning rate "
        "that was chosen badly. What diverged counts as no network.",
        pictures=(
            Picture(
                kind="curves",
                title="Validation score by learning rate",
                caption="Means over the seeds with their 95 % band; one panel for each depth.",
                data=data,
            ),
        ),
        tables=(
            Table(
                title=f"Mean validation {metric}",
                columns=("layers", "normalization", *(f"lr {lr:g}" for lr in LRS), "diverged"),
                rows=rows,
            ),
        ),
    )


def _differences_section(
    results: Sequence[DepthScores], names: Sequence[str], metric: str, seeds: Sequence[int]
) -> Section:
    found = [(r, name, _against_none(r, name)) for r in results for name in names if name != "none"]
    rows: list[JsonValue] = [
        {"name": f"{r.depth} layers, {name}", "value": e.value, "low": e.low, "high": e.high} for r, name, e in found
    ]
    share = metric == "accuracy"
    return Section(
        question="Is it better than none?",
        answer=f"Each at its own best learning rate, which was chosen on the same {len(seeds)} seeds, so that all are "
        "flattered alike. Differences are taken seed by seed; grey is what could be chance.",
        pictures=(
            Picture(
                kind="differences",
                title="Paired differences from no normalization",
                caption="Dots: means over the seeds; lines: 95 % intervals. Right of the dashed line is better.",
                data={"rows": rows, "percent": share, "label": f"{'points of ' if share else ''}{metric}"},
            ),
        ),
    )


def _width_section(results: Sequence[DepthScores], names: Sequence[str], top: float, baseline: float) -> Section:
    rows: list[tuple[JsonValue, ...]] = []
    for r in results:
        plain = _decades(r, "none", top, baseline)
        for name in names:
            width = _decades(r, name, top, baseline)
            gain = difference(width, plain)
            against = "" if name == "none" else f"{gain.value:+.1f} ({gain.low:+.1f} to {gain.high:+.1f})"
            rows.append((str(r.depth), name, f"{mean(width).value:.2f}", against))
    return Section(
        question="How much does the learning rate forgive?",
        answer=f"Decades of learning rates that reach {USEFUL:.0%} of the way from the score without a network to the "
        "best of all, out of the three decades tried.",
        tables=(
            Table(
                title="Width of the useful range",
                columns=("layers", "normalization", "decades", "more than none (95 % interval)"),
                rows=tuple(rows),
            ),
        ),
    )
