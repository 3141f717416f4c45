"""Steps 5 to 7 as a loop, the clock, the seal: `recipe.run` on tensors."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import TypeVar

import pytest
import torch
from torch import Tensor, nn

from shoal.core.budget import Budget
from shoal.core.errors import RunError
from shoal.core.events import (
    CurveVerdict,
    DecisionMade,
    EpochFinished,
    Event,
    PopulationStarted,
    StepStarted,
    TestRead,
)
from shoal.core.returning import Returning
from shoal.experiment import BuiltIn, Given
from shoal.nn import Mlp
from shoal.recipe import recipe
from shoal.recipe.problem import Options, Problem
from shoal.recipe.recipe import Outcome
from shoal.task import Part, Sealed
from tests.recipe import planted

Result = TypeVar("Result")


def finished(steps: Generator[Event, None, Result]) -> tuple[list[Event], Result]:
    """All events of a generator, and what it returns."""
    whole = Returning(steps)
    return list(whole), whole.result


def problem_of(x: Tensor, y: Tensor, network: BuiltIn | Given) -> Problem:
    """The last thirds of the second half validate and test."""
    a, b = len(x) // 2, 3 * len(x) // 4
    return Problem(
        train=Part(x[:a], y[:a]),
        validation=Part(x[a:b], y[a:b]),
        test=Sealed(lambda: Part(x[b:], y[b:]), len(x) - b),
        classes=tuple("ab"),
        network=network,
    )


def ring_problem(width: int, *, random_labels: bool = False) -> Problem:
    x, y = planted.ring(600)
    labels = torch.from_numpy(y)
    if random_labels:
        labels = torch.randint(0, 2, labels.shape, generator=torch.Generator().manual_seed(0))
    return problem_of(3 * torch.from_numpy(x), labels, BuiltIn(Mlp(inputs=2, outputs=2, width=width, depth=1)))


def widths(events: list[Event]) -> list[int]:
    return [int(str(event.network["width"])) for event in events if isinstance(event, PopulationStarted)]


def run(problem: Problem, trials: int, **options: object) -> tuple[list[Event], Outcome]:
    return finished(recipe.run(problem, Budget(trials=trials), Options(**options)))  # type: ignore[arg-type]


def test_a_network_too_narrow_is_made_wider_as_long_as_that_helps() -> None:
    events, outcome = run(ring_problem(1), 32)
    assert next(e.verdict for e in events if isinstance(e, CurveVerdict)) == "underfitting"
    tried = widths(events)
    assert tried == [1, 1, 2]
    said = [e.decision for e in events if isinstance(e, DecisionMade)]
    assert [d.evidence["gain"] > d.evidence["standard_error"] for d in said if d.step == 7][-1]  # it helped
    assert [d.action for d in said if d.step == 6] == ["Try a network twice as wide."] * 2  # so again
    assert int(str(outcome.chosen.members[0].architecture.document()["width"])) > 1


def test_a_wider_network_that_is_no_better_is_given_up() -> None:
    events, _ = run(ring_problem(2, random_labels=True), 32, epochs=3)
    tried, verdicts = widths(events), [e.verdict for e in events if isinstance(e, CurveVerdict)]
    assert 4 in tried and verdicts[tried.index(4) - 2] == "underfitting"
    after = tried.index(4) - 1  # the first verdict that knows how the wider network did
    assert all(width == 2 for width in tried[tried.index(4) + 1 :])
    assert "underfitting" not in verdicts[after:]


def test_a_wide_network_is_left_alone() -> None:
    events, _ = run(ring_problem(32), 8)
    assert set(widths(events)) == {32}


def test_equal_seeds_give_equal_runs_and_others_do_not() -> None:
    def told(seed: int) -> list[str]:
        events, _ = run(ring_problem(8), 4, seed=seed, epochs=2)
        timeless = (DecisionMade, EpochFinished, CurveVerdict, TestRead, PopulationStarted)
        return [event.model_dump_json() for event in events if isinstance(event, timeless)]

    first = told(3)
    torch.manual_seed(1)
    torch.randn(5)
    assert told(3) == first
    assert told(4) != first


class Clock:
    """Moves a little each time it is looked at."""

    def __init__(self, tick: float) -> None:
        self.time, self.tick = 0.0, tick

    def __call__(self) -> float:
        self.time += self.tick
        return self.time


@pytest.mark.parametrize("tick", [0.05, 1.0])
def test_a_budget_in_time_ends_in_time(tick: float) -> None:
    clock = Clock(tick)
    late: list[str] = []
    epochs_late = 0
    steps = Returning(recipe.run(ring_problem(8), Budget(seconds=12.0), Options(), now=clock))
    for event in steps:
        if clock.time > 10.0 and isinstance(event, PopulationStarted):
            late.append(event.population)
        epochs_late += clock.time > 10.0 + 3 * tick and isinstance(event, EpochFinished)
    assert steps.result.test is not None and steps.result.test.rows == 150
    assert late in ([], ["coarse"])  # without one search there would be no model: the coarse one is always begun
    assert epochs_late <= 1


def test_the_clock_is_not_read_with_a_budget_in_trials() -> None:
    clock = Clock(1.0)
    finished(recipe.run(ring_problem(4), Budget(trials=4), Options(epochs=2), now=clock))
    assert clock.time == 1.0  # when the run began


def test_stopping_leaves_at_the_next_epoch() -> None:
    stop: list[bool] = []
    steps = Returning(recipe.run(ring_problem(4), Budget(trials=20), Options(), stopped=lambda: bool(stop)))
    epochs = 0
    for event in steps:
        if isinstance(event, EpochFinished):
            stop.append(True)
            epochs += 1
        assert not isinstance(event, TestRead)
    outcome = steps.result
    assert epochs == 1
    assert "step 4" in outcome.stopped
    assert outcome.test is None
    assert outcome.chosen is not None  # the best networks of the epoch that was trained


class NotANumber(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * torch.nan


def test_a_network_of_nan_ends_with_one_sentence_after_saying_so() -> None:
    problem = ring_problem(2)
    broken = problem_of(problem.train.x, problem.train.y, Given(NotANumber, ""))
    codes = []
    with pytest.raises(RunError, match="Every training diverged"):
        for event in recipe.run(broken, Budget(trials=4), Options()):
            if isinstance(event, DecisionMade):
                codes.append(event.decision.code)
    assert codes[:4] == ["SHL101", "SHL132", "SHL112", "SHL124"]


def test_the_seal_breaks_once() -> None:
    sealed = Sealed(lambda: Part(torch.zeros(3, 1), torch.zeros(3)), 3)
    assert sealed.rows == 3 and len(sealed.open()) == 3
    with pytest.raises(RunError, match="read already"):
        sealed.open()
    assert sealed.rows == 3


def test_the_test_rows_are_opened_by_the_last_step_and_by_no_other() -> None:
    sealed, opened, seen = ring_problem(4), [], []

    def opening() -> Part:
        opened.append(True)
        return sealed.test.open()

    problem = replace(sealed, test=Sealed(opening, sealed.test.rows))
    for event in recipe.run(problem, Budget(trials=4), Options(epochs=2)):
        if opened:
            seen.append(event.kind)
    assert seen == ["test_read", "decision_made"]
    with pytest.raises(RunError):
        problem.test.open()


def test_steps_come_in_their_order() -> None:
    events, outcome = run(ring_problem(4), 12, epochs=4)
    begun = [event.step for event in events if isinstance(event, StepStarted)]
    assert begun[:4] == [1, 2, 3, 4] and begun[4:] == [5, 6, 7] * (len(begun[4:]) // 3)
    decided = [each.step for each in outcome.decisions]
    assert decided == [1, *begun, 8, 9]  # the first step decides twice: by the loss and by the signals
    assert [e.decision for e in events if isinstance(e, DecisionMade)] == list(outcome.decisions)


@pytest.mark.parametrize("rows, size", [(1, 16), (1000, 16), (1601, 32), (5000, 64), (10**6, 256)])
def test_the_default_batch_is_a_hundredth_of_the_rows(rows: int, size: int) -> None:
    assert recipe.default_batch_size(rows) == size
