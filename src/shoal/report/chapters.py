"""The pictures of the chapters: did it learn, what mattered, is it overfitting, the ensemble."""

from __future__ import annotations

import math
from collections.abc import Mapping

from shoal.core import events as ev
from shoal.report import exhibits, formats
from shoal.report.pictures import Chart, TrainedNetwork, band, finite, trained
from shoal.report.story import Story


def learned(story: Story) -> list[Chart]:
    """The shoal: every network's score and loss by epoch, the chosen ones strong, verdicts where they were read."""
    populations = [name for name, population in story.populations.items() if population.epochs]
    if not populations:
        return []
    shown = trained(story)
    verdicts = [exhibits.verdict_data(v) for v in story.verdicts[-1:]]
    shared = {"populations": populations, "band": populations[-1], "verdicts": verdicts}
    word = formats.metric_word(story.metric)
    score, loss = {**shared, "what": "validation_score"}, {**shared, "what": "validation_loss"}
    title = f"{word[0].upper()}{word[1:]} by epoch, every network"
    return [
        Chart("shoal-score", "curves", title, _score_caption(story, shown), score),
        Chart("shoal-loss", "curves", "Loss by epoch, every network", _loss_caption(story), loss),
    ]


def networks(story: Story) -> str:
    """What was trained, in words: "Each network has two hidden layers of 128: 30,018 numbers to learn."."""
    kinds: dict[tuple[str, int], list[str]] = {}
    for name, population in story.populations.items():
        started = population.started
        kinds.setdefault((_built(started.network), started.parameters), []).append(formats.spoken(name))
    said = [(f"{built}: {formats.count(size, 'number')} to learn", of) for (built, size), of in kinds.items() if built]
    if len(said) == 1:
        return f"Each network {said[0][0]}."
    return " ".join(f"In {_listed(of)} each network {words}." for words, of in said)


