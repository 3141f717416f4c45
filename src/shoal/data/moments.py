"""Moments in text: in which format a column writes them, and what each of its cells means.

A format is written with strptime's directives, `%q` for a quarter; a clock may follow every format that has a day:
`13:45`, `13:45:10.25`, `1:05:10 PM`, then perhaps `Z` or an offset such as `+02:00`. A moment with an offset becomes
UTC, all else stays as it is written. A format without a day means the first day that it names. Of two figures, 69 to 99
are the years 1969 to 1999 and 00 to 68 the years 2000 to 2068. The years 1 and 9999 stand for "never": such a cell is
missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

TIME_OF_DAY = "%H:%M"  # read as a moment of the first of 1970
FORMATS = (  # the first of those that read equally much is taken: a month goes first with slashes, a day otherwise
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%d-%b-%Y", "%d %b %Y", "%d. %b %Y", "%d/%b/%Y", "%d%b%Y", "%b %d, %Y", "%b %d %Y", "%Y-%b-%d", "%Y %b %d",
    "%m/%d/%y", "%d/%m/%y", "%y/%m/%d", "%d.%m.%y", "%y.%m.%d", "%y-%m-%d", "%d-%m-%y", "%m-%d-%y", "%d-%b-%y",
    "%d %b %y", "%d/%b/%y", "%d%b%y", "%b %d, %y",
    "%Y-%m", "%Y/%m", "%m/%Y", "%m-%Y", "%m.%Y", "%b %Y", "%b-%Y", "%Y-%b",
    "%Y-Q%q", "%YQ%q", "%Y Q%q", "Q%q %Y", "Q%q-%Y", "Q%q/%Y",
    "%G-W%V-%u", "%GW%V%u", "%G-W%V", "%GW%V",
    TIME_OF_DAY,
)  # fmt: skip
COMPACT = "%Y%m%d"  # tried where the name or the user says that a column holds dates
YEAR = "%Y"  # tried where the user says it
SURE = tuple(form for form in FORMATS if form.startswith("%Y") or ("%b" in form and "%Y" in form))
EPOCHS = {"epoch s": 10**9, "epoch ms": 10**12, "epoch us": 10**15, "epoch ns": 10**18}  # their least number is a tenth
PIVOT = 69  # the first two-digit year of the last century
PIVOTED = f"{PIVOT} to 99 are read as {1900 + PIVOT} to 1999, 00 to {PIVOT - 1} as 2000 to {1999 + PIVOT}"
YEARS = (1800, 2200)  # of formats that a number or a code could be taken for
NEVER = (1, 9999)
SHARE = 0.95  # of the cells, for a column of dates
SAMPLE = 500  # cells in which every format is tried
RARE = 0.04  # share of them below which a format is not looked at again
SPREAD = 5  # times as many years as days of the month: not how dates are
ENGLISH = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
MONTHS = {short: at for at, name in enumerate(ENGLISH, 1) for short in (name, name[:3])} | {"sept": 9}
SHAPE = (
    r"(?i)^(?:[a-z]{3,9},? )?(?:[0-9]{1,4}[-/.][0-9]{1,4}(?:[^a-z]|$)|[0-9]{1,4}\.?[-/ ]?[a-z]{3,9}(?:[^a-z]|$)"
    r"|[a-z]{3,9}\.?[- ][0-9]|[0-9]{1,2} ?[a-z]{3}[0-9]|[0-9]{4}[- ]?[QW][0-9]|Q[1-4][-/ ][0-9]{4}|[0-9]{4,14}(?:T|$| )"
    r"|[0-9]{1,2}(?::[0-9][0-9]| ?[AP]\.?M))"
)
_DIRECTIVES = {
    "%Y": r"(?<Y>[0-9]{4})", "%y": r"(?<y>[0-9]{2})", "%m": r"(?<m>[0-9]{1,2})", "%d": r"(?<d>[0-9]{1,2})",
    "%b": r"(?<b>[a-z]{3,9})\.?", "%q": r"(?<q>[1-4])", "%G": r"(?<G>[0-9]{4})", "%V": r"(?<V>[0-9]{2})",
    "%u": r"(?<u>[1-7])",
}  # fmt: skip
_ZONE = (
    r"(?: ?(?<z>Z|(?:UTC|GMT)?(?<zs>[+-])(?<zh>[0-9]{2})(?::?(?<zm>[0-9]{2}))?|UTC|GMT)(?:\[[a-z0-9_/+-]+\])?"
    r"| (?<n>(?-i:[A-Z]{3,5}|[A-Z][a-z]+/[a-zA-Z_/]+)))?"
)
_CLOCK = (
    r"(?<H>[0-9]{1,2})(?::(?<M>[0-9]{2})(?::(?<S>[0-9]{2})(?:[.,](?<f>[0-9]{1,9}))?)?)?(?: ?(?<p>[AP])\.?M\.?)?" + _ZONE
)  # fmt: skip
_Whole = Callable[..., NDArray[np.int64]]  # of a group: its whole numbers [N]
_Has = Callable[[str], NDArray[np.bool_]]  # of a group: where it is [N]


@dataclass(frozen=True)
class Writing:
    """How a column writes its moments, and what of it is not sure."""

    formats: tuple[str, ...] = ()  # none: they are no moments
    doubts: frozenset[str] = frozenset()  # of DOUBTS


DOUBTS = {  # what is said of them in a column's note
    "ambiguous": "day, month and year could be in another order",
    "two_digit": f"years have two figures; {PIVOTED}",
    "formats": "several formats in one column",
    "offsets": "some with an offset from UTC and some without, as if these were UTC",
    "zones": "names of time zones are not read",
}


def is_typed(series: pl.Series) -> bool:
    """Whether a column came as moments: dates, with or without a clock, or times of day."""
    return series.dtype in (pl.Date, pl.Time) or isinstance(series.dtype, pl.Datetime)


def of_typed(series: pl.Series) -> pl.Series:
    """Moments as they are kept: Datetime in microseconds, in UTC where the column says its zone; a time of day on the
    first of 1970; the years 1 and 9999 missing."""
    if series.dtype == pl.Time:
        return (series.to_physical() // 1000).cast(pl.Datetime("us"))
    if isinstance(series.dtype, pl.Datetime) and series.dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    values = series.cast(pl.Datetime("us"))
    return values.set(values.dt.year().is_in(NEVER).fill_null(False), None)


def of_type(series: pl.Series) -> Writing:
    """How the text of a typed column will be read, where new rows come as text."""
    return Writing((TIME_OF_DAY,) if series.dtype == pl.Time else ())


def of_epoch(numbers: pl.Series, form: str) -> pl.Series:
    """Counts since 1970, as one of `EPOCHS`; null where that would be before 1973 or after 2286."""
    unit, counts = EPOCHS[form], numbers.cast(pl.Float64)
    fits = counts.is_between(unit / 10, unit * 10, closed="left").fill_null(False)
    return (counts * (10**15 / unit)).set(~fits, None).round().cast(pl.Int64).cast(pl.Datetime("us"))


def epoch_of(numbers: pl.Series) -> str | None:
    """The one of `EPOCHS` that all numbers fit, or None."""
    present = numbers.drop_nulls()
    for form in EPOCHS if present.len() else ():
        if of_epoch(present, form).null_count() == 0:
            return form
    return None


def read(texts: pl.Series, formats: Sequence[str]) -> pl.Series:
    """Cells of text as moments, null where none of the formats fits.

    Args:
        texts: trimmed text.
        formats: those of the column; after them, those that can be read in one way only are tried, so that a column
            which was written in another program's way, or came as dates before, is read too.
    """
    values = pl.Series(texts.name, [None] * texts.len(), dtype=pl.Datetime("us"))
    for forms in (formats, [form for form in SURE if form not in formats]):
        left = (values.is_null() & texts.is_not_null()).arg_true()
        for form, share in _matching(texts.gather(left), forms).items() if left.len() and forms else ():
            if share:
                left = (values.is_null() & texts.is_not_null()).arg_true()
                values = values.scatter(left, _parsed(texts.gather(left), form).values)
    return values


def find(texts: pl.Series, more: Sequence[str] = ()) -> Writing:
    """The formats that read a column of text, and what of them is not sure.

    Args:
        texts: trimmed text without missing cells.
        more: formats to try besides `FORMATS`.

    Returns:
        No format where less than 95 % of the different cells are moments. Several formats are taken together where
        they never read one cell differently.
    """
    cells = texts.unique(maintain_order=True)
    tried = cells.gather_every(max(1, cells.len() // SAMPLE))
    if cells.len() == 0 or tried.str.contains(SHAPE).mean() < 1 - 2 * (1 - SHARE):  # type: ignore[operator]
        return Writing()
    forms = [form for form, share in _matching(tried, (*FORMATS, *more)).items() if share > RARE]
    found = {form: parsed for form in forms if (parsed := _parsed(cells, form)).share > 0 and not _seasons(parsed)}
    if not found:
        return Writing()
    most = max(parsed.share for parsed in found.values())
    ties = [parsed for parsed in found.values() if parsed.share == most]
    first, *rivals = [parsed for parsed in ties if parsed.likely] or ties
    chosen, values = [first], first.values
    for other in sorted(found.values(), key=lambda parsed: -parsed.share):
        if (values.is_null() & other.values.is_not_null()).any() and not _differ(values, other.values):
            chosen, values = [*chosen, other], values.fill_null(other.values)
    if np.any([parsed.fits for parsed in chosen], axis=0).mean() < SHARE:
        return Writing()
    ambiguous = any(_differ(first.values, rival.values) for rival in rivals)
    return Writing(tuple(parsed.form for parsed in chosen), _doubts(chosen, ambiguous))


def asked(series: pl.Series, texts: pl.Series, more: Sequence[str] = (COMPACT,)) -> Writing:
    """The formats of a column that the user calls dates: digits alone and counts since 1970 are tried too.

    Args:
        series: the column as it came.
        texts: its cells as trimmed text, missing ones null.
        more: formats to try besides `FORMATS`.
    """
    present = texts.drop_nulls()
    found = find(present, more)
    if found.formats or is_typed(series):
        return found
    counts = series.drop_nulls() if series.dtype.is_numeric() else present.cast(pl.Float64, strict=False)
    form = epoch_of(counts) if counts.null_count() == 0 else None
    return Writing((form,)) if form else found


def span(values: pl.Series | None) -> str:
    """From when to when."""
    first, last = (values.min(), values.max()) if values is not None else (None, None)
    if values is None or not isinstance(first, datetime) or not isinstance(last, datetime):
        return ""
    whole_days = bool((values.dt.truncate("1d") == values).all())
    form = "%H:%M" if _times_of_day(values) else "%Y-%m-%d" if whole_days else "%Y-%m-%d %H:%M"
    return f"{first:{form}} to {last:{form}}"


def _times_of_day(values: pl.Series) -> bool:
    return bool((values.dt.date() == date(1970, 1, 1)).all())


def note(writing: Writing) -> str:
    """What a column's note says of its format."""
    doubts = [DOUBTS[doubt] for doubt in DOUBTS if doubt in writing.doubts]
    return "; ".join((f"written as {' and '.join(writing.formats)}", *doubts)) if writing.formats else ""


