"""Does an augmentation change the label? A 6 that is turned by 180 degrees is a 9.

Two questions, both answered by small networks (probes) that were not trained on the sample they judge (out of fold).

1. Do the changed samples look like another class? A probe trained on unchanged rows predicts the changed ones: how
   much probability moves from a sample's class a to one other class b, beyond that of b for the unchanged sample.
   A move alone proves nothing: a probe is also sure, and wrong, about pictures that are merely unfamiliar (boots that
   point to the right, where all boots of the data point to the left).
2. Are they of another class? Where probability moved, a second probe is also trained on changed samples with their
   labels. Unfamiliar pictures are then familiar, and a and b are told apart as well as before. If the change really
   makes a's out of b's, the labels contradict each other, and probability stays divided between a and b.

What stays is counted above what the other wrong classes gain, because a harder task leaves a little more doubt
everywhere. An operation is harmful where for some pair of classes both answers are yes with confidence. Ranges
(degrees, factors) are judged at their ends and weakened until they are harmless; flips are kept or left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy import stats
from torch import Tensor

from shoal import losses
from shoal.augment import Augment, Augmentation, Pixels, of
from shoal.core import keyed
from shoal.core.errors import InputError
from shoal.core.events import Finding, Kind
from shoal.experiment import BuiltIn, Job, NoCache, run
from shoal.nn.networks import Cnn
from shoal.population import Member, Population
from shoal.population.plan import Plans
from shoal.task import Part, Split

FOLDS = 4
LEAST_ROWS = 2 * FOLDS  # of a class that is judged
MOST_ROWS, MOST_VALUES = 4000, 1 << 25  # of all classes together
MOST_SIDE = {"signal": 128, "image": 16, "volume": 10}  # the probe looks at samples averaged down to this
MOVED = 0.1  # probability that must have moved before the second question is asked
STAYS_FRAC = 0.02  # of the probability that moved; less is training that was not long enough
CONFIDENCE = 0.95
BATCH = 64
WIDTH = 16  # channels of a probe
LADDER = (1.0, 0.5, 0.25)  # shares of a range's strength
FLIPS = ("hflip", "vflip", "dflip")
MOTIONS = ("rotate", "translate", "crop", "scale", "stretch", "shear", "distort")
COLOURS = ("brightness", "contrast", "saturation", "hue", "gain")
JUDGED = (*FLIPS, *MOTIONS, *COLOURS)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Effort:
    """How much is spent on a judgement."""

    rows: int  # of a class, at most
    probes: int  # of each fold, whose probabilities are averaged
    steps: int  # gradient steps of a probe

    @property
    def member_steps(self) -> int:
        """Gradient steps of all probes of one question."""
        return FOLDS * self.probes * self.steps


FULL = Effort(rows=250, probes=2, steps=400)
QUICK = Effort(rows=250, probes=1, steps=250)  # fewer steps leave probes so unsure that harmless changes look harmful


@dataclass(frozen=True)
class Pair:
    """Samples of one class that look like one other; numbers are shares of the probes' probability."""

    of: str
    taken_for: str
    rows: int
    moved: float  # probability of `taken_for` that the change adds
    moved_interval: tuple[float, float]
    stays: float  # of it after training on changed samples, above the other wrong classes
    stays_interval: tuple[float, float]

    @property
    def harmful(self) -> bool:
        """The changed samples look like the other class, and training does not tell them apart."""
        return self.stays_interval[0] > 0 and self.stays >= STAYS_FRAC * self.moved


@dataclass(frozen=True)
class Judgement:
    """Both answers at one strength."""

    strength: Augment
    pairs: tuple[Pair, ...]  # that look alike, the one where most stays first

    @property
    def harmful(self) -> tuple[Pair, ...]:
        """The pairs of classes that the operation makes equal."""
        return tuple(pair for pair in self.pairs if pair.harmful)


@dataclass(frozen=True)
class Preservation:
    """The judgement on one operation."""

    operation: str
    asked: Augment
    kept: Augment  # what may be used: as asked, weakened, or without any strength
    answers: tuple[Judgement, ...]  # from the strength asked for downwards
    verdict: Finding

    @property
    def action(self) -> Literal["keep", "weaken", "exclude"]:
        """What to do with it."""
        if self.kept == self.asked:
            return "keep"
        return "weaken" if self.kept.active else "exclude"


