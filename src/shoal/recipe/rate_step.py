"""Step 3: at which learning rates does the loss go down? Many short trainings, next to one another."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from math import ceil, exp, isfinite, log

import numpy as np
import torch

from shoal.core.events import Event, Finding, LearningRateSweep, Level, Range, StepStarted
from shoal.core.wording import count, range_setting
from shoal.diagnose import learning_rate
from shoal.diagnose.learning_rate import Sweep
from shoal.experiment.cache import Arrays
from shoal.population import Member
from shoal.recipe.run_state import RunState, decided, finished, once
from shoal.search import edges
from shoal.task import Part

SWEEP_RANGE = (1e-5, 1.0)
SWEEP_POINTS = 13
SWEEP_SEEDS = 2
SWEEP_STEPS = 48
SWEEP_PARTS = 4  # the short training is cut into parts, so that progress can be told
PROBE_ROWS = 512
OPTIMIZERS = ("adamw", "nesterov")
CLEARLY = 0.9  # the other optimizer is taken when its loss after the short training is below this share
SHIFT = 1e4  # how far the sweep moves when even its highest rate moves nothing, or its lowest one ruins all
MOST_SHIFTS = 3
LOWEST_LR, HIGHEST_LR = 1e-7, 10.0
FALLBACK = (1e-4, 1e-2)
BELOW = 3.0  # longer trainings like lower rates than short ones show


def find_learning_rate(state: RunState) -> Generator[Event, None, None]:
    """Step 3: many real short trainings on the same batches, by learning rate, seed and optimizer."""
    started = time.perf_counter()
    yield StepStarted(step=3, why="short trainings show at which learning rates the loss goes down")
    given = state.options.ranges.get("lr")
    low, high = given or SWEEP_RANGE
    moves: list[tuple[float, float]] = []
    while True:
        exhibit, sweeps = yield from _sweep(state, low, high)
        chosen = _better_optimizer(exhibit, sweeps)
        sweep = sweeps[chosen]
        further = None if given else _elsewhere(sweep, low, high)
        if further is None or len(moves) == MOST_SHIFTS:
            break
        moves.append((low, high))
        low, high = further
    found = sweep.outcome == "found"
    state.optimizer = chosen if found else OPTIMIZERS[0]
    bounds = given or ((sweep.low / BELOW, sweep.high) if found else FALLBACK)
    state.ranges["lr"] = Range(
        low=bounds[0], high=bounds[1], was=moves[0] if moves else None, moved_in_round=0 if moves else None
    )
    yield exhibit.model_copy(update={"chosen": bounds, "chosen_optimizer": state.optimizer, "best": sweep.best})
    verdict = _sweep_verdict(exhibit, sweeps, chosen, moves, bounds, given is not None)
    yield from decided(3, verdict, f"Search lr from {bounds[0]:.2g} to {bounds[1]:.2g} with `{state.optimizer}`.")
    yield finished(3, verdict, f"lr {bounds[0]:.2g} to {bounds[1]:.2g}", started)


def _elsewhere(sweep: Sweep, low: float, high: float) -> tuple[float, float] | None:
    """Where to sweep next, or None where this sweep has said what there is to say."""
    if sweep.outcome == "too_high":
        return (max(low / SHIFT, LOWEST_LR), low) if low > LOWEST_LR else None
    if sweep.outcome == "too_low" or (sweep.outcome == "found" and sweep.at_top):
        return (high, min(high * SHIFT, HIGHEST_LR)) if high < HIGHEST_LR else None
    return None


def _sweep(
    state: RunState, low: float, high: float
) -> Generator[Event, None, tuple[LearningRateSweep, dict[str, Sweep]]]:
    """Train at a grid of learning rates; the exhibit, and by optimizer what it says."""
    left = state.allocator.sweep_members(SWEEP_POINTS * SWEEP_SEEDS * len(OPTIMIZERS), 8, SWEEP_STEPS)
    optimizers = OPTIMIZERS if left >= 2 * SWEEP_POINTS else OPTIMIZERS[:1]
    seeds = SWEEP_SEEDS if left >= SWEEP_POINTS * SWEEP_SEEDS * len(optimizers) else 1
    points = max(5, min(SWEEP_POINTS, left // (seeds * len(optimizers))))
    rates = [low, *(exp(log(low) + i / (points - 1) * (log(high) - log(low))) for i in range(1, points - 1)), high]
    momentum = edges.bounded({"momentum": 0.9}, state.options.ranges)["momentum"]
    members = [
        Member(
            seed=state.options.seed + seed,
            optimizer=optimizer,
            lr=lr,
            init=state.init,
            momentum=momentum if optimizer == "nesterov" else None,
            weight_decay=0.0,
        )
        for optimizer in optimizers
        for lr in rates
        for seed in range(seeds)
    ]
    parts, probe = _sweep_rows(state)
    before_s = yield from state.read_clock()
    work = _short_trainings(state, members, parts, probe)
    seen = yield from once(state, f"sweep {low:g} to {high:g}", state.key(members), work)
    steps = int(seen["steps"])
    state.allocator.learned((yield from state.read_clock()) - before_s, steps * len(members))
    after, last = (np.where(seen["diverged"], np.nan, seen[name]) for name in ("after", "last"))
    state.members_trained += len(members)
    state.epochs_trained += len(members) * steps / state.steps_per_epoch()
    exhibit = LearningRateSweep(
        steps=steps,
        optimizer=[member.optimizer for member in members],
        lr=[member.lr or 0.0 for member in members],
        seed=[member.seed for member in members],
        start=seen["before"].tolist(),
        end=after.tolist(),
        best=rates[0],
        chosen=(low, high),
        chosen_optimizer=optimizers[0],
    )
    prior_loss = _prior_loss(torch.cat([part.y for part in parts]), probe.y)
    return exhibit, {name: _judge_one(exhibit, last.tolist(), prior_loss, name) for name in optimizers}


def _judge_one(exhibit: LearningRateSweep, train: Sequence[float], prior_loss: float, optimizer: str) -> Sweep:
    rows = [i for i, name in enumerate(exhibit.optimizer) if name == optimizer]

    def of(values: Sequence[float]) -> list[float]:
        return [values[i] for i in rows]

    return learning_rate.judge(of(exhibit.lr), of(exhibit.start), of(exhibit.end), of(train), prior_loss)


def _prior_loss(train_y: torch.Tensor, y: torch.Tensor) -> float:
    """The loss on `y` of always answering the class frequencies, or the mean, of `train_y`."""
    if train_y.is_floating_point():
        return float((y - train_y.mean(dim=0)).square().mean())
    counts = torch.bincount(train_y, minlength=int(y.max()) + 1) + 1.0  # one more: a class may be in `y` alone
    return float(-(counts / counts.sum()).log()[y].mean())


def _sweep_rows(state: RunState) -> tuple[list[Part], Part]:
    """The training rows of the short trainings, in parts, and other rows that their loss is read from."""
    train, size = state.problem.train, state.batch_size
    order = state.order(3)
    number = min(state.few(PROBE_ROWS), len(train) // 3)
    trained, probe = (order[number:], order[:number]) if number else (order, order)
    per_part = size * ceil(SWEEP_STEPS / SWEEP_PARTS)
    position = torch.arange(per_part * SWEEP_PARTS) % len(trained)
    return [train.take(trained[rows]) for rows in torch.split(position, per_part)], train.take(probe)


def _short_trainings(
    state: RunState, members: Sequence[Member], parts: Sequence[Part], probe: Part
) -> Generator[Event, None, Arrays]:
    """Train on each part once: loss on `probe` before and after, and on the last part, by member."""
    population = state.population(members)
    before, _ = population.evaluate(probe.x, probe.y)
    last = np.full(len(population), np.nan)
    for number, part in enumerate(parts):
        yield state.progress(3, number / len(parts), f"{len(population)} short trainings")
        state.check_interrupt(3)
        for record in population.train(part.x, part.y, epochs=1, batch_size=state.batch_size):
            last = record.loss
    return {
        "before": before,
        "last": last,
        "after": population.evaluate(probe.x, probe.y)[0],
        "diverged": np.array([status == "diverged" for status in population.status]),
        "steps": population.steps.max().numpy(),
    }


def _better_optimizer(exhibit: LearningRateSweep, sweeps: dict[str, Sweep]) -> str:
    """The first optimizer, unless another one's best loss is clearly lower."""
    best = {}
    for name, sweep in sweeps.items():
        ends = [
            exhibit.end[i]
            for i in range(len(exhibit.lr))
            if exhibit.optimizer[i] == name and exhibit.lr[i] == sweep.best
        ]
        best[name] = float(np.median(np.nan_to_num(ends, nan=np.inf)))
    first = next(iter(sweeps))
    other = min(best, key=lambda name: best[name])
    return other if best[other] < CLEARLY * best[first] else first


