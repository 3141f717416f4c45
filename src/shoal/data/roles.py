"""What a column holds, inferred from its cells: the rules, in the order in which they are tried.

1. No cell filled: `empty`. One value and no missing cell: `constant`.
2. Numbers of one style (`number_style`) in at least 95 % of the filled cells, or in 80 % with a single word otherwise
   (a marker such as `unknown`): `numeric`; with 0 and 1 only, `boolean`. Digits with a leading zero are codes, so no
   numbers. Whole numbers that number the rows (`identifiers`) are an `identifier`; money and shares never are.
3. Truth values such as yes/no and true/false, in any spellings (`truth`): `boolean`. Dates in 95 % of the cells: `date`
   (see `moments`); eight digits are one where the column's name says so.
4. Words: `ordered` where `scales` knows their order, else `category`, unless most rows have their own value: then
   `free text` when values have several words, else `identifier`. A column that is mostly missing stays a `category`:
   that it is filled at all is information.

A role that the user gives comes before all of these, as long as the cells can be read by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl

from shoal.core.errors import InputError
from shoal.core.roles import levels_of
from shoal.core.wording import count, listing, percent
from shoal.data import cells, identifiers, moments, number_style, scales
from shoal.data.frames import RawTable
from shoal.data.limits import LARGEST_NUMBER
from shoal.data.number_style import Signs
from shoal.data.number_text import INDIAN, NumberStyle
from shoal.data.schema import Column, Role
from shoal.data.spelling import Joined, join
from shoal.data.truth import are_truths

NUMBER_SHARE = 0.95
ONE_MARKER_SHARE = 0.80
MOST_TRUTHS = 50  # spellings
OWN_VALUE_SHARE = 0.5  # above it most rows have their own value
MOSTLY_MISSING = 0.5
MOST_ODD = 0.5  # share of cells that a given role may leave unread
MOST_ODD_NUMBERS = 0.9  # the same for numbers: what is no number is plain to see
NAMED_DATE = re.compile(r"(?i:(^|[_\s.-])(date|day|datetime|timestamp|time|dt|datum)([_\s.-]|$))|[a-z](Date|Day|Time)$")


@dataclass(frozen=True)
class Inferred:
    """A column, its parsed cells (null series for what is set aside), and what was odd about it."""

    column: Column
    values: pl.Series | None
    odd: int = 0
    odd_example: str = ""
    tags: frozenset[str] = field(default_factory=frozenset)  # of `column_findings`
    style: number_style.FoundStyle | None = None  # of numbers that came as text
    given: bool = False  # by the user
    spellings: Joined | None = None  # of a category, or of truth values
    apart: tuple[str, ...] = ()  # cells of two styles of numbers, for which it is read as text


def infer(raw: RawTable, name: str, given: str | None = None, signs: Signs | None = None) -> Inferred:
    """The role of one column and its cells read by it.

    Args:
        raw: the table.
        name: the column.
        given: the role that the user says it has, as `core.roles.check_role` writes it.
        signs: what is known of the decimal sign; by default what the table tells.

    Raises:
        InputError: an infinity or a number above 1e100 in a number column, with its place; cells that cannot be read by
            the given role.
    """
    series = raw.frame.get_column(name)
    is_text = series.dtype in (pl.String, pl.Categorical, pl.Enum)
    filled = cells.text(series) if is_text or series.dtype == pl.Boolean else _without_nan(series)
    present = filled.drop_nulls()
    missing, unique = filled.null_count(), present.n_unique()
    facts = ColumnFacts(name, series.len(), missing, unique)
    signs = signs or Signs.of(raw, None)
    if given is not None:
        return replace(_as_given(raw, facts, series, filled, given, signs), given=True)
    if present.len() == 0:
        return Inferred(facts.aside("empty", "no cell is filled"), None)
    if unique == 1 and missing == 0:
        return Inferred(facts.aside("constant", f"always {present[0]}"), None)
    if moments.is_typed(series):
        return _date(facts, series, moments.of_type(series))
    if series.dtype in (pl.Categorical, pl.Enum):  # declared: digits and dates among them are names
        return _declared(raw, facts, filled, present)
    compact = _compact_dates(facts, present)
    if compact is not None:
        return _date(facts, filled, compact)
    if series.dtype.is_numeric():
        return _number(raw, facts, series, cells.numbers(series))
    if unique <= MOST_TRUTHS and are_truths(present.unique().to_list()):
        return replace(_typed(facts, filled, "boolean"), spellings=join(filled))
    return _words(raw, facts, filled, present, signs)


@dataclass(frozen=True)
class ColumnFacts:
    """What is counted of a column before its role is known."""

    name: str
    rows: int
    missing: int
    unique: int

    @property
    def own_value(self) -> bool:
        """Whether most filled cells hold a value of their own."""
        present = self.rows - self.missing
        return present >= identifiers.FEWEST_ROWS and self.unique > OWN_VALUE_SHARE * present

    def aside(self, role: Role, note: str) -> Column:
        """A column that is no feature."""
        return Column(name=self.name, role=role, missing=self.missing, unique=self.unique, note=note)


def _without_nan(series: pl.Series) -> pl.Series:
    return series.fill_nan(None) if series.dtype.is_float() else series


def _note(facts: ColumnFacts, note: str = "") -> str:
    share = f"{percent(facts.missing / facts.rows)} missing" if facts.missing else ""
    return "; ".join(part for part in (note, share) if part)


def _tags(facts: ColumnFacts, tags: frozenset[str]) -> frozenset[str]:
    return tags | {"mostly_missing"} if facts.missing > MOSTLY_MISSING * facts.rows else tags


def _typed(facts: ColumnFacts, series: pl.Series, role: Role, **rule: str | tuple[str, ...] | None) -> Inferred:
    column = Column.model_validate(
        {
            "name": facts.name, "role": role, "cells": role, "feature": True, "missing": facts.missing,
            "note": _note(facts), **rule,
        }
    )  # fmt: skip
    read = cells.parse(series, column)
    column = column.model_copy(update={"unique": read.values.drop_nulls().n_unique()})
    return Inferred(column, read.values, int(read.odd.sum()), _example(series, read.odd), _tags(facts, frozenset()))


def _date(facts: ColumnFacts, series: pl.Series, writing: moments.Writing) -> Inferred:
    found = _typed(facts, series, "date", date_formats=writing.formats)
    said = "; ".join(part for part in (moments.span(found.values), moments.note(writing)) if part)
    column = found.column.model_copy(update={"note": _note(facts, said)})
    return replace(found, column=column, tags=found.tags | writing.doubts)


def _compact_dates(facts: ColumnFacts, present: pl.Series) -> moments.Writing | None:
    """Dates in digits alone, such as 20210131, where the name says that there are dates."""
    if NAMED_DATE.search(facts.name) is None or not (present.dtype == pl.String or present.dtype.is_integer()):
        return None
    texts = present.cast(pl.String)
    if not texts.str.contains(r"^\d{8}(\d{4}|\d{6})?$").all():
        return None
    found = moments.find(texts, (moments.COMPACT,))
    return found if found.formats else None


def _example(series: pl.Series, odd: pl.Series) -> str:
    if not odd.any():
        return ""
    return str(series.filter(odd)[0])


def _number(
    raw: RawTable,
    facts: ColumnFacts,
    series: pl.Series,
    read: cells.Cells,
    style: number_style.FoundStyle | None = None,
    tags: frozenset[str] = frozenset(),
    *,
    given: bool = False,
) -> Inferred:
    infinite = np.flatnonzero(read.values.is_infinite().fill_null(False).to_numpy())
    if len(infinite):
        raise InputError(
            f"{raw.source}, column {facts.name!r}: infinity in {raw.places(infinite)}; "
            "replace it by a number or leave the cell empty."
        )
    values = read.values
    huge = np.flatnonzero((values.abs() > LARGEST_NUMBER).fill_null(False).to_numpy())
    if len(huge):
        raise InputError(
            f"{raw.source}, column {facts.name!r}: {values[int(huge[0])]:g} in {raw.places(huge)} is too large to "
            "compute with; mend the number or leave the cell empty."
        )
    distinct = values.drop_nulls().n_unique()
    if distinct == 0 and not given:
        return Inferred(facts.aside("empty", "no cell holds a number"), None)
    if distinct == 1 and values.null_count() == 0:
        return Inferred(facts.aside("constant", f"always {values[0]:g}"), None)
    unit = style.style.unit if style else ""
    numbering = "no" if given or unit else identifiers.identifies(facts.name, values)
    if numbering == "yes":
        return Inferred(facts.aside("identifier", "whole numbers, each row its own"), None)
    if numbering == "perhaps":
        tags |= {"numbering"}
    role: Role = "boolean" if not given and values.drop_nulls().is_in([0.0, 1.0]).all() else "numeric"
    column = Column.model_validate(
        {
            "name": facts.name, "role": role, "cells": "number", "feature": True, "missing": values.null_count(),
            "unique": distinct, "note": _note(facts, _range(values, role) + (f", in {unit}" if unit else "")),
            "numbers": style.style if style else NumberStyle(),
        }
    )  # fmt: skip
    return Inferred(column, values, int(read.odd.sum()), _example(series, read.odd), _tags(facts, tags), style)


def _range(values: pl.Series, role: Role) -> str:
    if role == "boolean":
        return f"{percent(float(values.mean() or 0))} are 1"  # type: ignore[arg-type]
    present = values.drop_nulls().to_numpy()
    low, middle, high = np.quantile(present, [0, 0.5, 1]) if len(present) else (0, 0, 0)
    return f"{low:g} to {high:g}, median {middle:g}"


def _words(raw: RawTable, facts: ColumnFacts, filled: pl.Series, present: pl.Series, signs: Signs) -> Inferred:
    tags: frozenset[str] = frozenset()
    apart: tuple[str, ...] = ()
    zeros = present.str.contains(r"^0\d+$")
    if not zeros.any():
        style = number_style.find(present, signs)
        numbers, share = _as_numbers(raw, facts, filled, present, signs, style)
        if numbers is not None:
            return numbers
        if style is not None and style.apart:
            apart = style.apart
        elif share >= MOST_ODD:
            tags = frozenset({"mixed"})
        elif _listed(filled, present, signs):
            tags = frozenset({"listed"})
    elif (present.str.contains(r"^\d+$")).all():
        tags = frozenset({"zeros"})
    writing = moments.find(present)
    if writing.formats:
        return _date(facts, filled, writing)
    return replace(_category(facts, filled, present, tags), apart=apart)


def _as_numbers(
    raw: RawTable,
    facts: ColumnFacts,
    filled: pl.Series,
    present: pl.Series,
    signs: Signs,
    style: number_style.FoundStyle | None,
) -> tuple[Inferred | None, float]:
    """The column as numbers where nearly all of its cells are, and the share that are."""
    if style is None:
        return None, 0.0
    read = cells.numbers(filled, style.style)
    share = 1 - int(read.odd.sum()) / present.len()
    if share < NUMBER_SHARE and (share < ONE_MARKER_SHARE or filled.filter(read.odd).n_unique() > 1):
        return None, share
    return _number(raw, facts, filled, read, style, _style_tags(style, present, signs)), share


def _style_tags(style: number_style.FoundStyle, present: pl.Series, signs: Signs) -> frozenset[str]:
    tags = set()
    if style.style.decimal == "," and not style.open_cell and present.str.contains(r"\d,\d").any():
        tags.add("comma")
    if style.style.thousands == "," and present.str.contains(rf"(?:^|[^0-9,]){INDIAN}(?:$|[^0-9,])").any():
        tags.add("indian")
    if signs.asked not in (None, style.style.decimal):
        tags.add("against")
    return frozenset(tags)


def _listed(filled: pl.Series, present: pl.Series, signs: Signs) -> bool:
    """Whether the cells would be numbers if a comma inside them were a decimal sign."""
    if signs.comma_is_free or signs.asked is not None or not present.str.contains(r"^[+-]?\d+,\d+$").any():
        return False
    style = number_style.find(present, replace(signs, asked=","))
    return style is not None and int(cells.numbers(filled, style.style).odd.sum()) <= (1 - NUMBER_SHARE) * present.len()


def _category(facts: ColumnFacts, filled: pl.Series, present: pl.Series, tags: frozenset[str]) -> Inferred:
    if facts.own_value and facts.missing <= MOSTLY_MISSING * facts.rows:
        example = f"{count(facts.unique, 'value')} in {count(present.len(), 'row')}, such as {_short(present[0])}"
        words = float(present.str.count_matches(r"\s+").mean() or 0) + 1  # type: ignore[arg-type]
        return Inferred(facts.aside("free text" if words >= 2 else "identifier", example), None)
    joined = join(filled)
    values = joined.values.drop_nulls().unique()
    order = scales.ordered(values.to_list()) if values.len() <= scales.MOST else None
    if order is not None:
        return replace(_ordered(facts, joined.values, order), spellings=joined)
    return _as_category(facts, joined, tags)


def _declared(raw: RawTable, facts: ColumnFacts, filled: pl.Series, present: pl.Series) -> Inferred:
    """Categories that came as such, in the order that their type gives them, where it does."""
    order = raw.orders.get(facts.name, ())
    levels = cells.text(pl.Series(order, dtype=pl.String))
    if levels.len() < 2 or levels.null_count() or levels.n_unique() < levels.len():
        return _category(facts, filled, present, frozenset())
    return _ordered(facts, filled, tuple(levels))


def _ordered(facts: ColumnFacts, filled: pl.Series, levels: tuple[str, ...]) -> Inferred:
    note = _note(facts, " < ".join(_short(level) for level in levels[:8]) + (" < …" if len(levels) > 8 else ""))
    return _typed(facts, filled, "ordered", levels=levels, note=note)


def _as_category(facts: ColumnFacts, joined: Joined, tags: frozenset[str]) -> Inferred:
    filled = joined.values
    present = filled.drop_nulls()
    often = present.value_counts().sort("count", present.name, descending=[True, False], maintain_order=True)
    shown = often.get_column(present.name).head(3).to_list()
    note = _note(facts, f"{count(often.height, 'value')}: {listing((_short(v) for v in shown), 3)}")
    column = Column(
        name=facts.name,
        role="category",
        cells="category",
        feature=True,
        missing=facts.missing,
        unique=often.height,
        note=note,
        values=tuple(sorted(often.get_column(present.name).to_list())),
    )
    return Inferred(column, filled, tags=_tags(facts, tags), spellings=joined)


def _as_given(
    raw: RawTable, facts: ColumnFacts, series: pl.Series, filled: pl.Series, given: str, signs: Signs
) -> Inferred:
    """The column by the role that the user gives it; cells that it cannot read count as missing, up to half of them.

    Where the role is `numeric`, up to nine in ten.
    """
    role = given.partition(":")[0]
    texts = cells.text(filled)
    present = texts.drop_nulls()
    if role in ("identifier", "free text", "constant"):
        return Inferred(facts.aside(role, "as given"), None)  # type: ignore[arg-type]
    if present.len() == 0:
        raise InputError(f"{raw.source}, column {facts.name!r}: no cell is filled, so it cannot be {role}.")
    if role in ("category", "exact"):
        found = _as_category(facts, Joined(texts, {}) if role == "exact" else join(texts), frozenset())
        return replace(found, column=found.column.model_copy(update={"exact": role == "exact"}))
    if role == "numeric":
        found = _given_numbers(raw, facts, series if series.dtype.is_numeric() else texts, present, signs)
    elif role == "boolean":
        found = _typed(facts, texts, "boolean")
    elif role == "date":
        typed = moments.is_typed(series)
        writing = moments.of_type(series) if typed else moments.asked(series, texts, (moments.COMPACT, moments.YEAR))
        if not typed and not writing.formats:
            raise _cannot_be(raw, facts, role, f"cells such as {_short(present[0])!r} are no dates of one form")
        found = _date(facts, series if typed else texts, writing)
    else:
        levels = levels_of(given) or scales.ordered(present.unique().to_list(), fewest=2)
        if levels is None:
            some = listing((_short(each) for each in present.unique().sort()), 6)
            raise _cannot_be(raw, facts, role, f"the order of {some} is not known; list them as ordered:low<mid<high")
        found = _ordered(facts, texts, levels)
    if found.odd > (MOST_ODD_NUMBERS if role == "numeric" else MOST_ODD) * present.len():
        raise _cannot_be(
            raw, facts, role, f"{found.odd} of {present.len()} cells such as {_short(found.odd_example)!r} do not fit"
        )
    return found


def _given_numbers(raw: RawTable, facts: ColumnFacts, series: pl.Series, present: pl.Series, signs: Signs) -> Inferred:
    style = None if series.dtype.is_numeric() else number_style.find(present, signs, given=True)
    tags: frozenset[str] = _style_tags(style, present, signs) if style else frozenset()
    read = cells.numbers(series, style.style if style else NumberStyle())
    return _number(raw, facts, series, read, style, tags, given=True)


def _cannot_be(raw: RawTable, facts: ColumnFacts, role: str, why: str) -> InputError:
    return InputError(f"{raw.source}, column {facts.name!r} cannot be {role}: {why}.")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 24 else text[:23] + "…"
