"""Paired estimates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from shoal.comparison import paired


def test_a_paired_interval_is_students() -> None:
    a, b = np.array([0.9, 0.8, 0.7, 0.85]), np.array([0.85, 0.79, 0.66, 0.83])
    found = paired.difference(a, b)
    wanted = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
    assert found.clear and not paired.difference(a, a[::-1]).clear
    assert paired.mean([1.0, float("nan")]).n == 1 and not paired.mean([1.0]).clear
