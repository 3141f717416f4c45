"""Targets: which task they set, and how they become class codes or values.

Text and truth values are classes; of numbers `task_rule` decides. `task=` overrides the rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Finding, TaskType
from shoal.core.wording import count, listing, percent, setting
from shoal.data import cells, class_types, codes, moments, number_style, number_text, task_rule
from shoal.data.frames import RawTable
from shoal.data.limits import LARGEST_NUMBER
from shoal.data.number_style import Signs
from shoal.data.number_text import NumberStyle
from shoal.data.schema import ClassType
from shoal.data.spelling import Joined, Known, join
from shoal.data.spelling import findings as spelling_findings

RARE_SHARE = 0.1  # of an even share of the rows, below which a class is named


@dataclass(frozen=True)
class Target:
    """What is to be predicted: class codes [N] with their names, or values [N]."""

    values: NDArray[np.int64] | NDArray[np.float64]
    task: TaskType
    classes: tuple[str, ...] | None
    findings: tuple[Finding, ...] = ()
    style: NumberStyle | None = None  # of numbers that came as text
    class_type: ClassType = "text"  # in which the classes were given


def table_target(
    raw: RawTable, name: str, task: TaskType | None, signs: Signs | None = None, *, exact: bool = False
) -> Target:
    """The target of a table.

    Args:
        raw: the table, in which no answer is missing.
        name: of the target's column.
        task: what the user says.
        signs: what is known of the decimal sign; by default what the table tells.
        exact: the cells are classes as they are written, be they numbers or several spellings of one word.

    Raises:
        InputError: dates, infinities, words among numbers, one class only, a class with a single row.
    """
    series = raw.frame.get_column(name)
    where = f"{raw.source}, target {name!r}"
    filled = cells.text(series)
    if moments.is_typed(series):
        raise InputError(
            f"{where}: the answers are dates, and numbers or classes are predicted; write them as numbers, such as "
            "days since a date."
        )
    if exact:
        if task == "regression":
            raise InputError(f"{where}: the role `exact` makes classes, and a regression predicts numbers; choose one.")
        target = _labels(Joined(filled, {}), raw, where)
    else:
        target = _of_column(raw, name, series, filled, where, task, signs)
    typed = class_types.of_column(series, target.classes or (), from_text=raw.lines is not None)
    return replace(target, class_type=typed)


def _of_column(
    raw: RawTable,
    name: str,
    series: pl.Series,
    filled: pl.Series,
    where: str,
    task: TaskType | None,
    signs: Signs | None,
) -> Target:
    """The target by its cells, of which none is missing."""
    style = number_style.find(filled, signs or Signs.of(raw, None)) if series.dtype == pl.String else None
    values = _as_numbers(raw, filled if series.dtype == pl.String else series, where, task, style)
    if values is None:
        _refuse_words(task, where, str(filled[0]))
        joined = join(filled)
        found = _labels(joined, raw, where)
        said = spelling_findings({name: joined}, target=True)
        said += number_style.contradictions({name: style.apart} if style and style.apart else {})
        return replace(found, findings=(*said, *found.findings))
    target = _by_rule(values, task, raw, where, coded=False)
    if style is None:
        return target
    said = number_style.findings({name: style})
    return replace(target, classes=_as_written(target, filled), style=style.style, findings=(*said, *target.findings))


def array_target(
    y: NDArray[np.generic],
    source: str,
    task: TaskType | None,
    *,
    table: bool,
    names: tuple[str, ...] | None,
    numbers: NDArray[np.int64] | None = None,
) -> Target:
    """The target that came as an array: whole numbers, truth values, text or floats, [N] or [N, 1].

    Args:
        y: the answers, none of them missing.
        source: for messages.
        task: what the user says.
        table: whether the rows are those of a table.
        names: of the classes, where the answers are their codes.
        numbers: of the rows in the source, where some were left out.

    Raises:
        InputError: several columns, complex or object values, NaN, infinity, one class only, a class with a single row.
    """
    where = f"{source}, target"
    raw = RawTable(pl.DataFrame(), source, numbers=numbers)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise InputError(f"{where}: shape {list(y.shape)}; one answer a row is expected, [N] or [N, 1].")
    target = _of_array(y, where, raw, task, table=table)
    if names is None or target.classes is None or y.dtype.kind not in "iuf":
        return replace(target, class_type=class_types.of_array(y, target.classes or ()))
    named = _named(target.classes, names, where)
    counts = np.bincount(target.values.astype(np.int64), minlength=len(named))
    kept = tuple(each for each in target.findings if each.code != codes.UNEQUAL_CLASSES)
    return Target(target.values, target.task, named, (*kept, *unequal_classes(named, counts)))


def _of_array(y: NDArray[np.generic], where: str, raw: RawTable, task: TaskType | None, *, table: bool) -> Target:
    """The target by the values [N]."""
    if y.dtype.kind in "US":
        texts = [(v.decode("utf-8", "replace") if isinstance(v, bytes) else v).strip() for v in y.tolist()]
        if task != "regression":
            return _labels_beside(texts, raw, where)
        y = _text_numbers(texts, raw, where)
    if y.dtype.kind == "O" and all(isinstance(value, str | bool | np.bool_) for value in y.tolist()):
        _refuse_words(task, where, str(y[0]) if len(y) else "")
        return _labels_beside([str(value).strip() for value in y.tolist()], raw, where)
    if y.dtype.kind not in "biuf":
        raise InputError(f"{where}: values of type {y.dtype}; numbers or text are expected.")
    if y.dtype.kind == "b":
        _refuse_words(task, where, str(y[0]) if len(y) else "")
        return _labels(Joined(pl.Series(np.where(y, "True", "False").astype(object)), {}), raw, where)
    values = y.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        kind = "infinity" if np.isinf(values[bad[0]]) else "NaN"
        raise InputError(f"{where}: {kind} in {raw.places(bad)}; delete these rows or fill the answers.")
    return _by_rule(values, task, raw, where, coded=y.dtype.kind in "iu" and not table)


def known_target(
    series: pl.Series,
    task: TaskType,
    classes: tuple[str, ...] | None,
    style: NumberStyle | None = None,
    *,
    exact: bool = False,
) -> tuple[NDArray[np.generic] | None, str]:
    """True answers of new rows in the terms of a trained model, or None with the reason.

    Args:
        series: the answers.
        task: of the model.
        classes: of the model, in the order of their codes.
        style: how the target's numbers were written where it came as text.
        exact: a class has one spelling.
    """
    filled = cells.text(series)
    missing = filled.null_count()
    if missing:
        return None, f"{count(missing, 'true answer')} of {series.len()} missing"
    if task == "regression":
        read = cells.numbers(series if series.dtype.is_numeric() else filled, style or NumberStyle())
        if read.values.null_count():
            return None, f"{listing(filled.filter(read.values.is_null()).unique(maintain_order=True), 3)}: no number"
        return read.values.to_numpy(), ""
    known = Known(classes or ())
    lookup: dict[str | None, int] = {name: code for code, name in enumerate(classes or ())}
    code_of = {value: lookup.get(value if exact else known.find(value), -1) for value in filled.unique().to_list()}
    names = [code_of[value] for value in filled.to_list()]
    found = np.asarray(names, dtype=np.int64)
    if style is not None:  # other ways to write the same number
        numbers = {number: code for code, number in enumerate(number_text.values(pl.Series(classes), style))}
        same = [numbers.get(number, -1) for number in cells.numbers(series, style).values.to_list()]
        found = np.where(found < 0, np.asarray(same, dtype=np.int64), found)
    unknown = filled.filter(pl.Series(found < 0)).unique(maintain_order=True)
    if unknown.len():
        return None, f"{listing(unknown, 3)}: no class of the model"
    return found, ""


def label_text(value: object) -> str:
    """A class name: whole numbers without a decimal point.

    >>> label_text("3.0"), label_text("a")
    ('3', 'a')
    """
    try:
        number = float(str(value))
    except ValueError:
        return str(value)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else str(value)


def _as_numbers(
    raw: RawTable, series: pl.Series, where: str, task: TaskType | None, style: number_style.FoundStyle | None
) -> NDArray[np.float64] | None:
    """The target as numbers, or None where it is made of words."""
    if series.dtype in (pl.Categorical, pl.Enum) and task == "regression":
        series = series.cast(pl.String)  # not the codes of its categories
    elif series.dtype in (pl.Boolean, pl.Categorical, pl.Enum) or (series.dtype == pl.String and style is None):
        return None
    read = cells.numbers(series, style.style if style else NumberStyle())
    zeros = series.dtype == pl.String and series.str.contains(r"^0\d+$").any()
    odd = np.flatnonzero(read.odd.to_numpy())
    if task != "regression" and (zeros or len(odd) > 0.05 * series.len()):
        return None
    if len(odd):
        distinct = read.values.drop_nulls().n_unique()
        if task == "classification" or (task is None and distinct <= task_rule.MOST_WHOLE_CLASSES):
            return None
        raise InputError(
            f"{where}: {series[int(odd[0])]!r} in {raw.places(odd)} is no number, while other answers are; "
            "mend or delete it."
        )
    values = read.values.to_numpy()
    infinite = np.flatnonzero(np.isinf(values))
    if len(infinite):
        raise InputError(f"{where}: infinity in {raw.places(infinite)}; delete these rows or give a number.")
    return np.asarray(values, dtype=np.float64)


def _text_numbers(texts: list[str], raw: RawTable, where: str) -> NDArray[np.float64]:
    """Numbers of an array of text, with decimal points."""
    values = number_text.values(pl.Series(texts, dtype=pl.String), NumberStyle())
    odd = np.flatnonzero(values.is_null().to_numpy())
    if len(odd):
        raise InputError(
            f"{where}: {texts[odd[0]]!r} in {raw.places(odd)} is no number, and a regression predicts numbers; "
            "write them as numbers, or leave out the task."
        )
    return np.asarray(values.to_numpy(), dtype=np.float64)


def _refuse_words(task: TaskType | None, where: str, example: str) -> None:
    if task == "regression":
        raise InputError(
            f"{where}: the answers are words such as {example!r}, and a regression predicts numbers; "
            "write them as numbers, or leave out the task."
        )


def _as_written(target: Target, filled: pl.Series) -> tuple[str, ...] | None:
    """The names of classes that are numbers: as the cells have them, unless plain digits say the same."""
    if target.classes is None or filled.cast(pl.Float64, strict=False).null_count() == 0:
        return target.classes
    first = np.unique(target.values, return_index=True)[1]
    return tuple(str(filled[int(row)]) for row in first)


def _by_rule(values: NDArray[np.float64], task: TaskType | None, raw: RawTable, where: str, *, coded: bool) -> Target:
    distinct, inverse, often = np.unique(values, return_inverse=True, return_counts=True)
    if len(distinct) < 2:
        raise InputError(
            f"{where}: all {count(len(values), 'row')} have the answer {distinct[0]:g}; there is nothing to learn."
        )
    guess = task_rule.Guess(task) if task else task_rule.guess(distinct, often, coded=coded)
    said = guess.finding(distinct, len(values))
    if guess.task == "regression":
        huge = np.flatnonzero(np.abs(values) > LARGEST_NUMBER)
        if len(huge):
            raise InputError(
                f"{where}: {values[huge[0]]:g} in {raw.places(huge)} is too large to compute with; "
                "mend the number or delete the row."
            )
        return Target(values, "regression", None, said)
    names = tuple(label_text(f"{value:.17g}") for value in distinct)
    target = _classes(inverse.astype(np.int64), names, raw, where, numbers=True)
    return replace(target, findings=(*said, *target.findings))


def _labels_beside(texts: list[str], raw: RawTable, where: str) -> Target:
    """Classes by answers that came beside the rows, and so have no column that a role could be given to."""
    joined = join(pl.Series(texts, dtype=pl.String))
    found = _labels(joined, raw, where)
    said = spelling_findings({"the target": joined}, target=True, named=False)
    return replace(found, findings=(*said, *found.findings))


def _labels(joined: Joined, raw: RawTable, where: str) -> Target:
    names, inverse = np.unique(joined.values.to_numpy().astype(str), return_inverse=True)
    if len(names) < 2:
        only = names[0] if len(names) else ""
        raise InputError(f"{where}: one class only, {str(only)!r}; there is nothing to tell apart.")
    return _classes(inverse.astype(np.int64), tuple(str(name) for name in names), raw, where)


def _classes(
    inverse: NDArray[np.int64], names: tuple[str, ...], raw: RawTable, where: str, *, numbers: bool = False
) -> Target:
    hint = f"; where the numbers are quantities, say so: {setting('task', 'regression')}" if numbers else ""
    counts = np.bincount(inverse, minlength=len(names))
    single = np.flatnonzero(counts == 1)
    if len(single) > 1:
        raise InputError(
            f"{where}: {len(single)} of {len(names)} classes have a single row "
            f"({listing((names[i] for i in single), 4)}); every class needs rows to learn from and to test on; "
            f"name another target, or merge or drop these{hint}."
        )
    if len(single):
        rows = np.flatnonzero(inverse == single[0])
        raise InputError(
            f"{where}: the class {names[single[0]]!r} has a single row ({raw.places(rows)}); "
            f"give more rows of it, or delete it{hint}."
        )
    return Target(inverse, "classification", names, unequal_classes(names, counts))


def unequal_classes(names: Sequence[str], counts: NDArray[np.int64]) -> tuple[Finding, ...]:
    """Classes whose shares of the rows are far apart."""
    share = counts / counts.sum()
    rarest, commonest = int(counts.argmin()), int(counts.argmax())
    if share[rarest] >= RARE_SHARE / len(names) and share[commonest] <= 0.9:
        return ()
    return (
        Finding(
            code=codes.UNEQUAL_CLASSES,
            level="warning",
            sentence=f"The classes are unequal: {names[commonest]!r} has {percent(share[commonest])} of the rows, "
            f"{names[rarest]!r} {percent(share[rarest])} ({count(int(counts[rarest]), 'row')}).",
            evidence={"rows": {name: int(n) for name, n in zip(names[:50], counts[:50], strict=True)}},
            fix="judge by balanced accuracy",
        ),
    )


def _named(labels: tuple[str, ...], names: tuple[str, ...], where: str) -> tuple[str, ...]:
    """Class codes replaced by the names that came with them."""
    positions = [int(label) if label.isdigit() else -1 for label in labels]
    if min(positions) < 0 or max(positions) >= len(names):
        raise InputError(
            f"{where}: codes {listing(labels)} do not fit the {count(len(names), 'class name')} that came with it."
        )
    return tuple(names[position] for position in positions)
