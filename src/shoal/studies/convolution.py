"""What does a convolution do, and what do its kernels learn? Shown on one's own data, and one's own picture."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import JsonValue
from torch import Tensor, nn

from shoal.comparison.paired import Floats, mean
from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.core.wording import count
from shoal.data.images import decode
from shoal.data.reading import existing
from shoal.experiment import Given, Job, Threads, Training
from shoal.nn.normalization import BatchNorm
from shoal.population import Member, Population
from shoal.studies import kernels, pictures
from shoal.studies.kernels import Check, Count
from shoal.studies.record import Number, Picture, Progress, Section, Study, StudyOptions, Table
from shoal.studies.subject import Subject, some
from shoal.task import Part, Split

SEEDS, EPOCHS = 4, 6
ROWS, BATCH = 1024, 64
CHANNELS, SIDE = 8, 5  # of the first layer: kernels large enough to be looked at
LARGEST = 192  # pixels of the user's picture that are shown
LEARNED = 0.1  # change of the first kernels, as a share of their size, below which they have hardly moved


@dataclass(frozen=True)
class Kernels:
    """A population's first layer before and after, [R, O, C, *kernel], and its validation scores."""

    before: Floats
    after: Floats
    score_before: Floats  # [R]
    score_after: Floats

    @property
    def change(self) -> Floats:
        """||after - before|| / ||before|| of each network."""
        gap = (self.after - self.before).reshape(len(self.before), -1)
        return np.asarray(np.linalg.norm(gap, axis=1) / np.linalg.norm(self.before.reshape(len(gap), -1), axis=1))


def run(subject: Subject, options: StudyOptions) -> Generator[Progress, None, Study]:
    """Check what defines a convolution, count weights, blur and find edges, and look at learned kernels.

    Args:
        subject: images, signals or volumes.
        options: `image` (a picture of the user's own), `seed`, `replicates` (4 networks), `epochs` (6).

    Returns:
        The study; decisions SHL430/431 (the properties hold or not) and SHL432/433 (the kernels moved or hardly).

    Raises:
        InputError: a table, whose columns have no neighbours; rows too small; a picture that cannot be read.
    """
    if subject.task.kind == "table":
        raise InputError(
            f"{subject.task.dataset.source} is a table, whose columns have no neighbours: "
            "give images, signals or volumes, such as `digits`."
        )
    if min(subject.fold.shape[1:]) < SIDE:
        shape = list(subject.fold.shape)
        raise InputError(f"rows of shape {shape} are smaller than the {SIDE}-wide kernels of this study.")
    picture = _own_picture(options.image)
    yield Progress(done=0.0, doing="linearity and shifts")
    part, held = some(subject.fold.train, ROWS, options.seed), some(subject.fold.validation, 2 * ROWS, options.seed)
    checks, counts = kernels.checks(part.x[:32], options.seed), kernels.counts(subject.fold.shape)
    yield Progress(done=0.1, doing="blur and edges")
    shown = _filters(subject, part, picture)
    seeds = [options.seed + k for k in range(options.replicates or SEEDS)]
    trained = yield from _training(subject, part, held, seeds, options)
    return _study(subject, options, checks, counts, shown, trained)


def _own_picture(path: str | None) -> NDArray[np.uint8] | None:
    """The user's picture in grey, its longer side at most 192 pixels."""
    if path is None:
        return None
    file = existing(path)
    try:
        with Image.open(file) as opened:  # the header alone; what is in it is checked when it is decoded
            width, height = opened.size
    except Exception as error:  # whatever a hostile file makes the decoder raise
        raise InputError(f"{path} cannot be read as a picture: give a PNG or JPEG file.") from error
    scale = min(1.0, LARGEST / max(width, height))
    size = max(8, round(width * scale)), max(8, round(height * scale))
    return np.asarray(decode([file], "L", size)[0][0], dtype=np.uint8)


