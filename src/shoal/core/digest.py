"""The digest of what is stored: whoever reads it back knows that it is what was written.

It tells damage from health, and no friend from foe: who can write a file can write its digest too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Arrays = Mapping[str, tuple[str, bytes]]  # by name: what kind of array it is, and its bytes


def digest_of(document: object, arrays: Arrays | None = None) -> str:
    """SHA-256 over a document and arrays, the same for the same values however they were written down.

    Args:
        document: plain values: what `json` reads and writes.
        arrays: by name, with dtype and shape in words, and their bytes.

    >>> digest_of({"a": 1, "b": [0.5, None]}) == digest_of({"b": [0.5, None], "a": 1})
    True
    >>> digest_of({"a": 1}) == digest_of({"a": 1.5})
    False
    """
    found = hashlib.sha256()
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    _add(found, text.encode("ascii"))
    for name, (kind, content) in sorted((arrays or {}).items()):
        _add(found, f"{name} {kind}".encode())
        _add(found, content)
    return found.hexdigest()


def _add(found: Any, content: bytes) -> None:
    """A part with its length before it, so that no two lists of parts look alike."""
    found.update(len(content).to_bytes(8, "big"))
    found.update(content)
