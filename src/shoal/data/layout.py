"""The axes of an array: which are channels and which are places, and the layout that the rest relies on.

Stored layouts: table [N, D]; signal [N, C, L]; image [N, H, W] or [N, H, W, C]; volume [N, D, H, W] or [N, D, H, W, C].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.core.events import Finding, Kind
from shoal.core.reading import AXES, Reading
from shoal.core.wording import count, setting
from shoal.data import codes
from shoal.data.neighbours import are_signals, roughness_along

STORED = {"signal": "NCL", "image": "NHWC", "volume": "NDHWC"}
SHAPES = {
    "table": "[N, D]",
    "signal": "[N, L], [N, C, L] or [N, L, C]",
    "image": "[N, H, W], [N, H, W, C] or [N, C, H, W]",
    "volume": "[N, D, H, W], [N, C, D, H, W] or [N, D, H, W, C]",
}
OPEN = ("image 4", "volume 5")  # kinds and ranks with channels either first or last
COLOURS = (1, 3, 4)  # channels that a last axis of this size is taken for without a word
FEW = 4  # channels beside anything larger
CLEARLY = 2  # times smaller than the other sides: channels, whatever their number
LONGEST_SIDE = 4  # times the other one: more is no picture
FOLLOWING = 0.25  # roughness of places: a random walk of six steps has 0.4, colours 0.7, every third slice of a CT 1.0
NOISE, SMOOTHER = 0.5, 0.1  # roughness along channels, at least; along time, at most this share of it


@dataclass(frozen=True)
class ArrayLayout:
    """An array as it is stored, and how it was read."""

    x: NDArray[np.generic]
    kind: Kind
    axes: str  # as it came, of `AXES`; empty for what was flattened to a table
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class _Guess:
    """Axes, and those to give if they are wrong; none where there is nothing to doubt."""

    axes: str
    otherwise: tuple[str, ...] = ()


def layout(x: NDArray[np.generic], reading: Reading, source: str, *, channels_first: bool = False) -> ArrayLayout:
    """Give the stored layout of an array, by `reading.axes`, or else by its sizes.

    Channels are the few. Rank 2 is a table, or signals where the columns follow each other smoothly (see `neighbours`).
    Rank 3 is images where both sides have 4 or more and neither is above four times the other, else signals, whose
    channels are the smaller axis. Rank 4 is images where one small axis stands before or behind two large ones that are
    nearly alike, else volumes. Rank 5 is volumes with channels. Where sizes do not tell, smoothness is asked: values
    follow each other along time and places, not along channels.

    Args:
        x: rows first.
        reading: its `axes` and `kind`.
        source: for messages.
        channels_first: whether the array comes from torch, where channels stand before places; asked where the sizes
            leave it open.

    Raises:
        InputError: axes or a kind that do not fit the rank, channels that cannot be told from places.
    """
    if reading.axes is not None:
        if x.ndim != len(reading.axes):
            raise InputError(
                f"{source}: the axes {reading.axes} are {len(reading.axes)} and the array has {x.ndim}, of shape "
                f"{list(x.shape)}; write one letter for each."
            )
        return ArrayLayout(turned(x, reading.axes), AXES[reading.axes], reading.axes)
    if reading.kind == "table" and x.ndim > 2:
        return ArrayLayout(x.reshape(len(x), -1), "table", "")
    guess = _guess(x, reading.kind, channels_first)
    if guess is None or reading.kind not in (None, AXES[guess.axes]):
        if x.ndim in (4, 5) and (reading.kind is None or f"{reading.kind} {x.ndim}" in OPEN):
            raise InputError(
                f"{source}: which axis of the shape {list(x.shape)} holds the channels cannot be told; say so, as in "
                f"{setting('axes', 'NCHW' if x.ndim == 4 else 'NCDHW')}."
            )
        kind = reading.kind or "table"
        raise InputError(
            f"{source}: features of shape {list(x.shape)} are no {kind} data, which have the shape {SHAPES[kind]}."
        )
    kind = AXES[guess.axes]
    stored = turned(x, guess.axes)
    return ArrayLayout(stored, kind, guess.axes, (_said(x, stored, kind, guess),) if guess.otherwise else ())


def turned(x: NDArray[np.generic], axes: str) -> NDArray[np.generic]:
    """An array whose axes are known, in the stored layout; a view where it is mapped into memory.

    >>> turned(np.zeros((7, 64, 6)), "NLC").shape, turned(np.zeros((7, 2, 8, 9)), "NCHW").shape
    ((7, 6, 64), (7, 8, 9, 2))
    """
    kind = AXES[axes]
    if "C" not in axes:
        return x[:, None] if kind == "signal" else x
    moved = np.transpose(x, [axes.index(letter) for letter in STORED[kind]])
    if kind == "volume" and moved.shape[-1] == 1:
        moved = moved[..., 0]
    return moved if isinstance(x, np.memmap) else np.ascontiguousarray(moved)


def as_given(shape: tuple[int, ...], axes: str) -> tuple[int, ...]:
    """The shape that a row of a stored shape had as it came.

    >>> as_given((6, 64), "NLC"), as_given((1, 64), "NL")
    ((64, 6), (64,))
    """
    kind = AXES[axes]
    stored = STORED[kind][1:]
    sizes = dict(zip(stored, (*shape, 1) if len(shape) < len(stored) else shape, strict=True))
    return tuple(sizes[letter] for letter in axes[1:])


def _guess(x: NDArray[np.generic], kind: Kind | None, channels_first: bool) -> _Guess | None:
    if x.ndim == 2:
        if kind == "signal":
            return _Guess("NL")
        return _Guess("NL", ("ND",)) if kind is None and are_signals(x) else _Guess("ND")
    if x.ndim == 3:
        return _of_three(x, kind)
    if x.ndim == 4:
        return _of_four(x, kind, channels_first)
    if x.ndim == 5:
        at = _channel_axis(x.shape, channels_first)
        axes = {1: "NCDHW", 4: "NDHWC", None: None}[at]
        if at is None or axes is None:
            return None
        return _Guess(axes, () if x.shape[at] == 1 else ("NDHWC" if at == 1 else "NCDHW",))
    return None


def _of_three(x: NDArray[np.generic], kind: Kind | None) -> _Guess:
    low, high = sorted(x.shape[1:])
    if kind == "image":
        return _Guess("NHW")
    if kind is None and low == high >= LONGEST_SIDE:
        return _Guess("NHW")
    along = _time_axis(x) if high < CLEARLY * low or (kind is None and low >= FEW) else None
    if kind is None and low >= FEW and high <= LONGEST_SIDE * low and along is None:
        return _Guess("NHW", ("NCL", "NLC"))
    if high >= CLEARLY * low:
        along = 1 if x.shape[1] == high else 2
    return _Guess("NLC", ("NCL", "NHW")) if along == 1 else _Guess("NCL", ("NLC", "NHW"))


def _time_axis(x: NDArray[np.generic]) -> int | None:
    """Of [N, a, b] the one axis along which values follow each other, while they do not along the other."""
    if x.dtype.kind not in "biuf" or (x.dtype.kind == "f" and not np.isfinite(x).all()):
        return None  # refused later, with the row
    rough = {axis: roughness_along(x, axis) for axis in (1, 2)}
    smooth = min(rough, key=lambda axis: rough[axis])
    other = rough[3 - smooth]
    return smooth if other > NOISE and rough[smooth] < SMOOTHER * other else None


def _of_four(x: NDArray[np.generic], kind: Kind | None, channels_first: bool) -> _Guess | None:
    if kind == "volume":
        return _Guess("NDHW")
    at = _channel_axis(x.shape, channels_first)
    if kind is None and at is not None and x.shape[at] > FEW and not channels_first and _follow(x, at):
        at = None
    if at == 3:
        return _Guess("NHWC", () if x.shape[3] in COLOURS else ("NCHW", "NDHW"))
    if at == 1:
        return _Guess("NCHW", ("NHWC", "NDHW"))
    if kind == "image":
        return None
    return _Guess("NDHW", () if len(set(x.shape[1:])) == 1 else ("NCHW", "NHWC"))


def _follow(x: NDArray[np.generic], at: int) -> bool:
    """Whether values follow each other along a small axis: then it is one of places."""
    if x.dtype.kind not in "biuf" or (x.dtype.kind == "f" and not np.isfinite(x).all()):
        return False
    return roughness_along(x, at) < FOLLOWING


def _channel_axis(shape: tuple[int, ...], channels_first: bool) -> int | None:
    """The first axis of a row, or the last one, if it is that of channels by its size."""
    first, last = shape[1], shape[-1]
    by_size = {1: _are_channels(first, shape[2:]), len(shape) - 1: _are_channels(last, shape[1:-1])}
    if len(shape) == 4 and last in COLOURS and not (channels_first and by_size[1]):
        return 3
    if channels_first and first < min(shape[2:]):
        return 1
    found = [axis for axis, so in by_size.items() if so]
    return min(found, key=lambda axis: shape[axis]) if found else None


def _are_channels(size: int, sides: tuple[int, ...]) -> bool:
    if size == 1:
        return True
    if size <= FEW:
        return min(sides) > FEW
    return CLEARLY * size <= min(sides) and max(sides) <= CLEARLY * min(sides)


def _said(x: NDArray[np.generic], stored: NDArray[np.generic], kind: Kind, guess: _Guess) -> Finding:
    detail = ""
    if "C" in guess.axes:
        channels = x.shape[guess.axes.index("C")]
        sides = [x.shape[guess.axes.index(letter)] for letter in guess.axes[1:] if letter != "C"]
        places = f"{sides[0]} values" if kind == "signal" else " x ".join(str(side) for side in sides)
        detail = f": {count(channels, 'channel')} of {places}"
    first, *more = guess.otherwise
    asked = setting("kind", "table") if first == "ND" else setting("axes", first)
    return Finding(
        code=codes.LAYOUT,
        sentence=f"Shape {list(x.shape)} was read as {kind}s [{', '.join(guess.axes)}]{detail}.",
        evidence={"shape": list(x.shape), "axes": guess.axes, "stored": list(stored.shape)},
        fix=f"say so if these are other axes: {asked}{''.join(f'; or {each}' for each in more)}",
    )