# --- training ---------------------------------------------------------------------------------------------------------


def _network(subject: Subject) -> Callable[[], nn.Module]:
    """Two convolutions, the first with kernels of 5; then linear."""
    rank = len(subject.fold.shape) - 1
    conv: type[nn.Module] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    pool: type[nn.Module] = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[rank - 1]
    stride = 2 if max(subject.fold.shape[1:]) > 16 else 1

    def make() -> nn.Module:
        return nn.Sequential(
            conv(subject.fold.shape[0], CHANNELS, SIDE, padding=SIDE // 2, stride=stride, bias=False),
            BatchNorm(CHANNELS),
            nn.ReLU(),
            conv(CHANNELS, 2 * CHANNELS, 3, padding=1, stride=2, bias=False),
            BatchNorm(2 * CHANNELS),
            nn.ReLU(),
            pool(4),
            nn.Flatten(),
            nn.Linear(2 * CHANNELS * 4**rank, subject.task.outputs),
        )

    return make


def _first(population: Population) -> Floats:
    first = population.template.layout.views(population.theta)["0.weight"]
    return np.array(first.detach().double().cpu().numpy())


def _training(
    subject: Subject, part: Part, held: Part, seeds: Sequence[int], options: StudyOptions
) -> Generator[Progress, None, Kernels]:
    members = [Member(seed=seed, optimizer="adam", lr=3e-3) for seed in seeds]
    make_net, epochs = _network(subject), options.epochs or EPOCHS
    untrained = Population(make_net, members, loss=subject.task.loss, device=options.device)
    job = Job(Given(make_net, "two convolutions"), tuple(members), subject.task.loss, epochs, BATCH)
    with Training(job, [Split(train=part, validation=held)], Threads(options.device)) as training:
        for record in training:
            yield Progress(done=0.1 + 0.9 * record.epoch / epochs, doing=f"{len(seeds)} networks, epoch {record.epoch}")
    trained = training.trained
    _, start = untrained.evaluate(held.x, held.y)
    return Kernels(_first(untrained), _first(trained.population), start, trained.last.validation_score)


# --- reading ----------------------------------------------------------------------------------------------------------


def _study(
    subject: Subject,
    options: StudyOptions,
    checks: Sequence[Check],
    counts: Sequence[Count],
    shown: Picture,
    trained: Kernels,
) -> Study:
    fewer = counts[0].dense / counts[0].convolution
    change = mean(trained.change)
    metric = subject.task.metric
    after = mean(trained.score_after)
    said = f"{100 * after.value:.1f} %" if metric == "accuracy" else f"{after.value:.3f}"
    return Study(
        name="convolution",
        title="Convolution",
        source=subject.task.dataset.source,
        answer=f"On rows of `{subject.task.dataset.name}` a convolution is linear and shifts commute with it, with "
        f"{fewer:,.0f} times fewer weights than a dense layer; training moved its first kernels by {change.value:.0%} "
        "of their size.",
        numbers=(
            Number(
                label="Weights, 3-wide kernels", value=f"{counts[0].convolution:,}", note="16 channels, with biases"
            ),
            Number(label="Weights, dense", value=f"{counts[0].dense:,}", note="the same inputs and outputs"),
            Number(label="Kernels moved by", value=f"{change.value:.0%}", note=_interval(change.low, change.high)),
            Number(label=f"Validation {metric}", value=said, note="after training"),
        ),
        decisions=(_property_decision(checks), _kernel_decision(trained, metric)),
        sections=(
            _properties_section(checks),
            _counts_section(subject, counts),
            Section(question="What do hand-made kernels do?", answer=_FILTERS, pictures=(shown,)),
            _kernels_section(trained, metric),
        ),
        seed=options.seed,
        networks_trained=len(trained.before),
    )


_FILTERS = (
    "A kernel of equal positive numbers averages neighbours and blurs; one whose numbers add up to 0 answers only "
    "where neighbours differ, and finds edges. The same few numbers are used at every place."
)


def _interval(low: float, high: float) -> str:
    return f"95% interval {low:.0%} to {high:.0%}" if np.isfinite(low) else "one network"


def _property_decision(checks: Sequence[Check]) -> Finding:
    wanted = [check for check in checks if "ReLU" not in check.name]
    failed = [check.name for check in wanted if not check.holds]
    evidence: dict[str, JsonValue] = {
        "relative_error": {check.name: check.convolution for check in checks},
        "dense_layer": {check.name: check.dense for check in checks if np.isfinite(check.dense)},
        "threshold": kernels.EXACT,
    }
    if failed:
        return Finding(
            code="SHL431",
            level="problem",
            sentence=f"The convolution fails at: {', '.join(failed)}.",
            evidence=evidence,
            fix="Report it: these hold for every convolution.",
        )
    return Finding(
        code="SHL430",
        level="fine",
        sentence="Linear, and shifts commute with it: the largest relative error is "
        f"{max(c.convolution for c in wanted):.1e} (rounding; threshold {kernels.EXACT:.0e}).",
        evidence=evidence,
    )


def _kernel_decision(trained: Kernels, metric: str) -> Finding:
    change, gain = mean(trained.change), mean(trained.score_after - trained.score_before)
    evidence: dict[str, JsonValue] = {
        "change": change.value,
        "interval_95": [change.low, change.high],
        "threshold": LEARNED,
        f"{metric}_before": mean(trained.score_before).value,
        f"{metric}_after": mean(trained.score_after).value,
        "gain_interval_95": [gain.low, gain.high],
        "networks": change.n,
    }
    moved = change.value > LEARNED
    return Finding(
        code="SHL432" if moved else "SHL433",
        level="fine" if moved else "note",
        sentence=f"Training moved the first kernels by {change.value:.0%} of their size "
        f"({_interval(change.low, change.high)}; {'more' if moved else 'less'} than {LEARNED:.0%}).",
        evidence=evidence,
        fix="" if moved else "train longer, or at a higher learning rate",
    )


def _properties_section(checks: Sequence[Check]) -> Section:
    before = [None, *(check.means for check in checks)]
    rows = tuple(
        (
            check.name,
            check.convolution,
            None if np.isnan(check.dense) else check.dense,
            "" if check.means == said else check.means,
        )
        for check, said in zip(checks, before[:-1], strict=True)
    )
    return Section(
        question="Is it linear, and do shifts commute with it?",
        answer="Relative errors on 32 rows of your data, in float64: about 1e-16 is rounding, about 1 is something "
        "else altogether. What moves in the picture moves alike in the output: nothing is learned anew for each place.",
        tables=(Table(title="By property", columns=("property", "convolution", "dense layer", "meaning"), rows=rows),),
    )


def _counts_section(subject: Subject, counts: Sequence[Count]) -> Section:
    def sized(shape: tuple[int, ...]) -> str:
        return " x ".join(map(str, shape))

    rows = tuple(
        (
            c.kernel,
            sized(subject.fold.shape),
            sized(c.outputs),
            c.convolution,
            c.dense,
            f"{c.dense / c.convolution:,.0f}",
        )
        for c in counts
    )
    return Section(
        question="How many weights does it save?",
        answer=f"A dense layer joins each of {count(prod(subject.fold.shape), 'input')} to each output; a kernel joins "
        "an output to its neighbours, and is the same everywhere. A kernel spans all channels of the input.",
        tables=(
            Table(
                title="Weights and biases",
                columns=("kernel", "input", "output", "convolution", "dense", "times fewer"),
                rows=rows,
                caption="Output size: n - k + 1 without padding.",
            ),
        ),
    )


def _filters(subject: Subject, part: Part, picture: NDArray[np.uint8] | None) -> Picture:
    """The kernels over the user's picture, or over the first row of the data."""
    if picture is None and subject.task.kind == "signal":
        signal = part.x[0, 0].double().numpy()
        places = [float(k) for k in range(len(signal))]
        lines: list[dict[str, JsonValue]] = [{"name": "the signal", "points": _points(places, signal)}]
        for name, kernel in kernels.SIGNAL_KERNELS.items():
            lines.append({"name": name, "points": _points(places, kernels.filtered(signal, kernel))})
        return Picture(
            kind="curves",
            title="Kernels over a signal of your data",
            caption="The blur follows the signal without its noise; the differences answer where it rises and falls.",
            data=pictures.curves({"": lines}, {"label": "place"}, {"label": "value"}),
        )
    grey = picture if picture is not None else _grey(part.x[0])
    images = [pictures.picture(grey if picture is None else picture.astype(np.uint8), "the picture")]
    for name, kernel in kernels.KERNELS.items():
        if max(kernel.shape) <= min(grey.shape):
            edges = abs(float(kernel.sum())) < 1e-9  # its answers are signed
            result = kernels.filtered(grey.astype(np.float64), kernel)
            images.append(pictures.picture(result, name, around_zero=edges))
    return Picture(
        kind="images",
        title="Kernels over your picture" if picture is not None else "Kernels over a picture of your data",
        caption="Each result is spread over all greys; in the edge pictures the middle grey is 0, no edge.",
        data={"images": images, "size": LARGEST},
    )


def _points(x: Sequence[float], y: Floats) -> list[JsonValue]:
    return [[a, float(b)] for a, b in zip(x, y, strict=True)]


def _grey(row: Tensor) -> Floats:
    """One row [C, H, W] or [C, D, H, W] as one picture: its channels' mean, its middle slice."""
    image = row.double().mean(dim=0).cpu().numpy()
    return np.asarray(image[len(image) // 2] if image.ndim == 3 else image)


def _kernels_section(trained: Kernels, metric: str) -> Section:
    change, gain = mean(trained.change), mean(trained.score_after - trained.score_before)
    lift = f"{100 * gain.value:+.0f} points" if metric == "accuracy" else f"{gain.value:+.2f}"
    return Section(
        question="What do its kernels learn?",
        answer=f"{count(len(trained.before), 'network')}; the first one's kernels are shown. Training moved them by "
        f"{change.value:.0%} of their size ({_interval(change.low, change.high)}), and the validation {metric} by "
        f"{lift}.",
        pictures=tuple(
            _kernel_pictures(weights, title)
            for title, weights in (("Before training", trained.before[0]), ("After training", trained.after[0]))
        ),
    )


def _kernel_pictures(weights: Floats, title: str) -> Picture:
    """The first layer's kernels [O, C, *kernel]: the mean over the channels; of volumes the middle slice."""
    flat = weights.mean(axis=1)
    if flat.ndim == 2:
        places = [float(k) for k in range(flat.shape[1])]
        lines: list[dict[str, JsonValue]] = [
            {"name": f"kernel {k + 1}", "points": _points(places, kernel)} for k, kernel in enumerate(flat)
        ]
        return Picture(
            kind="curves",
            title=title,
            caption=f"{len(flat)} kernels of {flat.shape[1]}; one line each.",
            data=pictures.curves({"": lines}, {"label": "place in the kernel"}, {"label": "weight"}),
        )
    slices = flat[:, flat.shape[1] // 2] if flat.ndim == 4 else flat
    what = "the middle slice, " if flat.ndim == 4 else ""
    return Picture(
        kind="images",
        title=title,
        caption=f"{len(slices)} kernels ({what}mean over {count(weights.shape[1], 'channel')}): orange above 0, blue "
        "below, white 0; each spread by its own largest weight.",
        data={"images": [pictures.picture(pictures.signed(k), f"{n + 1}") for n, k in enumerate(slices)], "size": 72},
    )
