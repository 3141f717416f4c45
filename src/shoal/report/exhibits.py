"""The picture of each of the seven steps, with the caption that states its finding."""

from __future__ import annotations

import math
from statistics import mean, median
from typing import Any

from shoal.core import events as ev
from shoal.report import formats
from shoal.report.formats import spoken
from shoal.report.pictures import Chart, finite
from shoal.report.story import Exhibit, StepRound, Story

EDGE = 0.1  # a best value in the outer tenth of its range is said to lie near the bound


def of_round(story: Story, passage: StepRound) -> list[Chart]:
    """The pictures of one passage through a step, in the order in which they came."""
    drawn = []
    for k, exhibit in enumerate(passage.exhibits):
        key = f"step{passage.step}-{passage.round}-{k + 1}"
        drawn.append(_draw(story, key, exhibit))
    if passage.step == 7 and story.searches:
        until = [s for s in story.searches if s.round <= passage.round or s.step == 4]
        drawn.append(progress(story, f"step7-{passage.round}", until))
    return drawn


def _draw(story: Story, key: str, exhibit: Exhibit) -> Chart:
    match exhibit:
        case ev.InitialLosses():
            return _initial(key, exhibit)
        case ev.InitialSignals():
            return _signals(key, exhibit)
        case ev.SmallSample():
            return _sample(story, key, exhibit)
        case ev.LearningRateSweep():
            return _sweep(key, exhibit)
        case ev.SearchRound():
            return search(story, key, [exhibit])
        case ev.CurveVerdict():
            return _verdict(story, key, exhibit)


def _initial(key: str, event: ev.InitialLosses) -> Chart:
    groups: dict[str, list[tuple[int, float]]] = {}
    for name, seed, loss in zip(event.init, event.seed, event.loss, strict=False):
        groups.setdefault(name, []).append((seed, loss))
    own = finite([loss for _, loss in groups.get(event.chosen, [])])
    far = {n: abs(mean(f) - event.expected) for n, g in groups.items() if (f := finite([v for _, v in g]))}
    caption = f"Chance gives a loss of {formats.number(event.expected)}."
    if own:
        spread = f" ({formats.number(min(own))} to {formats.number(max(own))} over {formats.count(len(own), 'seed')})"
        caption += f" The chosen initializer, `{event.chosen}`, starts at {formats.number(mean(own))}{spread}."
    worst = max(far, key=lambda n: far[n], default=None)
    if worst is not None and worst != event.chosen:
        value = formats.number(mean(finite([v for _, v in groups[worst]])))
        caption += f" Farthest from it is `{worst}` at {value}."
    wild = sum(not math.isfinite(v) for v in event.loss)
    if wild:
        caption += f" {formats.count(wild, 'start')} gave no finite loss."
    data = {
        "expected": event.expected,
        "chosen": event.chosen,
        "groups": [{"name": n, "seeds": [s for s, _ in g], "losses": [v for _, v in g]} for n, g in groups.items()],
    }
    return Chart(key, "initial", "Loss of untrained networks, by initializer", caption, data)


def _signals(key: str, event: ev.InitialSignals) -> Chart:
    panels, said = [], []
    for init, verdict, layers in zip(event.init, event.verdict, event.layers, strict=True):
        if layers:
            first, last = formats.number(layers[0].std), formats.number(layers[-1].std)
            said.append(f"With `{init}`: {verdict}, spread {first} in the first layer and {last} in the last one.")
        rows = [_ridge(number, layer) for number, layer in enumerate(layers, start=1)]
        panels.append({"title": init, "edges": rows[0]["edges"] if rows else [0, 1], "rows": rows})
    caption = " ".join([*said, "Layer 1 stands at the top; filled ends are where a function is flat, or off."])
    data = {"panels": panels, "x": {"label": "activation"}, "ends": "flat, or off"}
    return Chart(key, "histograms", "Activations of an untrained network, by layer", caption, data)


def _ridge(number: int, layer: ev.LayerSignals) -> dict[str, Any]:
    """A row of a picture of histograms; a bar of zeros, half of what a ReLU gives, is cut short."""
    shares, (low, high) = list(layer.histogram), layer.bounds
    ends = [0] if layer.rectifies else [] if layer.saturated is None else [0, len(shares) - 1]
    if layer.rectifies:
        shares[0] = min(shares[0], 1.5 * max(shares[1:]))
    lost = [f"{share:.0%} {word}" for share, word in ((layer.saturated, "flat"), (layer.dead, "dead")) if share]
    say = ", ".join([f"{layer.name}: std {formats.number(layer.std)}", *lost])
    edges = [low + k / len(shares) * (high - low) for k in range(len(shares) + 1)]
    return {"name": str(number), "shares": shares, "edges": edges, "ends": ends, "say": say}


