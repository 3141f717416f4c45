"""Step 2: can the network learn a few rows by heart? If not, no setting of the training will help."""

from __future__ import annotations

import torch
from torch import Tensor

from shoal.core.events import Finding

MOST_ROWS = 48
R2_TARGET = 0.99


def choose_rows(y: Tensor, order: Tensor) -> Tensor:
    """A small sample that holds every class about equally often.

    Args:
        y: training targets, int64 [N] or numbers [N, C].
        order: a random order of the rows, int64 [N].

    Returns:
        Row numbers, at most `MOST_ROWS` (or two of each class where that is more).
    """
    if y.is_floating_point():
        return order[:MOST_ROWS]
    classes = int(y.max()) + 1
    each = max(2, MOST_ROWS // classes)
    shuffled = y[order]
    return torch.cat([order[shuffled == c][:each] for c in range(classes)])


def conflicts(x: Tensor, y: Tensor) -> int:
    """Rows whose inputs equal another row's while the targets differ; no network can fit both.

    Args:
        x: inputs [N, ...].
        y: targets, [N] or [N, C].
    """
    _, same = torch.unique(x.flatten(1), dim=0, return_inverse=True)
    labels = y if not y.is_floating_point() else torch.unique(y, dim=0, return_inverse=True)[1]
    pairs = torch.unique(torch.stack([same, labels], dim=1), dim=0)[:, 0]
    answers = torch.bincount(pairs, minlength=int(same.max()) + 1)  # different targets of each distinct input
    return int((answers[same] > 1).sum())


def judge(
    best: float,
    reached_step: int | None,
    steps: int,
    rows: int,
    conflicting: int,
    target: float,
    diverged: int,
    members: int,
    crowding: str = "",
) -> Finding:
    """Say whether the sample was learned and, if not, why.

    Args:
        best: the highest training score of any member.
        reached_step: the first step at which a member reached `target`.
        steps: gradient steps at most.
        rows: of the sample.
        conflicting: rows of the sample that contradict another one.
        target: 1 for accuracy, `R2_TARGET` for R^2.
        diverged: members that diverged.
        members: how many there were.
        crowding: advice of `crowding.advice` where a few far values are the likelier cause.
    """
    evidence = {
        "best": best,
        "target": target,
        "reached_step": reached_step,
        "steps": steps,
        "rows": rows,
        "conflicting_rows": conflicting,
        "diverged": diverged,
        "members": members,
    }
    if reached_step is not None:
        return Finding(
            code="SHL110",
            level="fine",
            phrase=f"{rows} rows learned by heart",
            sentence=f"{rows} rows were learned by heart after {reached_step} steps, regularization off.",
            evidence=evidence,
        )
    failed = f"{rows} rows could not be learned by heart in {steps} steps (best score {best:.3g}, wanted {target:g})"
    code, phrase, why, fix = _cause(conflicting, diverged == members, crowding)
    return Finding(code=code, level="problem", phrase=phrase, sentence=f"{failed}{why}.", evidence=evidence, fix=fix)


def _cause(conflicting: int, diverged: bool, crowding: str) -> tuple[str, str, str, str]:
    """The likeliest cause of a failure: code, phrase, rest of the sentence, what to do."""
    if conflicting:
        return (
            "SHL111",
            f"{conflicting} rows contradict each other",
            f": {conflicting} of them have the inputs of another row but a different target",
            "Look for wrong labels, or for a missing column that would tell these rows apart.",
        )
    if diverged:
        return (
            "SHL112",
            "training diverges",
            ": every training diverged, at every learning rate tried",
            "Check the scale of the inputs and the network's own arithmetic.",
        )
    consistent = ", though no rows contradict each other"
    if crowding:
        why = f"{consistent}: they hardly differ in what the network sees"
        return "SHL113", "a few far values hide the rest", why, crowding
    return (
        "SHL113",
        "network too weak",
        f"{consistent}: the network cannot express what they ask",
        "Use a wider or deeper network, and check that every input reaches the output.",
    )
