"""Which style the numbers of a text column are written in, decided by the whole column.

1. `1.234,56`, `1,234.56`, `1,234,567`, `12,34,567`, `0,5`, `12.5`: such cells say themselves which sign is the decimal
   one.
2. Where every sign is followed by exactly three digits and begins no more than three (`2,444`), both readings are
   possible. The user's word decides (option `decimal`); else the decimal sign of the file's other columns, for a file
   usually has one (columns of two styles tell nothing); else numbers below 1000 without a sign beside it (`950`), which
   say that the sign groups thousands; else what is usual: a decimal comma in files delimited by semicolons, a decimal
   point in all others.
3. A comma followed by another number of digits (`1,5`) counts where the file's delimiter leaves it free, or where the
   user says so: in a cell of a comma-delimited file it may be a list.
4. A unit counts where one stands throughout.

Codes stay text: digits with leading zeros, and nine digits or more of one form (telephone numbers, addresses).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import polars as pl
from pydantic import JsonValue

from shoal.core.events import Finding
from shoal.core.wording import listing, setting
from shoal.data import cells, codes, number_text
from shoal.data.frames import RawTable
from shoal.data.number_text import CURRENCY, INDIAN, SIGN, NumberStyle

Sign = Literal[".", ","]
Why = Literal["cells", "asked", "file", "beside", "usual"]

SIGN_NAMES: Mapping[Sign, str] = {".": "point", ",": "comma"}
REASONS: Mapping[Why, str] = {
    "file": "the other columns use a decimal {}",
    "beside": "the numbers beside it that have no sign are all below 1000",
    "usual": "a file of this kind usually has a decimal {}",
}
CONTRADICTING = 0.05  # share of the cells that tell a decimal sign, above which they are two styles
SAMPLED_ROWS = 20_000  # of each column, for the decimal sign of a file
_WORD = r"[\p{L}\p{Sc}°%‰′″\"][\p{L}°%‰²³/·.^*]*[23]?"
_UNIT = rf"{_WORD}(?: {_WORD}){{0,2}}"
_CELL = (
    rf"^\(?{SIGN}?\s*(?P<before>{CURRENCY})?\s*{SIGN}?\s*(?P<digits>[0-9][0-9.,'\u2019\s]*|[.,][0-9]+)"
    rf"(?P<exponent>[eE][+-]?[0-9]+)?\s*(?P<after>{_UNIT})?\)?$"
)
_SPACED = r"[1-9][0-9]{0,2}(?:[\s'\u2019][0-9]{3})+"
_CODE = r"^[0-9]{1,3}(?:[.\s][0-9]{3}){2,}$"
NEVER = r"[^\s\S]"  # a pattern that nothing fits
CODE_LENGTH = 11  # characters: nine digits and what parts them


@dataclass(frozen=True)
class FoundStyle:
    """The style of a column, what decided its decimal sign, and a cell that the other sign would read otherwise."""

    style: NumberStyle
    why: Why = "cells"
    open_cell: str = ""
    apart: tuple[str, ...] = ()  # of cells that contradict each other one with a decimal point and one with a comma

    @property
    def other(self) -> NumberStyle:
        """The style with the signs exchanged."""
        style = self.style
        return style.model_copy(update={"decimal": _other(style.decimal), "thousands": style.decimal})

    def both(self) -> tuple[float, float]:
        """What the open cell is, and what it would be by the other style."""
        cell = pl.Series([self.open_cell])
        return float(number_text.values(cell, self.style)[0]), float(number_text.values(cell, self.other)[0])


@dataclass(frozen=True)
class Signs:
    """What is known of the decimal sign of a whole source."""

    columns: Sequence[pl.Series] = ()  # of text
    asked: Sign | None = None
    delimiter: str = ""  # of a text file

    @classmethod
    def of(cls, raw: RawTable, asked: Sign | None) -> Signs:
        """Of a table, as the user says."""
        return cls([column for column in raw.frame if column.dtype == pl.String], asked, raw.delimiter)

    @property
    def comma_is_free(self) -> bool:
        """Whether a comma inside a cell can be a decimal sign without being asked for."""
        return self.delimiter not in ("", ",")

    @property
    def usual(self) -> Sign:
        """The decimal sign where no cell tells."""
        return "," if self.delimiter == ";" else "."

    @cached_property
    def of_file(self) -> Sign | None:
        """The sign that the columns agree on whose cells tell it; one that contradicts itself tells nothing."""
        signs = set()
        for column in self.columns:
            some = column.gather_every(max(1, column.len() // SAMPLED_ROWS))
            texts = cells.text(some).drop_nulls()
            evidence = _Evidence.of(texts, self.comma_is_free)
            if 2 * evidence.numbers > texts.len() and evidence.sign is not None and not evidence.apart:
                signs.add(evidence.sign)
        return signs.pop() if len(signs) == 1 else None


def find(texts: pl.Series, signs: Signs, *, given: bool = False) -> FoundStyle | None:
    """The style in which the most cells of a column are numbers, or None where none is.

    Args:
        texts: trimmed text without missing cells.
        signs: what is known of the source.
        given: the user says that it holds numbers, so that digits of one form are no codes.
    """
    read = texts.cast(pl.Float64, strict=False)
    if read.null_count() == 0:
        pointed = texts.filter(texts.str.contains(".", literal=True))
        if pointed.len() == 0:
            return FoundStyle(_of_cells_to_come(signs))
        if not pointed.str.contains(r"^[+-]?[1-9][0-9]{0,2}\.[0-9]{3}$").all():
            return FoundStyle(NumberStyle(decimal=".", thousands=","))
    evidence = _Evidence.of(texts, signs.comma_is_free or signs.asked == ",")
    if evidence.numbers == 0 or (evidence.coded and not given):
        return None
    if evidence.sign is None and not evidence.open_cell:
        return FoundStyle(_of_cells_to_come(signs).model_copy(update={"unit": evidence.unit}), apart=evidence.apart)
    decimal, why = _decide(evidence, signs)
    style = NumberStyle(decimal=decimal, thousands=_other(decimal), unit=evidence.unit)
    sure = why in ("cells", "asked") or (why == "file" and decimal == signs.usual and not evidence.small_beside)
    return FoundStyle(style, why, "" if sure else evidence.open_cell, evidence.apart)


def findings(styles: Mapping[str, FoundStyle]) -> list[Finding]:
    """What is to be said of columns, by name, whose numbers could be read otherwise: one finding for each way."""
    said: list[Finding] = []
    for decimal in SIGN_NAMES:
        guessed = {name: found for name, found in styles.items() if found.open_cell and found.style.decimal == decimal}
        if not guessed:
            continue
        both = {name: found.both() for name, found in guessed.items()}
        first = next(iter(guessed))
        parts = listing(
            f"{name} ({found.open_cell!r} as {both[name][0]:.12g}, not {both[name][1]:.12g}, because "
            f"{REASONS[found.why].format(SIGN_NAMES[decimal])})"
            for name, found in guessed.items()
        )
        evidence: dict[str, JsonValue] = {
            name: {"cell": found.open_cell, "read": both[name][0], "other": both[name][1], "why": found.why}
            for name, found in guessed.items()
        }
        said.append(
            Finding(
                code=codes.NUMBER_STYLE,
                level="warning",
                sentence=f"Numbers that can be read in two ways: {parts}.",
                evidence={"columns": evidence},
                fix=f"if {first} has another decimal sign, say which: {setting('decimal', _other(decimal))}",
            )
        )
    return said


def contradictions(columns: Mapping[str, tuple[str, ...]]) -> list[Finding]:
    """What is to be said of columns, by name, that are no numbers because their cells are of two styles."""
    if not columns:
        return []
    parts = listing(f"{name} ({cells[0]!r} and {cells[1]!r})" for name, cells in columns.items())
    return [
        Finding(
            code=codes.TWO_STYLES,
            level="warning",
            sentence=f"Numbers with decimal points and numbers with decimal commas in one column: {parts}; read as "
            "text, not as numbers.",
            evidence={"columns": {name: list(cells) for name, cells in columns.items()}},
            fix="write the numbers of a column in one style",
        )
    ]


def _of_cells_to_come(signs: Signs) -> NumberStyle:
    """The style of a column without any sign: new rows may have some."""
    decimal = signs.asked or (signs.of_file if signs.comma_is_free else None)
    return NumberStyle() if decimal is None else NumberStyle(decimal=decimal, thousands=_other(decimal))


def _decide(evidence: _Evidence, signs: Signs) -> tuple[Sign, Why]:
    if evidence.sign is not None:
        return evidence.sign, "cells"
    if signs.asked is not None:
        return signs.asked, "asked"
    if signs.of_file is not None:
        return signs.of_file, "file"
    if evidence.grouping is not None and evidence.small_beside:
        return _other(evidence.grouping), "beside"
    return signs.usual, "usual"


def _other(sign: Sign) -> Sign:
    return "." if sign == "," else ","


@dataclass(frozen=True)
class _Evidence:
    """What the cells of a column say of its style."""

    numbers: int  # cells that are numbers in some style, in the commonest unit
    unit: str
    sign: Sign | None  # the decimal sign that cells tell for themselves; where they disagree, that of more cells
    grouping: Sign | None  # the one sign of cells that tell nothing
    small_beside: bool  # numbers without a sign beside them, none of 1000 or more
    coded: bool  # digits of one form, as telephone numbers
    open_cell: str
    apart: tuple[str, ...]  # a cell with a decimal point and one with a comma, where both are common

    @classmethod
    def of(cls, texts: pl.Series, comma_is_free: bool) -> _Evidence:
        often = texts.unique_counts()  # in the order of appearance, as the next line
        texts = texts.unique(maintain_order=True)
        parts = texts.str.extract_groups(_CELL).struct
        digits = parts.field("digits").str.strip_chars()
        exponent = parts.field("exponent").is_not_null()
        unit, with_unit = _unit(parts.field("before"), parts.field("after"), digits.is_not_null(), often)
        digits = digits.set(~with_unit, None)
        point, comma = _tells(digits, ".", exponent), _tells(digits, ",", exponent)
        if not comma_is_free:  # but 1.234,5 and 1.234.567 cannot be anything else
            comma &= digits.str.contains(r"[.].*[.,]").fill_null(False)
        open_point, open_comma = (_open(digits, sign) & ~exponent for sign in (".", ","))
        whole = digits.str.contains(rf"^(?:[0-9]+|{_SPACED})$").fill_null(False)
        points, commas = int(often.filter(point).sum()), int(often.filter(comma).sum())
        either = open_point | open_comma
        grouping: Sign | None = (
            None if bool(open_point.any()) == bool(open_comma.any()) else "," if open_comma.any() else "."
        )
        small = digits.filter(whole).str.contains("^[0-9]{1,3}$")
        written = digits.drop_nulls()
        length = written.str.len_chars()
        return cls(
            numbers=int(often.filter(point | comma | either | whole).sum()),
            unit=unit,
            sign=None if points == commas else "." if points > commas else ",",
            grouping=grouping,
            small_beside=small.len() > 0 and bool(small.all()),
            coded=bool((written.str.contains(_CODE) & (length >= CODE_LENGTH)).all()) and length.n_unique() == 1,
            open_cell=str(texts.filter(either)[0]) if either.any() else "",
            apart=(str(texts.filter(point)[0]), str(texts.filter(comma)[0]))
            if min(points, commas) > CONTRADICTING * (points + commas)
            else (),
        )


def _tells(digits: pl.Series, decimal: Sign, exponent: pl.Series) -> pl.Series:
    """Cells that are numbers with this decimal sign and with no other."""
    point, group = ("[.]", ",") if decimal == "." else (",", "[.]")
    indian = INDIAN if decimal == "." else NEVER
    whole = rf"(?:[0-9]+|{_SPACED}|{indian}|[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})+)"
    with_decimals = digits.str.contains(rf"^(?:{whole}{point}[0-9]*|{point}[0-9]+)$")
    grouped_twice = digits.str.contains(rf"^(?:{indian}|[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}}){{2,}})$")
    return ((with_decimals & (~_open(digits, decimal) | exponent)) | grouped_twice).fill_null(False)


def _open(digits: pl.Series, sign: Sign) -> pl.Series:
    """Cells in which the sign may be the decimal one or group thousands."""
    return digits.str.contains(rf"^[1-9][0-9]{{0,2}}[{sign}][0-9]{{3}}$").fill_null(False)


def _unit(before: pl.Series, after: pl.Series, numbers: pl.Series, often: pl.Series) -> tuple[str, pl.Series]:
    """The unit of the most cells, and the distinct cells that are in it."""
    written = before.fill_null("") + after.str.replace_all(r"\s+", " ").str.strip_chars().fill_null("")
    written = written.set((before.is_not_null() & after.is_not_null()) | ~numbers, None)
    if written.max() in (None, ""):
        return "", numbers
    spelled = pl.DataFrame({"unit": written, "cells": often}).drop_nulls().group_by("unit").agg(pl.col("cells").sum())
    spelled = spelled.sort(["cells", "unit"], descending=[True, False])
    cells_of: dict[str, int] = {}
    for unit, rows in spelled.iter_rows():
        cells_of[number_text.one_unit(unit)] = cells_of.get(number_text.one_unit(unit), 0) + rows
    ranked = sorted(cells_of, key=lambda unit: -cells_of[unit])
    if ranked[0] == "" and number_text.is_currency(ranked[1]):  # a sign of money may be left out, in most cells too
        ranked = ranked[1:]
    same = [unit for unit in spelled["unit"] if number_text.one_unit(unit) == ranked[0]]
    bare = [""] if number_text.is_currency(ranked[0]) else []
    return str(same[0]), written.is_in([*same, *bare]).fill_null(False)
