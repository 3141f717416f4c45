"""Does an augmentation change what the data mean? A 6 that is turned round is a 9.

Two questions, both put to small networks that have not seen the sample they judge (cross-fitted: out of fold).

1. Does it look so? A probe trained on rows as they are is shown the changed ones: how much of its belief moves from a
   sample's class a to one particular other class b, beyond what it believed of the sample itself.
   A move alone proves nothing: a probe is also sure, and wrong, about pictures that are merely unfamiliar (boots that
   point to the right, where all boots of the data point to the left).
2. Is it so? Where belief moved, a second probe learns that changed samples keep their label. Unfamiliar pictures are
   then familiar, and a and b are told apart as well as before. If the change really makes a's out of b's, the two
   lessons contradict each other, and belief stays divided between a and b.

What stays is counted above what the other wrong classes gain: a harder lesson leaves a little more doubt everywhere. An
operation is harmful where for some pair of classes both answers are yes with confidence. Ranges (degrees, factors) are
judged at their ends and weakened until they are harmless; flips are kept or left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy import stats
from torch import Tensor, nn

from shoal.augment import Augment, Pixels, Plan, of
from shoal.core import keyed
from shoal.core.errors import InputError
from shoal.core.events import Kind
from shoal.diagnose.verdict import Verdict
from shoal.nn.networks import Cnn
from shoal.population.member import Member
from shoal.population.population import Population

FOLDS = 4
MOST_ROWS_OF_A_CLASS = 250
MOST_SIDE = {"signal": 128, "image": 16, "volume": 10}  # the probe looks at samples averaged down to this
MOVED = 0.1  # belief that must have moved before the second question is asked
STAYS_FRAC = 0.02  # of the belief that moved; less is the lesson not quite learned
PROBES = 2  # of each fold, whose beliefs are averaged
CONFIDENCE = 0.95
STEPS = 400  # gradient steps of a probe
BATCH = 64
LADDER = (1.0, 0.5, 0.25)  # shares of a range's strength
FLIPS = ("hflip", "vflip", "dflip")
MOTIONS = ("rotate", "translate", "crop", "scale", "stretch", "shear", "distort")
COLOURS = ("brightness", "contrast", "saturation", "hue", "gain")
JUDGED = (*FLIPS, *MOTIONS, *COLOURS)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Samples of one class as seen from one other that they look like; shares of the probes' belief."""

    of: str
    taken_for: str
    rows: int
    moved: float  # belief in `taken_for` that the change adds
    moved_interval: tuple[float, float]
    stays: float  # of it after learning, above the other wrong classes
    stays_interval: tuple[float, float]

    @property
    def harmful(self) -> bool:
        """The classes look alike, and learning does not part them."""
        return self.stays_interval[0] > 0 and self.stays >= STAYS_FRAC * self.moved


@dataclass(frozen=True)
class Answer:
    """Both answers at one strength."""

    strength: Augment
    pairs: tuple[Pair, ...]  # that look alike, the one where most stays first

    @property
    def harmful(self) -> tuple[Pair, ...]:
        """The pairs that the operation makes one."""
        return tuple(pair for pair in self.pairs if pair.harmful)


@dataclass(frozen=True)
class Preservation:
    """The judgement on one operation."""

    operation: str
    asked: Augment
    kept: Augment  # what may be used: as asked, weakened, or without any strength
    answers: tuple[Answer, ...]  # from the strength asked for downwards
    verdict: Verdict

    @property
    def action(self) -> Literal["keep", "weaken", "exclude"]:
        """What to do with it."""
        if self.kept == self.asked:
            return "keep"
        return "weaken" if self.kept.active else "exclude"


