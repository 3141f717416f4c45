"""One measured comparison, as a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Case:
    """Shoal against one peer at one task.

    Attributes:
        case: the task and its size, in words.
        shoal_s: Shoal's median time for it; None when it was not measured.
        peer: who or what it is compared with.
        peer_s: the peer's median time; None when the peer could not run.
        ratio: peer_s / shoal_s; above 1 Shoal is quicker.
        target: the ratio that is aimed at; None for what is only shown.
        n: repeats behind the medians.
        spread: the smallest and the largest ratio of any repeat.
        note: what the reader must know, such as why a peer is missing.
    """

    case: str
    shoal_s: float | None
    peer: str
    peer_s: float | None
    ratio: float | None
    target: float | None = None
    n: int = 0
    spread: tuple[float, float] | None = None
    note: str = ""

    @classmethod
    def measured(
        cls,
        case: str,
        shoal_s: Sequence[float],
        peer: str,
        peer_s: Sequence[float],
        target: float | None = None,
        note: str = "",
    ) -> Case:
        """The case of seconds taken in turns: entry i of both belongs to turn i.

        >>> Case.measured("sum", [1.0, 2.0, 3.0], "loop", [4.0, 4.0, 3.0]).ratio
        2.0
        """
        ratios = [theirs / ours for ours, theirs in zip(shoal_s, peer_s, strict=True)]
        ours, theirs = median(shoal_s), median(peer_s)
        spread = (min(ratios), max(ratios))
        return cls(case, ours, peer, theirs, theirs / ours, target, len(ratios), spread, note)

    @classmethod
    def missing(cls, case: str, peer: str, reason: str, target: float | None = None) -> Case:
        """The case of a peer that cannot run here; the reason is a phrase such as `jax is not installed`."""
        return cls(case, None, peer, None, None, target, note=reason)

    @property
    def verdict(self) -> Literal["met", "missed", "no target", "not measured"]:
        """How the ratio stands to the target."""
        if self.ratio is None:
            return "not measured"
        if self.target is None:
            return "no target"
        return "met" if self.ratio >= self.target else "missed"

    def as_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return asdict(self)
