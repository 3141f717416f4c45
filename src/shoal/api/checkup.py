"""`doctor`: are the data and the network sound?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shoal.api.work import check_up
from shoal.core.events import DecisionMade, Event, Finding, FindingRaised
from shoal.core.settings import FitSettings

if TYPE_CHECKING:
    from shoal.nn.own_network import MakeNet


@dataclass(frozen=True)
class Checkup:
    """What `doctor` found."""

    findings: tuple[Finding, ...]
    decisions: tuple[Finding, ...]
    events: tuple[Event, ...]

    @property
    def ill(self) -> list[Finding]:
        """Findings that speak against training at all; see `unwell`."""
        return [finding for finding in self.findings if unwell(finding)]

    @property
    def healthy(self) -> bool:
        """There are none of these."""
        return not self.ill


def doctor(data: Any, *, model: str | MakeNet = "auto", **settings: Any) -> Checkup:
    """Check data and network before any search: the checks of the data, then steps 1 to 3 of the recipe.

    Args:
        data: a path, a frame, a pair (X, y), or a name such as `digits`.
        model: as `fit` takes it.
        settings: target, time, group, ..., device, batch_size, seed, ignore.

    Raises:
        InputError: the data or a setting cannot be used.
    """
    named = isinstance(data, str | os.PathLike)
    resolved = FitSettings(
        data=os.fspath(data) if named else "data", model=model if isinstance(model, str) else "auto", **settings
    )
    told = tuple(check_up(resolved, None if named else data, None if isinstance(model, str) else model))
    return Checkup(
        tuple(event.finding for event in told if isinstance(event, FindingRaised)),
        tuple(event.decision for event in told if isinstance(event, DecisionMade)),
        told,
    )


def unwell(finding: Finding) -> bool:
    """A problem of any kind, or a warning about the network (SHL1..), which a fit may only work around."""
    return finding.level == "problem" or (finding.level == "warning" and finding.code.startswith("SHL1"))