def _built(network: Mapping[str, object]) -> str:
    """The document of a network, after "each network"; empty where it is not known."""
    width, depth, blocks = (_whole(network.get(key)) for key in ("width", "depth", "blocks"))
    match network.get("network"):
        case "mlp" if depth:
            return f"has {_small(depth)} hidden layer{'s' if depth > 1 else ''} of {width:,}"
        case "mlp":
            return "is one linear layer"
        case "cnn" if width and blocks:
            wide = _listed([f"{width * 2**k:,}" for k in range(blocks)])
            return f"has {_small(blocks)} convolution{'s' if blocks > 1 else ''} of {wide} channels and a linear layer"
        case str():
            name = network.get("factory")
            return f"is your own, `{formats.shorten(name, 60)}`" if isinstance(name, str) and name else "is your own"
    return ""


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _small(n: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[n] if 0 <= n < len(words) else f"{n:,}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _score_caption(story: Story, networks: dict[int, TrainedNetwork]) -> str:
    metric, rows = story.metric, story.validation_rows
    good = finite([n.best for n in networks.values()])
    if not good:
        return f"None of {formats.count(len(networks), 'network')} reached a finite score."
    low, high = band(good)
    top, all_of = formats.score(metric, max(good), rows=rows), formats.count(len(networks), "network")
    caption = f"Of {all_of} the middle 80 % reach {_between(metric, low, high, rows)} at their best epoch; "
    caption += f"the best reaches {top}."
    if len(good) < 3:
        caption = f"The best of {all_of} reaches {top} on validation rows."
    chosen = [networks[k] for k in story.chosen if k in networks]
    if chosen and story.ensemble:
        answer = "line: the network that answers" if len(chosen) == 1 else f"lines: the {len(chosen)} of the ensemble"
        caption += f" Strong {answer}."
    wild = sum(n.status == "diverged" for n in networks.values())
    if wild:
        caption += (
            f" {formats.count(wild, 'network')} diverged: {'its line ends' if wild == 1 else 'their lines end'} early."
        )
    return caption


def _between(metric: str, low: float, high: float, rows: int) -> str:
    a, b = formats.score(metric, low, rows=rows), formats.score(metric, high, rows=rows)
    return a if a == b else f"{a.removesuffix(' %')} to {b}"


def _loss_caption(story: Story) -> str:
    if not story.verdicts:
        return "The curves have not been judged yet."
    last = story.verdicts[-1]
    return f"{last.sentence} Read on network {last.member}, {exhibits.verdict_numbers(story, last)}."


def mattered(story: Story) -> list[Chart]:
    """The whole search by hyperparameter, and how much of the score each one explains."""
    drawn = []
    widest = exhibits.weighed(story)
    if widest is not None:
        ranked = sorted(widest.importance.items(), key=lambda item: -item[1] if math.isfinite(item[1]) else 1.0)
        first, share = ranked[0]
        name, of = formats.spoken(first), formats.count(len(widest.members), "network")
        caption = (
            f"{name[:1].upper()}{name[1:]} explains {formats.number(share * 100, 2)} % of how the scores of {of} differ"
        )
        caption += f" ({formats.spoken(widest.population)})"
        if len(ranked) > 1 and ranked[1][1] >= 0.01:
            second, other = ranked[1]
            caption += f", then {formats.spoken(second)} with {formats.number(other * 100, 2)} %"
        caption += ". No interval was recorded, so small differences between bars could be chance."
        rows = [{"name": formats.spoken(n), "value": v} for n, v in ranked]
        drawn.append(Chart("importance", "bars", "Share of the score's variance", caption, {"rows": rows}))
    if story.searches:
        title = "Every network by its hyperparameters" if len(story.searches) > 1 else ""
        drawn.append(exhibits.search(story, "search-all", story.searches, title))
    return drawn


def overfitting(story: Story) -> list[Chart]:
    """Training against validation score, one dot a network."""
    networks = [n for n in trained(story).values() if math.isfinite(n.best) and math.isfinite(n.train)]
    if not networks:
        return []
    metric = story.metric
    judged = {v.member: v.gap for v in story.verdicts if math.isfinite(v.gap)}
    at = {n.id: n.best + judged.get(n.id, n.train - n.best) for n in networks}
    gaps = sorted(at[n.id] - n.best for n in networks)
    middle = gaps[len(gaps) // 2]
    threshold = story.verdicts[-1].gap_threshold if story.verdicts else None
    caption = f"At its best epoch the {'only' if len(networks) == 1 else 'middle'} network scores "
    side = "higher" if middle >= 0 else "lower"
    caption += f"{formats.difference(metric, middle)} {side} on the rows it was trained on than on validation rows."
    if threshold is not None and math.isfinite(threshold):
        over = sum(g > threshold for g in gaps)
        caption += f" {over} of {formats.count(len(gaps), 'network')} lie beyond the gap of "
        caption += f"{formats.difference(metric, threshold)} that is called overfitting (dashed)."
    if judged:
        caption += (
            " The judged networks were read again on the training rows without dropout; the others as they trained."
        )
    data = {
        "points": [{"id": n.id, "x": at[n.id], "y": n.best} for n in networks],
        "threshold": threshold,
        "judged": [v.member for v in story.verdicts],
    }
    return [Chart("agreement", "agreement", "Score on training and on validation rows", caption, data)]


def together(story: Story) -> list[Chart]:
    """What the ensemble gains over its best network, and how the greedy selection got there."""
    chosen = story.ensemble
    if chosen is None or len(chosen.members) < 2:
        return []
    low, high = chosen.gain_interval
    row = {"name": "ensemble", "value": chosen.gain, "low": low, "high": high}
    title = "Gain of the ensemble over the best single network"
    gain = Chart("gain", "dots", title, gain_sentence(story.metric, chosen), {"rows": [row]})
    if len(chosen.path) < 2:
        return [gain]
    metric, rows = story.metric, story.validation_rows
    brought = formats.signed(metric, chosen.path[-1] - chosen.path[0])
    reached = formats.score(metric, chosen.path[-1], rows=rows)
    pool, added = formats.count(chosen.candidates, "candidate"), formats.count(len(chosen.path), "addition")
    caption = f"Networks were added one at a time from {pool}, each time the one that lowered the loss most: {added} "
    caption += f"changed the score by {brought} on validation rows, to {reached}. A network may be added several times."
    path = Chart("path", "path", "The greedy path", caption, {"values": chosen.path, "single": chosen.single})
    return [gain, path]


def gain_sentence(metric: str, chosen: ev.EnsembleChosen) -> str:
    """The ensemble's gain with its interval, and whether it is evidence."""
    low, high = chosen.gain_interval
    half = (high - low) / 2
    said = formats.signed(metric, chosen.gain, half)
    wide = f"{formats.signed(metric, low, half)} to {formats.signed(metric, high, half)}"
    if low > 0:
        return f"The ensemble scores {said} against its best network on validation rows ({wide}): it helps."
    if high < 0:
        return f"The ensemble scores {said} against its best network on validation rows ({wide}): it harms."
    return (
        f"The ensemble scores {said} against its best network on validation rows ({wide}): "
        "no evidence of a difference, it could be chance."
    )