def apart(augment: Augment) -> dict[str, Augment]:
    """The operations of an augmentation that move or recolour the picture, one by one.

    Several flips also act together: two of them are a turn by 180 degrees, which is judged as `turn`.
    """
    how = {"padding": augment.padding, "interpolation": augment.interpolation}
    on = {name: getattr(augment, name) for name in augment.active if name in JUDGED}
    single = {name: of({name: value, **how}) for name, value in on.items()}
    flips = {name: value for name, value in on.items() if name in FLIPS}
    return single | ({"turn": of({**flips, **how})} if len(flips) > 1 else {})


def allowed(augment: Augment, judged: Sequence[Preservation]) -> Augment:
    """An augmentation without what was found harmful, and with what was weakened.

    Args:
        augment: as it was asked for.
        judged: of `apart(augment)`. Where the flips are harmless one by one but harmful together, only the first stays.
    """
    update: dict[str, object] = {}
    for each in judged:
        if each.operation != "turn":
            update[each.operation] = getattr(each.kept, each.operation)
    for each in judged:
        if each.operation == "turn" and each.action == "exclude":
            update |= dict.fromkeys(each.asked.active[1:], 0.0)
    return augment.model_copy(update=update)


def judge(
    x: Tensor,
    y: Tensor,
    classes: Sequence[str],
    kind: Kind,
    candidates: Mapping[str, Augment],
    *,
    pixels: Pixels | None = None,
    seed: int = 0,
    effort: Effort = FULL,
) -> Iterator[Preservation]:
    """Judge operations on the user's own training rows; see `Judge`.

    Args:
        x: prepared training rows [N, C, ...].
        y: class numbers, int64 [N].
        classes: their names.
        kind: of the data: signal, image or volume.
        candidates: by name, one operation each, as `apart` gives them.
        pixels: what the numbers of x mean; see `augment.Pixels`.
        seed: of folds, probes and draws.
        effort: how much is spent.

    Yields:
        One judgement a candidate, in their order.

    Raises:
        InputError: a table, or fewer than two classes.
    """
    asked = Judge(x, y, classes, kind, pixels=pixels, seed=seed, effort=effort)
    for name, candidate in candidates.items():
        yield asked.of(name, candidate)


