"""The plans that a run recorded, by this version or an older one."""

from __future__ import annotations

from shoal.population.plan import Plan
from shoal.store.plans import Document, RecordedPlans


def test_a_plan_recorded_by_its_former_names_is_read_and_recorded_by_its_new_ones() -> None:
    written: list[Document] = []
    plans = RecordedPlans({"former names": {"rows": 8, "workers": 2, "looped": True, "bytes": 9}}, written.append)
    assert plans.find("former names") == Plan(rows=8, workers=2, sequential=True, peak_bytes=9)
    plans.settle()
    (document,) = written
    assert document["former names"]["sequential"] is True and "looped" not in document["former names"]


def test_a_plan_that_cannot_be_read_is_left_out() -> None:
    plans = RecordedPlans({"none": {"rows": 0, "workers": 1}, "text": {"rows": "many", "workers": 1}}, lambda _: None)
    assert plans.document() == {}
