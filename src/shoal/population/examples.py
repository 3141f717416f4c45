"""The examples that each row is trained or scored on: data that all share, and each row's own view of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from shoal.augment import Pixels
from shoal.core.errors import InputError
from shoal.losses import Floats, Loss
from shoal.population.rows import row_numbers

SHARED = 4  # from so many members of one view on, they are computed together and share its batches


@dataclass(frozen=True)
class BlockExamples:
    """The examples of the c rows of a block, the same number for each."""

    x: Tensor  # [N, ...]
    y: Tensor  # [N, ...], or [c, N, ...] where each row has targets of its own
    count: int  # c
    own_targets: bool = False
    rows: Tensor | None = None  # rows of x, int64: [n] for all rows of the block, [c, n] for each its own; None: all
    weights: Tensor | None = None  # [c, n], 0 where a shorter view was padded
    size: Tensor | None = None  # [c]: what the weights of each row sum to; None: n
    pixels: Pixels | None = None  # what the numbers of x mean, for augmentation

    def __len__(self) -> int:
        """The examples of each row, n."""
        return len(self.x) if self.rows is None else self.rows.shape[-1]

    @property
    def by_row(self) -> bool:
        """Each row has inputs of its own."""
        return self.rows is not None and self.rows.dim() == 2

    def at(self, positions: Tensor | slice) -> tuple[Tensor, Tensor, Tensor | None]:
        """Inputs [B, ...] or [c, B, ...] (`by_row`), targets [c, B, ...], and weights [c, B] where there are any."""
        rows = positions if self.rows is None else self.rows[..., positions]
        batch = self.x[rows]
        if self.own_targets:
            target = self._own_targets(rows)
        else:
            target = self.y[rows] if self.by_row else self.y[rows].expand(self.count, *self.y[rows].shape)
        return batch, target, None if self.weights is None else self.weights[:, positions]

    def _own_targets(self, rows: Tensor | slice) -> Tensor:
        if not self.by_row:
            return self.y[:, rows]
        return self.y[torch.arange(self.count, device=self.y.device).unsqueeze(1), rows]

    def mean(self, sums: Tensor) -> Tensor:
        """Weighted sums [c] over all examples as means."""
        return sums / (len(self) if self.size is None else self.size)


@dataclass(frozen=True)
class Examples:
    """Data, and what each of K members sees of them. Build one with `checked`."""

    x: Tensor  # [N, ...]
    y: Tensor  # [N, ...], or [K, N, ...] where each member has targets of its own
    members: int  # K
    own_targets: bool = False
    views: tuple[Tensor, ...] | None = None  # int64 [n] of each member; equal views are one tensor
    weights: tuple[Tensor, ...] | None = None  # [n] of each member, of mean 1; equal ones of one view are one tensor
    pixels: tuple[Pixels, ...] | None = None  # of each member: what the numbers of x mean in its view

    @cached_property
    def _sharers(self) -> Counter[int]:
        """How many members see each view, by its identity."""
        return Counter(id(view) for view in self.views or ())

    @cached_property
    def width(self) -> int:
        """The largest number of examples that a member has."""
        return self.longest(range(self.members))

    @property
    def answers(self) -> Tensor:
        """All targets that any member has, [N or K N, ...]."""
        return self.y.flatten(0, 1) if self.own_targets else self.y

    @property
    def data(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets as one member has them."""
        return self.x, self.y[0] if self.own_targets else self.y

    def longest(self, rows: Sequence[int]) -> int:
        """The largest number of examples that one of these members has."""
        return len(self.x) if self.views is None else max(len(self.views[row]) for row in rows)

    def group(self, row: int) -> tuple[bool, int, Pixels | None]:
        """Members of equal groups may stand in one block; a group does not depend on how the training goes (law 1).

        Returns:
            Whether all see one view; that view, or the length of theirs; and what the inputs mean.
        """
        pixels = None if self.pixels is None else self.pixels[row]
        if self.views is None:
            return True, 0, pixels
        view = self.views[row]
        shared = self._sharers[id(view)] >= min(SHARED, self.members)
        return shared, id(view) if shared else len(view), pixels

    def uniform(self, groups: Sequence[object]) -> dict[object, bool]:
        """Whether all members of each group see one view of these examples."""
        views_of: dict[object, set[int]] = {}
        for row, group in enumerate(groups):
            views_of.setdefault(group, set()).add(0 if self.views is None else id(self.views[row]))
        return {group: len(views) == 1 for group, views in views_of.items()}

    def of(self, rows: Sequence[int], *, uniform: bool, width: int | None = None) -> BlockExamples:
        """The examples of the rows of a block.

        Args:
            rows: their numbers in the population.
            uniform: they see one view, and so share its inputs; else each has inputs of its own.
            width: pad shorter views to so many examples, with weight 0; for scoring only, never for training.
        """
        y = self.y[list(rows)] if self.own_targets else self.y
        weights = None if self.weights is None else [self.weights[row] for row in rows]
        pixels = None if self.pixels is None else self.pixels[rows[0]]
        if self.views is None or uniform:
            view = None if self.views is None else self.views[rows[0]]
            stacked = None if weights is None else torch.stack(weights)
            return BlockExamples(self.x, y, len(rows), self.own_targets, view, stacked, pixels=pixels)
        views = [self.views[row] for row in rows]
        if width is None or all(len(view) == width for view in views):
            stacked = None if weights is None else torch.stack(weights)
            return BlockExamples(self.x, y, len(rows), self.own_targets, torch.stack(views), stacked, pixels=pixels)
        own = weights or [torch.ones(len(view), dtype=_weight_dtype(self.x), device=self.x.device) for view in views]
        filled = torch.stack([torch.cat([view, view[:1].expand(width - len(view))]) for view in views])
        stacked = torch.stack([torch.nn.functional.pad(each, (0, width - len(each))) for each in own])
        size = torch.tensor([len(view) for view in views], dtype=stacked.dtype, device=stacked.device)
        return BlockExamples(self.x, y, len(rows), self.own_targets, filled, stacked, size)

    def variance(self, loss: Loss) -> float | Floats:
        """Variance of the targets, which R^2 is measured against: one for all members, or [K]."""
        if self.views is None and self.weights is None and not self.own_targets:
            return loss.target_variance(self.y)
        known: dict[object, float] = {}
        found = np.empty(self.members)
        for row in range(self.members):
            weights = None if self.weights is None else self.weights[row]
            view = None if self.views is None else self.views[row]
            key = (row if self.own_targets else None, id(view), id(weights))
            if key not in known:
                y = self.y[row] if self.own_targets else self.y
                known[key] = loss.target_variance(y if view is None else y[view], weights)
            found[row] = known[key]
        return found


