"""All geometric operations as one sampling grid and one interpolation.

Each output point p, measured in pixels from the middle, is read at

    q = (1 + k |A p + b|^2 / r^2) (A p + b)

where A and b compose crop, translation, scale, rotation, shear, stretch and flips, k is the lens' distortion and r half
the diagonal. Reading once keeps what several interpolations in a row would blur.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import torch
import torch.nn.functional as F
from torch import Tensor

from shoal.augment import draws
from shoal.augment.draws import Slot
from shoal.augment.strengths import Strengths

FLIPS = ("hflip", "vflip", "dflip")
WHOLE = (*FLIPS, "translate")  # these alone move whole pixels: nothing is interpolated
INTERPOLATED = ("distort", "stretch", "shear", "rotate", "scale", "crop")


@dataclass(frozen=True)
class Motion:
    """Where n x B samples are read, in pixels from the middle; axes in the order x, y, z."""

    matrix: Tensor  # float64 [n, B, r, r]
    offset: Tensor  # float64 [n, B, r]
    lens: Tensor  # float64 [n, B]: k


def shifts(u: Tensor, strength: Strengths, size: tuple[int, ...]) -> Tensor:
    """How many whole pixels each sample moves, float64 [n, B, r]; `size` is (W, H, D), cut to the rank."""
    rank = len(size)
    sides = torch.tensor(size, dtype=torch.float64)
    drawn = u[..., Slot.TRANSLATE : Slot.TRANSLATE + rank]
    return torch.round(draws.either_way(drawn, strength["translate"].unsqueeze(-1)) * sides)


def signs(u: Tensor, strength: Strengths, rank: int) -> Tensor:
    """-1 for an axis that is flipped, else 1; float64 [n, B, r]."""
    flipped = [u[..., Slot[name.upper()]] < strength[name] for name in FLIPS[:rank]]
    return torch.where(torch.stack(flipped, dim=-1), -1.0, 1.0).to(torch.float64)


def motion(u: Tensor, strength: Strengths, size: tuple[int, ...]) -> Motion:
    """Compose the operations of every sample.

    Args:
        u: float64 [n, B, WIDTH] of `draws.uniforms`.
        strength: strengths of the n rows.
        size: (W,), (W, H) or (W, H, D).
    """
    rank = len(size)
    sides = torch.tensor(size, dtype=torch.float64)
    kept = 1.0 - u[..., Slot.CROP] * strength["crop"]
    at = draws.either_way(u[..., Slot.CROP_AT : Slot.CROP_AT + rank], (0.5 * (1.0 - kept)).unsqueeze(-1)) * sides
    zoom = draws.between(u[..., Slot.SCALE], strength["scale_low"], strength["scale_high"])
    matrix = _linear(u, strength, rank) / zoom[..., None, None]
    return Motion(
        matrix=matrix * kept[..., None, None],
        offset=_apply(matrix, at - shifts(u, strength, size)),
        lens=draws.either_way(u[..., Slot.DISTORT], strength["distort"]),
    )


def _linear(u: Tensor, strength: Strengths, rank: int) -> Tensor:
    """Flips, stretch, shear and rotation, undone in this order from right to left; float64 [n, B, r, r]."""
    flips = signs(u, strength, rank)
    if rank == 1:
        return flips.unsqueeze(-1)
    degrees = pi / 180.0
    angle = draws.either_way(u[..., Slot.ANGLE], strength["rotate"]) * degrees
    if rank == 3:
        return flips.unsqueeze(-1) * _about_axis(u[..., Slot.AXIS], u[..., Slot.AXIS + 1], angle)
    cos, sin = torch.cos(angle), torch.sin(angle)
    slope = torch.tan(draws.either_way(u[..., Slot.SHEAR], strength["shear"]) * degrees)
    ratio = torch.sqrt(draws.between(u[..., Slot.STRETCH], strength["stretch_low"], strength["stretch_high"]))
    # turned counterclockwise as seen, y pointing down: read at (cos x - sin y, sin x + cos y)
    top = torch.stack([(cos - slope * sin) / ratio, (-sin - slope * cos) / ratio], dim=-1)
    bottom = torch.stack([sin * ratio, cos * ratio], dim=-1)
    return flips.unsqueeze(-1) * torch.stack([top, bottom], dim=-2)


def _about_axis(u: Tensor, v: Tensor, angle: Tensor) -> Tensor:
    """Rotation about an axis that is uniform on the sphere: cos I + sin [a]x + (1 - cos) a a^T (Rodrigues)."""
    z, turn = 2.0 * u - 1.0, 2.0 * pi * v
    flat = torch.sqrt((1.0 - z * z).clamp(min=0.0))
    x, y = flat * torch.cos(turn), flat * torch.sin(turn)
    c, s = torch.cos(angle), torch.sin(angle)
    d = 1.0 - c
    rows = [
        [c + d * x * x, d * x * y - s * z, d * x * z + s * y],
        [d * x * y + s * z, c + d * y * y, d * y * z - s * x],
        [d * x * z - s * y, d * y * z + s * x, c + d * z * z],
    ]
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def _apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix times vector, summed in one order whatever the batch."""
    total = matrix[..., 0] * vector[..., :1]
    for axis in range(1, vector.shape[-1]):
        total = total + matrix[..., axis] * vector[..., axis : axis + 1]
    return total


