"""The seven steps, in order, as one generator of events."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import ceil, log2

from shoal.core.budget import Budget
from shoal.core.errors import Interrupted
from shoal.core.events import DecisionMade, Event, Finding, StopNoticed, TestRead
from shoal.core.returning import Returning
from shoal.experiment.cache import NoCache, TaskCache
from shoal.recipe import finish, first_steps, rate_step, rounds, search_steps
from shoal.recipe.allocator import BudgetAllocator
from shoal.recipe.finish import Chosen
from shoal.recipe.problem import Options, Problem
from shoal.recipe.run_state import RunState


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: the ensemble, the test score, the decisions, and how much was trained.

    A run that was stopped, as `stopped` says, has no test score, and no ensemble where nothing had been trained yet.
    """

    chosen: Chosen | None
    test: TestRead | None
    decisions: tuple[Finding, ...]
    members_trained: int
    epochs_trained: float
    stopped: str = ""
    augment: str = ""  # what the search could do to samples, at its full strength


def run(
    problem: Problem,
    budget: Budget,
    options: Options,
    *,
    stopped: Callable[[], bool] = lambda: False,
    now: Callable[[], float] = time.monotonic,
    cache: TaskCache | None = None,
) -> Generator[Event, None, Outcome]:
    """Carry out the recipe.

    Args:
        problem: data, task and network.
        budget: a time or a number of trials; with trials the same options give the same numbers.
        options: what the user fixed.
        stopped: asked between epochs; True ends the run with the best networks so far.
        now: a clock in seconds, for a budget in time.
        cache: where finished work is kept, and what was kept of it before the run was interrupted.

    Yields:
        Events as they happen.

    Returns:
        The outcome.

    Raises:
        RunError: not one training gave a usable network.
    """
    batch_size = options.batch_size or default_batch_size(len(problem.train))
    allocator = BudgetAllocator(budget, now, ceil(len(problem.train) / batch_size))
    state = RunState(problem, options, allocator, stopped, cache or NoCache(), problem.network, batch_size)
    decisions: list[Finding] = []
    steps = Returning(_steps_or_rescue(state))
    for event in steps:
        if isinstance(event, DecisionMade):
            decisions.append(event.decision)
        yield event
    chosen, test, reason = steps.result
    return Outcome(
        chosen, test, tuple(decisions), state.members_trained, state.epochs_trained, reason, str(state.augment)
    )


def _steps_or_rescue(state: RunState) -> Generator[Event, None, tuple[Chosen | None, TestRead | None, str]]:
    """All steps; where the user stops the run, its end instead, and why it ended."""
    try:
        chosen, test = yield from _steps(state)
    except Interrupted as error:
        yield StopNoticed()
        chosen, test = yield from _rescue(state)
        return chosen, test, str(error)
    return chosen, test, ""


def _steps(state: RunState) -> Generator[Event, None, tuple[Chosen | None, TestRead | None]]:
    yield from first_steps.check_initial_loss(state)
    yield from first_steps.overfit_small_sample(state)
    yield from rate_step.find_learning_rate(state)
    search = yield from search_steps.coarse_search(state)
    for round_ in range(1, rounds.MOST_ROUNDS + 1):
        trials = yield from search_steps.refine(state, search, round_)
        if trials is None:
            break
        asked = yield from rounds.read_curves(state, search, trials, round_)
        again = yield from rounds.go_again(state, search, trials, asked, round_)
        if not again:
            break
    chosen = yield from finish.choose_ensemble(state)
    test = yield from finish.read_test(state, chosen)
    return chosen, test


def _rescue(state: RunState) -> Generator[Event, None, tuple[Chosen | None, TestRead | None]]:
    """The end of a run that was stopped: the best networks so far, and no look at the test rows."""
    if not state.candidates:
        return None, None
    chosen = yield from finish.choose_ensemble(state)
    return chosen, None


def default_batch_size(rows: int) -> int:
    """A power of two near a hundredth of the rows, from 16 to 256.

    >>> default_batch_size(1257), default_batch_size(34_000)
    (16, 256)
    """
    return int(2 ** min(8, max(4, ceil(log2(max(rows, 1) / 100)))))
