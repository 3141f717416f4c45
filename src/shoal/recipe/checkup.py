"""Steps 1 to 3 alone: is the network sound, can it learn at all, and at which learning rates? Nothing is searched."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from math import ceil

from shoal.core.budget import parse_budget
from shoal.core.events import Event
from shoal.experiment.cache import NoCache
from shoal.recipe import first_steps, rate_step
from shoal.recipe.allocator import BudgetAllocator
from shoal.recipe.problem import Options, Problem
from shoal.recipe.recipe import default_batch_size
from shoal.recipe.run_state import RunState


def run(
    problem: Problem, options: Options, *, stopped: Callable[[], bool] = lambda: False
) -> Generator[Event, None, None]:
    """Carry out the first three steps.

    Args:
        problem: data, task and network; its test rows stay sealed.
        options: what the user fixed.
        stopped: asked between epochs.

    Yields:
        Events as they happen.

    Raises:
        Interrupted: `stopped` said so.
    """
    batch_size = options.batch_size or default_batch_size(len(problem.train))
    allocator = BudgetAllocator(parse_budget("trials=1"), time.monotonic, ceil(len(problem.train) / batch_size))
    state = RunState(problem, options, allocator, stopped, NoCache(), problem.network, batch_size)
    yield from first_steps.check_initial_loss(state)
    yield from first_steps.overfit_small_sample(state)
    yield from rate_step.find_learning_rate(state)
