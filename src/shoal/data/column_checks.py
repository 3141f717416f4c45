"""One pass over a table: what its values and its target warn of. Each check says one thing, with its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.events import Finding
from shoal.core.wording import listing, percent, setting
from shoal.data import cells, codes
from shoal.data.dataset import TableFeatures
from shoal.data.frames import RawTable
from shoal.data.schema import Column
from shoal.data.single import single
from shoal.data.targets import Target

TELLS = 0.97  # share of what the commonest answer misses that one column alone gets right: about to give it away
IDENTIFIER_GAIN, IDENTIFIER_Z = 0.1, 5.0
SCALE_RATIO = 1e4  # of standard deviations
CAPPED_SHARE = 0.01
CAPPED_TIMES = 5  # as often as the values next to it, on average
NEIGHBOURS = 10
FEWEST_DISTINCT = 40
FEWEST_ROWS = 40
PART_WORDS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev", "holdout"}
ORDERED_SHARE = 0.5  # of the rows that have a moment of their own


def of_values(columns: Sequence[Column], features: TableFeatures, answer: Target | None) -> list[Finding]:
    """What values say of themselves: unequal scales, ends of ranges, an order of time, the parts of a split."""
    names = [column.name for column in columns if column.feature and column.role == "numeric"]
    numeric = {name: features.frame.get_column(name).drop_nulls().to_numpy() for name in names}
    measured = dict(numeric)
    if answer is not None and answer.task == "regression":
        target = next((column.name for column in columns if column.role == "target"), "the target")
        measured[target] = answer.values.astype(np.float64)
    timed = any(column.role == "time" for column in columns)
    return [
        *_unequal_scales(numeric),
        *_capped(measured),
        *([] if timed else _time_order(columns, features)),
        *_split_column(columns, features),
    ]


def of_target(
    raw: RawTable, columns: Sequence[Column], features: TableFeatures, answer: Target, known: Sequence[str]
) -> list[Finding]:
    """What single columns say of the target; `known` are those of which it has been said already."""
    return [*_telling(columns, features, answer, known), *_identifiers(raw, columns, answer)]


def _unequal_scales(numeric: dict[str, NDArray[np.float64]]) -> Iterator[Finding]:
    with np.errstate(over="ignore"):
        spread = {name: float(values.std()) for name, values in numeric.items() if len(values)}
    spread = {name: value for name, value in spread.items() if 0 < value < np.inf}
    if len(spread) < 2:
        return
    small, large = min(spread, key=spread.__getitem__), max(spread, key=spread.__getitem__)
    if spread[large] < SCALE_RATIO * spread[small]:
        return
    yield Finding(
        code=codes.UNEQUAL_SCALES,
        sentence=f"The numbers differ in scale: {large} spreads {spread[large] / spread[small]:.0e} times as far as "
        f"{small}; unscaled, it would drown the others. Shoal scales every column.",
        evidence={"std": {small: spread[small], large: spread[large]}},
    )


def _capped(numeric: dict[str, NDArray[np.float64]]) -> Iterator[Finding]:
    """Values that pile up at an end of their range, as a measuring device or a form cuts them off."""
    cut: dict[str, dict[str, float]] = {}
    for name, values in numeric.items():
        distinct, often = np.unique(values, return_counts=True)
        if len(distinct) < FEWEST_DISTINCT:
            continue
        for end, others in ((0, often[1 : 1 + NEIGHBOURS]), (-1, often[-1 - NEIGHBOURS : -1])):
            rows = int(often[end])
            natural = end == 0 and distinct[0] == 0  # nothing of something is no cut
            if not natural and rows >= CAPPED_SHARE * len(values) and rows > CAPPED_TIMES * others.mean():
                cut[name] = {"value": float(distinct[end]), "rows": rows, "share": rows / len(values)}
    if cut:
        parts = listing(
            f"{name} at {each['value']:g} in {percent(each['share'])} of the rows" for name, each in cut.items()
        )
        yield Finding(
            code=codes.CAPPED,
            sentence=f"Values pile up at the end of their range, as if cut off there: {parts}.",
            evidence={"columns": {name: dict(each) for name, each in cut.items()}},
            fix="leave out the rows that are cut off when their true values matter",
        )


def _time_order(columns: Sequence[Column], features: TableFeatures) -> Iterator[Finding]:
    """A date that only rises (or falls) from row to row, while nobody said that time orders the rows."""
    for column in columns:
        if column.role != "date" or not column.feature or column.missing:
            continue
        moments = features.frame.get_column(column.name)
        steps = moments.dt.epoch("us").diff().drop_nulls().to_numpy()
        if len(steps) + 1 < FEWEST_ROWS or not ((steps >= 0).all() or (steps <= 0).all()):
            continue
        moving = steps[steps != 0]
        if len(moving) < ORDERED_SHARE * len(steps):
            continue
        usual = float(np.median(np.abs(moving))) / 1e6
        even = percent(float((np.abs(moving) == np.median(np.abs(moving))).mean()))
        yield Finding(
            code=codes.TIME_ORDER,
            level="warning",
            sentence=f"{column.name} {'rises' if steps.sum() > 0 else 'falls'} from row to row, usually by "
            f"{_duration(usual)} ({even} of the steps): in a random split a network would learn from rows that come "
            "after those that it is judged on.",
            evidence={"column": column.name, "step_s": usual, "rows": len(steps) + 1},
            fix=f"say that {column.name} orders the rows: {setting('time', column.name)}",
        )


def _split_column(columns: Sequence[Column], features: TableFeatures) -> Iterator[Finding]:
    """A column that names the parts of somebody's split."""
    for column in columns:
        if column.role != "category" or column.unique > len(PART_WORDS):
            continue
        values = features.frame.get_column(column.name).drop_nulls().unique()
        words = sorted(str(value).lower() for value in values.to_list())
        if set(words) <= PART_WORDS and any(word.startswith("train") for word in words):
            yield Finding(
                code=codes.SPLIT_COLUMN,
                level="warning",
                sentence=f"{column.name} names the parts of a split ({listing(words)}): it says nothing of a row that "
                "is yet to come.",
                evidence={"column": column.name, "values": list(words)},
                fix=f"leave {column.name} out: {setting('drop', column.name)}",
            )


