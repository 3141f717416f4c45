"""Steps 1 to 3 alone: is the network sound, can it learn at all, and at which learning rates? Nothing is searched."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator
from math import ceil

from shoal.core.budget import parse_budget
from shoal.core.events import Event
from shoal.diagnose import activations, signal
from shoal.population import Member
from shoal.recipe import first_steps
from shoal.recipe.course import Course, decided
from shoal.recipe.journal import NoJournal
from shoal.recipe.pace import Pace
from shoal.recipe.problem import Options, Problem
from shoal.recipe.recipe import default_batch_size

SIGNAL_SEEDS, SIGNAL_ROWS = 5, 128


def run(
    problem: Problem, options: Options, *, stopped: Callable[[], bool] = lambda: False
) -> Generator[Event, None, None]:
    """Carry out the first three steps and look at the activations in between.

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
    pace = Pace(parse_budget("trials=1"), time.monotonic, ceil(len(problem.train) / batch_size))
    course = Course(problem, options, pace, stopped, NoJournal(), problem.network, batch_size)
    yield from first_steps.check_initial_loss(course)
    yield from check_signals(course)
    yield from first_steps.overfit_small_sample(course)
    yield from first_steps.find_learning_rate(course)


def check_signals(course: Course, init: str = "torch") -> Generator[Event, None, None]:
    """Part of step 1: do activations and gradients pass, with these initial weights? The commonest verdict of 5 seeds.

    Args:
        course: the run.
        init: the initializer; `torch` is the network's own.
    """
    part = course.sample(1, min(SIGNAL_ROWS, len(course.problem.train)))
    members = [Member(seed=course.options.seed + seed, init=init) for seed in range(SIGNAL_SEEDS)]
    found = signal.verdicts(activations.measure(course.population(members), part.x, part.y))
    code, count = Counter(verdict.code for verdict in found).most_common(1)[0]
    first = next(verdict for verdict in found if verdict.code == code)
    evidence = {**first.evidence, "init": init, "seeds": len(found), "seeds_alike": count}
    yield from decided(1, first.model_copy(update={"evidence": evidence}), first.fix or "Keep the initial weights.")