def _sweep_verdict(
    exhibit: LearningRateSweep,
    sweeps: dict[str, Sweep],
    chosen: str,
    moves: list[tuple[float, float]],
    bounds: tuple[float, float],
    given: bool,
) -> Finding:
    sweep = sweeps[chosen]
    evidence = {
        "steps": exhibit.steps,
        "trainings": len(exhibit.lr),
        "improvement": sweep.improvement,
        "beyond_answering_blindly": sweep.beyond,
        "least_improvement": learning_rate.LEAST_IMPROVEMENT,
        "best_lr": sweep.best,
        "range": list(bounds),
        "moved_from": [list(move) for move in moves],
        "by_optimizer": {name: each.improvement for name, each in sweeps.items()},
    }
    rose = sum(not end < start for start, end in zip(exhibit.start, exhibit.end, strict=True))  # NaN: diverged
    went = f"{exhibit.steps} steps at lr {sweep.best:.2g} lower the loss by {sweep.improvement:.0%}"
    rows = "Check that targets belong to their rows, and that a useful column was not set aside."
    said: tuple[str, Level, str, str, str]  # code, level, phrase, sentence, fix
    if given and sweep.outcome in ("too_low", "too_high"):
        said = _given_for_nothing(sweep, bounds)
    elif sweep.outcome != "found" and not isfinite(sweep.improvement):
        sentence = f"At every learning rate, down to {min(exhibit.lr):.2g}, the training diverged."
        scale = "Check the scale of the inputs and the network's own arithmetic."
        said = "SHL124", "problem", "every training diverged", sentence, scale
    elif sweep.outcome != "found":
        sentence = (
            f"At no learning rate did {exhibit.steps} steps lower the loss of rows held out from them (best change "
            f"{sweep.improvement:+.1%}): the inputs may say nothing about the target."
        )
        said = "SHL122", "problem", "no learning rate helps", sentence, rows
    elif sweep.beyond < learning_rate.LEAST_IMPROVEMENT:
        sentence = (
            f"{exhibit.steps} steps lower the loss of rows held out from them, but not below what always answering the "
            f"class frequencies or mean gives ({sweep.beyond:+.1%}): so far the inputs say nothing about the target."
        )
        said = "SHL122", "warning", "no better than a constant answer", sentence, rows
    elif moves and moves[0][0] > sweep.best:
        sentence = (
            f"Between lr {moves[0][0]:.2g} and {moves[0][1]:.2g} the loss only rose, so lower ones were tried: {went}."
        )
        range_ = f"Search lr from {bounds[0]:.2g} to {bounds[1]:.2g}."
        said = "SHL123", "warning", "range was too high, moved down", sentence, range_
    else:
        sentence = f"{went}; {count(len(exhibit.lr), 'short training')}, of which {rose} raised it or diverged."
        said = "SHL120", "fine", f"best near {sweep.best:.2g}", sentence, ""
    code, level, phrase, sentence, fix = said
    return Finding(code=code, level=level, phrase=phrase, sentence=sentence, evidence=evidence, fix=fix)


def _given_for_nothing(sweep: Sweep, given: tuple[float, float]) -> tuple[str, Level, str, str, str]:
    """What is said where the whole range that the user gave is of no use: code, level, phrase, sentence, fix."""
    low, high = given
    between = f"Between lr {low:.2g} and {high:.2g} the loss"
    kept = "the whole range that you gave is of no use, and is searched all the same"
    if sweep.outcome == "too_high":
        sentence, fix = f"{between} only rose, or the training diverged: {kept}.", range_setting("lr", low / SHIFT, low)
        return "SHL123", "warning", "your range is too high", sentence, f"Give lower learning rates, as in {fix}."
    sentence, fix = f"{between} hardly moved: {kept}.", range_setting("lr", high, high * SHIFT)
    return "SHL121", "warning", "your range is too low", sentence, f"Give higher learning rates, as in {fix}."