def warp(x: Tensor, moved: Motion, padding: str, interpolation: str) -> Tensor:
    """Read samples where `moved` says.

    Args:
        x: [n * B, C, *size reversed], rank 1 to 3.
        moved: of n x B samples.
        padding: `zeros`, `border` or `reflection`.
        interpolation: `bilinear`, `nearest`, or (not in 3-D) `bicubic`.

    Returns:
        The same shape, a new tensor.
    """
    signal = x.dim() == 3
    grid = _grid(moved, x)
    read = F.grid_sample(
        x.unsqueeze(2) if signal else x, grid, mode=interpolation, padding_mode=padding, align_corners=False
    )
    return read.squeeze(2) if signal else read


def _grid(moved: Motion, x: Tensor) -> Tensor:
    """The sampling grid in torch's coordinates, -1 to 1 from edge to edge, [n * B, *size reversed, r]."""
    size = tuple(reversed(x.shape[2:]))
    rank = len(size)
    sides = torch.tensor(size, dtype=torch.float64)
    # in units of half a side each: of the axis that is read on the left, of the one that is written on the right
    matrix = (moved.matrix * (sides / sides.unsqueeze(-1))).flatten(0, 1).to(x.device, x.dtype)
    offset = (moved.offset * (2.0 / sides)).flatten(0, 1).to(x.device, x.dtype)
    points = [(2.0 * torch.arange(n, device=x.device, dtype=x.dtype) + (1.0 - n)) / n for n in size]
    planes = 2 if rank == 1 else rank
    grid = torch.zeros if rank == 1 else torch.empty
    field = grid(len(x), planes, *x.shape[2:], device=x.device, dtype=x.dtype)
    for axis in range(rank):
        part = offset[:, axis].reshape(-1, *(1,) * rank)
        for other in reversed(range(rank)):  # the longest sum is written last, and only that one has the full size
            along = [1] * rank
            along[rank - 1 - other] = size[other]
            term = matrix[:, axis, other].reshape(-1, *(1,) * rank) * points[other].reshape(along)
            if other == 0:
                torch.add(part, term, out=field[:, axis])
            else:
                part = part + term
    _distort(field, moved.lens, sides)
    order = (0, *range(2, rank + 2), 1)
    return field.permute(order).unsqueeze(1) if rank == 1 else field.permute(order)


def _distort(field: Tensor, lens: Tensor, sides: Tensor) -> None:
    """Move the points of a grid along their radius, in place."""
    if not bool((lens != 0).any()):
        return
    share = (sides.square() / sides.square().sum()).tolist()
    squared = field[:, 0].square() * share[0]
    for axis in range(1, len(share)):
        squared = squared + field[:, axis].square() * share[axis]
    k = lens.flatten().to(field.device, field.dtype).reshape(-1, *(1,) * (squared.dim() - 1))
    field[:, : len(share)] *= (1.0 + k * squared).unsqueeze(1)


def move_whole(x: Tensor, flips: Tensor, shift: Tensor, padding: str, black: Tensor) -> Tensor:
    """Flip and shift by whole pixels: every value keeps its bits.

    Args:
        x: [n, C, *size reversed].
        flips: -1 or 1, float64 [n, r], axes x, y, z.
        shift: whole pixels, float64 [n, r].
        padding: what comes in from outside: `zeros`, `border` or `reflection`.
        black: what `zeros` puts there, [C, 1, ...].
    """
    rank = flips.shape[-1]
    if not bool(shift.any()):
        for axis in range(rank):
            flipped = (flips[:, axis] < 0).to(x.device).reshape(-1, *(1,) * (rank + 1))
            x = torch.where(flipped, x.flip(-1 - axis), x) if bool((flips[:, axis] < 0).any()) else x
        return x
    where = torch.zeros(1, dtype=torch.int64, device=x.device).reshape(1, *(1,) * rank)
    outside = torch.zeros_like(where, dtype=torch.bool)
    stride = 1
    for axis in range(rank):
        size = x.shape[-1 - axis]
        at = torch.arange(size, dtype=torch.int64) - shift[:, axis : axis + 1].to(torch.int64)  # (n, size)
        beyond = (at < 0) | (at >= size)
        at = _folded(at, size) if padding == "reflection" else at.clamp(0, size - 1)
        at = torch.where(flips[:, axis : axis + 1] < 0, size - 1 - at, at)
        shape = [len(at), *(1,) * rank]
        shape[rank - axis] = size
        where = where + at.to(x.device).reshape(shape) * stride
        outside = outside | beyond.to(x.device).reshape(shape)
        stride *= size
    flat = where.expand(len(x), *x.shape[2:]).reshape(len(x), 1, -1).expand(-1, x.shape[1], -1)
    moved = x.flatten(2).gather(2, flat).reshape(x.shape)
    return torch.where(outside.unsqueeze(1), black, moved) if padding == "zeros" else moved


def _folded(at: Tensor, size: int) -> Tensor:
    """Mirrored at the outer edges of the first and the last pixel, as often as needed."""
    at = at % (2 * size)
    return torch.where(at < size, at, 2 * size - 1 - at)
