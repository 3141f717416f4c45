"""How much memory a reader may take: a bound is checked on what a file declares, before anything is allocated."""

from __future__ import annotations

import os

from shoal.core.errors import InputError

IMAGE_PIXELS = 64_000_000  # of one image: a header can declare any size
IMAGE_BYTES = 256 << 20  # of one image file
LARGEST_SIDE = 224  # pixels: the side to which larger images are reduced
FALLBACK_BYTES = 8 << 30
MOST_COLUMNS = 50_000  # of a table: each is looked at by itself
LARGEST_NUMBER = 1e100  # of a table: squares and their sums stay finite; above it, a typing error
LARGEST_VALUE = 1e30  # of an array, whose values are prepared in float32


def memory_bytes() -> int:
    """The bound for one source: half of the machine's memory.

    Prepared values are float32, so a source of small integers grows fourfold later; whoever needs more reads a part.
    """
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError, AttributeError):
        return FALLBACK_BYTES


def check_bytes(needed: int, source: str, what: str) -> None:
    """Refuse what would take more than the bound.

    Raises:
        InputError: names the source, what it declares and the bound.
    """
    bound = memory_bytes()
    if needed > bound:
        raise InputError(
            f"{source}: {what} would take {needed / 1e9:.1f} GB and at most {bound / 1e9:.1f} GB are read on this "
            "machine; give a part of it."
        )


def check_columns(number: int, source: str) -> None:
    """Refuse a table that is wider than what is looked at column by column.

    Raises:
        InputError: names the source and the bound.
    """
    if number > MOST_COLUMNS:
        raise InputError(
            f"{source} has {number} columns and at most {MOST_COLUMNS} are read as a table; give fewer, or numbers as "
            "an array of signals."
        )
