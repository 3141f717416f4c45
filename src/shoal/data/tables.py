"""A raw table to a `Dataset`: target, time, group and roles, what is set aside and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Finding, Task
from shoal.data import cells, codes, leaks, roles
from shoal.data.dataset import Dataset, TableFeatures, fingerprint
from shoal.data.frames import RawTable
from shoal.data.schema import Column, Role, Schema
from shoal.data.targets import Target, table_target
from shoal.data.wording import closest, count, listing, percent

REASONS: dict[str, tuple[str, str]] = {
    "identifier": (codes.IDENTIFIER, "(almost) every row has its own value, so nothing can be learned from it"),
    "text": (codes.FREE_TEXT, "free text"),
    "constant": (codes.CONSTANT, "the same value in every row"),
    "empty": (codes.EMPTY, "no cell is filled"),
}


@dataclass(frozen=True)
class _Repeats:
    """Columns that say again what another column or the target says."""

    same: dict[str, str]  # a column and the earlier one that it equals
    copies: list[str]  # of the target
    determining: list[str]

    @classmethod
    def of(cls, inferred: dict[str, roles.Inferred], answer: Target) -> _Repeats:
        values = {key: found.values for key, found in inferred.items() if found.values is not None}
        same = leaks.duplicates(values)
        once = {key: series for key, series in values.items() if key not in same}
        return cls(same, *leaks.copies_of_target(once, answer.values, answer.task))

    def role(self, name: str) -> tuple[Role, str] | None:
        """The role of a column that is set aside for this, and why."""
        if name in self.same:
            return "duplicate", f"the same as {self.same[name]}"
        return ("leak", "the target under another name or coding") if name in self.copies else None


def table_dataset(
    raw: RawTable,
    *,
    name: str,
    target: str | None,
    time: str | None = None,
    group: str | None = None,
    drop: Iterable[str] = (),
    task: Task | None = None,
    given: Target | None = None,
    given_split: NDArray[np.int8] | None = None,
) -> Dataset:
    """A data set from a table.

    Args:
        raw: the columns as they came.
        name: what to call the data.
        target: the column to predict.
        time: the column that orders the rows.
        group: the column whose equal values stay together.
        drop: columns to leave out.
        task: overrides the target's rule.
        given: the target where it did not come as a column.
        given_split: the parts where the source itself splits.

    Raises:
        InputError: a column that is not there, a target that cannot be learned, no feature left.
    """
    dropped = tuple(drop)
    _check_names(raw, target, time, group, dropped, wants_target=given is None)
    answer = given or table_target(raw, target or "", task)
    inferred = {key: roles.infer(raw, key) for key in raw.frame.columns if key not in {target, time, group, *dropped}}
    repeats = _Repeats.of(inferred, answer)
    columns = _columns(raw, inferred, repeats, target, group, dropped)
    values = {key: found.values for key, found in inferred.items()}
    moments: NDArray[np.float64] | None = None
    if time is not None:
        at = raw.frame.columns.index(time)
        columns[at], moments, values[time] = _time(raw, time)
    kept = [(column.name, values[column.name]) for column in columns if column.feature]
    features = TableFeatures(pl.DataFrame([series.rename(key) for key, series in kept if series is not None]))
    if features.frame.width == 0:
        raise InputError(f"{raw.source}: no column is left to learn from ({_why(columns)}).")
    own = [column.name for column in columns if column.role in ("identifier", "dropped")]
    repeated = leaks.repeated_rows(raw.frame.drop(own), answer.values)
    findings = [*raw.findings, *answer.findings, *_findings(inferred, repeats, raw.frame.height)]
    groups = _group(raw, group) if group is not None else None
    facts = {"target": target, "time": time, "group": group, "classes": answer.classes, "columns": tuple(columns)}
    schema = Schema.model_validate({"kind": "table", "task": answer.task, **facts})
    return Dataset(
        name=name,
        source=raw.source,
        kind="table",
        task=answer.task,
        features=features,
        target=answer.values,
        classes=answer.classes,
        target_name=target or "target",
        schema=schema,
        findings=(*findings, repeated) if repeated else tuple(findings),
        given_split=given_split,
        time=moments,
        group=groups,
        content_hash=fingerprint(features, answer.values, given_split, moments, groups),
    )


def _check_names(
    raw: RawTable, target: str | None, time: str | None, group: str | None, drop: tuple[str, ...], *, wants_target: bool
) -> None:
    columns = raw.frame.columns
    if target is None and wants_target:
        raise InputError(
            f"{raw.source}: no target given; say which column to predict (option `target`): {listing(columns, 20)}."
        )
    for option, value in (("target", target), ("time", time), ("group", group), *(("drop", each) for each in drop)):
        if value is not None and value not in columns and (option != "target" or wants_target):
            raise InputError(f"{raw.source}: no column {value!r} (option `{option}`); {closest(value, columns)}")
    taken = [value for value in (target, time, group, *drop) if value is not None]
    twice = sorted({value for value in taken if taken.count(value) > 1})
    if twice:
        raise InputError(
            f"{raw.source}: column {twice[0]!r} is asked for in two roles; choose one of target, time, group, drop."
        )


def _columns(
    raw: RawTable,
    inferred: dict[str, roles.Inferred],
    repeats: _Repeats,
    target: str | None,
    group: str | None,
    dropped: tuple[str, ...],
) -> list[Column]:
    """All columns of the source, in its order."""
    given: dict[str, Role] = {**dict.fromkeys(dropped, "dropped")}
    if target is not None:
        given[target] = "target"
    if group is not None:
        given[group] = "group"
    columns: list[Column] = []
    for name in raw.frame.columns:
        if name in inferred:
            column = inferred[name].column
            repeated = repeats.role(name)
            if repeated is not None:
                role, note = repeated
                column = column.model_copy(update={"role": role, "note": note, "feature": False, "cells": None})
            columns.append(column)
        else:
            filled = cells.text(raw.frame.get_column(name))
            unique = filled.drop_nulls().n_unique()
            columns.append(Column(name=name, role=given.get(name, "time"), missing=filled.null_count(), unique=unique))
    return columns


def _time(raw: RawTable, name: str) -> tuple[Column, NDArray[np.float64], pl.Series | None]:
    """The column that orders the rows: its moments, and what of it is a feature (the cycles of a date)."""
    series = raw.frame.get_column(name)
    is_date = series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime)
    chosen: str | None = None
    if not is_date and not series.dtype.is_numeric():
        filled = cells.text(series)
        chosen, _ = cells.date_format(filled.drop_nulls())
        is_date = chosen is not None
        series = filled
    read = cells.dates(series, chosen) if is_date else cells.numbers(series)
    wrong = np.flatnonzero(read.values.is_null().to_numpy())
    if len(wrong):
        raise InputError(
            f"{raw.source}, time column {name!r}: {count(len(wrong), 'cell')} missing or neither date nor number "
            f"({raw.places(wrong)}); mend or delete these rows."
        )
    numbers = read.values.dt.epoch("us").to_numpy() / 1e6 if is_date else read.values.to_numpy()
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise InputError(
            f"{raw.source}, time column {name!r}: infinity in {raw.places(bad)}; mend or delete these rows."
        )
    column = Column.model_validate(
        {
            "name": name, "role": "time", "cells": "date" if is_date else "number", "feature": is_date,
            "unique": read.values.n_unique(), "date_format": chosen, "date_parts": "cycles",
            "note": "orders the rows; its cycles are features" if is_date else "orders the rows",
        }
    )  # fmt: skip
    return column, np.asarray(numbers, dtype=np.float64), read.values if is_date else None


def _group(raw: RawTable, name: str) -> NDArray[np.int64]:
    filled = cells.text(raw.frame.get_column(name))
    missing = np.flatnonzero(filled.is_null().to_numpy())
    if len(missing):
        raise InputError(
            f"{raw.source}, group column {name!r}: {count(len(missing), 'cell')} missing ({raw.places(missing)}); "
            "fill them or delete these rows."
        )
    return np.unique(filled.to_numpy().astype(str), return_inverse=True)[1].astype(np.int64)


def _why(columns: list[Column]) -> str:
    return (
        listing((f"{c.name}: {c.role}" for c in columns if not c.feature and c.role != "target"), 6)
        or "the target is all there is"
    )


def _findings(inferred: dict[str, roles.Inferred], repeats: _Repeats, rows: int) -> list[Finding]:
    """What is to be said of the columns, one finding a code."""
    found: list[Finding] = []
    same, copies, determining = repeats.same, repeats.copies, repeats.determining
    for role, (code, reason) in REASONS.items():
        names = [name for name, column in inferred.items() if column.column.role == role]
        if names:
            notes = {name: inferred[name].column.note for name in names[:50]}
            found.append(
                Finding(
                    code=code, sentence=f"Set aside: {listing(names)} ({reason}).", evidence={"columns": dict(notes)}
                )
            )
    if same:
        pairs = listing(f"{name} (the same as {other})" for name, other in same.items())
        found.append(
            Finding(code=codes.DUPLICATE_COLUMN, sentence=f"Set aside: {pairs}.", evidence={"columns": dict(same)})
        )
    if copies:
        sentence = f"Set aside: {listing(copies)} gives the target away, being the target under another name or coding."
        found.append(
            Finding(code=codes.TARGET_COPY, level="warning", sentence=sentence, evidence={"columns": list(copies)})
        )
    if determining:
        found.append(
            Finding(
                code=codes.DETERMINES_TARGET,
                level="warning",
                sentence=f"Every value of {listing(determining)} goes with a single class: "
                "does it become known only after the answer?",
                evidence={"columns": list(determining)},
                fix=f"--drop {determining[0]} if it would not be known when predicting",
            )
        )
    sparse = [name for name, column in inferred.items() if "mostly_missing" in column.tags]
    if sparse:
        missing = {name: inferred[name].column.missing for name in sparse}
        parts = listing(
            f"{name} in {missing[name]} of {rows} rows ({percent(missing[name] / rows)})" for name in sparse
        )
        found.append(
            Finding(
                code=codes.MOSTLY_MISSING, sentence=f"Mostly missing: {parts}.", evidence={"missing": dict(missing)}
            )
        )
    return found + _cell_findings(inferred)


def _cell_findings(inferred: dict[str, roles.Inferred]) -> list[Finding]:
    found: list[Finding] = []
    for name, column in inferred.items():
        if column.odd:
            read = (
                f"{count(column.odd, 'cell')} such as {column.odd_example!r} could not be read as {column.column.role}"
            )
            sentence = f"{name}: {read} and count as missing."
            found.append(
                Finding(
                    code=codes.ODD_CELLS,
                    level="warning",
                    sentence=sentence,
                    evidence={"column": name, "cells": column.odd},
                )
            )
    said = {
        "zeros": (codes.LEADING_ZEROS, "note", "{} holds digits with leading zeros: read as codes, not as numbers."),
        "comma": (codes.DECIMAL_COMMA, "note", "{}: decimal commas were read as decimal points."),
        "mixed": (codes.MIXED, "warning", "{} mixes numbers with words: read as categories."),
        "ambiguous": (
            codes.AMBIGUOUS_DATE,
            "warning",
            "{}: day and month cannot be told apart; read as in the format given.",
        ),
    }
    for tag, (code, level, sentence) in said.items():
        names = [name for name, column in inferred.items() if tag in column.tags]
        if names:
            formats = {name: inferred[name].column.date_format for name in names} if tag == "ambiguous" else {}
            evidence = {"columns": list(names), **({"formats": dict(formats)} if formats else {})}
            found.append(
                Finding.model_validate(
                    {"code": code, "level": level, "sentence": sentence.format(listing(names)), "evidence": evidence}
                )
            )
    return found
