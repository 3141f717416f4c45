"""The columns of a table before and beside its target: roles, what is set aside and why, time and group."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Finding
from shoal.core.reading import Reading
from shoal.core.roles import levels_of
from shoal.core.wording import closest, count
from shoal.data import absence, cells, column_checks, column_findings, leaks, ordering, roles, spelling, wild_cells
from shoal.data.dataset import TableFeatures
from shoal.data.frames import RawTable
from shoal.data.number_style import Signs
from shoal.data.schema import Column, Role
from shoal.data.targets import Target


def check_columns(raw: RawTable, reading: Reading) -> None:
    """Refuse names of columns that are not there, and names that are asked for twice.

    Raises:
        InputError: names the option, and the closest columns.
    """
    columns = raw.frame.columns
    single = (("target", reading.target), ("time", reading.time), ("group", reading.group))
    many = [*(("drop", each) for each in reading.drop), *(("roles", each) for each in reading.roles)]
    for option, value in (*single, *many):
        if value is not None and value not in columns:
            raise InputError(f"{raw.source}: no column {value!r} (option `{option}`); {closest(value, columns)}")
    exact = {name for name in (reading.target, reading.group) if name and reading.roles.get(name) == "exact"}
    taken = [
        value for option, value in (*single, *many) if value is not None and not (option == "roles" and value in exact)
    ]
    twice = sorted({value for value in taken if taken.count(value) > 1})
    if twice:
        raise InputError(
            f"{raw.source}: column {twice[0]!r} is asked for in two roles; "
            "choose one of target, time, group, drop and roles (of which `exact` goes with target and group too)."
        )


MOST_MARKERS = 20  # that a column remembers


@dataclass(frozen=True)
class Survey:
    """The columns of a table as they were found."""

    columns: tuple[Column, ...]
    features: TableFeatures
    findings: tuple[Finding, ...]
    moments: NDArray[np.float64] | None  # [N] of the time column
    groups: NDArray[np.int64] | None  # [N] of the group column
    row_keys: NDArray[np.uint64]  # [N] equal for rows that are equal, identifiers aside


def survey(raw: RawTable, reading: Reading, answer: Target | None) -> Survey:
    """The role of every column, and what is to be said of them.

    Args:
        raw: the columns as they came.
        reading: what the user said of them.
        answer: the target's values, where there are any; without them nothing is said of leaks.

    Raises:
        InputError: a column that is not there, or whose cells cannot be read as reading.
    """
    check_columns(raw, reading)
    aside = {reading.target, reading.time, reading.group, *reading.drop}  # their role needs no inference
    words = absence.words_of(raw, reading.missing)
    signs = Signs.of(raw, reading.decimal)
    inferred = {
        name: _infer(raw, name, reading.roles.get(name), words, signs)
        for name in raw.frame.columns
        if name not in aside
    }
    inferred = {name: _with_markers(raw, name, found) for name, found in inferred.items()}
    findings = _of_words(raw, inferred, words)
    spellings = {name: found.spellings for name, found in inferred.items() if found.spellings is not None}
    written = absence.written((series for series in raw.frame if series.name != reading.target), words)
    raw = _without_words(raw, inferred, words, reading)
    repeats = leaks.Repeats.of(inferred, answer)
    columns = _columns(raw, inferred, repeats, reading)
    values = {name: found.values for name, found in inferred.items()}
    said = dict(inferred)
    moments: NDArray[np.float64] | None = None
    if reading.time is not None:
        at = raw.frame.columns.index(reading.time)
        said[reading.time], moments = ordering.time_column(raw, reading.time, signs)
        columns[at], values[reading.time] = said[reading.time].column, said[reading.time].values
    kept = [(column.name, values[column.name]) for column in columns if column.feature]
    features = TableFeatures(pl.DataFrame([series.rename(name) for name, series in kept if series is not None]))
    own = [column.name for column in columns if column.role in ("identifier", "dropped")]
    groups: NDArray[np.int64] | None = None
    if reading.group is not None:
        exact = reading.roles.get(reading.group) == "exact"
        groups, spellings[reading.group] = _group(raw, reading.group, exact=exact)
        values[reading.group] = pl.Series(groups)
    columns = [_counted(column, answer, groups) for column in columns]
    findings += spelling.findings(spellings)
    keys = leaks.row_keys(_one_spelling(raw, values).drop(own), answer.values if answer else None)
    findings += column_findings.of_columns(said, repeats, raw.frame.height)
    findings += column_checks.of_values(columns, features, answer)
    findings += wild_cells.of_columns(raw, columns, features, answer, written)
    if answer is not None:
        findings += column_checks.of_target(raw, columns, features, answer, repeats.determining)
        findings += leaks.repeated_rows(keys)
    return Survey(tuple(columns), features, tuple(findings), moments, groups, keys)


def _infer(raw: RawTable, name: str, given: str | None, words: absence.Words, signs: Signs) -> roles.Inferred:
    """The role of a column, words that mean a missing cell left out, but for those that are values in it."""
    if given == "exact":
        return roles.infer(raw, name, given, signs)
    series = raw.frame.get_column(name)
    listed = tuple(level.lower() for level in levels_of(given or ""))
    found = _infer_without(raw, series, words, listed, given, signs)
    if words is not None or found.column.role not in ("category", "ordered"):
        return found
    values = absence.words_among(series)
    if not values or listed:
        return found
    again = _infer_without(raw, series, words, values, given, signs)
    return found if found.column.role == "ordered" != again.column.role else again


def _infer_without(
    raw: RawTable, series: pl.Series, words: absence.Words, values: tuple[str, ...], given: str | None, signs: Signs
) -> roles.Inferred:
    left = replace(raw, frame=absence.emptied(series, words, values).to_frame())
    found = roles.infer(left, series.name, given, signs)
    kept = tuple(value for value in values if value in absence.USUAL)
    return replace(found, column=found.column.model_copy(update={"word_values": kept})) if kept else found


def _with_markers(raw: RawTable, name: str, found: roles.Inferred) -> roles.Inferred:
    """With the cells that could not be read, for new rows may hold them too."""
    if not found.odd or found.column.cells is None:
        return found
    series = raw.frame.get_column(name)
    markers = cells.text(series.filter(cells.parse(series, found.column).odd)).unique(maintain_order=True)
    return replace(found, column=found.column.model_copy(update={"markers": tuple(markers.head(MOST_MARKERS))}))


def _one_spelling(raw: RawTable, values: dict[str, pl.Series | None]) -> pl.DataFrame:
    """The columns as they were read, and those that were not as trimmed text."""
    read = [values.get(name) for name in raw.frame.columns]
    columns = [cells.text(series) if known is None else known for series, known in zip(raw.frame, read, strict=True)]
    return pl.DataFrame([s.rename(name) for s, name in zip(columns, raw.frame.columns, strict=True)])


def _without_words(
    raw: RawTable, inferred: dict[str, roles.Inferred], words: absence.Words, reading: Reading
) -> RawTable:
    """The table with every cell emptied that a word says is missing, but for the target's, which `targets` looks at."""
    as_written = {reading.target, *(name for name, role in reading.roles.items() if role == "exact")}
    values = {name: found.column.word_values for name, found in inferred.items()}
    if words is None and reading.group is not None:
        values[reading.group] = absence.words_among(raw.frame.get_column(reading.group))
    columns = [
        series if series.name in as_written else absence.emptied(series, words, values.get(series.name, ()))
        for series in raw.frame
    ]
    return replace(raw, frame=pl.DataFrame(columns))


