"""Documents for others as JSON: always valid, whatever numbers are in them."""

from __future__ import annotations

import json
from typing import Any

from shoal.core.paths import shown


def finite(value: Any) -> Any:
    """Plain values that JSON can hold: what is not finite becomes None, tuples become lists."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {str(name): finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def json_text(document: Any) -> str:
    """One JSON document with a line end.

    NaN and infinity, which JSON has not, become `null`; characters that cannot be printed are written as their numbers,
    and so are bytes of a file's name that are not UTF-8.

    >>> json_text({"score": float("nan")})
    '{\\n  "score": null\\n}\\n'
    """
    text = json.dumps(finite(document), ensure_ascii=False, allow_nan=False, indent=2)
    if not text.replace("\n", "").isprintable():
        text = "".join(each if each.isprintable() or each == "\n" else json.dumps(shown(each))[1:-1] for each in text)
    return text + "\n"