def _sample(story: Story, key: str, event: ev.SmallSample) -> Chart:
    metric = story.metric
    goal = formats.score(metric, event.target)
    tops = [max(finite(row), default=math.nan) for row in event.score]
    best = max(finite(tops), default=math.nan)
    rows, tried = formats.count(event.rows, "row"), formats.count(len(event.lr), "network")
    if event.reached_step is not None:
        caption = f"On {rows} the quickest of {tried} reached {goal} {formats.metric_word(metric)} at step "
        caption += f"{event.reached_step:,}: the network can learn by heart what it is shown."
    else:
        last = event.steps[-1] if event.steps else 0
        got = formats.score(metric, best) if math.isfinite(best) else "no finite score"
        caption = f"On {rows} none of {tried} reached {goal} within {last:,} steps; the best came to {got}."
    data = {"steps": event.steps, "lr": event.lr, "loss": event.loss, "score": event.score, "target": event.target}
    return Chart(key, "sample", "Learning a few rows by heart", caption, {**data, "reached": event.reached_step})


def _sweep(key: str, event: ev.LearningRateSweep) -> Chart:
    ends = [row for row in zip(event.end, event.lr, event.start, strict=False) if math.isfinite(row[0])]
    wild = len(event.end) - len(ends)
    caption = f"{formats.count(len(event.end), 'short training')} of {formats.count(event.steps, 'step')} each. "
    near = [(e, s) for e, lr, s in ends if math.isclose(lr, event.best, rel_tol=0.02)]
    if near:
        fell = f"from {formats.number(median(s for _, s in near))} to {formats.number(median(e for e, _ in near))}"
        caption += f"The loss fell most at a learning rate of {formats.number(event.best)} ({fell}). "
    else:
        caption += f"The best learning rate is {formats.number(event.best)}. "
    low, high = (formats.number(v) for v in event.chosen)
    caption += f"The search will look from {low} to {high} (shaded), with {event.chosen_optimizer}."
    if wild:
        caption += f" {formats.count(wild, 'training')} diverged: marked at the top."
    fields = ("optimizer", "lr", "seed", "start", "end", "best", "chosen", "chosen_optimizer", "steps")
    return Chart(key, "sweep", "Loss after a short training, by learning rate", caption, _fields(event, fields))


