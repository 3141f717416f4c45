"""How numbers are said: as many digits as their uncertainty supports, in words a newcomer reads without a table.

A score that is a share (accuracy) is said in per cent and its differences in points; R2 is said as the plain number
that it is. Where an interval is known it decides the digits; where only a number of rows is known, the binomial
standard error of that many rows does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal

MOST_DIGITS = 3  # decimals of a share that is nearly all or nearly nothing
SHARES = frozenset({"accuracy", "balanced_accuracy", "top5_accuracy"})  # said in per cent
_WORDS = {"r2": "R2", "balanced_accuracy": "balanced accuracy", "log_loss": "log loss", "rmse": "RMSE", "mae": "MAE"}
EXPLAINED = {
    "accuracy": "the share of rows that are answered correctly; higher is better",
    "balanced accuracy": "the share answered correctly in each class, averaged over the classes, so that a rare class "
    "counts as much as a common one; higher is better",
    "R2": "the share of the target's variance that the answers explain: 1 is perfect, 0 is no better than always "
    "answering the mean; higher is better",
    "log loss": "how surprised the network is by the truth, in nats a row: 0 is certain and right; lower is better",
    "RMSE": "root mean square error, in the target's own unit: large errors weigh more; lower is better",
    "MAE": "mean absolute error, in the target's own unit: how far off an answer is on average; lower is better",
}
MINUS = "\u2212"
_SAID = {"lr": "learning rate", "init": "initializer", "l1": "L1", "n": "number"}
_HYPER = {"lr": "learning rate", "weight_decay": "weight decay", "label_smoothing": "label smoothing"}
_KEYS = {  # what a decision's evidence calls its thresholds
    "margin": "near an edge within",
    "rise": "rise from its lowest",
    "rise_threshold": "a rise from",
    "gap_threshold": "a gap from",
    "slope_threshold": "settled within",
    "tolerance": "allowed to differ by",
    "least_improvement": "least to improve",
    "noises": "noise in standard errors",
}


def decimals(half_width: float, default: int = 1, most: int = 4) -> int:
    """How many decimals an uncertainty of +/- `half_width` supports: its first digit is the last one worth saying.

    Args:
        half_width: half the width of the interval, in the unit that is printed; > 0.
        default: what to answer where the half width is zero, negative or not finite.
        most: never answer more than this.

    Returns:
        A number from 0 to `most`.

    >>> decimals(0.6), decimals(3.0), decimals(0.04), decimals(0.0)
    (1, 0, 2, 1)
    """
    if not math.isfinite(half_width) or half_width <= 0:
        return default
    return max(0, min(most, math.ceil(-math.log10(half_width) - 1e-9)))


def fixed(value: float, digits: int) -> str:
    """`value` with `digits` decimals, thousands separated, a true minus sign and never "-0".

    >>> fixed(48842.4, 0), fixed(-0.04, 1), fixed(float("nan"), 1)
    ('48,842', '0.0', 'not finite')
    """
    if not math.isfinite(value):
        return "not finite"
    text = f"{abs(value):,.{digits}f}"
    return MINUS + text if value < 0 and any(c in "123456789" for c in text) else text


def number(value: object, digits: int = 3) -> str:
    """Any value of the record in `digits` significant digits, without trailing zeros.

    >>> number(0.00123456), number(3.2e-7), number(48842), number(1.5e12), number("adam"), number(True)
    ('0.00123', '3.2e-7', '48,842', '1.5e12', 'adam', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or (isinstance(value, list | tuple | dict) and not value):
        return "none"
    if isinstance(value, int):
        return fixed(value, 0) if abs(value) < 10**15 else _scientific(float(value), digits)
    if isinstance(value, float):
        if not math.isfinite(value):
            return "not finite"
        size = abs(value)
        if value == 0:
            return "0"
        if size < 1e-4 or size >= 1e7:
            return _scientific(value, digits)
        places = max(0, digits - 1 - math.floor(math.log10(size)))
        text = fixed(value, places)
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        shown = ", ".join(number(item, digits) for item in list(value)[:12])
        return shown + (f", ... ({len(value)} in all)" if len(value) > 12 else "")
    if isinstance(value, dict):
        return ", ".join(
            f"{_HYPER.get(str(key), key)} {number(item, digits)}" for key, item in list(value.items())[:12]
        )
    return str(value)


def _scientific(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return "not finite"
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{MINUS if value < 0 else ''}{mantissa}e{int(exponent)}"


def metric_word(metric: str) -> str:
    """The name of a metric as it is said in a sentence."""
    return _WORDS.get(metric, metric.replace("_", " "))


def half_width(metric: str, value: float, rows: int) -> float:
    """Half of an approximate 95 % interval of a score read on `rows` rows; 0 where it cannot be said.

    Binomial for shares; for R2 and others nothing is known from the row count alone.
    """
    if metric not in SHARES or rows <= 0 or not math.isfinite(value):
        return 0.0
    p = min(max(value, 0.0), 1.0)
    return 1.96 * math.sqrt(max(p * (1 - p), 1.0 / rows / 4) / rows)


def _scale(metric: str) -> float:
    return 100.0 if metric in SHARES else 1.0


def _digits(metric: str, value: float, interval: tuple[float, float] | None, rows: int | None) -> int:
    """Decimals for a score in the unit that is printed."""
    half = 0.0
    if interval is not None:
        half = (interval[1] - interval[0]) / 2
    elif rows is not None:
        half = half_width(metric, value, rows)
    return decimals(half * _scale(metric), default=1 if metric in SHARES else 3)


def score(metric: str, value: float, interval: tuple[float, float] | None = None, rows: int | None = None) -> str:
    """A score with the digits that its interval (or its number of rows) supports, and its unit.

    A share is never rounded to all or to nothing: 0.996 is not "100 %".

    >>> score("accuracy", 0.86912, (0.863, 0.875)), score("accuracy", 0.8691, rows=60), score("r2", 0.81, (0.80, 0.82))
    ('86.9 %', '87 %', '0.81')
    """
    digits = _digits(metric, value, interval, rows)
    text = fixed(value * _scale(metric), digits)
    while metric in SHARES and 0 < value < 1 and float(text) in (0.0, 100.0) and digits < MOST_DIGITS:
        digits += 1
        text = fixed(value * _scale(metric), digits)
    if metric in SHARES and interval is None and not rows:
        text = text.removesuffix(".0")
    return text + " %" if metric in SHARES and math.isfinite(value) else text


def bounds(metric: str, interval: tuple[float, float]) -> str:
    """An interval in the digits that it supports: with a hyphen, or "to" where a bound is negative.

    >>> bounds("accuracy", (0.863, 0.875)), bounds("r2", (-0.1, 0.2))
    ('86.3-87.5', '\u22120.1 to 0.2')
    """
    low, high = interval
    if not (math.isfinite(low) and math.isfinite(high)):
        return "interval not known"
    digits = _digits(metric, (low + high) / 2, interval, None)
    a, b = fixed(low * _scale(metric), digits), fixed(high * _scale(metric), digits)
    return f"{a} to {b}" if low < 0 else f"{a}-{b}"


def difference(metric: str, value: float, half: float = 0.0) -> str:
    """The size of a difference of two scores: points for shares, the plain number for others. The sign is dropped.

    >>> difference("accuracy", 0.108, 0.006), difference("accuracy", -0.01), difference("r2", 0.0123)
    ('10.8 points', '1 point', '0.012')
    """
    if metric in SHARES:
        shown = abs(value) * 100
        digits = decimals(half * 100) if half > 0 else decimals(shown / 10, default=1, most=2)
        text = fixed(shown, digits)
        if "." in text and half <= 0:
            text = text.rstrip("0").rstrip(".")
        return f"{text} point" if text == "1" else f"{text} points"
    digits = decimals(half, default=3) if half > 0 else 3
    return fixed(abs(value), digits)


def gap(one: str, other: str) -> str:
    """The size of the difference of two shares as `score` says them: a reader who subtracts finds the same.

    >>> gap("95 %", "32 %"), gap("99.6 %", "99 %"), gap("86 %", "85 %")
    ('63 points', '0.6 points', '1 point')
    """
    text = str(abs(Decimal(one.removesuffix(" %")) - Decimal(other.removesuffix(" %"))))
    return f"{text} point" if text == "1" else f"{text} points"


def signed(metric: str, value: float, half: float = 0.0) -> str:
    """A difference with its sign: "+0.6 points".

    >>> signed("accuracy", 0.006, 0.002), signed("r2", -0.02)
    ('+0.6 points', '\u22120.020')
    """
    text = difference(metric, value, half)
    if not any(c in "123456789" for c in text):
        return text
    return (MINUS if value < 0 else "+") + text


def count(n: int, noun: str, plural: str = "") -> str:
    """A number of things: "1 network", "8 networks".

    >>> count(1, "network"), count(1200, "network"), count(0, "class", "classes")
    ('1 network', '1,200 networks', '0 classes')
    """
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """A time as a person says it.

    >>> duration(0.42), duration(8.23), duration(183), duration(7260)
    ('0.4 s', '8.2 s', '3 min 3 s', '2 h 1 min')
    """
    if not math.isfinite(seconds):
        return "unknown time"
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def shorten(text: str, most: int = 48) -> str:
    """`text`, its middle left out where it is longer than `most` characters.

    >>> shorten("a" * 30, 11)
    'aaaaa\u2026aaaaa'
    """
    if len(text) <= most:
        return text
    keep = (most - 1) // 2
    return text[: most - 1 - keep] + "\u2026" + text[len(text) - keep :]


def order(text: str) -> str:
    """What to do, as a sentence of its own: capital letter, full stop, and options of the command line as code.

    >>> order("drop the copies, or give --group"), order("--drop fee if it leaks")
    ('Drop the copies, or give `--group`.', 'Use `--drop` fee if it leaks.')
    """
    plain = advice(text)
    return re.sub(r"(?<![\w`-])--[a-z][a-z-]*", r"`\g<0>`", plain) if "`" not in plain else plain


def advice(text: str) -> str:
    """What to do, as a sentence of its own in plain text; no full stop where an option's value would be read with it.

    >>> advice("mend these cells"), advice("if not: --drop fee"), advice('ranges={"lr": (0.1, 1)}, or --range lr=0.1:1')
    ('Mend these cells.', 'If not: --drop fee', 'Use ranges={"lr": (0.1, 1)}, or --range lr=0.1:1')
    """
    begun = _begun(text)
    typed = re.search(r"--[a-z][a-z-]* \S+$", begun) is not None
    return begun if typed or not begun or begun[-1] in ".!?:" else begun + "."


def _begun(text: str) -> str:
    """Text with a capital letter; an option, whose letters mean something, has a word before it."""
    plain = text.strip()
    return f"Use {plain}" if re.match(r"`?--|\w+=", plain) else plain[:1].upper() + plain[1:]


def spoken(name: str) -> str:
    """A hyperparameter's name as a reader says it.

    >>> spoken("weight_decay"), spoken("lr")
    ('weight decay', 'learning rate')
    """
    return _SAID.get(name, name.replace("_", " "))


def evidence_word(key: str) -> str:
    """What a number of a decision's evidence is called.

    >>> evidence_word("margin"), evidence_word("best_lr"), evidence_word("reached_step")
    ('near an edge within', 'best learning rate', 'reached step')
    """
    return _KEYS.get(key) or " ".join(_SAID.get(word, word) for word in key.split("_"))


def settled(value: float, half: float) -> str:
    """A number in the target's unit, to the first digit of its uncertainty.

    >>> settled(33907.1, 896), settled(33133.4, 6000), settled(0.51234, 0.02), settled(5.0, 0.0)
    ('33,900', '33,000', '0.51', '5')
    """
    if not (math.isfinite(value) and math.isfinite(half)) or half <= 0:
        return number(value)
    places = -math.floor(math.log10(half))
    return fixed(round(value, places), max(0, places))


def clean(text: str) -> str:
    """`text` without characters that change how what follows is read: control codes and direction overrides.

    >>> clean("a\\x00b\u202ec")
    'a\ufffdb\ufffdc'
    """
    return "".join(_visible(c) for c in text)


def _visible(c: str) -> str:
    code = ord(c)
    if c in "\n\t":
        return " "
    hidden = code < 32 or 0x7F <= code < 0xA0 or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return "\ufffd" if hidden or 0xD800 <= code <= 0xDFFF else c