def _doubts(chosen: list[_Parsed], ambiguous: bool) -> frozenset[str]:
    zoned = np.any([parsed.zoned for parsed in chosen], axis=0)
    moments = np.any([parsed.values.is_not_null().to_numpy() for parsed in chosen], axis=0)
    doubts = {
        "ambiguous": ambiguous,
        "two_digit": any("%y" in parsed.form for parsed in chosen),
        "formats": len(chosen) > 1,
        "offsets": bool(zoned.any() and not zoned[moments].all()),
        "zones": any(parsed.named.any() for parsed in chosen),
    }
    return frozenset(doubt for doubt, so in doubts.items() if so)


def _differ(one: pl.Series, other: pl.Series) -> bool:
    """Whether two readings say two things of one cell."""
    return bool((one != other).fill_null(False).any())


def _seasons(parsed: _Parsed) -> bool:
    """Whether years and months are seasons throughout: 2009-10, 2010-11, 2011-12."""
    if parsed.form not in ("%Y-%m", "%Y/%m"):
        return False
    present = parsed.values.drop_nulls()
    return bool(((present.dt.year() + 1) % 100 == present.dt.month()).all())


@dataclass(frozen=True)
class _Parsed:
    """Cells read by one format."""

    form: str
    values: pl.Series  # [N] Datetime in microseconds, null where the format does not fit
    fits: NDArray[np.bool_]  # [N] where it does, "never" included
    zoned: NDArray[np.bool_]  # [N] with Z or an offset
    named: NDArray[np.bool_]  # [N] with the name of a zone

    @property
    def share(self) -> float:
        """Of the cells that were read."""
        return float(self.fits.mean()) if len(self.fits) else 0.0

    @property
    def likely(self) -> bool:
        """Whether days vary as days of the month do beside their years, where years have two figures."""
        if "%y" not in self.form:
            return True
        return self.values.dt.year().n_unique() < SPREAD * self.values.dt.day().n_unique()