def checked(
    x: Tensor,
    y: Tensor,
    members: int,
    *,
    own_targets: bool = False,
    views: Sequence[object] | None = None,
    weights: object = None,
    names: tuple[str, str] = ("view", "sample_weight"),
) -> Examples:
    """Checked examples.

    Args:
        x: [N, ...].
        y: [N, ...], or [K, N, ...] where `own_targets`.
        members: K.
        own_targets: each member has targets of its own.
        views: row numbers of x, one list for each member; None: all see all.
        weights: of the rows of x, [N] for all members or [K, N]; none negative. Examples of weight 0 are not seen at
            all; the others count by weight / mean weight of the member's examples.
        names: what messages call a view and the weights.

    Raises:
        InputError: not as many views as members, rows outside of x, weights that are negative, no numbers, or all zero.
    """
    given = None if views is None else _views(views, members, len(x), x.device, names[0])
    if weights is None:
        return Examples(x, y, members, own_targets, given)
    own = _weights(weights, members, x, given, names[1])
    for row, each in enumerate(own):
        if not bool((each > 0).any()):
            raise InputError(f"{names[1]} of member {row}: 0 for every row that it sees; give one more than that.")
    if all(bool((each > 0).all()) for each in own):
        return Examples(x, y, members, own_targets, given, _normalised(own))
    everything = torch.arange(len(x), device=x.device)
    before = given or (everything,) * members
    kept = [(view[each > 0], each[each > 0]) for view, each in zip(before, own, strict=True)]
    return Examples(x, y, members, own_targets, _same([v for v, _ in kept]), _normalised([w for _, w in kept]))


def _views(views: Sequence[object], members: int, rows: int, device: torch.device, name: str) -> tuple[Tensor, ...]:
    """Views as int64 tensors; equal ones are one tensor."""
    if len(views) != members:
        raise InputError(f"There are {len(views)} {name}s for {members} members: give one for each.")
    known: dict[int, Tensor] = {}
    given = list(views)  # so that no two live views have one id
    for member, view in enumerate(given):
        if id(view) in known:
            continue
        try:
            chosen = row_numbers(view, rows, "x", from_end=False)  # type: ignore[arg-type]
        except InputError as error:
            raise InputError(f"The {name} of member {member}: {error}") from None
        if not len(chosen):
            raise InputError(f"The {name} of member {member} has no rows of x: give at least one.")
        known[id(view)] = torch.from_numpy(chosen).to(device)
    return _same([known[id(view)] for view in given])


def _weights(weights: object, members: int, x: Tensor, views: tuple[Tensor, ...] | None, name: str) -> list[Tensor]:
    """The weights of each member's examples: those of the rows of x, seen through its view."""
    try:
        given = weights if isinstance(weights, Tensor) else torch.as_tensor(np.asarray(weights))
        given = given.to(x.device, _weight_dtype(x))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: no array of numbers: {error}") from None
    rows = len(x)
    if tuple(given.shape) not in ((rows,), (members, rows)):
        raise InputError(
            f"{name}: of shape {list(given.shape)}; give [{rows}], one number for each row of x, or "
            f"[{members}, {rows}], for each member its own."
        )
    if not bool(torch.isfinite(given).all()) or bool((given < 0).any()):
        raise InputError(f"{name}: give numbers of at least 0.")
    each = [given] * members if given.dim() == 1 else list(given)
    if views is None:
        return each
    known: dict[tuple[int, int], Tensor] = {}
    for own, view in zip(each, views, strict=True):
        if (id(own), id(view)) not in known:
            known[id(own), id(view)] = own[view]
    return [known[id(own), id(view)] for own, view in zip(each, views, strict=True)]


def _normalised(weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    known = {id(each): each / each.mean() for each in weights}
    return tuple(known[id(each)] for each in weights)


def _same(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The tensors, those of equal values as one object."""
    known: dict[bytes, Tensor] = {}
    by_id: dict[int, Tensor] = {}
    for tensor in tensors:
        if id(tensor) not in by_id:
            digest = hashlib.blake2b(tensor.cpu().numpy().tobytes(), digest_size=16).digest()
            by_id[id(tensor)] = known.setdefault(digest, tensor)
    return tuple(by_id[id(tensor)] for tensor in tensors)


def _weight_dtype(x: Tensor) -> torch.dtype:
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()
