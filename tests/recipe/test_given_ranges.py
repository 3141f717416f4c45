"""A range that the user gave is never left, whatever a step finds: whole runs, each verdict planted in turn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from shoal.augment import parse
from shoal.core.budget import Budget
from shoal.core.events import (
    DecisionMade,
    Event,
    Finding,
    FindingRaised,
    Interval,
    LearningRateSweep,
    PopulationStarted,
    SearchRound,
)
from shoal.diagnose import curves
from shoal.diagnose.curves import Answer, CurveReading, Curves
from shoal.experiment import BuiltIn, Given
from shoal.nn import Mlp
from shoal.recipe import first_steps, rate_step, recipe
from shoal.recipe.problem import Options
from tests.recipe import planted
from tests.recipe.test_loop import finished, problem_of

LR = (1e-2, 3e-2)
WALLS: dict[str, Interval] = {
    "lr": LR,
    "weight_decay": (1e-3, 2e-3),
    "dropout": (0.1, 0.15),
    "label_smoothing": (0.02, 0.03),
    "momentum": (0.5, 0.6),
    "augment": (0.2, 0.3),
}


def run(bounds: dict[str, Interval], trials: int = 16, epochs: int | None = 2) -> list[Event]:
    x, y = planted.ring(240)
    network = BuiltIn(Mlp(inputs=2, outputs=2, width=4, depth=1))
    problem = problem_of(3 * torch.from_numpy(x), torch.from_numpy(y), network)
    options = Options(epochs=epochs, ranges=bounds, augment=parse("noise=0.1"))
    return finished(recipe.run(problem, Budget(trials=trials), options))[0]


@pytest.fixture(autouse=True)
def only_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks of steps 1 and 2 search nothing."""
    for step in ("check_initial_loss", "overfit_small_sample"):
        monkeypatch.setattr(first_steps, step, lambda _: iter(()))


def plant(monkeypatch: pytest.MonkeyPatch, verdict: Answer) -> None:
    """Every reading of the curves says this."""
    judge = curves.judge

    def judged(of: Curves, **how: bool) -> CurveReading:
        return judge(of, **how).model_copy(update={"verdict": verdict})

    monkeypatch.setattr(curves, "judge", judged)


def decisions(events: list[Event], step: int) -> list[Finding]:
    return [each.decision for each in events if isinstance(each, DecisionMade) and each.decision.step == step]


def outside(events: list[Event], bounds: dict[str, Interval]) -> list[tuple[str, float]]:
    """What was trained, or was going to be, beyond a bound."""
    seen: list[tuple[str, float]] = []
    for event in events:
        if isinstance(event, LearningRateSweep):
            seen += [("lr", lr) for lr in event.lr]
        if isinstance(event, PopulationStarted):
            seen += [(name, float(str(m.values[name]))) for m in event.members for name in bounds if name in m.values]
        if isinstance(event, SearchRound):
            seen += [
                (name, bound) for name, of in event.ranges.items() for bound in (of.low, of.high) if name in bounds
            ]
    assert {name for name, _ in seen} == set(bounds)
    return [(n, v) for n, v in seen if not bounds[n][0] * (1 - 1e-12) <= v <= bounds[n][1] * (1 + 1e-12)]


@pytest.mark.parametrize("verdict", ["good", "more_training", "overfitting", "underfitting", "diverged"])
def test_no_verdict_leaves_a_given_range(monkeypatch: pytest.MonkeyPatch, verdict: Answer) -> None:
    monkeypatch.setattr(rate_step, "OPTIMIZERS", ("nesterov",))
    plant(monkeypatch, verdict)
    events = run(WALLS, epochs=None if verdict == "more_training" else 2)
    rounds = [each for each in events if isinstance(each, SearchRound)]
    assert len(rounds) >= (2 if verdict == "good" else 3)  # what narrows asks for no round of its own
    assert outside(events, WALLS) == []
    if verdict == "underfitting":
        assert len({str(e.network["width"]) for e in events if isinstance(e, PopulationStarted)}) > 1
    if verdict == "overfitting":
        assert rounds[2].ranges["dropout"].low > rounds[0].ranges["dropout"].low  # stronger, inside
    if verdict == "diverged":
        assert rounds[2].ranges["lr"].high < LR[1]  # lower, inside
        assert "--range lr=" in decisions(events, 6)[0].action and "ranges={" in decisions(events, 6)[0].action


def test_what_was_not_given_moves_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "diverged")
    events = run({"dropout": (0.1, 0.15)})
    first, *_, last = [each.ranges["lr"] for each in events if isinstance(each, SearchRound)]
    assert last.low < first.low
    assert decisions(events, 6)[0].action == "Lower the learning rates."


