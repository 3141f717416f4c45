"""Which spellings are one value.

Spaces at the ends, Unicode's two forms of é and the type of a cell never make a difference (see `cells.text`): 3, 3.0
and `3` are one category. In a column of text these do not either:

1. `12` and `12.0`, where all cells are numbers. Leading zeros make a code, which is no number: 007 is not 7.
2. `yes`, `Y`, `TRUE` and `1`, where all cells are truth values (see `truth`).
3. `blue`, `Blue` and `BLUE`: the commonest spelling stands for all. Two spellings may be two values where both are
   common and no plain words: fewer than three letters (`a` and `A`, `Mg` and `mg`), digits, or capitals inside.
   A column is decided as a whole: where common words are joined, all spellings are; else, where two stay apart, all do.

The role `exact` keeps all cells as they are written. In a group column spellings are always joined, leading zeros and
blanks inside too: what may be one group never stands on both sides of a split.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from shoal.core.events import Finding
from shoal.core.wording import count, listing, setting
from shoal.data import codes
from shoal.data.truth import are_truths, truth
from shoal.data.truth import names as truth_names

COMMON_SHARE = 0.1  # of the rows of the commoner spelling
COMMON_ROWS = 4
FEWEST_LETTERS = 3
NUMBER = re.compile(r"[+-]?(0|[1-9]\d*)(\.\d+)?")
PADDED = re.compile(r"([+-]?)0+(?=\d)(\d*(?:\.\d+)?)")
SHOWN_SPELLINGS = 4
K = TypeVar("K")


@dataclass(frozen=True)
class Joined:
    """A column with one spelling for each value."""

    values: pl.Series
    others: Mapping[str, tuple[str, ...]]  # a value and its other spellings
    apart: tuple[tuple[str, str], ...] = ()  # spellings that differ in letter case alone and stay two values


def join(texts: pl.Series, *, always: bool = False) -> Joined:
    """One spelling for each value.

    Args:
        texts: trimmed text, missing cells null.
        always: join whatever may be one value, for groups.

    >>> join(pl.Series(["yes", "Yes", "yes", "no"])).values.to_list()
    ['yes', 'yes', 'yes', 'no']
    >>> join(pl.Series(["a", "A"] * 9)).apart
    (('A', 'a'),)
    """
    counted = texts.drop_nulls().value_counts(name="rows")
    rows = dict(zip(counted.get_column(texts.name).to_list(), counted.get_column("rows").to_list(), strict=True))
    if are_truths(rows):
        if len(rows) == len({truth(value) for value in rows}):
            return Joined(texts, {})
        called = truth_names(rows)
        return _named(texts, {value: called[truth(value) or 0.0] for value in sorted(rows)})
    numbers = always or all(NUMBER.fullmatch(value) for value in rows)
    families: dict[str, list[str]] = {}
    for value in sorted(rows, key=lambda each: (-rows[each], each)):
        plain = _unpadded(value) if always else value
        families.setdefault((_whole(plain) if numbers else plain).casefold(), []).append(value)
    apart = () if always else _apart(families.values(), rows)
    if apart:
        families = {value: [value] for value in rows}
    names = {value: family[0] for family in families.values() for value in family if value != family[0]}
    if not names:
        return Joined(texts, {}, apart)
    if numbers:  # the plain spelling stands for a number, whichever is the commonest
        plainly = {head: _whole(_unpadded(head) if always else head) for head in {*names.values()}}
        names = {value: plainly[head] for value, head in names.items()} | plainly
    return _named(texts, names)


def _named(texts: pl.Series, names: Mapping[str, str]) -> Joined:
    """The texts with each spelling replaced by its value's."""
    others: dict[str, tuple[str, ...]] = {}
    for value, head in names.items():
        if value != head:
            others[head] = (*others.get(head, ()), value)
    return Joined(texts.replace(dict(names)), others)


def _apart(families: Iterable[list[str]], rows: Mapping[str, int]) -> tuple[tuple[str, str], ...]:
    """The pairs that keep the spellings of a column apart; none where they are joined."""
    apart: list[tuple[str, str]] = []
    for common, *others in families:
        for other in others:
            if not _both_common(common, other, rows):
                continue
            if _is_word(common) and _is_word(other):
                return ()
            apart.append((common, other))
    return tuple(apart)


