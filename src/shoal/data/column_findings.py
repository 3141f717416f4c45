"""What is to be said of a table's columns: one finding a code, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from shoal.core.events import Finding, Level
from shoal.core.wording import count, listing, percent, setting
from shoal.data import codes, leaks, moments, number_style, roles

REASONS: dict[str, tuple[str, str]] = {
    "identifier": (codes.IDENTIFIER, "most rows have a value of their own, so nothing can be learned from it"),
    "free text": (codes.FREE_TEXT, "free text"),
    "constant": (codes.CONSTANT, "the same value in every row"),
    "empty": (codes.EMPTY, "no cell is filled"),
}

TAGS: dict[str, tuple[str, Level, str]] = {  # of `roles.Inferred.tags`: code, level, sentence
    "zeros": (codes.LEADING_ZEROS, "note", "{} holds digits with leading zeros: read as codes, not as numbers."),
    "comma": (codes.DECIMAL_COMMA, "note", "{}: decimal commas were read as decimal points."),
    "indian": (codes.INDIAN_GROUPS, "note", "{} has digits in groups of two, as in 12,34,567: read as numbers."),
    "listed": (
        codes.MAYBE_DECIMALS,
        "note",
        "{} holds numbers with a comma inside, which a comma-delimited file leaves open: read as text "
        f"(numbers, if you say so: {setting('decimal', ',')}).",
    ),
    "against": (
        codes.AGAINST_DECIMAL,
        "warning",
        "{} cannot be read with the decimal sign that was given, and was read with the other one.",
    ),
    "numbering": (
        codes.NUMBERS_ROWS,
        "note",
        "{}: whole numbers without gaps, each once; kept as numbers. Where they only number the rows, leave them out.",
    ),
    "mixed": (codes.MIXED, "warning", "{} mixes numbers with words: read as categories."),
    "ambiguous": (
        codes.AMBIGUOUS_DATE,
        "warning",
        "{}: day, month and year could be in another order; read as in the format given.",
    ),
    "two_digit": (
        codes.TWO_DIGIT_YEARS,
        "warning",
        f"{{}}: years have two figures; {moments.PIVOTED}.",
    ),
    "formats": (
        codes.MIXED_DATES,
        "warning",
        "{}: dates are written in several formats; each was read by its own.",
    ),
    "offsets": (
        codes.MIXED_ZONES,
        "warning",
        "{}: some dates have an offset from UTC and some have none; the others were read as if they were UTC.",
    ),
    "zones": (
        codes.MIXED_ZONES,
        "warning",
        "{}: names of time zones are not read; clocks stay as they are written.",
    ),
}


def of_columns(inferred: dict[str, roles.Inferred], repeats: leaks.Repeats, rows: int) -> list[Finding]:
    """What is to be said of the columns, one finding a code."""
    found: list[Finding] = []
    same, copies, determining = repeats.same, repeats.copies, repeats.determining
    for role, (code, reason) in REASONS.items():
        names = [name for name, column in inferred.items() if column.column.role == role and not column.given]
        if names:
            notes = {name: inferred[name].column.note for name in names[:50]}
            whole = inferred[names[0]].column.note.startswith("whole numbers")
            other = {codes.IDENTIFIER: "numeric" if whole else "category", codes.FREE_TEXT: "category"}.get(code)
            found.append(
                Finding(
                    code=code,
                    sentence=f"Set aside: {listing(names)} ({reason}).",
                    evidence={"columns": dict(notes)},
                    fix=f"to use {names[0]} all the same: {setting('roles', f'{names[0]}={other}')}" if other else "",
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
                fix=f"leave {determining[0]} out if it would not be known when predicting: "
                f"{setting('drop', determining[0])}",
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
    found += number_style.findings({name: column.style for name, column in inferred.items() if column.style})
    found += number_style.contradictions({name: column.apart for name, column in inferred.items() if column.apart})
    return [*found, *_odd_cells(inferred), *_tagged(inferred)]


def _odd_cells(inferred: dict[str, roles.Inferred]) -> Iterator[Finding]:
    """Cells that broke the rule of their column."""
    for name, column in inferred.items():
        if column.odd:
            read = (
                f"{count(column.odd, 'cell')} such as {column.odd_example!r} could not be read as {column.column.role}"
            )
            yield Finding(
                code=codes.ODD_CELLS,
                level="warning",
                sentence=f"{name}: {read} and count as missing.",
                evidence={"column": name, "cells": column.odd},
            )


def _tagged(inferred: dict[str, roles.Inferred]) -> Iterator[Finding]:
    """What `roles` noted of columns by a tag, one finding for each tag."""
    for tag, (code, level, sentence) in TAGS.items():
        names = [name for name, column in inferred.items() if tag in column.tags]
        if names:
            doubted = names if tag in moments.DOUBTS else []
            formats = {name: list(inferred[name].column.date_formats) for name in doubted}
            shown = [f"{name} ({' and '.join(formats[name])})" if name in formats else name for name in names]
            yield Finding(
                code=code,
                level=level,
                sentence=sentence.format(listing(shown)),
                evidence={"columns": list(names), **({"formats": formats} if formats else {})},
                fix=f"write the dates of {listing(names, 4)} as 2021-01-31"
                if tag in ("ambiguous", "two_digit", "formats")
                else "",
            )
