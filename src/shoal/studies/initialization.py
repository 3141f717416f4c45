"""Do signals reach the last layer, whatever the initial weights? The published experiment, and one's own data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from math import ceil

import numpy as np
from pydantic import JsonValue
from torch import Tensor, nn

from shoal.comparison.paired import Floats, mean
from shoal.core.events import Finding
from shoal.diagnose import activations, signal
from shoal.diagnose.activations import Activations
from shoal.population import Member, Population
from shoal.studies import golden, pictures
from shoal.studies.golden import SETTINGS, Layer
from shoal.studies.record import Number, Picture, Progress, Section, Study, StudyOptions, Table
from shoal.studies.subject import Subject, some

SEEDS = 5
INITS = ("torch", "normal(0.01)", "xavier", "kaiming", "orthogonal")
DEPTH, WIDTH = 6, 128  # of the network that one's own data go through
ROWS = 256
GOLDEN_SHARE = 0.8  # of the study's time
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"ReLU": nn.ReLU, "tanh": nn.Tanh}


def run(subject: Subject, options: StudyOptions) -> Generator[Progress, None, Study]:
    """The golden table beside the published numbers, then the same statistics on the subject's data and network.

    Args:
        subject: at most 256 of its training rows are used.
        options: `seed`, `replicates` (seeds of each setting; 5).

    Returns:
        The study; decisions SHL410/411 (the table is reproduced or not) and SHL412/413 (own data, own network).
    """
    seeds = [options.seed + k for k in range(options.replicates or SEEDS)]
    layers: list[list[Layer]] = []
    for number, done in enumerate(golden.rounds(seeds)):
        layers.append(done)
        yield Progress(
            done=GOLDEN_SHARE * (number + 1) / golden.LAYERS,
            doing=f"layer {number + 1} of {golden.LAYERS}, {golden.UNITS} units, {len(seeds)} seeds",
        )
    sections, decisions = [_golden_section(layers)], [_golden_decision(layers)]
    part = some(subject.fold.train, ROWS, options.seed)
    own: dict[str, tuple[Activations, list[Finding]]] = {}
    for name in _ACTIVATIONS:
        yield Progress(done=GOLDEN_SHARE, doing=f"{subject.task.dataset.name} through {DEPTH} {name} layers")
        own[name] = _measured(_deep(subject, name), subject, part.x, part.y, seeds, options.device)
    sections.append(_own_section(subject, own, seeds, len(part)))
    decisions.append(_own_decision(own, seeds, f"{DEPTH} hidden layers of {WIDTH} units", "SHL412"))
    if subject.make_net is not None:
        yield Progress(done=0.95, doing=f"{subject.model} on {subject.task.dataset.name}")
        theirs = {subject.model: _measured(subject.make_net, subject, part.x, part.y, seeds, options.device)}
        sections.append(_model_section(subject, theirs, seeds))
        decisions.append(_own_decision(theirs, seeds, f"`{subject.model}`", "SHL413"))
    worst = _worst_deviation(layers)
    best = _healthiest(own["ReLU"][1], len(seeds))
    faded = _share(own["ReLU"][0], 0, len(seeds))
    return Study(
        name="initialization",
        title="Initialization",
        source=subject.task.dataset.source,
        answer=_answer(subject, own, len(seeds)),
        numbers=(
            Number(label="Healthy start for ReLU", value=best or "none", note="on your data, six layers"),
            Number(label="Spread kept by `torch`'s default", value=f"{faded:.0%}", note="from layer 1 to 6, ReLU"),
            Number(label="Off the published table", value=f"{worst:.3f}", note="the largest of 30 standard deviations"),
            Number(label="Seeds", value=str(len(seeds)), note="of each setting, shared by all"),
        ),
        decisions=tuple(decisions),
        sections=tuple(sections),
        seed=options.seed,
    )


# --- the published experiment -----------------------------------------------------------------------------------------


def _by_seed(layers: Sequence[Sequence[Layer]], setting: int, quantity: str) -> Floats:
    """[R, T]: one quantity of one setting by seed and layer."""
    return np.array([[getattr(layer, quantity)[setting] for layer in done] for done in layers]).T


def _deviation(layers: Sequence[Sequence[Layer]], setting: int) -> float:
    means = _by_seed(layers, setting, "std").mean(axis=0)
    return float(np.abs(means - np.array(SETTINGS[setting].published_std)).max())


def _worst_deviation(layers: Sequence[Sequence[Layer]]) -> float:
    return max(_deviation(layers, k) for k in range(len(SETTINGS)))


def _golden_decision(layers: Sequence[Sequence[Layer]]) -> Finding:
    off = {setting.name: round(_deviation(layers, k), 4) for k, setting in enumerate(SETTINGS)}
    allowed = {setting.name: setting.tolerance for setting in SETTINGS}
    missed = [name for name in off if off[name] > allowed[name]]
    evidence = {"largest_deviation": off, "tolerance": allowed, "seeds": len(layers[0]), "units": golden.UNITS}
    if missed:
        return Finding(
            code="SHL411",
            level="problem",
            sentence=f"The published table is not reproduced for {', '.join(missed)}.",
            evidence=evidence,
            fix="Check the initializers: these numbers follow from the formulas.",
        )
    return Finding(
        code="SHL410",
        level="fine",
        sentence=f"All {len(SETTINGS) * golden.LAYERS} published standard deviations are reproduced, the means over "
        f"{len(layers[0])} seeds within {max(off.values()):.3f}.",
        evidence=evidence,
    )


def _golden_section(layers: Sequence[Sequence[Layer]]) -> Section:
    numbers = [float(k + 1) for k in range(golden.LAYERS)]
    lines = [
        pictures.series(setting.name, numbers, _by_seed(layers, k, "std"), setting.published_std)
        for k, setting in enumerate(SETTINGS)
    ]
    spread = pictures.curves(
        {"": lines},
        {"label": "layer", "ticks": [{"value": n, "text": f"{n:.0f}"} for n in numbers]},
        {"label": "standard deviation of the activations", "include": [0.0]},
    )
    return Section(
        question="What do initial weights do to a signal?",
        answer="Too small, and it fades from layer to layer; too large, and tanh saturates, where its slope is 0. "
        "Xavier keeps tanh alive; a ReLU throws half of the signal away, which Kaiming's factor of two makes up for.",
        tables=(_golden_table(layers),),
        pictures=(
            Picture(
                kind="curves",
                title="Six layers of 4096 units, 16 standard-normal inputs",
                caption=f"Open circles: published. Lines: means over {len(layers[0])} seeds with their 95 % band. With "
                "std 0.01 the signal falls to a tenth; ReLU with Xavier loses most of it; Kaiming holds it.",
                data=spread,
            ),
            _golden_histograms(layers),
        ),
    )


def _golden_table(layers: Sequence[Sequence[Layer]]) -> Table:
    rows: list[tuple[str | float | None, ...]] = []
    for k, setting in enumerate(SETTINGS):
        std, centre = _by_seed(layers, k, "std"), _by_seed(layers, k, "mean")
        rows.append((setting.name, "std", *(f"{v:.3f}" for v in std.mean(axis=0))))
        rows.append(("", "published", *(f"{v:.2f}" for v in setting.published_std)))
        rows.append(("", "seeds differ by", *(f"{v:.4f}" for v in np.ptp(std, axis=0))))
        if setting.published_mean:
            rows.append(("", "mean", *(f"{v:.3f}" for v in centre.mean(axis=0))))
            rows.append(("", "published", *(None if np.isnan(v) else f"{v:.2f}" for v in setting.published_mean)))
        else:
            flat = _by_seed(layers, k, "saturated").mean(axis=0)
            rows.append(("", "saturated", *(f"{share:.0%}" for share in flat)))
    return Table(
        title="Measured beside published",
        columns=("setting", "what", *(f"layer {k + 1}" for k in range(golden.LAYERS))),
        rows=tuple(rows),
        caption="Means over the seeds; `seeds differ by` is the largest less the smallest. Of ReLU with Kaiming only "
        "the first and the last mean are published.",
    )


def _golden_histograms(layers: Sequence[Sequence[Layer]]) -> Picture:
    panels = []
    for k, setting in enumerate(SETTINGS):
        values = [done[0].values[k : k + 1] for done in layers]
        edges = np.linspace(-1.0, 1.0, 41) if setting.kind == "tanh" else np.linspace(0.0, 4.0, 41)
        rows = []
        for number, layer in enumerate(values):
            found = activations.shares(layer, edges)
            zero = float((layer == 0).double().mean())
            ends = [0, len(found) - 1] if setting.kind == "tanh" else [0]
            if setting.kind == "relu":
                found = found.copy()
                found[0] = min(found[0], 1.5 * float(found[1:].max()))  # half of the values are 0: drawn short
            said = f"{setting.name}, layer {number + 1}: std {float(layer.double().std()):.3f}"
            said += f", {zero:.0%} exactly 0" if zero > 0.01 else ""
            rows.append({"name": f"{number + 1}", "shares": found.tolist(), "ends": ends, "say": said})
        panels.append({"title": setting.name, "edges": edges.tolist(), "rows": rows})
    return Picture(
        kind="histograms",
        title="The activations themselves, layer by layer",
        caption="One seed, layer 1 at the top. Where the mass gathers in the filled ends, tanh is flat and ReLU is "
        "off (its bar at 0 is cut short); where it gathers in the middle, the signal has faded.",
        data={"panels": panels, "x": {"label": "activation"}, "ends": "flat, or off"},
    )


# --- one's own data and network ---------------------------------------------------------------------------------------


def _deep(subject: Subject, activation: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        size = subject.fold.inputs
        for _ in range(DEPTH):
            layers += [nn.Linear(size, WIDTH), _ACTIVATIONS[activation]()]
            size = WIDTH
        return nn.Sequential(*layers, nn.Linear(size, subject.task.outputs))

    return make


def _measured(
    make: Callable[[], nn.Module], subject: Subject, x: Tensor, y: Tensor, seeds: Sequence[int], device: str
) -> tuple[Activations, list[Finding]]:
    members = [Member(seed=seed, init=init) for init in INITS for seed in seeds]
    population = Population(make, members, loss=subject.task.loss.name, device=device)
    measured = activations.measure(population, x, y)
    return measured, signal.verdicts(measured)


def _of_init(found: Sequence[Finding], init: int, seeds: int) -> Counter[str]:
    return Counter(verdict.phrase for verdict in found[init * seeds : (init + 1) * seeds])


def _healthy_inits(found: Sequence[Finding], seeds: int) -> list[str]:
    """Initializers under which more than half of the seeds are healthy."""
    ok = [sum(v.code == "SHL130" for v in found[k * seeds : (k + 1) * seeds]) for k in range(len(INITS))]
    return [init for init, count in zip(INITS, ok, strict=True) if count >= ceil((seeds + 1) / 2)]


def _healthiest(found: Sequence[Finding], seeds: int) -> str:
    healthy = _healthy_inits(found, seeds)
    return "kaiming" if "kaiming" in healthy else next(iter(healthy), "")


def _share(measured: Activations, init: int, seeds: int) -> float:
    """The last layer's spread as a share of the first one's, mean over the seeds of an initializer."""
    std = measured.std[init * seeds : (init + 1) * seeds]
    return float((std[:, -1] / std[:, 0]).mean())


def _answer(subject: Subject, own: dict[str, tuple[Activations, list[Finding]]], seeds: int) -> str:
    parts = []
    for name, (_, found) in own.items():
        healthy = _healthy_inits(found, seeds)
        well = ", ".join(f"`{init}`" for init in healthy) or "no initializer"
        ill = ", ".join(f"`{init}`" for init in INITS if init not in healthy)
        parts.append(f"through {DEPTH} {name} layers with {well}" + (f" but not with {ill}" if ill else ""))
    return f"Signals of `{subject.task.dataset.name}` pass {'; '.join(parts)}."


def _own_decision(
    found: dict[str, tuple[Activations, list[Finding]]], seeds: Sequence[int], what: str, code: str
) -> Finding:
    n = len(seeds)
    counts = {
        name: {init: dict(_of_init(verdicts, k, n)) for k, init in enumerate(INITS)}
        for name, (_, verdicts) in found.items()
    }
    healthy = {name: _healthy_inits(verdicts, n) for name, (_, verdicts) in found.items()}
    default_ill = [name for name, inits in healthy.items() if "torch" not in inits]
    sentence = f"For {what}: " + "; ".join(
        f"{name} starts healthily with {', '.join(inits) or 'no initializer'}" for name, inits in healthy.items()
    )
    first = next((v for name, (_, verdicts) in found.items() for v in verdicts[:n] if v.code != "SHL130"), None)
    return Finding(
        code=code,
        level="note" if default_ill else "fine",
        sentence=f"{sentence} (more than half of {n} seeds).",
        evidence={
            "verdicts": counts,
            "seeds": n,
            "thresholds": next(iter(found.values()))[1][0].evidence["thresholds"],
        },
        fix=f"The network's own default is unwell here ({first.phrase}): {first.fix}" if first and default_ill else "",
    )


def _own_table(found: dict[str, tuple[Activations, list[Finding]]], seeds: int) -> Table:
    rows: list[tuple[str | float | None, ...]] = []
    for name, (measured, verdicts) in found.items():
        for k, init in enumerate(INITS):
            mine = slice(k * seeds, (k + 1) * seeds)
            phrase, count = _of_init(verdicts, k, seeds).most_common(1)[0]
            worst = measured.saturated[mine] if not np.isnan(measured.saturated[mine]).all() else measured.dead[mine]
            lost = None if np.isnan(worst).all() else f"{np.nanmax(worst, axis=1).mean():.0%}"
            first, last = (mean(measured.std[mine, s]).value for s in (0, -1))
            back = mean(measured.gradient[mine, 0] / measured.gradient[mine, -1]).value
            rows.append((name, init, first, last, back, lost, f"{phrase} ({count} of {seeds})"))
    columns = ("network", "initializer", "std, first layer", "std, last layer", "gradient, first by last")
    return Table(title="By initializer", columns=(*columns, "flat or dead, worst layer", "verdict"), rows=tuple(rows))


def _lines(measured: Activations, quantity: str, seeds: int) -> list[dict[str, JsonValue]]:
    layers = [float(k + 1) for k in range(len(measured.sites))]
    values = getattr(measured, quantity)
    return [pictures.series(init, layers, values[k * seeds : (k + 1) * seeds]) for k, init in enumerate(INITS)]


def _own_pictures(found: dict[str, tuple[Activations, list[Finding]]], seeds: int) -> tuple[Picture, ...]:
    def chart(quantity: str, label: str) -> dict[str, JsonValue]:
        panels = {name: _lines(measured, quantity, seeds) for name, (measured, _) in found.items()}
        return pictures.curves(panels, {"label": "layer"}, {"label": label, "log": True})

    return (
        Picture(
            kind="curves",
            title="Forward: the spread of the activations",
            caption="A level line passes the signal on. Means over the seeds with their 95 % band; a logarithmic axis.",
            data=chart("std", "std of the activations"),
        ),
        Picture(
            kind="curves",
            title="Backward: the gradient that arrives",
            caption="Read from the right: a line that falls towards layer 1 leaves the first layers none.",
            data=chart("gradient", "norm of the gradient"),
        ),
        _own_histograms(found, seeds),
    )


def _own_histograms(found: dict[str, tuple[Activations, list[Finding]]], seeds: int) -> Picture:
    panels = []
    for name, (measured, _) in found.items():
        for k, init in enumerate(INITS):
            rows = []
            for s, site in enumerate(measured.sites):
                shares = measured.histogram[k * seeds, s].copy()
                if site.rectifies:
                    shares[0] = min(shares[0], 1.5 * float(shares[1:].max()))
                said = f"{init}, {site.name or site.kind}: std {measured.std[k * seeds, s]:.3g}"
                ends = [0, len(shares) - 1] if site.bounds and not site.rectifies else [0] if site.rectifies else []
                row = {"name": str(s + 1), "shares": shares.tolist(), "ends": ends, "say": said}
                if not np.array_equal(measured.edges[k * seeds, s], measured.edges[k * seeds, 0]):
                    row["edges"] = measured.edges[k * seeds, s].tolist()
                rows.append(row)
            panels.append({"title": f"{name}, {init}", "edges": measured.edges[k * seeds, 0].tolist(), "rows": rows})
    return Picture(
        kind="histograms",
        title="The activations by layer",
        caption="The first seed of each initializer; layer 1 at the top, one axis for all layers of a panel.",
        data={"panels": panels, "x": {"label": "activation"}, "ends": "flat, or off"},
    )


def _own_section(
    subject: Subject, found: dict[str, tuple[Activations, list[Finding]]], seeds: Sequence[int], rows: int
) -> Section:
    return Section(
        question="And on your own data?",
        answer=f"{rows} training rows of `{subject.task.dataset.name}` through {DEPTH} hidden layers of {WIDTH} units, "
        "as at the first step of a training: the forward pass, and the gradient on its way back.",
        tables=(_own_table(found, len(seeds)),),
        pictures=_own_pictures(found, len(seeds)),
    )


def _model_section(
    subject: Subject, found: dict[str, tuple[Activations, list[Finding]]], seeds: Sequence[int]
) -> Section:
    measured, verdicts = next(iter(found.values()))
    own = Counter(v.phrase for v in verdicts[: len(seeds)]).most_common(1)[0][0]
    layers = ", ".join(f"{s + 1} `{site.name or site.kind}`" for s, site in enumerate(measured.sites[:12]))
    return Section(
        question="And in your own network?",
        answer=f"With its own initial weights (`torch`) `{subject.model}` is: {own}. Layers are numbered as the "
        f"forward pass meets them: {layers}.",
        tables=(_own_table(found, len(seeds)),),
        pictures=_own_pictures(found, len(seeds)),
    )
