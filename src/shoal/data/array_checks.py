"""One pass over images, signals and volumes: what their values warn of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from shoal.core.events import Finding, Kind
from shoal.core.wording import count, percent
from shoal.data import codes, wild_cells

BLOCK_VALUES = 1 << 22
RUN = 4  # values in a row at the end of the range
CLIPPED_SHARE = 0.01  # of the rows
FIRST_ROWS = 256  # if these differ, all need not be looked at
SHOWN_ROWS = 10


def of_arrays(x: NDArray[np.generic], kind: Kind) -> list[Finding]:
    """Rows of one value throughout, colours that are grey, signals that hit a wall, values far from all others.

    Args:
        x: rows first, as `arrays.layout` leaves them.
        kind: image, signal or volume.
    """
    found = list(_flat_rows(x, kind))
    if kind == "image" and x.ndim == 4 and x.shape[3] >= 3:
        found += _grey(x)
    if kind == "signal":
        found += _clipped(x)
    found += wild_cells.of_arrays(x, kind)
    return found


def _blocks(x: NDArray[np.generic]) -> Iterator[tuple[int, NDArray[np.generic]]]:
    step = max(1, BLOCK_VALUES // max(1, int(np.prod(x.shape[1:]))))
    for start in range(0, len(x), step):
        yield start, x[start : start + step]


def _flat_rows(x: NDArray[np.generic], kind: Kind) -> Iterator[Finding]:
    flat: list[int] = []
    for start, block in _blocks(x):
        rows = block.reshape(len(block), -1)
        flat += (start + np.flatnonzero((rows == rows[:, :1]).all(axis=1))).tolist()
    if flat and len(flat) < len(x):
        noun = {"image": "image", "signal": "signal", "volume": "volume"}.get(kind, "row")
        yield Finding(
            code=codes.FLAT_ROWS,
            level="warning" if len(flat) > CLIPPED_SHARE * len(x) else "note",
            sentence=f"{count(len(flat), noun)} of {len(x)} {'is' if len(flat) == 1 else 'are'} of one value "
            f"throughout and cannot be told apart, such as row {flat[0]}.",
            evidence={"rows": len(flat), "of": len(x), "first": list(flat[:SHOWN_ROWS])},
            fix="delete these rows if nothing was recorded there",
        )


def _grey(x: NDArray[np.generic]) -> Iterator[Finding]:
    if not _same_channels(x[:FIRST_ROWS]) or not all(_same_channels(block) for _, block in _blocks(x)):
        return
    yield Finding(
        code=codes.GREY_AS_COLOUR,
        sentence=f"The images have {x.shape[3]} channels that are all alike: they are grey, and a network does three "
        "times the work for nothing.",
        evidence={"channels": int(x.shape[3])},
        fix="store one channel: x[..., 0]",
    )


def _same_channels(x: NDArray[np.generic]) -> bool:
    return bool((x[..., 1] == x[..., 0]).all() and (x[..., 2] == x[..., 0]).all())


def _clipped(x: NDArray[np.generic]) -> Iterator[Finding]:
    """Signals that stay at the least or greatest value of their channel for a while, as an amplifier that saturates.

    A stay at 0 is silence or padding, not a wall.
    """
    if x.shape[2] < 2 * RUN:
        return
    hit: dict[str, int] = {}
    rows = np.zeros(len(x), dtype=np.bool_)
    for channel in range(x.shape[1]):
        values = x[:, channel]
        for side, wall in (("highest", values.max()), ("lowest", values.min())):
            if wall == 0:
                continue
            here = np.zeros(len(x), dtype=np.bool_)
            for start, block in _blocks(values):
                at = block == wall
                run = at[:, : 1 - RUN].copy()
                for shift in range(1, RUN):
                    run &= at[:, shift : at.shape[1] - RUN + 1 + shift]
                flat = at.all(axis=1)  # said by another finding
                here[start : start + len(block)] = run.any(axis=1) & ~flat
            if here.mean() >= CLIPPED_SHARE:
                hit[f"channel {channel}, {side} {wall:g}"] = int(here.sum())
                rows |= here
    if hit:
        where, number = max(hit.items(), key=lambda pair: pair[1])
        yield Finding(
            code=codes.CLIPPED,
            level="warning",
            sentence=f"{count(int(rows.sum()), 'signal')} of {len(x)} ({percent(float(rows.mean()))}) stay at the end "
            f"of their range for {RUN} values or more, as if clipped there (most often {where}: {number}).",
            evidence={"rows": int(rows.sum()), "of": len(x), "walls": dict(hit)},
            fix="record with a wider range, or leave these signals out",
        )