def test_ranges_without_use_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_step, "OPTIMIZERS", ("adamw",))
    (finding,) = [e.finding for e in run(WALLS, 4) if isinstance(e, FindingRaised) and e.finding.code == "SHL146"]
    assert "momentum: step 3 chose the optimizer `adamw`" in finding.sentence
    assert finding.evidence == {"unused": {"momentum": [0.5, 0.6]}}


def test_a_range_in_which_nothing_learns_is_said_and_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_step, "OPTIMIZERS", ("adamw",))
    bounds: dict[str, Interval] = {"lr": LR, "dropout": (0.99, 0.999), "label_smoothing": (0.5, 0.9)}
    events = run({**bounds, "weight_decay": (1e-3, 1e3)}, 4, epochs=1)
    found = [e.finding for e in events if isinstance(e, FindingRaised) and e.finding.code == "SHL146"]
    assert [each.evidence["given"] for each in found] == [{"dropout": [0.99, 0.999]}, {"label_smoothing": [0.5, 0.9]}]
    assert found[0].sentence.startswith("The whole range of dropout that you gave, 0.99 to 0.999, lies above 0.9")
    assert "--range dropout=0:0.9" in found[0].fix and "--range label_smoothing=0:0.5" in found[1].fix
    assert outside(events, bounds) == []


def test_ranges_that_the_network_or_the_task_cannot_use_are_said() -> None:
    x, _ = planted.ring(240)
    inputs = torch.from_numpy(x)
    problem = replace(
        problem_of(inputs, inputs.square().sum(1, keepdim=True), Given(lambda: nn.Linear(2, 1), "a line")), classes=None
    )
    bounds: dict[str, Interval] = {"dropout": (0.1, 0.2), "label_smoothing": (0.02, 0.03)}
    events = finished(recipe.run(problem, Budget(trials=4), Options(epochs=1, ranges=bounds)))[0]
    (finding,) = [e.finding for e in events if isinstance(e, FindingRaised) and e.finding.code == "SHL146"]
    assert "dropout: the network has no layer of it" in finding.sentence
    assert "label_smoothing: the target is a number" in finding.sentence
    rounds = [each for each in events if isinstance(each, SearchRound)]
    assert rounds and all(not {"dropout", "label_smoothing"} & {*each.ranges} for each in rounds)


def test_sizes_and_batches_are_searched_where_their_range_is_given() -> None:
    bounds: dict[str, Interval] = {"width": (4, 16), "depth": (1, 2), "batch_size": (16, 32)}
    x, y = planted.ring(240)
    problem = problem_of(
        3 * torch.from_numpy(x), torch.from_numpy(y), BuiltIn(Mlp(inputs=2, outputs=2, width=5, depth=3))
    )
    events, outcome = finished(recipe.run(problem, Budget(trials=16), Options(epochs=2, ranges=bounds)))
    assert not outside([each for each in events if not isinstance(each, LearningRateSweep)], bounds)
    started = [each for each in events if isinstance(each, PopulationStarted)]
    for each in started:
        of = {name: {member.values[name] for member in each.members} for name in bounds}
        assert all(len(values) == 1 for values in of.values())  # those of one structure, and no others
        assert of["batch_size"] == {each.batch_size}
        assert (each.network["width"], each.network["depth"]) == (*of["width"], *of["depth"])
    coarse = [each for each in started if each.step == 4]
    assert len(coarse) > 3 and len({each.population for each in started}) == len(started)
    searches = [each for each in events if isinstance(each, SearchRound)]
    assert searches[0].population == "coarse" and len(searches[0].members) == 8
    assert sorted(m.id for m in searches[0].members) == sorted(m.id for each in coarse for m in each.members)
    chosen = outcome.chosen
    assert chosen is not None
    for member in chosen.members:
        network = member.architecture.document()
        assert (network["width"], network["depth"]) == (member.values["width"], member.values["depth"])
        assert sum(p.numel() for p in member.network.parameters()) == sum(
            p.numel() for p in member.architecture.build().parameters()
        )


def test_a_size_that_the_network_has_not_is_said() -> None:
    network = Given(lambda: nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2)), "")
    x, y = planted.ring(240)
    problem = problem_of(3 * torch.from_numpy(x), torch.from_numpy(y), network)
    events = finished(recipe.run(problem, Budget(trials=4), Options(epochs=1, ranges={"width": (4, 16)})))[0]
    said = [each.finding.sentence for each in events if isinstance(each, FindingRaised)]
    assert any("width: the network has no size of that name" in sentence for sentence in said)
    assert not any("width" in m.values for each in events if isinstance(each, PopulationStarted) for m in each.members)