class Judge:
    """Judges operations one by one; the first judgement trains the probe that all share.

    Args:
        x: prepared training rows [N, C, ...], of which `effort` says how many are used, the same of each seed.
        y: class numbers, int64 [N].
        classes: their names.
        kind: of the data: signal, image or volume.
        pixels: what the numbers of x mean; see `augment.Pixels`.
        seed: of folds, probes and draws.
        effort: how much is spent.
        plans: the plans chosen before, by kind of work.

    Raises:
        InputError: a table, or fewer than two classes.

    Cost: `FOLDS` x `effort.probes` small networks on pictures of at most 16 pixels a side, and as many again for each
    operation (and strength) that looks harmful.

    Intervals are paired over samples: normal, two-sided `CONFIDENCE`, shared among the pairs that are asked about.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        classes: Sequence[str],
        kind: Kind,
        *,
        pixels: Pixels | None = None,
        seed: int = 0,
        effort: Effort = FULL,
        plans: Plans | None = None,
    ) -> None:
        if kind == "table":
            raise InputError("Label preservation is asked of signals, images and volumes: the columns of a table stay.")
        if int((torch.bincount(y, minlength=len(classes)) > 0).sum()) < 2:
            raise InputError(
                "Label preservation needs at least two classes: here no sample can be taken for another's."
            )
        self._classes, self._kind, self._pixels = tuple(classes), kind, pixels or Pixels()
        self._seed, self.effort, self._plans = seed, effort, plans
        self._rows, self._fold = _sample(y, len(classes), x[0].numel(), seed, effort)
        self._x, self._y = x[self._rows].float(), y[self._rows]

    @cached_property
    def _probe(self) -> Population:
        """Networks trained on the unchanged rows of the other folds."""
        views = [torch.nonzero(self._fold != f)[:, 0] for f in range(FOLDS)]
        return self._trained(self._seen(self._x), self._y, views)

    @cached_property
    def _unchanged(self) -> Floats:
        """Their probabilities for the unchanged samples, [N, C]."""
        return self._out_of_fold(self._probe, self._x)

    def of(self, name: str, candidate: Augment) -> Preservation:
        """Judge one operation at falling strengths, until one is harmless.

        Args:
            name: of the operation.
            candidate: it alone, as `apart` gives it.
        """
        graded = not set(candidate.active) <= set(FLIPS)
        answers: list[Judgement] = []
        kept = candidate.weakened(0.0)
        for share in LADDER if graded else LADDER[:1]:
            answers.append(self._answer(candidate.weakened(share)))
            if not answers[-1].harmful:
                kept = answers[-1].strength
                break
        return Preservation(name, candidate, kept, tuple(answers), _verdict(name, candidate, kept, answers))

    def _answer(self, strength: Augment) -> Judgement:
        """Ask both questions; the second only of pairs that look alike."""
        plan = Augmentation([strength], self._kind, self._x.shape[1:], self._pixels, extreme=True)
        changed = plan(self._x, torch.tensor([self._seed]), torch.tensor([0])).inputs
        moved = self._out_of_fold(self._probe, changed) - self._unchanged
        present = [number for number in range(len(self._classes)) if len(self._of(number)) >= LEAST_ROWS]
        asked = [(a, b) for a in present for b in present if a != b]
        first = {(a, b): _interval(moved[self._of(a), b], len(asked)) for a, b in asked}
        alike = [pair for pair in asked if first[pair][1][0] > MOVED]
        if not alike:
            return Judgement(strength, ())
        learned = self._learned(changed)
        doubt = 0.5 * (self._out_of_fold(learned, changed) + self._out_of_fold(learned, self._x)) - self._unchanged
        found = []
        for a, b in alike:
            rows = self._of(a)
            others = [c for c in range(len(self._classes)) if c not in (a, b)]
            stays = doubt[rows, b] - (doubt[rows][:, others].mean(axis=1) if others else 0.0)
            names = self._classes[a], self._classes[b], len(rows)
            found.append(Pair(*names, *first[a, b], *_interval(stays, len(alike))))
        return Judgement(strength, tuple(sorted(found, key=lambda pair: -pair.stays)))

    def _learned(self, changed: Tensor) -> Population:
        """Probes trained on the rows of the other folds, unchanged and changed."""
        n = len(self._y)
        both = torch.cat([self._seen(self._x), self._seen(changed)])
        views = []
        for f in range(FOLDS):
            rows = torch.nonzero(self._fold != f)[:, 0]
            views.append(torch.cat([rows, rows + n]))
        return self._trained(both, self._y.repeat(2), views)

    def _trained(self, x: Tensor, y: Tensor, views: Sequence[Tensor]) -> Population:
        """A network for each fold, probe after probe."""
        size, outputs = tuple(x.shape[2:]), len(self._classes)
        probes = self.effort.probes
        shortest = min(len(view) for view in views)  # folds differ by a few rows: equal ones train in one block
        seeds = [(probes * self._seed + number) % 2**63 for number in range(probes) for _ in views]
        job = Job(
            architecture=BuiltIn(Cnn(channels=x.shape[1], size=size, outputs=outputs, width=WIDTH)),
            members=tuple(Member(seed=seed, optimizer="adam", lr=3e-3, schedule="cosine") for seed in seeds),
            loss=losses.find("cross_entropy"),
            epochs=min(self.effort.steps, max(1, round(self.effort.steps * BATCH / shortest))),
            batch_size=BATCH,
            folds=tuple(range(len(views))) * probes,
        )
        folds = [Split(train=Part(x, y).take(view[:shortest])) for view in views]
        return run(job, folds, cache=NoCache(self._plans)).population

    def _out_of_fold(self, population: Population, x: Tensor) -> Floats:
        """Probabilities [N, C] by the network that was not trained on the sample."""
        probabilities = population.predict(self._seen(x)).softmax(-1)
        shape = (self.effort.probes, FOLDS, *probabilities.shape[1:])
        everybody = probabilities.reshape(shape).mean(dim=0)  # [FOLDS, N, C]
        return everybody[self._fold, torch.arange(len(x))].double().numpy()

    def _seen(self, x: Tensor) -> Tensor:
        """Samples at the resolution of the probes."""
        for axis, window in enumerate(_windows(tuple(x.shape[2:]), self._kind), start=2):
            if window > 1:
                x = x.unfold(axis, window, window).mean(dim=-1)
        return x

    def _of(self, number: int) -> NDArray[np.intp]:
        return np.flatnonzero(self._y.numpy() == number)


def positions(size: Sequence[int], kind: Kind) -> int:
    """Positions of a sample at the resolution of the probes."""
    return prod(side // window for side, window in zip(size, _windows(size, kind), strict=True))


def _windows(size: Sequence[int], kind: Kind) -> list[int]:
    """How many positions along each axis are averaged to one."""
    return [-(-side // MOST_SIDE[kind]) for side in size]


def _sample(y: Tensor, classes: int, values: int, seed: int, effort: Effort) -> tuple[Tensor, Tensor]:
    """Numbers of the rows that are judged, and the fold of each."""
    order = keyed.permutation(keyed.key(seed, keyed.Purpose.SAMPLE, 0), len(y))
    each = max(LEAST_ROWS, min(effort.rows, min(MOST_ROWS, MOST_VALUES // values) // classes))
    rows, folds = [], []
    for number in range(classes):
        chosen = order[y[order] == number][:each]
        rows.append(chosen)
        folds.append(torch.arange(len(chosen)) % FOLDS)
    return torch.cat(rows), torch.cat(folds)


def _interval(values: Floats, among: int) -> tuple[float, tuple[float, float]]:
    """Mean and its interval, when `among` intervals are looked at together."""
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    reach = float(stats.t.ppf(1.0 - (1.0 - CONFIDENCE) / 2.0 / among, len(values) - 1)) * error
    return mean, (mean - reach, mean + reach)


def _verdict(name: str, candidate: Augment, kept: Augment, answers: Sequence[Judgement]) -> Finding:
    """The judgement in a sentence, with its numbers."""
    first = answers[0]
    evidence: dict[str, JsonValue] = {
        "operation": name,
        "asked": str(candidate),
        "kept": str(kept),
        "answers": [_numbers(answer) for answer in answers],
        "moved_threshold": MOVED,
        "stays_threshold": STAYS_FRAC,
        "confidence": CONFIDENCE,
    }
    if kept == candidate:
        said = "no class looks like another"
        if first.pairs:
            pair = max(first.pairs, key=lambda each: each.moved)
            said = f"{pair.of} looks like {pair.taken_for} only as long as such samples are unfamiliar"
        return Finding(
            code="SHL401",
            level="fine",
            phrase=f"{name} keeps the labels",
            sentence=f"{name} ({candidate}) keeps the labels: {said}.",
            evidence=evidence,
        )
    shown = ", ".join(f"{pair.of} for {pair.taken_for} ({100 * pair.moved:.0f} %)" for pair in first.harmful[:3])
    sentence = f"{name} ({candidate}) changes what samples are: a network that never saw it takes {shown}"
    sentence += ", and one that learned the difference still doubts."
    if kept.active:
        return Finding(
            code="SHL402",
            level="note",
            phrase=f"{name} weakened to {kept}",
            sentence=f"{sentence} At {kept} it does not.",
            evidence=evidence,
            fix=f"Use {kept}.",
        )
    return Finding(
        code="SHL403",
        level="warning",
        phrase=f"{name} changes the labels",
        sentence=sentence,
        evidence=evidence,
        fix=f"Leave {name} out.",
    )


def _numbers(answer: Judgement) -> dict[str, JsonValue]:
    """An answer as plain values."""
    return {
        "strength": str(answer.strength),
        "pairs": [
            {
                "class": pair.of,
                "taken_for": pair.taken_for,
                "rows": pair.rows,
                "moved": pair.moved,
                "moved_interval": list(pair.moved_interval),
                "stays": pair.stays,
                "stays_interval": list(pair.stays_interval),
                "harmful": pair.harmful,
            }
            for pair in answer.pairs
        ],
    }
