"""How numbers are written in text, and how such text is read: signs, groups of digits, units.

A number is written as sign, currency, digits, exponent and unit, of which all but the digits may be absent:
`-$1,234.5`, `12 °C`, `1.5E+03`, `(12.3)` for -12.3. Groups of three digits may be parted by spaces (also those that do
not break) and apostrophes; whether by commas or points too is the style of its column. Where it is by commas, groups of
two before the last three are read as well, as India writes them: `12,34,567`.
"""

from __future__ import annotations

import re
from typing import Literal

import polars as pl

from shoal.core.events import Record

CURRENCY = r"(?:[A-Z]{0,3}\p{Sc}|(?:USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|BRL|Rs\.?|kr\.?|zł))"
INDIAN = r"[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"
SIGN = "[+\u2212-]"  # also the true minus sign


class NumberStyle(Record):
    """How the numbers of a column are written."""

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ","] = ""  # the other sign, where it may part groups of three digits
    unit: str = ""  # what stands with every number: `%`, `kg`, `$`; a number is read without it, in that unit

    @property
    def currency(self) -> bool:
        """Whether the unit is money, which may stand on either side, or be left out."""
        return is_currency(self.unit)


def is_currency(unit: str) -> bool:
    """Whether a unit is money.

    >>> is_currency("US$"), is_currency("kg")
    (True, False)
    """
    return bool(unit) and bool(pl.Series([unit]).str.contains(f"^{CURRENCY}$")[0])


def one_unit(unit: str) -> str:
    """A unit without the ending of its plural, so that `1 day` and `2 days` have one.

    >>> one_unit("days"), one_unit("kg"), one_unit("ms")
    ('day', 'kg', 'ms')
    """
    return unit[:-1] if len(unit) > 2 and unit.isalpha() and unit.endswith("s") else unit


def values(texts: pl.Series, style: NumberStyle) -> pl.Series:
    """Numbers of a style as Float64, vectorised.

    Args:
        texts: trimmed text, missing cells null.
        style: of the column.

    Returns:
        Null where a cell is missing or no number of this style. Infinities stay, for the caller to refuse.
    """
    if style.unit and not style.currency:
        return _by_grammar(texts, style)
    plain = texts
    if style.decimal == ",":
        plain = texts.set(texts.str.contains(".", literal=True), None).str.replace(",", ".", literal=True)
    read = plain.cast(pl.Float64, strict=False).fill_nan(None)
    left = read.is_null() & texts.is_not_null()
    if not left.any():
        return read
    return read.scatter(left.arg_true(), _by_grammar(texts.filter(left), style))


def integer(thousands: str) -> str:
    """The pattern of whole digits, with groups of three parted by spaces, apostrophes or the given sign."""
    parts = [r"\s", "['\u2019]", *([re.escape(thousands)] if thousands else [])]
    grouped = [r"[1-9][0-9]{0,2}(?:" + f"(?:{part}[0-9]{{3}})+" + ")" for part in parts]
    return "|".join([*grouped, *([INDIAN] if thousands == "," else []), "[0-9]+"])


def _by_grammar(texts: pl.Series, style: NumberStyle) -> pl.Series:
    decimal = re.escape(style.decimal)
    digits = f"(?:{integer(style.thousands)})(?:{decimal}[0-9]*)?|{decimal}[0-9]+"
    before, after = "", ""
    if style.currency:
        before = after = rf"(?:{_literal(style.unit)})?"
    elif style.unit:
        plural = "s?" if style.unit.isalpha() and len(style.unit) > 1 else ""
        after = _literal(one_unit(style.unit)) + plural
    pattern = (
        rf"^(?P<open>\()?(?P<sign>{SIGN})?\s*{before}\s*(?P<inner>{SIGN})?\s*"
        rf"(?P<digits>{digits})(?P<exponent>[eE][+-]?[0-9]+)?\s*{after}(?P<close>\))?$"
    )
    parts = texts.str.extract_groups(pattern).struct
    opened, sign, inner = parts.field("open"), parts.field("sign"), parts.field("inner")
    signs = sign.is_not_null().cast(pl.Int8) + inner.is_not_null() + opened.is_not_null()
    whole = (opened.is_not_null() == parts.field("close").is_not_null()) & (signs <= 1)
    minus = opened.is_not_null() | (sign.fill_null("+") + inner.fill_null("+")).str.contains("[-\u2212]")
    joined = parts.field("digits").str.replace_all(rf"[\s'\u2019{style.thousands}]", "")
    joined = joined.str.replace(style.decimal, ".", literal=True) + parts.field("exponent").fill_null("")
    read = joined.cast(pl.Float64, strict=False)
    read = read.zip_with(~minus.fill_null(False), -read)
    return read.set(~whole.fill_null(False), None).rename(texts.name)


def _literal(unit: str) -> str:
    """A unit as a pattern, any space inside it standing for any other."""
    return r"\s".join(re.escape(word) for word in unit.split())
