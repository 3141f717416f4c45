"""Which cells are missing: empty ones always, and words that mean so.

In text files these are the usual words, in any case of letters; in frames, Parquet and arrays none, for there a cell
can be empty by itself. `missing=` replaces them, in every source: its words count exactly as they are written, and
those that are numbers by their value, so that -999 is also -999.0.

A usual word may be a value all the same: `NA` is Namibia, `None` a kind of garage. In a column of words it is one where
empty cells stand beside it, where it is spelled like the other values, or where it is a step of their order; said as
SHL281, SHL282 where it counts as missing and is as frequent as a value. A class that is called so is a class, unless
the other answers are numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import polars as pl

from shoal.core.events import Finding, TaskType
from shoal.core.wording import count, listing, setting
from shoal.data import cells, codes, number_style, scales
from shoal.data.frames import RawTable
from shoal.data.number_style import Signs
from shoal.data.schema import Column, Schema

USUAL = ("na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-")
Words = tuple[str, ...] | None  # None: the usual ones
FEWEST_SPELLED_ALIKE = 3  # distinct values
ALIKE_SHARE = 0.9
NUMBER_SHARE = 0.95  # of the answers beside a word
SHOWN_WORDS = 5


def words_of(raw: RawTable, missing: tuple[str, ...] | None) -> Words:
    """The words that count in a source, by what the user said of them."""
    return missing if missing is not None else None if raw.lines is not None else ()


def marks(series: pl.Series, words: Words) -> pl.Series:
    """Which cells hold a word that means a missing one.

    >>> marks(pl.Series([" NA", "none", "nap", ""]), None).to_list()
    [True, True, False, False]
    >>> marks(pl.Series(["-999.0", "-99", "NA"]), ("-999",)).to_list()
    [True, False, False]
    >>> marks(pl.Series([-999.0, 1.5, None]), ("-999", "NA")).to_list()
    [True, False, False]
    """
    numbers = numbers_of(words or ())
    if series.dtype.is_numeric():
        return series.cast(pl.Float64, strict=False).is_in(numbers).fill_null(False)
    if not _is_text(series):
        return pl.repeat(False, series.len(), eager=True)
    trimmed = series.cast(pl.String).str.strip_chars()
    if words is None:
        return trimmed.str.to_lowercase().is_in(USUAL).fill_null(False)
    found = trimmed.is_in(words)
    if numbers:
        coded = trimmed.str.contains(r"^[+-]?0\d")  # 0999 is a code
        read = trimmed.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
        found = found | (read.is_in(numbers) & ~coded)
    return found.fill_null(False)


def emptied(series: pl.Series, words: Words, values: Iterable[str] = ()) -> pl.Series:
    """The cells, null where one holds a word that means so.

    Args:
        series: a column as it came.
        words: what means a missing cell.
        values: usual words, in small letters, that are values in this column.
    """
    found = marks(series, words)
    kept = tuple(values)
    if kept and found.any():
        found = found & ~_lower(series).is_in(kept).fill_null(False)
    if not found.any():
        return series
    return (series.cast(pl.String) if _is_text(series) else series).set(found, None)


def words_among(series: pl.Series) -> tuple[str, ...]:
    """The usual words that a column of words holds as values, in small letters, by the rules of this page."""
    marked = marks(series, None)
    if not marked.any():
        return ()
    texts = cells.text(series)
    words = _lower(series.filter(marked)).unique().sort().to_list()
    if texts.null_count():
        return tuple(words)
    return tuple(word for word in words if _is_spelled_alike(texts, marked, word) or _is_step(texts, marked, word))


def written(columns: Iterable[pl.Series], words: Words) -> tuple[str, ...]:
    """The words that mean a missing cell in a table: those that the user named, or the usual ones as they stand there.

    >>> written([pl.Series(["NA", "3", "?", "NA"])], None)
    ('NA', '?')
    """
    if words is not None:
        return words
    cells_of = (_trimmed(series.filter(marks(series, None))).unique(maintain_order=True) for series in columns)
    return tuple(dict.fromkeys(cell for found in cells_of for cell in found.to_list()))


@dataclass(frozen=True)
class KeptWords:
    """A column in which usual words are values, and how they are written there."""

    column: str
    written: tuple[str, ...]
    rows: int


def kept(series: pl.Series) -> KeptWords | None:
    """What is to be said of the usual words of a column, if it holds any."""
    found = cells.text(series).filter(marks(series, None))
    if not found.len():
        return None
    return KeptWords(series.name, tuple(found.unique(maintain_order=True).to_list()), found.len())


def as_frequent(series: pl.Series) -> KeptWords | None:
    """The usual words of a column that are as frequent as its values usually are, each on its own."""
    marked = marks(series, None)
    if not marked.any():
        return None
    texts = cells.text(series)
    often = texts.filter(~marked).drop_nulls().value_counts(sort=True).get_column("count")
    counts = texts.filter(marked).value_counts(sort=True, name="rows")
    usual = counts.filter(pl.col("rows") >= (often.median() or 0))
    if not usual.height:
        return None
    return KeptWords(series.name, tuple(usual.get_column(series.name).to_list()), int(usual.get_column("rows").sum()))


def of_words(values: Iterable[KeptWords], missing: Iterable[KeptWords]) -> list[Finding]:
    """That usual words were read as values, or as missing cells although they are as frequent as values."""
    said = (
        (codes.WORDS_ARE_VALUES, tuple(values), "count as values, not as missing cells", "means an empty cell"),
        (codes.WORDS_ARE_MISSING, tuple(missing), "count as missing cells, though as frequent as values", "is a value"),
    )
    found: list[Finding] = []
    for code, columns, what, otherwise in said:
        if not columns:
            continue
        shown = listing(f"{each.column} ({_quoted(each.written)} in {count(each.rows, 'row')})" for each in columns)
        written = ",".join(dict.fromkeys(word for each in columns for word in each.written))
        option = setting("missing", written) if code == codes.WORDS_ARE_VALUES else _as_values(columns[0].column)
        found.append(
            Finding(
                code=code,
                sentence=f"Words that often mean a missing cell {what}: {shown}.",
                evidence={
                    "columns": {each.column: {"words": list(each.written), "rows": each.rows} for each in columns}
                },
                fix=f"if {_quoted(columns[0].written[:1])} {otherwise} in {columns[0].column}: {option}",
            )
        )
    return found


def unused(columns: Iterable[pl.Series], words: Words) -> list[Finding]:
    """Words that the user named and no cell holds, of features or of answers."""
    held = [*columns]
    idle = [word for word in words or () if word and not any(marks(series, (word,)).any() for series in held)]
    if not idle:
        return []
    sentence = f"No cell holds {_quoted(idle)}, which would count as missing (option `missing`)."
    return [Finding(code=codes.WORDS_UNUSED, level="warning", sentence=sentence, evidence={"words": list(idle)})]


def for_target(raw: RawTable, name: str, words: Words, task: TaskType | None) -> tuple[RawTable, list[Finding]]:
    """The table with the missing cells of its target emptied: among words, a usual word is the name of a class."""
    series = raw.frame.get_column(name)
    marked = marks(series, words)
    if not marked.any():
        return raw, []
    rest = cells.text(series).filter(~marked).drop_nulls()
    held = kept(series)
    among_words = (
        words is None and task != "regression" and rest.len() > 0 and not _are_numbers(rest, Signs.of(raw, None))
    )
    if held is None or not among_words:
        return replace(raw, frame=raw.frame.with_columns(emptied(series, words))), []
    return raw, [
        Finding(
            code=codes.WORDS_ARE_VALUES,
            level="warning",
            sentence=f"{name}: {_quoted(held.written)} is the answer of {count(held.rows, 'row')} and counts as a "
            "class, not as a missing cell.",
            evidence={"columns": {name: {"words": list(held.written), "rows": held.rows}}},
            fix=f"if {_quoted(held.written)} means an empty cell: {setting('missing', ','.join(held.written))}",
        )
    ]


def known(raw: RawTable, column: Column, schema: Schema) -> pl.Series:
    """A column of new rows, emptied where training would have found a missing cell.

    A model of typed data that is asked with a text file meets the usual words where they can be no values: in columns
    of numbers, truth values and dates.
    """
    series = raw.frame.get_column(column.name)
    if column.exact:
        return series
    typed = schema.missing == () and raw.lines is not None and column.cells not in ("category", "ordered")
    return emptied(series, None if typed else schema.missing, column.word_values)


def answers(series: pl.Series, schema: Schema) -> pl.Series:
    """The true answers of new rows, emptied where they are missing; the name of a class is never that."""
    classes = tuple(name.lower() for name in schema.classes or ())
    return emptied(series, schema.missing, classes)


def _as_values(column: str) -> str:
    return f"{setting('roles', f'{column}=exact')}; in all columns: {setting('missing', '')}"


def _are_numbers(texts: pl.Series, signs: Signs) -> bool:
    found = number_style.find(texts, signs)
    return found is not None and cells.numbers(texts, found.style).odd.sum() <= (1 - NUMBER_SHARE) * texts.len()


def _is_spelled_alike(texts: pl.Series, marked: pl.Series, word: str) -> bool:
    """Whether the other values have the letters, capitals and length of a word, as two-letter codes have."""
    others = texts.filter(~marked).unique()
    if others.len() < FEWEST_SPELLED_ALIKE:
        return False
    written = texts.filter(texts.str.to_lowercase() == word)[0]
    return float((_shape(others) == _shape(pl.Series([written]))[0]).mean() or 0) >= ALIKE_SHARE


def _shape(texts: pl.Series) -> pl.Series:
    return texts.str.replace_all(r"\p{Lu}", "A").str.replace_all(r"\p{Ll}", "a").str.replace_all(r"\d", "0")


def _is_step(texts: pl.Series, marked: pl.Series, word: str) -> bool:
    """Whether a word belongs to a known order with the other values."""
    others = texts.filter(~marked).unique()
    return others.len() < scales.MOST and scales.ordered([*others.to_list(), word]) is not None


def _is_text(series: pl.Series) -> bool:
    return series.dtype in (pl.String, pl.Categorical, pl.Enum)


def _trimmed(series: pl.Series) -> pl.Series:
    return series.cast(pl.String).str.strip_chars()


def _lower(series: pl.Series) -> pl.Series:
    return _trimmed(series).str.to_lowercase()


def numbers_of(words: Iterable[str]) -> list[float]:
    """Those of the words that are numbers, which count by their value."""
    return [number for number in map(_number, words) if number is not None]


def _number(word: str) -> float | None:
    return float(word) if re.fullmatch(r"[+-]?(0|[1-9]\d*)(\.\d+)?", word) else None


def _quoted(words: Iterable[str]) -> str:
    return listing((f"`{word}`" for word in words), SHOWN_WORDS)