def _of_words(raw: RawTable, inferred: dict[str, roles.Inferred], words: absence.Words) -> list[Finding]:
    """What is to be said of words that may mean a missing cell."""
    if words:  # the user's own
        return []
    named = [raw.frame.get_column(name) for name, found in inferred.items() if found.column.cells == "category"]
    named = [series for series in named if not inferred[series.name].column.exact]
    as_values = [s for s in named if words == () or inferred[s.name].column.word_values]
    as_missing = [s for s in named if words is None and not inferred[s.name].column.word_values]
    return absence.of_words(
        filter(None, map(absence.kept, as_values)), filter(None, map(absence.as_frequent, as_missing))
    )


def _columns(
    raw: RawTable, inferred: dict[str, roles.Inferred], repeats: leaks.Repeats, reading: Reading
) -> list[Column]:
    """All columns of the source, in its order."""
    given: dict[str, Role] = {**dict.fromkeys(reading.drop, "dropped")}
    if reading.target is not None:
        given[reading.target] = "target"
    if reading.group is not None:
        given[reading.group] = "group"
    columns: list[Column] = []
    for name in raw.frame.columns:
        if name in inferred:
            column = inferred[name].column
            repeated = None if name in reading.roles else repeats.role(name)
            if repeated is not None:
                role, note = repeated
                column = column.model_copy(update={"role": role, "note": note, "feature": False, "cells": None})
            columns.append(column)
        elif name in raw.unread:
            columns.append(Column(name=name, role=given.get(name, "dropped"), note="not read"))
        else:
            filled = cells.text(raw.frame.get_column(name))
            unique = filled.drop_nulls().n_unique()
            columns.append(Column(name=name, role=given.get(name, "time"), missing=filled.null_count(), unique=unique))
    return columns


def _counted(column: Column, answer: Target | None, groups: NDArray[np.int64] | None) -> Column:
    """The target's or the group's column with its number of values, spellings of one value counted once."""
    if column.role == "target" and answer is not None:
        return column.model_copy(update={"unique": len(np.unique(answer.values))})
    if column.role == "group" and groups is not None:
        return column.model_copy(update={"unique": len(np.unique(groups))})
    return column


def _group(raw: RawTable, name: str, *, exact: bool) -> tuple[NDArray[np.int64], spelling.Joined]:
    filled = cells.text(raw.frame.get_column(name))
    missing = np.flatnonzero(filled.is_null().to_numpy())
    if len(missing):
        raise InputError(
            f"{raw.source}, group column {name!r}: {count(len(missing), 'cell')} missing ({raw.places(missing)}); "
            "fill them or delete these rows (option `missing` says which words mean an empty cell)."
        )
    return spelling.group_codes(filled, exact=exact)
