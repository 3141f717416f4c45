"""Settings of several members as one matrix: a row for each member, a column for each strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from shoal.augment.settings import Augment

_PAIRS = ("scale", "stretch")  # low and high factor
NAMES = tuple(
    column
    for name in Augment.model_fields
    if name not in ("padding", "interpolation")
    for column in ((f"{name}_low", f"{name}_high") if name in _PAIRS else (name,))
)
_AT = {name: number for number, name in enumerate(NAMES)}


@dataclass(frozen=True)
class Strengths:
    """`strengths["rotate"]` is a column [n, 1]; `strengths.of(rows)` those of some rows."""

    matrix: Tensor  # float64 [n, len(NAMES)], on the CPU
    operations: tuple[frozenset[str], ...]  # that are on, by row
    sampling: tuple[tuple[str, str], ...]  # padding and interpolation, by row

    def __len__(self) -> int:
        return len(self.operations)

    def __getitem__(self, name: str) -> Tensor:
        at = _AT[name]
        return self.matrix[:, at : at + 1]

    def of(self, rows: Sequence[int]) -> Strengths:
        """Those of the given rows."""
        if list(rows) == list(range(len(self))):
            return self
        return Strengths(
            self.matrix[list(rows)],
            tuple(self.operations[row] for row in rows),
            tuple(self.sampling[row] for row in rows),
        )

    def having(self, *names: str) -> list[int]:
        """Numbers of the rows that have any of these operations."""
        wanted = set(names)
        return [row for row, on in enumerate(self.operations) if on & wanted]

    def alike(self, rows: Sequence[int]) -> dict[tuple[str, str], list[int]]:
        """The given rows by padding and interpolation."""
        groups: dict[tuple[str, str], list[int]] = {}
        for row in rows:
            groups.setdefault(self.sampling[row], []).append(row)
        return groups


def strengths(augments: Sequence[Augment]) -> Strengths:
    """The matrix of these settings."""

    def row(augment: Augment) -> list[float]:
        numbers: list[float] = []
        for _, value in augment:
            if not isinstance(value, str):
                numbers += value if isinstance(value, tuple) else (value,)
        return numbers

    return Strengths(
        torch.tensor([row(augment) for augment in augments], dtype=torch.float64),
        tuple(frozenset(augment.active) for augment in augments),
        tuple((augment.padding, augment.interpolation) for augment in augments),
    )