def apart(augment: Augment) -> dict[str, Augment]:
    """The operations of an augmentation that move or recolour what is seen, one by one.

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
) -> Iterator[Preservation]:
    """Judge operations on the user's own training rows.

    Args:
        x: prepared training rows [N, C, ...], of which at most `MOST_ROWS_OF_A_CLASS` of each class are used.
        y: class numbers, int64 [N].
        classes: their names.
        kind: of the data: signal, image or volume.
        candidates: by name, one operation each, as `apart` gives them.
        pixels: what the numbers of x mean; see `augment.Pixels`.
        seed: of folds, probes and draws.

    Yields:
        One judgement a candidate, in their order.

    Raises:
        InputError: a table, fewer than two classes, or a class too small to be asked about.

    Cost: `FOLDS` x `PROBES` small networks on pictures of at most 16 pixels a side, and as many again for each
    operation (and strength) that looks harmful.

    Intervals are paired over samples: normal, two-sided `CONFIDENCE`, shared among the pairs that are asked about.
    """
    if kind == "table":
        raise InputError("Label preservation is asked of signals, images and volumes: the columns of a table stay.")
    counts = torch.bincount(y, minlength=len(classes))
    if int((counts > 0).sum()) < 2:
        raise InputError("Label preservation needs at least two classes: here no sample can be taken for another's.")
    asked = _Asked.of(x, y, tuple(classes), kind, pixels or Pixels(), seed)
    for name, candidate in candidates.items():
        yield _judge_one(asked, name, candidate)


def _judge_one(asked: _Asked, name: str, candidate: Augment) -> Preservation:
    """Down the ladder to the first strength that is harmless."""
    graded = not set(candidate.active) <= set(FLIPS)
    answers: list[Answer] = []
    kept = candidate.weakened(0.0)
    for share in LADDER if graded else LADDER[:1]:
        answers.append(asked.answer(candidate.weakened(share)))
        if not answers[-1].harmful:
            kept = answers[-1].strength
            break
    return Preservation(name, candidate, kept, tuple(answers), _verdict(name, candidate, kept, answers))


@dataclass
class _Asked:
    """The sample of the data that is asked about, and what the first probe believes of it."""

    x: Tensor  # [N, C, ...] full size
    y: Tensor
    classes: tuple[str, ...]
    kind: Kind
    pixels: Pixels
    seed: int
    fold: Tensor  # [N]
    believed: Floats = field(init=False)  # [N, C]
    probe: Population = field(init=False)

    @classmethod
    def of(cls, x: Tensor, y: Tensor, classes: tuple[str, ...], kind: Kind, pixels: Pixels, seed: int) -> _Asked:
        order = keyed.permutation(keyed.key(seed, keyed.Purpose.SAMPLE, 0), len(y))
        rows, folds = [], []
        for number in range(len(classes)):
            chosen = order[y[order] == number][:MOST_ROWS_OF_A_CLASS]
            rows.append(chosen)
            folds.append(torch.arange(len(chosen)) % FOLDS)
        chosen, fold = torch.cat(rows), torch.cat(folds)
        self = cls(x[chosen].float(), y[chosen], classes, kind, pixels, seed, fold)
        self.probe = self._trained(self._seen(self.x), self.y, [torch.nonzero(fold != f)[:, 0] for f in range(FOLDS)])
        self.believed = self._out_of_fold(self.probe, self.x)
        return self

    def answer(self, strength: Augment) -> Answer:
        """Ask both questions; the second only of pairs that look alike."""
        plan = Plan([strength], self.kind, self.x.shape[1:], self.pixels, extreme=True)
        changed = plan(self.x, torch.tensor([self.seed]), torch.tensor([0])).inputs
        moved = self._out_of_fold(self.probe, changed) - self.believed
        present = [number for number in range(len(self.classes)) if len(self._of(number)) >= 2 * FOLDS]
        asked = [(a, b) for a in present for b in present if a != b]
        first = {(a, b): _interval(moved[self._of(a), b], len(asked)) for a, b in asked}
        alike = [pair for pair in asked if first[pair][1][0] > MOVED]
        if not alike:
            return Answer(strength, ())
        learned = self._learned(changed)
        doubt = 0.5 * (self._out_of_fold(learned, changed) + self._out_of_fold(learned, self.x)) - self.believed
        found = []
        for a, b in alike:
            rows = self._of(a)
            others = [c for c in range(len(self.classes)) if c not in (a, b)]
            stays = doubt[rows, b] - (doubt[rows][:, others].mean(axis=1) if others else 0.0)
            names = self.classes[a], self.classes[b], len(rows)
            found.append(Pair(*names, *first[a, b], *_interval(stays, len(alike))))
        return Answer(strength, tuple(sorted(found, key=lambda pair: -pair.stays)))

    def _learned(self, changed: Tensor) -> Population:
        """Probes that learned from the rows of the other folds, as they are and changed."""
        n = len(self.y)
        both = torch.cat([self._seen(self.x), self._seen(changed)])
        views = []
        for f in range(FOLDS):
            rows = torch.nonzero(self.fold != f)[:, 0]
            views.append(torch.cat([rows, rows + n]))
        return self._trained(both, self.y.repeat(2), views)

    def _trained(self, x: Tensor, y: Tensor, views: Sequence[Tensor]) -> Population:
        """A network for each fold."""

        def probe() -> nn.Module:
            return Cnn(channels=x.shape[1], size=tuple(x.shape[2:]), outputs=len(self.classes), width=16).build()

        seeds = [PROBES * self.seed + number for number in range(PROBES) for _ in views]
        members = [Member(seed=seed, optimizer="adam", lr=3e-3, schedule="cosine") for seed in seeds]
        population = Population(probe, members)
        shortest = min(len(view) for view in views)  # folds differ by a few rows: equal ones train in one block
        epochs = max(1, round(STEPS * BATCH / shortest))
        equal = [view[:shortest] for view in views] * PROBES
        for _ in population.train(x, y, epochs=epochs, batch_size=BATCH, views=equal):
            pass
        return population

    def _out_of_fold(self, population: Population, x: Tensor) -> Floats:
        """Belief [N, C] of the network that has not seen the sample."""
        probabilities = population.predict(self._seen(x)).softmax(-1)
        everybody = probabilities.reshape(PROBES, FOLDS, *probabilities.shape[1:]).mean(dim=0)  # [FOLDS, N, C]
        return everybody[self.fold, torch.arange(len(x))].double().numpy()

    def _seen(self, x: Tensor) -> Tensor:
        """Samples as the probe sees them."""
        most = MOST_SIDE[self.kind]
        for axis in range(2, x.dim()):
            window = -(-x.shape[axis] // most)
            if window > 1:
                x = x.unfold(axis, window, window).mean(dim=-1)
        return x

    def _of(self, number: int) -> NDArray[np.intp]:
        return np.flatnonzero(self.y.numpy() == number)


def _interval(values: Floats, among: int) -> tuple[float, tuple[float, float]]:
    """Mean and its interval, when `among` intervals are looked at together."""
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / len(values) ** 0.5
    reach = float(stats.t.ppf(1.0 - (1.0 - CONFIDENCE) / 2.0 / among, len(values) - 1)) * error
    return mean, (mean - reach, mean + reach)


def _verdict(name: str, candidate: Augment, kept: Augment, answers: Sequence[Answer]) -> Verdict:
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
        return Verdict(
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
        return Verdict(
            code="SHL402",
            level="note",
            phrase=f"{name} weakened to {kept}",
            sentence=f"{sentence} At {kept} it does not.",
            evidence=evidence,
            fix=f"Use {kept}.",
        )
    return Verdict(
        code="SHL403",
        level="warning",
        phrase=f"{name} changes the labels",
        sentence=sentence,
        evidence=evidence,
        fix=f"Leave {name} out.",
    )


def _numbers(answer: Answer) -> dict[str, JsonValue]:
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