def _duration(seconds: float) -> str:
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)} {unit}{'s' if seconds != length else ''}"
    return f"{seconds:g} seconds"


def _telling(
    columns: Sequence[Column], features: TableFeatures, answer: Target, known: Sequence[str]
) -> Iterator[Finding]:
    found: dict[str, float] = {}
    for column in columns:
        if column.feature and column.role not in ("time", "date") and column.name not in known:
            alone = single(features.frame.get_column(column.name), answer, neighbours=3)
            if alone is not None and alone.gain >= TELLS and alone.z > IDENTIFIER_Z:
                found[column.name] = alone.score
    if not found:
        return
    what = "of the rows right" if answer.task == "classification" else "of the target's variance"
    first = next(iter(found))
    parts = listing(f"{name} ({_almost(score)} {what})" for name, score in found.items())
    yield Finding(
        code=codes.TELLS_TARGET,
        level="warning",
        sentence=f"One column alone tells the target: {parts}, on rows that it was not learned from. "
        "Does it become known only after the answer?",
        evidence={"columns": dict(found)},
        fix=f"leave {first} out if it would not be known when predicting: {setting('drop', first)}",
    )


def _almost(share: float) -> str:
    """A share near one, never rounded up to all."""
    return "100 %" if share == 1 else f"{np.floor(1e4 * share) / 100:g} %"


def _identifiers(raw: RawTable, columns: Sequence[Column], answer: Target) -> Iterator[Finding]:
    """Identifiers that say something of the target: the rows came in an order, or the code means something."""
    found: dict[str, dict[str, float]] = {}
    for column in columns:
        if column.role != "identifier":
            continue
        series = raw.frame.get_column(column.name)
        numbers = cells.numbers(series) if series.dtype == pl.String or series.dtype.is_numeric() else None
        whole = numbers is not None and not numbers.odd.any()
        alone = single(numbers.values if numbers is not None and whole else cells.text(series), answer, neighbours=20)
        if alone is not None and alone.gain >= IDENTIFIER_GAIN and alone.z >= IDENTIFIER_Z:
            found[column.name] = {"score": alone.score, "constant": alone.base, "gain": alone.gain}
    if not found:
        return
    name, first = next(iter(found.items()))
    if answer.task == "classification":
        usual = f"the commonest answer {percent(first['constant'])}"
        how = f"its order alone gets {percent(first['score'])} of the rows right, {usual}"
    else:
        how = f"its order alone explains {percent(first['score'])} of the target's variance"
    more = f" So do {listing(list(found)[1:])}." if len(found) > 1 else ""
    yield Finding(
        code=codes.IDENTIFIER_PREDICTS,
        level="warning" if any(each["gain"] >= 0.5 for each in found.values()) else "note",
        sentence=f"{name} identifies rows and yet predicts the target: {how}. Rows were collected in an order, or "
        f"the code means something.{more}",
        evidence={"columns": {each: dict(values) for each, values in found.items()}},
        fix="nothing is learned from it; where it stands for people, places or devices, keep their rows together "
        "(option group)",
    )
