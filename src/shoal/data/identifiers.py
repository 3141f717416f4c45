"""Which columns of whole numbers identify rows rather than measure something."""

from __future__ import annotations

import re
from typing import Literal

import polars as pl

FEWEST_ROWS = 20  # below, distinct values prove nothing
NAMED_SHARE = 0.5  # of the rows with a value of their own, from which on a name is believed
YEARS = (1800, 2100)
_NAME = re.compile(r"(?i:(^|[_\s.-])(id|uuid|guid|rowid)$)|[a-z](Id|ID)$")
_ROW_NAME = re.compile(r"(?i:^(index|row|row[_\s.-]?(no|nr|number)|level_0|unnamed: \d+)$)")
_ORDER_NAME = re.compile(
    r"(?i:(^|[_\s.-])(t|time|step|second|minute|hour|day|week|month|quarter|year|age|rank|position|order)s?$)"
)


def identifies(name: str, values: pl.Series) -> Literal["yes", "perhaps", "no"]:
    """Whether a number column identifies rows.

    Yes for whole numbers that differ in every row and either run from 0 or 1 without gaps, or stand under a name for
    row numbers (`index`, `Unnamed: 0`); under a name that ends in `id` half of the rows need a number of their own.
    Perhaps for other whole numbers without gaps, and where the name says that they measure an order (`day`, `rank`).
    Never for years, or for fewer than 20 rows.

    Args:
        name: of the column.
        values: its numbers; a missing one is no identifier.

    >>> values = pl.Series(range(1, 61))
    >>> identifies("x", values), identifies("week", values), identifies("heat_index", values * 3)
    ('yes', 'perhaps', 'no')
    """
    rows = values.len()
    if rows < FEWEST_ROWS or values.null_count() or not (values == values.round()).all():
        return "no"
    distinct = values.n_unique()
    if distinct < FEWEST_ROWS:
        return "no"
    if _NAME.search(name) and distinct > NAMED_SHARE * rows:
        return "yes"
    if distinct < rows:
        return "no"
    if _ROW_NAME.search(name):
        return "yes"
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    if high - low != distinct - 1 or (low >= YEARS[0] and high <= YEARS[1]):
        return "no"
    return "yes" if low in (0, 1) and not _ORDER_NAME.search(name) else "perhaps"
