"""The plans by which the populations of a run are computed, recorded before any event that depends on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from shoal.population.matrix import PLANS
from shoal.population.plan import Plan, Plans, current_names

MOST_WORKERS = 4096
_PLAN = TypeAdapter(Plan)

Document = Mapping[str, Mapping[str, Any]]


class RecordedPlans(Plans):
    """The plans of one run: those recorded with it, then those that this process knows.

    Args:
        recorded: by signature, as plain values; what another version wrote and this one cannot read is left out.
        record: where the plans are written, all of them.
    """

    def __init__(self, recorded: Document, record: Callable[[Document], None]) -> None:
        super().__init__()
        self._record = record
        for signature, values in recorded.items():
            try:
                plan = _PLAN.validate_python(current_names(values))
            except (ValidationError, TypeError, ValueError):
                continue
            if min(plan.rows, plan.workers, plan.evaluation_batch) >= 1 and plan.workers <= MOST_WORKERS:
                super().put(signature, plan)
        self._new = bool(recorded)  # they may have come from another run

    def find(self, signature: str) -> Plan | None:
        """The plan for such work; one that only the process knew is added to the run's."""
        known = super().find(signature)
        if known is None and (known := PLANS.find(signature)) is not None:
            self.put(signature, known)
        return known

    def put(self, signature: str, plan: Plan) -> None:
        """Keep a plan, for the process too."""
        super().put(signature, plan)
        PLANS.put(signature, plan)
        self._new = True

    def settle(self) -> None:
        """Write the plans, where there are new ones.

        Raises:
            RunError: the disk refuses.
        """
        if self._new:
            self._record(self.document())
            self._new = False
