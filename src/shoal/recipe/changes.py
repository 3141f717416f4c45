"""What a verdict on the curves asks for, in words and in deeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shoal.core.events import Range
from shoal.core.wording import count, range_setting, setting
from shoal.diagnose.curves import CurveReading
from shoal.experiment import Architecture
from shoal.recipe.run_state import RunState
from shoal.recipe.search_steps import SearchState, inside
from shoal.recipe.trials import Trials
from shoal.search import edges
from shoal.search.narrow import narrow

MOST_EPOCHS = 60


@dataclass(frozen=True)
class Change:
    """How the next round shall differ."""

    action: str  # one sentence
    ranges: Mapping[str, Range] | None = None  # all of them
    epochs: int | None = None
    network: Architecture | None = None
    promising: bool = False  # worth a round whether or not the last one was better than the one before

    def apply(self, state: RunState, search: SearchState, best: Mapping[str, float]) -> None:
        """Let the next round differ so, and begin with these hyperparameters."""
        search.best = dict(best)
        search.epochs = self.epochs or search.epochs
        if self.ranges is not None:
            search.ranges = dict(self.ranges)
        if self.network is not None:
            search.previous, state.network = state.network, self.network


def asked_for(state: RunState, search: SearchState, trials: Trials, reading: CurveReading) -> Change:
    """The answer to a verdict on the curves of a round's best network."""
    given, best = state.options.ranges, trials.values[trials.best()]
    if reading.verdict == "more_training":
        return _longer(state, trials.epochs)
    if reading.verdict == "overfitting":
        again = bool(search.history) and search.history[-1][0] == "overfitting"
        return Change(
            f"Search stronger {'augmentation, ' if 'augment' in search.ranges else ''}dropout and weight decay.",
            ranges=edges.within(_stronger(search.ranges, best), given),
            promising=len(search.history) < 2 or not again,
        )
    if reading.verdict == "underfitting":
        larger = None if search.larger_failed or "width" in search.ranges else state.network.wider()
        if larger is None:
            return Change(_larger(given))
        return Change("Try a network twice as wide.", network=larger, promising=True)
    if reading.verdict == "diverged":
        return _slower(state, search)
    tried = [inside(search.ranges, values) for values in trials.values]
    return Change("Narrow the ranges.", ranges={**search.ranges, **narrow(search.ranges, tried, trials.ranks())})


def _larger(given: edges.Bounds) -> str:
    """What to do about a network that is too small, and that may not be made wider."""
    if "width" not in given:
        return "Give the network more width or depth."
    low, high = given["width"]
    return f"Search wider networks, as in {range_setting('width', low, 2 * high)}."


def _longer(state: RunState, epochs: int) -> Change:
    most = state.options.epochs
    if most is not None:
        return Change(f"Allow more than {count(most, 'epoch')}, as in {setting('epochs', 2 * most)}.")
    longer = min(2 * epochs, MOST_EPOCHS)
    return Change("Train for twice as many epochs.", epochs=longer, promising=longer > epochs)


def _stronger(ranges: Mapping[str, Range], best: Mapping[str, float]) -> dict[str, Range]:
    """Ranges from the best value on to more regularization."""
    changed = dict(ranges)
    if "dropout" in ranges:
        low = min(best["dropout"], 0.6)
        changed["dropout"] = Range(low=low, high=min(0.8, max(low + 0.3, ranges["dropout"].high)), log=False)
    low = min(best["weight_decay"], 1.0)
    changed["weight_decay"] = Range(low=low, high=max(100 * low, ranges["weight_decay"].high))
    if "augment" in ranges:
        changed["augment"] = Range(low=min(best["augment"], 0.5), high=1.0, log=False)
    return changed


def _slower(state: RunState, search: SearchState) -> Change:
    """Lower learning rates, as far as the user's range lets them go."""
    before = search.ranges["lr"]
    lower = Range(low=before.low / 10, high=before.high / 5)
    ranges = edges.within({**search.ranges, "lr": lower}, state.options.ranges)
    action = "Lower the learning rates."
    if ranges["lr"] != lower:
        wider = range_setting("lr", lower.low, state.options.ranges["lr"][1])
        action = f"Lower the learning rates within the range that you gave; to let them go lower: {wider}."
    return Change(action, ranges=ranges, promising=ranges != search.ranges)
