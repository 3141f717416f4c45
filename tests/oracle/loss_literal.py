"""Cross-entropy of one row of data, number by number in Python floats.

Goodfellow, Bengio & Courville 2016, section 6.2.2.3; label smoothing as Szegedy et al. 2016, section 7, writes it.
"""

from __future__ import annotations

from math import exp, log


def cross_entropy(logits: list[float], answer: int, smoothing: float) -> float:
    """-sum_c q_c log p_c."""
    total = sum(exp(logit) for logit in logits)
    log_p = [log(exp(logit) / total) for logit in logits]
    q = [(1 - smoothing) * (c == answer) + smoothing / len(logits) for c in range(len(logits))]
    return -sum(q_c * log_p_c for q_c, log_p_c in zip(q, log_p, strict=True))
