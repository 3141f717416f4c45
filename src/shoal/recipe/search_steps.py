"""Steps 4 and 5: search coarsely in wide ranges, then finely where the best lay."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field
from math import isfinite

from shoal.core.dimensions import DIMENSIONS, applies
from shoal.core.errors import RunError
from shoal.core.events import Event, Finding, Range, SearchRound, StepStarted
from shoal.core.wording import count, range_setting
from shoal.experiment import Architecture
from shoal.population import Member
from shoal.recipe import augmenting
from shoal.recipe.run_state import Candidate, RunState, decided, finished
from shoal.recipe.trials import Trials, train
from shoal.search import edges
from shoal.search.halving import Halving
from shoal.search.importance import importance
from shoal.search.narrow import narrow
from shoal.search.searcher import RandomSearch


@dataclass
class SearchState:
    """What the rounds of steps 5 to 7 hand on."""

    ranges: dict[str, Range]
    best: dict[str, float]  # hyperparameters to start the next round with
    incumbent: Candidate  # the best before the round
    epochs: int | None  # None: the usual number
    previous: Architecture | None = None  # while a larger network is on trial
    larger_failed: bool = False  # it was no better: the network's size is not the trouble
    history: list[tuple[str, float]] = field(default_factory=list)  # verdict and gain of each round


def coarse_search(state: RunState) -> Generator[Event, None, SearchState]:
    """Step 4: random search over wide ranges, few epochs each."""
    started = time.perf_counter()
    yield from _begin(state)
    ranges = _initial_ranges(state)
    yield from _unused(state, ranges)
    yield from _useless(state, ranges)
    allocation = state.allocator.coarse(augmented="augment" in ranges)
    searcher = RandomSearch(ranges, state.options.seed, fixed={"optimizer": state.optimizer})
    trials = yield from train(state, "coarse", 4, 1, searcher, allocation.members, allocation.epochs, paired=True)
    yield _exhibit(trials, 4, 1, ranges)
    values, scores = trials.values, trials.scores()
    whole = {"augment": ranges["augment"]} if "augment" in ranges else {}  # a few epochs say nothing about it
    finer = narrow(ranges, values, trials.ranks()) | whole
    best = values[trials.best()]
    given = state.options.ranges
    moved, sides = _beyond(ranges, finer, best, 1, given)
    held = edges.held(given, best)
    spread = [score for score in scores if isfinite(score)]
    if not spread:
        sentence = f"All {len(values)} trainings diverged."
    else:
        sentence = (
            f"{len(values)} random settings scored from {min(spread):.3f} to {max(spread):.3f} "
            f"({_edgewords(sides, held)})."
        )
    verdict = Finding(
        code="SHL141" if sides or held else "SHL140",
        level="note" if sides or held else ("fine" if spread else "problem"),
        phrase=_phrase(max(spread), sides, held) if spread else "all diverged",
        sentence=sentence,
        evidence={
            "members": len(values),
            "epochs": allocation.epochs,
            "best": best,
            "edges": dict(sides),
            "edges_given": dict(held),
            "margin": edges.MARGIN,
            "diverged": trials.status.count("diverged"),
        },
    )
    kept = "; augment stays whole, because a few epochs favour none" if whole else ""
    yield from decided(4, verdict, f"Refine within {words(moved)}{kept}.{_advice(held, given)}")
    yield finished(4, verdict, count(len(values), "network"), started)
    if not state.candidates:
        cure = "give lower learning rates" if "lr" in given else "check the scale of inputs and targets"
        raise RunError(f"Every training diverged: no network can be kept; {cure}.")
    return SearchState(ranges=moved, best=best, incumbent=state.best(), epochs=state.options.epochs)


def refine(state: RunState, search: SearchState, round_: int) -> Generator[Event, None, Trials | None]:
    """Step 5: fewer settings, finer ranges, more epochs; None when the budget has no room for a round."""
    started = time.perf_counter()
    factor = 3.0 if search.previous is not None else 1.0
    allocation = state.allocator.next_round(factor, search.epochs)
    if allocation is None:
        return None
    yield StepStarted(
        step=5,
        round=round_,
        why=f"{count(allocation.members, 'setting')} near the best for {count(allocation.epochs, 'epoch')} each",
    )
    offset = round_ * 100_000  # each round has draws of its own
    searcher = RandomSearch(
        search.ranges,
        state.options.seed,
        first=(search.best,),
        start=offset,
        fixed={"optimizer": state.optimizer},
        halving=Halving(allocation.epochs),
    )
    name = f"refine {round_}"
    trials = yield from train(state, name, 5, round_, searcher, allocation.members, allocation.epochs)
    yield _exhibit(trials, 5, round_, search.ranges)
    values, best = trials.values, trials.best()
    given = state.options.ranges
    moved, sides = edges.extend(search.ranges, inside(search.ranges, values[best]), round_, given)
    held = edges.held(given, values[best])
    score = trials.scores()[best]
    verdict = Finding(
        code="SHL151" if sides or held else "SHL150",
        level="note" if sides or held else "fine",
        phrase=_phrase(score, sides, held),
        sentence=(
            f"{count(len(values), 'setting')}, {count(allocation.epochs, 'epoch')}: best validation score {score:.4f} "
            f"({_edgewords(sides, held)})."
        ),
        evidence={
            "members": len(values),
            "epochs": allocation.epochs,
            "best": values[best],
            "score": score,
            "edges": dict(sides),
            "edges_given": dict(held),
            "margin": edges.MARGIN,
            "pruned": trials.status.count("pruned"),
            "diverged": trials.status.count("diverged"),
        },
    )
    action = f"Move the bounds to {words({name: moved[name] for name in sides})}." if sides else "Keep the ranges."
    search.ranges = moved
    yield from decided(5, verdict, action + _advice(held, given))
    yield finished(5, verdict, f"{count(len(values), 'network')}, {count(allocation.epochs, 'epoch')}", started, round_)
    return trials


def _begin(state: RunState) -> Generator[Event, None, None]:
    """The step is announced, and what it may do to samples is known."""
    if not augmenting.wanted(state).active:
        allocation = state.allocator.coarse()
        why = f"{count(allocation.members, 'random setting')} for {count(allocation.epochs, 'epoch')} each"
        yield StepStarted(step=4, why=why)
        return
    yield StepStarted(step=4, why="which augmentations keep the labels; then random settings for a few epochs each")
    yield from augmenting.find_allowed(state)


def _initial_ranges(state: RunState) -> dict[str, Range]:
    """Where the coarse search looks; what the network or the task has no use for is left out."""
    ranges = dict(state.ranges)
    ranges["weight_decay"] = edges.first("weight_decay", state.optimizer)
    if state.population([Member(seed=state.options.seed)]).template.dropouts:
        ranges["dropout"] = edges.first("dropout", state.optimizer)
    if state.problem.classes is not None:
        ranges["label_smoothing"] = edges.first("label_smoothing", state.optimizer)
    if state.augment.active:
        ranges["augment"] = edges.first("augment", state.optimizer)
    for name, bounds in state.options.ranges.items():
        if name != "lr" and (name in ranges or _if_given(state, name)):
            ranges[name] = edges.as_given(name, bounds)
    return ranges


def _if_given(state: RunState, name: str) -> bool:
    """A dimension that is searched only where the user gives its range."""
    if DIMENSIONS[name].structural:
        return name == "batch_size" or name in state.network.sizes()
    return name == "momentum" and applies(name, {"optimizer": state.optimizer})


def _unused(state: RunState, ranges: dict[str, Range]) -> Generator[Event, None, None]:
    """Say which ranges the user gave for nothing."""
    reasons = {
        "momentum": f"step 3 chose the optimizer `{state.optimizer}`, which has none",
        "augment": "no augmentation is searched",
        "dropout": "the network has no layer of it",
        "label_smoothing": "the target is a number and no class",
        **dict.fromkeys(("width", "depth"), "the network has no size of that name that can be set"),
    }
    unused = [name for name in state.options.ranges if name not in ranges]
    if not unused:
        return
    why = "; ".join(f"{name}: {reasons[name]}" for name in unused)
    verdict = Finding(
        code="SHL146",
        level="warning",
        phrase=f"no use for the range of {', '.join(unused)}",
        sentence=f"Not every range that you gave can be searched ({why}).",
        evidence={"unused": {name: list(state.options.ranges[name]) for name in unused}},
        fix=f"Leave out what ranges, or --range, says of {', '.join(unused)}.",
    )
    yield from decided(4, verdict, "Search the other hyperparameters.")


def _useless(state: RunState, ranges: dict[str, Range]) -> Generator[Event, None, None]:
    """Say which whole ranges that the user gave are of no use, though they can be searched; of lr, step 3 says it."""
    given = {name: bounds for name, bounds in state.options.ranges.items() if name in ranges and name != "lr"}
    for name, side in edges.beyond(given).items():
        least, most = edges.NATURAL[name]
        bound, which, sign = (most, "lower", "above") if side == "high" else (least, "higher", "below")
        effect = "it changes nothing that can be seen" if side == "low" else "networks hardly learn"
        low, high = given[name]
        verdict = Finding(
            code="SHL146",
            level="warning",
            phrase=f"your range of {name} is of no use",
            sentence=(
                f"The whole range of {name} that you gave, {low:g} to {high:g}, lies {sign} {bound:g}, where {effect}: "
                "it is searched all the same."
            ),
            evidence={"given": {name: [low, high]}, "of_use": [least, most]},
            fix=f"Give {which} values, as in {range_setting(name, least, most)}.",
        )
        yield from decided(4, verdict, "Search it all the same.")


def _beyond(
    searched: dict[str, Range], finer: dict[str, Range], best: dict[str, float], round_: int, given: edges.Bounds
) -> tuple[dict[str, Range], dict[str, edges.Side]]:
    """The finer ranges, reaching past the bounds that were searched where the best value lies near one."""
    extended, sides = edges.extend(searched, best, round_, given)
    moved = {}
    for name, range_ in finer.items():
        bound = extended[name]
        side = sides.get(name)
        moved[name] = range_.model_copy(
            update={
                "low": bound.low if side == "low" else range_.low,
                "high": bound.high if side == "high" else range_.high,
                "was": bound.was,
                "moved_in_round": bound.moved_in_round,
            }
        )
    return moved, sides


def inside(ranges: dict[str, Range], values: dict[str, float]) -> dict[str, float]:
    """Values clamped to their ranges: the incumbent's may lie outside after a verdict moved them."""
    return {name: min(max(values[name], r.low), r.high) for name, r in ranges.items()}