@lru_cache(maxsize=128)
def _pattern(form: str) -> str:
    """The regular expression of a format and of the clock after it."""
    if form == TIME_OF_DAY:
        return f"(?i)^{_CLOCK}$"
    day = form.replace(".", r"\.")
    for directive, pattern in _DIRECTIVES.items():
        day = day.replace(directive, pattern)
    if form == COMPACT:
        return rf"(?i)^{day}(?:[T ]?{_CLOCK.replace(':(', ':?(')})?$".replace("{1,2}", "{2}")
    if form in ("%d%b%Y", "%d%b%y"):
        return rf"(?i)^{day}(?:[:T ]{_CLOCK})?$"
    if "%y" in form and "%b" not in form and "/" not in form:  # 1.10.12 is rather the number of a version
        day = day.replace("{1,2}", "{2}")
    weekday = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? )?" if "%b" in form else ""
    clock = rf"(?:(?:T|,? +){_CLOCK})?" if "%d" in form or "%u" in form else ""
    return f"(?i)^{weekday}{day}{clock}$"


def _matching(texts: pl.Series, forms: Sequence[str]) -> dict[str, float]:
    """The share of the cells that have the look of each format."""
    looks = [pl.col("x").str.contains(_pattern(form)).mean().alias(form) for form in forms]
    return {form: share or 0.0 for form, share in texts.to_frame("x").select(looks).row(0, named=True).items()}