class Known:
    """The values of a column or a target as training met them, found again whatever their spelling."""

    def __init__(self, values: Iterable[str]) -> None:
        """Of the values as training named them."""
        self.values = tuple(values)

    def read(self, texts: pl.Series) -> pl.Series:
        """The value of each cell, and the cell itself where it is none of them."""
        distinct = texts.drop_nulls().unique().to_list()
        found = {cell: value for cell in distinct if (value := self.find(cell)) is not None and value != cell}
        return texts.replace(found) if found else texts

    def find(self, cell: str) -> str | None:
        """The value that a cell spells: exactly, as a number, in another letter case, or as a truth value.

        >>> known = Known(["3", "Yes", "no"])
        >>> [known.find(cell) for cell in ("3.0", "03", "YES", "maybe")]
        ['3', None, 'Yes', None]
        >>> Known(["False", "True"]).find("1")
        'True'
        """
        if cell in self._exact:
            return cell
        number = float(cell) if NUMBER.fullmatch(cell) else None
        same = self._numbers.get(number) if number is not None else self._folded.get(cell.casefold())
        return same or self._truths.get(truth(cell))

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(self.values)

    @cached_property
    def _numbers(self) -> dict[float, str]:
        return _once((float(value), value) for value in self.values if NUMBER.fullmatch(value))

    @cached_property
    def _folded(self) -> dict[str, str]:
        return _once((value.casefold(), value) for value in self.values)

    @cached_property
    def _truths(self) -> dict[float | None, str]:
        truths = {truth(value): value for value in self.values}
        return truths if len(self.values) == 2 and set(truths) == {1.0, 0.0} else {}


def group_codes(texts: pl.Series, *, exact: bool = False) -> tuple[NDArray[np.int64], Joined]:
    """Codes [N] of the groups that a column without missing cells names, and which spellings were joined.

    Args:
        texts: trimmed text.
        exact: every spelling is a group of its own.
    """
    joined = Joined(texts, {}) if exact else join(texts, always=True)
    names = joined.values.unique().to_list()
    numbers = all(NUMBER.fullmatch(name) for name in names)
    order = {name: code for code, name in enumerate(sorted(names, key=float if numbers else None))}
    return joined.values.replace_strict(order, return_dtype=pl.Int64).to_numpy(), joined


def findings(columns: Mapping[str, Joined], *, target: bool = False, named: bool = True) -> list[Finding]:
    """Which spellings were joined, and which differ in letter case alone and were not.

    Args:
        columns: by name.
        target: whether they are the answers, in which nothing is kept apart without a warning.
        named: whether they are columns, of which the option `roles` can speak.
    """
    found: list[Finding] = []
    joined = {name: each.others for name, each in columns.items() if each.others}
    if joined:
        parts = listing(
            f"{name} ({count(sum(map(len, others.values())), 'spelling')}, such as {_example(others)})"
            for name, others in joined.items()
        )
        shown = {name: {head: list(others[head]) for head in list(others)[:50]} for name, others in joined.items()}
        apart = setting("roles", f"{next(iter(joined))}=exact") if named else "write them with other letters"
        found.append(
            Finding(
                code=codes.SPELLINGS_JOINED,
                level="warning",
                sentence=f"Spellings of one value were joined: {parts}.",
                evidence={"columns": dict(shown)},
                fix=f"if {_pair(next(iter(joined.values())))} are different values: {apart}",
            )
        )
    apart_in = {name: each.apart for name, each in columns.items() if each.apart}
    if apart_in:
        pair = next(iter(apart_in.values()))[0]
        parts = listing(f"{name} (`{pairs[0][0]}` and `{pairs[0][1]}`)" for name, pairs in apart_in.items())
        found.append(
            Finding(
                code=codes.SPELLINGS_APART,
                level="warning" if target else "note",
                sentence=f"Values that differ in letter case alone, both common, were kept apart: {parts}.",
                evidence={"columns": {name: [list(pair) for pair in pairs[:50]] for name, pairs in apart_in.items()}},
                fix=f"write `{pair[0]}` and `{pair[1]}` alike if they are one",
            )
        )
    return found


def _example(others: Mapping[str, tuple[str, ...]]) -> str:
    head = next(iter(others))
    return f"{listing((f'`{each}`' for each in others[head]), SHOWN_SPELLINGS)} as `{head}`"


def _pair(others: Mapping[str, tuple[str, ...]]) -> str:
    head = next(iter(others))
    return f"`{head}` and `{others[head][0]}`"


def _whole(value: str) -> str:
    """A whole number without its decimals: 12.0 as 12."""
    return re.sub(r"\.0+$", "", value).removeprefix("+") if NUMBER.fullmatch(value) else value


def _unpadded(value: str) -> str:
    """Without what makes no group of its own: leading zeros of a number, and blanks inside."""
    plain = re.sub(r"\s+", " ", value)
    return PADDED.sub(r"\1\2", plain) if PADDED.fullmatch(plain) else plain


def _both_common(common: str, other: str, rows: Mapping[str, int]) -> bool:
    """Whether two spellings that differ in letter case may be two values by their rows."""
    return rows[other] >= max(COMMON_ROWS, COMMON_SHARE * rows[common]) and _whole(common) != _whole(other)


def _is_word(value: str) -> bool:
    letters = sum(map(str.isalpha, value))
    usual = (value.lower(), value.upper(), value.capitalize(), value.title())
    return letters >= FEWEST_LETTERS and not any(map(str.isdigit, value)) and value in usual


def _once(pairs: Iterable[tuple[K, str]]) -> dict[K, str]:
    """What each key stands for, where it stands for one value alone."""
    found: dict[K, str] = {}
    twice: set[K] = set()
    for key, value in pairs:
        twice.update([key] if key in found else [])
        found[key] = value
    return {key: value for key, value in found.items() if key not in twice}
