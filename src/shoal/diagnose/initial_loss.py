"""Step 1: does an untrained network have the loss of chance?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, log
from statistics import fmean

from torch import Tensor

from shoal.core.events import Finding

TOLERANCE = 0.25  # share of the expected loss by which the mean over seeds may differ


def expected(classes: Sequence[str] | None, y: Tensor) -> float:
    """The loss of chance: log C for C classes; for standardised numbers that of answering 0, their mean.

    >>> import torch
    >>> round(expected(["a", "b"], torch.tensor([0, 1])), 4)
    0.6931
    """
    return log(len(classes)) if classes is not None else float(y.square().mean())


def candidates(losses: Mapping[str, Sequence[float]], chance: float) -> list[str]:
    """The initializers whose initial loss is that of chance, best first; where none is, the nearest one.

    The network's own initializer comes first where it is among them, the others by their distance from chance.

    >>> candidates({"torch": [2.5], "kaiming": [9.0], "xavier": [2.3]}, 2.3)
    ['torch', 'xavier']
    """
    own = next(iter(losses))
    order = sorted(losses, key=lambda init: _distance(losses[init], chance))
    near = [init for init in order if _distance(losses[init], chance) <= TOLERANCE]
    return sorted(near, key=lambda init: init != own) or order[:1]


def _distance(losses: Sequence[float], chance: float) -> float:
    off = abs(fmean(losses) / chance - 1.0)
    return off if isfinite(off) else float("inf")


def judge(losses: Mapping[str, Sequence[float]], chance: float, chosen: str) -> Finding:
    """Compare the initial losses with chance.

    Args:
        losses: by initializer, over seeds, without any regularization; the network's own initializer first.
        chance: of `expected`.
        chosen: the initializer that the run continues with, one of `candidates`.
    """
    own = next(iter(losses))
    mean = fmean(losses[own])
    evidence = {
        "expected": chance,
        "tolerance": TOLERANCE,
        "mean_by_init": {init: fmean(values) for init, values in losses.items()},
        "seeds": len(losses[own]),
        "chosen": chosen,
    }
    if not isfinite(mean):
        return Finding(
            code="SHL101",
            level="problem",
            phrase="not a number",
            sentence="The untrained network's loss is not a finite number: its outputs overflow.",
            evidence=evidence,
            fix="Check the scale of the inputs and of the initial weights.",
        )
    if abs(mean / chance - 1.0) <= TOLERANCE:
        return Finding(
            code="SHL100",
            level="fine",
            phrase="as chance",
            sentence=f"Untrained networks lose {mean:.3g}, as chance does ({chance:.3g}).",
            evidence=evidence,
        )
    rescued = chosen != own and _distance(losses[chosen], chance) <= TOLERANCE
    direction = "above" if mean > chance else "below"
    cause = (
        "it starts out sure of wrong answers, so the first steps only undo that"
        if mean > chance
        else "it answers better than chance before any training, which a fresh network cannot"
    )
    remedy = (
        f"`{chosen}` initialization brings it to {fmean(losses[chosen]):.3g} and is used instead." if rescued else ""
    )
    return Finding(
        code="SHL101",
        level="warning" if rescued else "problem",
        phrase=f"{direction} chance" + (f", mended by {chosen}" if rescued else ""),
        sentence=(
            f"The untrained network loses {mean:.3g}, {direction} the {chance:.3g} of chance: {cause}. {remedy}".strip()
        ),
        evidence=evidence,
        fix="Scale down the weights of the last layer." if mean > chance else "Check what the network was given.",
    )