def _fields(record: ev.Record, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def search(story: Story, key: str, rounds: list[ev.SearchRound], title: str = "") -> Chart:
    """The scatter of one or several rounds of the search: a panel for each hyperparameter that was searched.

    Args:
        story: the run.
        key: the picture's id.
        rounds: at least one round; where several name the same hyperparameter, each keeps its own bounds.
        title: the picture's title.

    Returns:
        The picture; a hyperparameter without a range is drawn by its categories.
    """
    names = list(dict.fromkeys(n for r in rounds for n in r.ranges))
    free = [n for r in rounds for m in r.members for n, v in m.values.items() if isinstance(v, str)]
    names += [n for n in dict.fromkeys(free) if n not in names and _varies(rounds, n)]
    panels = []
    for name in names:
        bounds = [_bounds_of(r, name) for r in rounds if name in r.ranges]
        panels.append({"name": name, "label": spoken(name), "bounds": bounds})
    data = {
        "panels": panels,
        "rounds": [
            {
                "label": spoken(r.population),
                "ids": [m.id for m in r.members],
                "values": {n: [m.values.get(n) for m in r.members] for n in names},
                "score": r.score,
                "status": r.status,
            }
            for r in rounds
        ],
        "best": _best(rounds)[0].best,
    }
    return Chart(key, "search", title or "Score by hyperparameter", _search_caption(story, rounds), data)


def weighed(story: Story) -> ev.SearchRound | None:
    """The round that says most about which hyperparameters mattered: the one with the most networks."""
    told = [s for s in story.searches if s.importance]
    return max(told, key=lambda s: len(s.members), default=None)


def _varies(rounds: list[ev.SearchRound], name: str) -> bool:
    return len({str(m.values.get(name)) for r in rounds for m in r.members}) > 1


def _bounds_of(search_round: ev.SearchRound, name: str) -> dict[str, Any]:
    bounds = search_round.ranges[name]
    return {
        "low": bounds.low,
        "high": bounds.high,
        "log": bounds.log,
        "was": bounds.was,
        "moved": bounds.moved_in_round,
        "round": search_round.round,
        "step": search_round.step,
    }


def _best(rounds: list[ev.SearchRound]) -> tuple[ev.SearchRound, ev.MemberInfo | None]:
    """The round that holds the highest score, the later one of equals, and the member that reached it."""

    def top(search: ev.SearchRound) -> float:
        return max(finite(search.score), default=-math.inf)

    best = max(reversed(rounds), key=top)
    return best, next((m for m in best.members if m.id == best.best), None)


def _search_caption(story: Story, rounds: list[ev.SearchRound]) -> str:
    last, best = _best(rounds)
    scores = [s for r in rounds for s in r.score]
    good = finite(scores)
    if not good:
        return f"None of {formats.count(len(scores), 'network')} reached a finite score."
    top = formats.score(story.metric, max(good), rows=story.validation_rows)
    caption = f"The best of {formats.count(len(scores), 'network')} reaches {top} on the validation rows"
    if best is not None:
        said = [f"{spoken(n)} {formats.number(best.values[n])}" for n in last.ranges if n in best.values]
        caption += f" ({', '.join(said)})" if said else ""
    caption += "."
    wild = len(scores) - len(good)
    if wild:
        caption += f" {formats.count(wild, 'network')} diverged: crosses at the bottom."
    near = [edge for name in last.ranges if best is not None and (edge := at_edge(last, best, name))]
    return caption + (f" The best {' and the best '.join(near)}." if near else "")


def at_edge(search_round: ev.SearchRound, member: ev.MemberInfo, name: str) -> str:
    """That a member's value lies in the outer tenth of its range, as "dropout lies near its upper bound"; else ""."""
    bounds, value = search_round.ranges[name], member.values.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not bounds.high > bounds.low:
        return ""
    low, high, at = bounds.low, bounds.high, float(value)
    if bounds.log and min(low, at) > 0:
        low, high, at = math.log(low), math.log(high), math.log(at)
    share = (at - low) / (high - low)
    if share > 1 - EDGE:
        return f"{spoken(name)} lies near its upper bound"
    floor = not bounds.log and bounds.low <= 0  # no dropout below none: not a bound that could move
    return f"{spoken(name)} lies near its lower bound" if share < EDGE and not floor else ""


def _verdict(story: Story, key: str, event: ev.CurveVerdict) -> Chart:
    caption = f"{event.sentence} Read on network {event.member}, {verdict_numbers(story, event)}."
    data = {"populations": [event.population], "what": "validation_loss", "verdicts": [verdict_data(event)]}
    return Chart(key, "curves", f"Loss by epoch, {spoken(event.population)}", caption, data)


def verdict_numbers(story: Story, event: ev.CurveVerdict) -> str:
    """The numbers that a verdict stands on, in words, with their thresholds."""
    first, last = event.epochs_read
    slope = f"the validation loss {fell(event.slope)}"
    if not math.isfinite(event.slope):
        slope = "the slope of the validation loss is not finite"
    gap = f"the training score is {formats.signed(story.metric, event.gap)} from the validation score"
    if not math.isfinite(event.gap):
        gap = "the gap between training and validation score is not finite"
    limit = formats.difference(story.metric, event.gap_threshold)
    level = _hundredths(event.slope_threshold)
    return (
        f"epochs {first} to {last}: {slope} (called settled within {level} %), and {gap} (called a gap above {limit})"
    )


def fell(slope: float) -> str:
    """What a loss did, by its slope: "fell by 0.12 % of chance's loss an epoch", in the digits of the run's own log."""
    if abs(slope) < 0.00005:
        return "changed by less than 0.01 % of chance's loss an epoch"
    return f"{'fell' if slope < 0 else 'rose'} by {_hundredths(slope)} % of chance's loss an epoch"


def _hundredths(share: float) -> str:
    return formats.number(float(f"{abs(share) * 100:.2f}"), 6)


def verdict_data(event: ev.CurveVerdict) -> dict[str, Any]:
    """What the charts need to draw a verdict where it was read."""
    return _fields(event, ("round", "population", "member", "verdict", "epochs_read", "slope", "gap", "gap_threshold"))


def progress(story: Story, key: str, searches: list[ev.SearchRound]) -> Chart:
    """The best validation score of each round, with what the validation rows can tell apart."""
    metric, rows = story.metric, story.validation_rows
    best = [max(finite(s.score), default=math.nan) for s in searches]
    known = finite(best)
    half = formats.half_width(metric, known[-1], rows) if known else 0.0
    caption = "No round has reached a finite score."
    if known:
        caption = f"Best validation score after {formats.count(len(known), 'round')} of search: "
        caption += f"{formats.score(metric, max(known), rows=rows)}."
    if len(known) > 1:
        step = known[-1] - max(known[:-1])
        said = f"added {formats.difference(metric, step)}" if step > 0 else "added nothing"
        caption += f" The last one {said}"
        caption += f"; differences below about {formats.difference(metric, half)} could be chance." if half else "."
    rounds = [{"label": spoken(s.population), "best": b, "id": s.best} for s, b in zip(searches, best, strict=True)]
    return Chart(key, "progress", "Best score by round", caption, {"rounds": rounds, "half": half})
