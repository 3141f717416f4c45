"""`shoal study preparation DATA`: what centring, scaling, turning and whitening do to the data, and to training.

Each preparation trains one population: the same seeds, the same batches, the same learning rates. A preparation is
judged at the learning rate that suits it best, which is chosen for each seed by the other seeds.

| code | meaning |
| --- | --- |
| SHL441 | which preparation trains best, and by how much against scaling alone |
| SHL442 | what PCA and whitening add to scaling |
| SHL443 | how conditioning and the learning rate go together |
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from math import floor, log10

import numpy as np
from pydantic import JsonValue

from shoal.comparison.paired import Estimate, difference, mean
from shoal.core.events import Finding
from shoal.prepare import advise
from shoal.studies import preparation_pictures as drawn
from shoal.studies.preparation_inputs import Inputs, StudyRows, inputs, rows_of
from shoal.studies.preparation_training import RATES, REPLICATES, Reached, train
from shoal.studies.record import Number, Picture, Progress, Section, Study, StudyOptions, Table
from shoal.studies.subject import Subject

STAGES = ("none", "center", "standardize", "standardize+pca", "standardize+whiten", "standardize+zca")
TURNS = STAGES[3:]
RANGES = ("minmax", "robust-clip", "quantile")
REFERENCE = "standardize"  # what differences are taken from: what is done where nobody thinks about it
LOWEST_SCORE = -1.0  # R2 that is drawn; what lies below is as bad as diverged

TRAINS_BEST = "SHL441"
TURNING = "SHL442"
CONDITIONING = "SHL443"

Effect = tuple[Estimate, Estimate]  # of score and loss, against the reference
Effects = Mapping[str, Effect]  # by preparation


def run(subject: Subject, options: StudyOptions) -> Generator[Progress, None, Study]:
    """Show the data at each stage of preparation, and train one population on each.

    Args:
        subject: any data with number columns, or arrays.
        options: seeds of each setting (8 where not said), epochs (8), where randomness starts.

    Raises:
        InputError: a table without number columns, or a network that cannot take the rows.
    """
    yield Progress(done=0.0, doing="drawing rows")
    rows = rows_of(subject, options.seed)
    hows = [how for how in (*STAGES, *RANGES) if rows.turns or how not in TURNS]
    networks = (options.replicates or REPLICATES) * len(RATES)
    trained = yield from train(subject, {how: inputs(rows, how) for how in hows}, options)
    yield Progress(done=0.96, doing="drawing pictures")
    effects = _effects(trained)
    stages = [trained[how].inputs for how in hows if how in STAGES]
    return Study(
        name="preparation",
        title="What does preparation do to the data, and to training?",
        source=subject.task.dataset.source,
        answer=_answer(subject, trained, effects),
        numbers=_numbers(subject, trained),
        decisions=tuple(_decisions(subject, rows, trained, effects)),
        sections=(
            _data(rows, stages),
            _effect(subject, trained, effects),
            _conditioning(subject, trained),
        ),
        seed=options.seed,
        networks_trained=len(hows) * networks,
    )


def _effects(trained: Mapping[str, Reached]) -> Effects:
    reference = trained[REFERENCE]
    if reference.rate is None:
        return {}
    found = {}
    for how, each in trained.items():
        if how != REFERENCE and each.rate is not None:
            (loss, score), (usual_loss, usual_score) = each.best(), reference.best()
            found[how] = difference(score, usual_score), difference(loss, usual_loss)
    return found


# --- the answer in words ----------------------------------------------------------------------------------------------


def _answer(subject: Subject, trained: Mapping[str, Reached], effects: Effects) -> str:
    metric = subject.task.metric
    if trained[REFERENCE].rate is None:
        return "Nothing can be compared: after `standardize` some network diverged at every learning rate."
    if "none" not in effects:
        raw = f"Without preparation networks diverge at every learning rate from {_short(RATES[0])} on"
    else:
        raw = f"Scaling each feature {_said(_turned_round(effects['none']), metric)} over the numbers as they are"
    turned = {how: effects[how] for how in TURNS if how in effects}
    if not turned:
        return f"{raw}; rows are too wide for PCA and whitening to be tried."
    clear = {how: effect for how, effect in turned.items() if _clear(effect)}
    if not clear:
        return f"{raw}; PCA and whitening after it change nothing that chance could not."
    least = min(clear, key=lambda how: clear[how][1].value)
    most = max(clear, key=lambda how: clear[how][1].value)
    said = [f"`{how}` then {_said(clear[how], metric)}" for how in dict.fromkeys((least, most))]
    return f"{raw}; {', '.join(said)}."


def _turned_round(effect: Effect) -> Effect:
    """The same difference from the other side."""
    score, loss = (Estimate(-each.value, -each.high, -each.low, each.n) for each in effect)
    return score, loss


def _clear(effect: Effect) -> bool:
    return effect[0].clear or effect[1].clear


def _said(effect: Effect, metric: str) -> str:
    """`gains 1.2 points of accuracy (0.4 to 2.0)`, else what the loss says, else that nothing is known."""
    score, loss = effect
    scale, unit = (100.0, " points of accuracy") if metric == "accuracy" else (1.0, " of R2")
    if score.clear:
        return f"{'gains' if score.value > 0 else 'loses'} {_amount(score, scale, unit)}"
    if loss.clear:
        return f"{'raises' if loss.value > 0 else 'lowers'} the loss by {_amount(loss, 1.0, '')}"
    digits = _digits(score, scale)
    low, high = scale * score.low, scale * score.high
    return f"changes nothing that chance could not ({low:+.{digits}f} to {high:+.{digits}f}{unit})"


def _amount(of: Estimate, scale: float, unit: str) -> str:
    digits = _digits(of, scale)
    near, far = sorted(scale * abs(each) for each in (of.low, of.high))
    return f"{scale * abs(of.value):.{digits}f}{unit} ({near:.{digits}f} to {far:.{digits}f})"


def _digits(of: Estimate, scale: float) -> int:
    """So many decimals as the interval supports."""
    return max(0, min(4, -floor(log10(max(scale * (of.high - of.low) / 2, 1e-9)))))


def _short(number: float | None) -> str:
    """`2.6e11`, `240`, `1e-5`; `none` where there is no number."""
    if number is None:
        return "none"
    mantissa, _, power = f"{number:.2g}".partition("e")
    return f"{mantissa}e{int(power)}" if power and abs(int(power)) > 3 else f"{float(f'{number:.2g}'):g}"


def _numbers(subject: Subject, trained: Mapping[str, Reached]) -> tuple[Number, ...]:
    before, scaled = trained["none"], trained[REFERENCE]
    numbers = [
        Number(
            label="conditioning, before and scaled",
            value=f"{_short(before.inputs.with_mean)} and {_short(scaled.inputs.with_mean)}",
            note="largest over smallest eigenvalue of the inputs' second moments; 1 is the easiest to descend on",
        ),
        Number(
            label="best learning rate, before and scaled",
            value=f"{_short(before.rate)} and {_short(scaled.rate)}",
            note="of SGD with momentum 0.9",
        ),
    ]
    known = {how: float(each.best()[1].mean()) for how, each in trained.items() if each.rate is not None}
    if known:
        most = max(known, key=lambda how: known[how])
        value = f"{100 * known[most]:.1f} %" if subject.task.metric == "accuracy" else f"{known[most]:.3f}"
        numbers.append(Number(label=f"best {_metric(subject)}, by {most}", value=value, note="mean over the seeds"))
    return tuple(numbers)


def _metric(subject: Subject) -> str:
    return {"r2": "R2"}.get(subject.task.metric, subject.task.metric)


def _decisions(
    subject: Subject, rows: StudyRows, trained: Mapping[str, Reached], effects: Effects
) -> Iterator[Finding]:
    metric = subject.task.metric
    evidence: dict[str, JsonValue] = {how: _intervals(effect) for how, effect in effects.items()}
    ahead = {how: effect for how, effect in effects.items() if effect[0].low > 0 or effect[1].high < 0}
    if ahead:
        best = min(ahead, key=lambda how: ahead[how][1].value)
        sentence = f"`{best}` trains best: it {_said(ahead[best], metric)} against `{REFERENCE}`, seed by seed."
    else:
        sentence = f"No preparation trains better than `{REFERENCE}` by more than chance could do."
    yield Finding(code=TRAINS_BEST, level="fine", sentence=sentence, evidence=evidence)
    turned = {how: effects[how] for how in TURNS if how in effects}
    if turned:
        worth = [how for how, (score, loss) in turned.items() if score.low > 0 or (loss.high < 0 and not score.clear)]
        said = "; ".join(f"`{how}` {_said(effect, metric)}" for how, effect in turned.items())
        yield Finding(
            code=TURNING,
            level="fine" if worth else "note",
            sentence=f"After scaling, {said}.",
            evidence={how: _intervals(effect) for how, effect in turned.items()},
            fix=f"try it on the whole: prepare `{worth[0]}`" if worth else "keep the axes as they are",
        )
    yield _steps(trained)
    said_codes: set[str] = set()
    for how, each in trained.items():
        for finding in advise(rows.dataset, rows.plan.train, each.inputs.fold.preparation):
            if finding.code not in said_codes:
                said_codes.add(finding.code)
                yield finding.model_copy(update={"level": "note", "sentence": f"`{how}`: {finding.sentence}"})


def _steps(trained: Mapping[str, Reached]) -> Finding:
    hard = max(trained, key=lambda how: trained[how].inputs.with_mean)
    easy = min(trained, key=lambda how: trained[how].inputs.with_mean)
    said = [
        f"`{how}` (condition {_short(trained[how].inputs.with_mean)}, best learning rate {_short(trained[how].rate)})"
        for how in (hard, easy)
    ]
    return Finding(
        code=CONDITIONING,
        level="fine",
        sentence=f"Hardest to descend on is {said[0]}, easiest {said[1]}.",
        evidence={
            how: {
                "condition": each.inputs.condition,
                "condition_with_mean": each.inputs.with_mean,
                "best_lr": each.rate,
                "workable_lr": None if each.workable is None else list(each.workable),
            }
            for how, each in trained.items()
        },
    )


def _intervals(effect: Effect) -> dict[str, JsonValue]:
    """Mean, low and high of both differences."""
    score, loss = effect
    return {"score": [score.value, score.low, score.high], "loss": [loss.value, loss.low, loss.high]}


# --- the sections -----------------------------------------------------------------------------------------------------


def _data(rows: StudyRows, stages: list[Inputs]) -> Section:
    scatter = drawn.scatter(rows, [each.how for each in stages])
    pictures = [p for p in (scatter, drawn.tiles(rows, stages), *drawn.signals(rows, stages)) if p is not None]
    answer = "Each stage is fitted on the training rows alone and can be undone; nothing is lost but what eps damps."
    if not rows.turns:
        answer += " Rows of more than 1024 values are not turned here: their covariance would be the larger work."
    if scatter is None:
        answer += " No two features vary, so there is no cloud to draw."
    return Section(question="What do the data look like at each stage?", answer=answer, pictures=tuple(pictures))


def _effect(subject: Subject, trained: Mapping[str, Reached], effects: Effects) -> Section:
    share = subject.task.metric == "accuracy"
    metric = _metric(subject)
    rows: list[tuple[JsonValue, ...]] = []
    for how, each in trained.items():
        loss, score = each.best()
        if each.rate is None:
            rows.append((how, *[None] * 5, each.inputs.with_mean))
            continue
        score_by, loss_by = effects.get(how, (None, None))
        rows.append(
            (
                how,
                each.rate,
                float(score.mean()),
                _cell(score_by),
                float(loss.mean()),
                _cell(loss_by),
                each.inputs.with_mean,
            )
        )
    columns = (
        "preparation",
        "best lr",
        metric,
        f"{metric} against {REFERENCE}",
        "loss",
        "loss against it",
        "condition",
    )
    table = Table(
        title="Every preparation at its best learning rate",
        columns=columns,
        rows=tuple(rows),
        caption="Means over seeds, and differences paired by seed with their 95 % intervals: they say how far seeds "
        "differ on these validation rows, not how far other rows would. No best lr: at each one some network diverged, "
        "or ended with more than ten times the loss of chance.",
    )
    shown: list[JsonValue] = [
        {"name": how, "value": d.value, "low": d.low, "high": d.high}
        for how, (d, _) in sorted(effects.items(), key=lambda item: -item[1][0].value)
    ]
    clear = sum(d.clear for d, _ in effects.values())
    unit = "points" if share else "R2"
    picture = Picture(
        kind="differences",
        title=f"{metric.capitalize()} against `{REFERENCE}`".replace("`", ""),
        caption=f"{clear} of {len(effects)} preparations differ from {REFERENCE} by more than chance could do (95 % "
        "intervals of differences paired by seed; grey: could be chance).",
        data={"rows": shown, "label": f"difference in {metric} ({unit})", "percent": share},
    )
    return Section(
        question="Does it change how well a network learns?",
        answer=f"Each preparation trains the same networks from the same seeds on the same batches, at {len(RATES)} "
        "learning rates, and is judged at the one that suits it; each seed's is chosen by the other seeds.",
        pictures=(picture,) if shown else (),
        tables=(table,),
    )


def _cell(of: Estimate | None) -> str | None:
    return None if of is None else f"{of.value:+.2g} ({of.low:+.2g} to {of.high:+.2g})"


def _conditioning(subject: Subject, trained: Mapping[str, Reached]) -> Section:
    metric = _metric(subject)
    words = (
        "The better conditioned the inputs, the larger the steps that still go down, and the more of them are good "
        "enough. Lines are means over seeds, bands their 95 % intervals; a cross at the bottom: some network diverged, "
        "or ended with more than ten times the loss of chance."
    )
    shown = (("by learning rate, stage by stage", STAGES), ("by learning rate, other ranges", (REFERENCE, *RANGES)))
    pictures = tuple(
        Picture(
            kind="curves",
            title=f"{metric.capitalize()} {title}",
            caption=words
            if hows is STAGES
            else "The same for ranges that are set by other statistics than the spread.",
            data={
                "x": {"label": "learning rate", "log": True},
                "y": {"label": metric, "percent": subject.task.metric == "accuracy"},
                "panels": [{"series": [_by_rate(how, trained[how]) for how in hows if how in trained]}],
            },
        )
        for title, hows in shown
    )
    table = Table(
        title="How the inputs are conditioned",
        columns=(
            "preparation",
            "of the covariance",
            "with the mean",
            "flat axes",
            "largest eigenvalue",
            "best lr",
            "lr that work",
        ),
        rows=tuple(
            (
                how,
                each.inputs.condition,
                each.inputs.with_mean,
                each.inputs.flat,
                each.inputs.largest,
                each.rate,
                None if each.workable is None else f"{_short(each.workable[0])} to {_short(each.workable[1])}",
            )
            for how, each in trained.items()
        ),
        caption="Condition: largest over smallest eigenvalue, axes without variance left out. With the mean: of the "
        "second moments of (x, 1), the matrix that gradient descent on a linear layer meets; a mean far from zero is "
        "an axis of its own. There steps above 2 / (largest eigenvalue) diverge. A learning rate works that "
        "goes nine tenths of the way from no skill to the best mean score.",
    )
    return Section(
        question="How large may the steps be?",
        answer="A badly conditioned input forces small steps along its steepest axis, and with these the flat axes "
        "hardly move.",
        pictures=pictures,
        tables=(table,),
    )


def _by_rate(how: str, each: Reached) -> JsonValue:
    """Mean score by learning rate with its interval; no value where a network diverged or is worse than is drawn."""
    points: list[JsonValue] = []
    band: list[JsonValue] = []
    for rate, scores in zip(RATES, each.score.T, strict=True):
        found = mean(scores)
        shown = bool(np.isfinite(scores).all()) and found.value > LOWEST_SCORE
        points.append([rate, found.value if shown else None])
        if shown:
            band.append([rate, max(found.low, LOWEST_SCORE), found.high])
    return {"name": how, "points": points, "band": band}