def _exhibit(trials: Trials, step: int, round_: int, ranges: dict[str, Range]) -> SearchRound:
    clamped = [inside(ranges, values) for values in trials.values]
    return SearchRound(
        step=step,
        round=round_,
        population=trials.name,
        ranges=ranges,
        members=trials.infos(),
        score=trials.scores(),
        best_epoch=trials.best_epochs(),
        status=trials.status,
        best=trials.ids[trials.best()],
        importance=importance(ranges, clamped, trials.scores()),
    )


def _phrase(score: float, sides: dict[str, edges.Side], held: dict[str, edges.Side]) -> str:
    near = ", ".join({**sides, **held})
    return f"best {score:.3f}" + (f", near the edge of {near}" if near else "")


def _edgewords(sides: dict[str, edges.Side], held: dict[str, edges.Side]) -> str:
    said = [f"the best {name} lies near the {side} edge of its range, which moves" for name, side in sides.items()]
    said += [f"the best {name} lies near the {side} edge of the range that you gave" for name, side in held.items()]
    return "; ".join(said) or "no best value near the edge of its range"


def _advice(held: dict[str, edges.Side], given: edges.Bounds) -> str:
    """How to set wider the ranges whose bounds were in the way."""
    said = ""
    for name, side in held.items():
        wider = edges.moved(name, edges.as_given(name, given[name]), side, 0)
        said += f" To search further: {range_setting(name, wider.low, wider.high)}."
    return said


def words(ranges: dict[str, Range]) -> str:
    """Ranges in a sentence."""
    return ", ".join(f"{name} {_bound(r, r.low)} to {_bound(r, r.high)}" for name, r in ranges.items())


def _bound(range_: Range, value: float) -> str:
    return f"{value:.0f}" if range_.integer else f"{value:.2g}"