def _parsed(texts: pl.Series, form: str) -> _Parsed:
    parts = texts.str.extract_groups(_pattern(form)).struct.unnest()
    empty = np.zeros(texts.len(), dtype=np.bool_)

    def has(group: str) -> NDArray[np.bool_]:
        return parts.get_column(group).is_not_null().to_numpy() if group in parts.columns else empty

    def whole(group: str, otherwise: int = 0) -> NDArray[np.int64]:
        if group not in parts.columns:
            return np.full(texts.len(), otherwise, dtype=np.int64)
        return parts.get_column(group).cast(pl.Int64).fill_null(otherwise).to_numpy()

    days, fits = _days(parts, form, whole)
    clock, fits_clock = _clock(parts, has, whole)
    fits &= fits_clock & np.any([has(group) for group in ("Y", "y", "G", "H")], axis=0)
    never = np.isin(whole("Y", 1970), NEVER)
    moments = pl.Series(texts.name, days * 86_400_000_000 + clock).cast(pl.Datetime("us"))
    return _Parsed(form, moments.set(pl.Series(~fits | never), None), fits, has("z") & fits, has("n") & fits)


def _days(parts: pl.DataFrame, form: str, whole: _Whole) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Days since 1970 [N], and which of them there are."""
    if form == TIME_OF_DAY:
        return whole("none"), np.ones(parts.height, dtype=np.bool_)
    if "%G" in form:
        week = whole("V", 1)
        january = _midnight(whole("G", 1970), np.int64(1)) + 3  # the fourth is in the first week
        thursday = january - (january + 3) % 7 + 3 + 7 * (week - 1)
        there = thursday.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970 == whole("G", 1970)
        return thursday - 3 + whole("u", 1) - 1, there & (week >= 1) & _plausible(whole("G"))
    year = whole("Y", 1970)
    if "%y" in form:
        short = whole("y")
        year = short + np.where(short >= PIVOT, 1900, 2000)
    month = whole("m", 1)
    if "b" in parts.columns:
        named = parts.get_column("b").str.to_lowercase().replace_strict(MONTHS, default=0, return_dtype=pl.Int64)
        month = named.fill_null(0).to_numpy()
    if "q" in parts.columns:
        month = 3 * whole("q", 1) - 2
    day, first = whole("d", 1), _midnight(year, month)
    there = (month >= 1) & (month <= 12) & (day >= 1) & (day <= _midnight(year, month + 1) - first)
    there &= (year >= NEVER[0]) & (year <= NEVER[1])
    return first + day - 1, there & (_plausible(year) if "%d" not in form or form == COMPACT else True)


def _plausible(year: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (year >= YEARS[0]) & (year <= YEARS[1])


def _midnight(year: NDArray[np.int64], month: NDArray[np.int64] | np.int64) -> NDArray[np.int64]:
    """Days from 1970 to the first of a month."""
    months = (year - 1970) * 12 + month - 1
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _clock(parts: pl.DataFrame, has: _Has, whole: _Whole) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Microseconds since midnight in UTC [N], and which of them a clock can show; 23:59:60 is the next midnight."""
    hour, minute, second, halves = whole("H"), whole("M"), whole("S"), has("p")
    fraction = np.zeros(parts.height, dtype=np.int64)
    after, west = np.zeros_like(halves), np.zeros_like(halves)
    if "f" in parts.columns:
        padded = parts.get_column("f").str.pad_end(6, "0").str.slice(0, 6)
        fraction = padded.cast(pl.Int64).fill_null(0).to_numpy()
        after = (parts.get_column("p").str.to_lowercase() == "p").fill_null(False).to_numpy()
        west = (parts.get_column("zs") == "-").fill_null(False).to_numpy()
    shown = np.where(halves, (hour >= 1) & (hour <= 12), hour <= 23) & (minute <= 59)
    shown |= (hour == 24) & (minute == 0) & (second == 0) & (fraction == 0) & ~halves  # the end of a day
    shown &= (second <= 59) | ((second == 60) & (minute == 59))
    shown &= has("M") | halves | ~has("H")  # an hour alone is no clock
    hour = np.where(halves, hour % 12 + 12 * after, hour)
    east = np.where(west, -1, 1) * (60 * whole("zh") + whole("zm"))  # minutes
    shown &= (whole("zh") <= 15) & (whole("zm") <= 59)
    return ((hour * 60 + minute - east) * 60 + second) * 1_000_000 + fraction, shown
