"""Activation statistics to a verdict: vanishing, exploding, saturated, dead or healthy, with the fix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import isfinite

import numpy as np

from shoal.core.events import Finding, LayerSignals, Record
from shoal.diagnose.activations import Activations, Floats

SATURATED = 1 / 3  # share of a layer's values: so many have no slope to learn by
DEAD = 0.5  # share of a layer's units: a deep healthy layer may have fewer, because its inputs grow alike
FADES = 0.25  # the last layer's spread as a share of the first one's
GROWS = 4.0
FAINT, LOUD = 0.2, 1.0  # the last layer's spread itself: from faint to less faint is no explosion, nor the reverse
GRADIENT_FADES, GRADIENT_GROWS = 1e-2, 1e2  # of the gradient's norm, first layer by last
HEALTHY = "SHL130"
LEAST_INPUTS = 16  # fewer cannot show that a unit is dead


class Look(Record):
    """The verdict on one initializer, from the activations of its networks over some seeds."""

    init: str
    verdict: Finding  # of the network that represents all seeds
    seeds: int
    alike: int  # seeds with that verdict
    layers: list[LayerSignals]  # of that network

    @property
    def healthy(self) -> bool:
        """Signals reach the last layer, and gradients the first."""
        return self.verdict.level == "fine"


def look(measured: Activations, init: str) -> Look:
    """The verdict on an initializer: healthy where most of its seeds are, else the most frequent other one.

    Args:
        measured: members that differ by seed alone.
        init: their initializer.
    """
    found = verdicts(measured)
    codes = [each.code for each in found]
    ill = Counter(code for code in codes if code != HEALTHY)
    code = HEALTHY if 2 * codes.count(HEALTHY) > len(codes) else ill.most_common(1)[0][0]
    row = codes.index(code)
    return Look(init=init, verdict=found[row], seeds=len(found), alike=codes.count(code), layers=_layers(measured, row))


def judge(looks: Mapping[str, Look], chosen: str) -> Finding:
    """The verdict on the initial weights: on the network's own, unless these are healthy and another was chosen.

    Args:
        looks: by initializer, the network's own first.
        chosen: the initializer that the run continues with.
    """
    own = next(iter(looks.values()))
    subject = own if not own.healthy else looks[chosen]
    evidence = {
        "init": subject.init,
        "chosen": chosen,
        "seeds": subject.seeds,
        "seeds_alike": subject.alike,
        "verdict_by_init": {init: each.verdict.phrase for init, each in looks.items()},
    }
    verdict = subject.verdict.model_copy(update={"evidence": {**subject.verdict.evidence, **evidence}})
    if subject.healthy:
        return verdict
    sentence, phrase, level, fix = verdict.sentence, verdict.phrase, verdict.level, verdict.fix
    if looks[chosen].healthy:
        sentence += f" With `{chosen}` initialization signals pass; it is used instead."
        phrase, level = f"{phrase}, mended by {chosen}", "warning"
        fix = f"In the network itself: {fix[0].lower()}{fix[1:]}"
    elif subject.init != own.init:
        sentence = f"With `{subject.init}` initialization: {sentence[0].lower()}{sentence[1:]}"
    elif len(looks) > 1:
        tried = ", ".join(f"`{init}`" for init in looks if init != own.init)
        sentence += f" Other initial weights ({tried}) do not mend it."
    return verdict.model_copy(update={"sentence": sentence, "phrase": phrase, "level": level, "fix": fix})


def _layers(measured: Activations, row: int) -> list[LayerSignals]:
    def told(share: float) -> float | None:
        return None if np.isnan(share) else float(share)

    return [
        LayerSignals(
            name=site.name or site.kind,
            std=float(measured.std[row, s]),
            gradient=float(measured.gradient[row, s]),
            saturated=told(measured.saturated[row, s]),
            dead=told(measured.dead[row, s]),
            rectifies=site.rectifies,
            bounds=(float(measured.edges[row, s, 0]), float(measured.edges[row, s, -1])),
            histogram=measured.histogram[row, s].tolist(),
        )
        for s, site in enumerate(measured.sites)
    ]


def verdicts(measured: Activations) -> list[Finding]:
    """One verdict for each member."""
    return [verdict(measured, row) for row in range(len(measured.loss))]


def verdict(measured: Activations, row: int) -> Finding:
    """The verdict on the activations of one member.

    Layers are compared where they have the network's commonest activation function: a gate's sigmoid lies elsewhere
    than the ReLUs around it.

    Args:
        measured: of `activations.measure`.
        row: the member.
    """
    alike = _alike(measured)
    std, gradient = measured.std[row, alike], measured.gradient[row, alike]
    evidence = _evidence(measured, row, std, gradient)
    finite = bool(np.isfinite(measured.std[row]).all() and isfinite(measured.loss[row]))
    kind = _commonest(measured)
    gain = {"relu": "`kaiming`", "tanh": "`xavier`"}.get(kind, "`kaiming` (`xavier` for tanh)")
    if not finite:
        return _not_finite(measured, row, evidence)
    saturated, dead = _worst(measured.saturated[row]), _worst(measured.dead[row])
    if saturated[1] > SATURATED:
        name = _name(measured, saturated[0])
        return Finding(
            code="SHL133",
            level="warning",
            phrase="saturated",
            sentence=f"In {name} {saturated[1]:.0%} of the values lie where the function is flat (more than "
            f"{SATURATED:.0%}): gradients hardly pass.",
            evidence=evidence,
            fix="Smaller initial weights (`xavier`), inputs of unit variance, a normalization before the activation, "
            "or ReLU.",
        )
    if dead[1] > DEAD and measured.inputs >= LEAST_INPUTS:
        name = _name(measured, dead[0])
        return Finding(
            code="SHL134",
            level="warning",
            phrase="dead units",
            sentence=f"In {name} {dead[1]:.0%} of the units give 0 for each of {measured.inputs} inputs (more than "
            f"{DEAD:.0%}): they cannot learn.",
            evidence=evidence,
            fix="A lower learning rate, biases that start at 0, a normalization before it, or a leaky ReLU.",
        )
    if len(alike) < 2:
        return _healthy(measured, evidence)
    ratio = _ratio(std[-1], std[0])
    back = _ratio(gradient[0], gradient[-1])
    first, last = _name(measured, alike[0]), _name(measured, alike[-1])
    if ratio > GROWS and std[-1] > LOUD:
        said = f"The activations' spread grows {ratio:.3g}-fold from {first} to {last} (more than {GROWS:g}-fold)"
        return _exploding(said, evidence, gain)
    if back > GRADIENT_GROWS:
        said = f"The gradient grows {back:.3g}-fold on its way from {last} to {first} (more than {GRADIENT_GROWS:g})"
        return _exploding(said, evidence, gain)
    if ratio < FADES and std[-1] < FAINT:
        said = f"The activations' spread falls to {ratio:.2g} of itself from {first} to {last} (less than {FADES:g})"
        return _vanishing(said, evidence, gain)
    if back < GRADIENT_FADES:
        said = f"The gradient falls to {back:.2g} of itself from {last} to {first} (less than {GRADIENT_FADES:g})"
        return _vanishing(said, evidence, gain)
    return _healthy(measured, evidence)


def _commonest(measured: Activations) -> str:
    kinds = Counter(site.kind for site in measured.sites)
    return kinds.most_common(1)[0][0] if kinds else ""


def _alike(measured: Activations) -> list[int]:
    kind = _commonest(measured)
    return [s for s, site in enumerate(measured.sites) if site.kind == kind]


def _name(measured: Activations, site: int) -> str:
    where = measured.sites[site]
    return f"layer {site + 1} of {len(measured.sites)}" + (f" (`{where.name}`)" if where.name else "")


def _worst(shares: Floats) -> tuple[int, float]:
    """The layer with the largest share, and the share; 0 where it has no meaning."""
    known = np.nan_to_num(shares, nan=0.0)
    return (int(known.argmax()), float(known.max())) if len(known) else (0, 0.0)


def _ratio(value: float, of: float) -> float:
    if of > 0:
        return float(value / of)
    return 1.0 if value == of else float("inf")


def _evidence(measured: Activations, row: int, std: Floats, gradient: Floats) -> dict[str, object]:
    return {
        "inputs": measured.inputs,
        "layers": [site.name or site.kind for site in measured.sites],
        "std": measured.std[row].tolist(),
        "gradient": measured.gradient[row].tolist(),
        "saturated": _worst(measured.saturated[row])[1],
        "dead": _worst(measured.dead[row])[1],
        "std_last_to_first": _ratio(std[-1], std[0]) if len(std) else None,
        "gradient_first_to_last": _ratio(gradient[0], gradient[-1]) if len(gradient) else None,
        "thresholds": {
            "saturated": SATURATED,
            "dead": DEAD,
            "std_ratio": [FADES, GROWS],
            "std_last": [FAINT, LOUD],
            "gradient": [GRADIENT_FADES, GRADIENT_GROWS],
        },
    }


def _healthy(measured: Activations, evidence: dict[str, object]) -> Finding:
    where = f"its {len(measured.sites)} layers" if len(measured.sites) > 1 else "the network"
    return Finding(
        code=HEALTHY,
        level="fine",
        phrase="signals pass",
        sentence=f"Activations and gradients pass through {where} without fading, growing, saturating or dying.",
        evidence=evidence,
    )


def _not_finite(measured: Activations, row: int, evidence: dict[str, object]) -> Finding:
    wild = np.flatnonzero(~np.isfinite(measured.std[row]))
    where = f"The activations of {_name(measured, int(wild[0]))}" if len(wild) else "The network's outputs"
    return Finding(
        code="SHL132",
        level="problem",
        phrase="exploding signals",
        sentence=f"{where} are not finite: nothing can be learned from there.",
        evidence=evidence,
        fix="Check the scale of the inputs and of the initial weights, and the network's own arithmetic.",
    )


def _vanishing(said: str, evidence: dict[str, object], gain: str) -> Finding:
    return Finding(
        code="SHL131",
        level="warning",
        phrase="vanishing signals",
        sentence=f"{said}: what the first layers see hardly reaches the loss.",
        evidence=evidence,
        fix=f"Larger initial weights ({gain}), a normalization in each layer, or connections that skip layers.",
    )


def _exploding(said: str, evidence: dict[str, object], gain: str) -> Finding:
    return Finding(
        code="SHL132",
        level="problem",
        phrase="exploding signals",
        sentence=f"{said}: the first steps will overshoot.",
        evidence=evidence,
        fix=f"Smaller initial weights ({gain}), a normalization in each layer, inputs of unit variance, or clipping.",
    )
