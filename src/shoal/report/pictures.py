"""What the page hands to its charts: plain JSON, one entry by picture, and the networks that all pictures share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import quantiles
from typing import Any

from shoal.report import formats
from shoal.report.story import PopulationHistory, Story

CURVES = ("train_loss", "train_score", "validation_loss", "validation_score")


@dataclass(frozen=True)
class Chart:
    """One picture of the page: `kind` names the chart that draws `data`, `caption` states its finding in words."""

    id: str
    kind: str
    title: str
    caption: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedNetwork:
    """One network as its curves show it: the best validation score, and the training score of that epoch."""

    id: int
    population: str
    values: Mapping[str, Any]
    best: float  # NaN where no epoch was finite
    train: float
    epoch: int
    status: str


def trained(story: Story) -> dict[int, TrainedNetwork]:
    """Every network of the run by its id, as its curves show it."""
    networks: dict[int, TrainedNetwork] = {}
    for name, population in story.populations.items():
        best: dict[int, tuple[float, float, int]] = {}
        status: dict[int, str] = {}
        for epoch in population.epochs:
            for k, member in enumerate(epoch.members):
                value, known = epoch.validation_score[k], best.get(member)
                if math.isfinite(value) and (known is None or value > known[0]):
                    best[member] = (value, epoch.train_score[k], epoch.epoch)
                status[member] = epoch.status[k]
        for info in population.started.members:
            value, train, at = best.get(info.id, (math.nan, math.nan, 0))
            networks[info.id] = TrainedNetwork(info.id, name, info.values, value, train, at, status.get(info.id, "ok"))
    for search in story.searches:
        for info, value, at, state in zip(search.members, search.score, search.best_epoch, search.status, strict=False):
            network = networks.get(info.id)
            train = network.train if network else math.nan
            networks[info.id] = TrainedNetwork(info.id, search.population, info.values, value, train, at, state)
    return networks


def population_data(name: str, population: PopulationHistory) -> dict[str, Any]:
    """A population's curves as the charts take them: ids [K] and, for each quantity, [K][T] with None as "no value"."""
    started = population.started
    ids = [member.id for member in started.members]
    last = max((epoch.epoch for epoch in population.epochs), default=0)
    row = {member: k for k, member in enumerate(ids)}
    grids: dict[str, list[list[float | None]]] = {c: [[None] * last for _ in ids] for c in CURVES}
    for epoch in population.epochs:
        for k, member in enumerate(epoch.members):
            if member in row and epoch.epoch >= 1:
                for curve in CURVES:
                    grids[curve][row[member]][epoch.epoch - 1] = getattr(epoch, curve)[k]
    return {"name": name, "step": started.step, "round": started.round, "ids": ids, "epochs": last, **grids}


def page_data(story: Story, pictures: list[Chart]) -> dict[str, Any]:
    """All that the page's scripts need, as one JSON value: the metric, the networks, their curves, the pictures."""
    votes = story.chosen if story.ensemble else {}
    metric = story.metric
    return {
        "metric": {"name": metric, "word": formats.metric_word(metric), "share": metric in formats.SHARES},
        "members": [
            {
                "id": network.id,
                "population": network.population,
                "values": dict(network.values),
                "best": network.best,
                "train": network.train,
                "epoch": network.epoch,
                "status": network.status,
                "votes": votes.get(network.id, 0),
            }
            for network in trained(story).values()
        ],
        "chosen": sorted(story.chosen),
        "ensemble": story.ensemble is not None,
        "populations": [population_data(name, population) for name, population in story.populations.items()],
        "figures": {picture.id: {"kind": picture.kind, **picture.data} for picture in pictures},
    }


def to_script(value: object) -> str:
    """`value` as JSON that may stand inside a script element: no "<", no ">", no "&", no line separators.

    Numbers keep six significant digits; what is not finite becomes null; text loses control characters.

    >>> to_script({"name": "</script>", "loss": [0.12345678, float("nan")]})
    '{"name":"\\\\u003c/script\\\\u003e","loss":[0.123457,null]}'
    """
    text = json.dumps(_plain(value), separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _plain(value: object) -> object:
    if isinstance(value, str):
        return formats.clean(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        rounded = float(f"{value:.6g}")
        return int(rounded) if rounded.is_integer() and abs(rounded) < 2**53 else rounded
    if isinstance(value, Mapping):
        return {formats.clean(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return formats.clean(str(value))


def finite(values: list[float]) -> list[float]:
    """The finite ones."""
    return [value for value in values if math.isfinite(value)]


def band(values: list[float]) -> tuple[float, float]:
    """The 10 % and the 90 % quantile of finite values; at least one is needed.

    >>> band([1.0]), band([0.0, 10.0])
    ((1.0, 1.0), (1.0, 9.0))
    """
    if len(values) < 2:
        return values[0], values[0]
    cuts = quantiles(values, n=10, method="inclusive")
    return cuts[0], cuts[-1]
