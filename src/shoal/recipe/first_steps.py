"""Steps 1 and 2: before any search, is the network sound, and can it learn at all?"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

import numpy as np

from shoal.core.events import (
    Event,
    InitialLosses,
    InitialSignals,
    Level,
    SmallSample,
    StepStarted,
)
from shoal.diagnose import activations, initial_loss, signal, small_sample
from shoal.diagnose.signal import Look
from shoal.experiment import Job, Trained, Training
from shoal.experiment.cache import Arrays
from shoal.population import Member
from shoal.recipe.run_state import RunState, decided, finished, once
from shoal.task import Part, Split

INITS = ("torch", "kaiming", "xavier", "orthogonal")
INIT_SEEDS = 8
INIT_ROWS = 512
SIGNAL_SEEDS = 5
SIGNAL_ROWS = 128
LEVELS: tuple[Level, ...] = ("fine", "note", "warning", "problem")
SIGNAL_VALUES = 1 << 16  # of rows whose gradients and histograms of all layers are taken

SMALL_LRS = (3e-4, 1e-3, 3e-3, 1e-2)
SMALL_SEEDS = 2
SMALL_STEPS = 300


def check_initial_loss(state: RunState) -> Generator[Event, None, None]:
    """Step 1: do untrained networks lose what chance loses, and do signals pass through them? By seed and initializer.

    Among the initializers whose loss is equally good, one that lets signals pass is preferred, the network's own first.
    """
    started = time.perf_counter()
    yield StepStarted(step=1, why="untrained networks should lose what chance loses, and let signals pass")
    part = state.sample(1, state.few(INIT_ROWS))
    seeds = list(range(INIT_SEEDS))
    members = [Member(seed=state.options.seed + seed, init=init) for init in INITS for seed in seeds]
    work = _untrained(state, members, part)
    seen = yield from once(state, "untrained networks", state.key(members), work)
    values = seen["loss"]
    losses = {init: values[i * INIT_SEEDS : (i + 1) * INIT_SEEDS].tolist() for i, init in enumerate(INITS)}
    chance = initial_loss.expected(state.problem.classes, part.y)
    open_ = [INITS[0]] if seen["given"] else initial_loss.candidates(losses, chance)
    looks = yield from _look_at_signals(state, open_)
    state.init = next((init for init in open_ if init in looks and looks[init].healthy), open_[0])
    yield InitialLosses(
        expected=chance,
        init=[init for init in INITS for _ in seeds],
        seed=[state.options.seed + seed for _ in INITS for seed in seeds],
        loss=values.tolist(),
        chosen=state.init,
    )
    yield InitialSignals(
        chosen=state.init,
        init=list(looks),
        verdict=[each.verdict.phrase for each in looks.values()],
        layers=[each.layers for each in looks.values()],
    )
    action = f"Initialize with `{state.init}`."
    if seen["given"]:
        action = "Keep the network's weights: they are the same for every seed, so they were given, not drawn."
    loss, signals = initial_loss.judge(losses, chance, state.init), signal.judge(looks, state.init)
    yield from decided(1, loss, action)
    yield from decided(1, signals, action)
    worse = max(loss, signals, key=lambda verdict: LEVELS.index(verdict.level))
    both = worse.model_copy(update={"phrase": f"{loss.phrase}; {signals.phrase}"})
    number = f"loss {np.mean(losses[state.init]):.3g}, chance {chance:.3g}"
    yield finished(1, both, number, started)


def _untrained(state: RunState, members: Sequence[Member], part: Part) -> Generator[Event, None, Arrays]:
    """The losses, and whether most of the network's own weights are the same for every seed: given, not drawn."""
    yield state.progress(1, 0.0, f"{len(members)} untrained networks")
    population = state.population(members)
    loss, _ = population.evaluate(part.x, part.y)
    own = population.template.layout.views(population.theta[:INIT_SEEDS]).values()
    weights = [view for view in own if view.dim() > 2 and bool((view[0] != view[0].flatten()[0]).any())]
    given = sum(view[0].numel() for view in weights if bool((view == view[0]).all()))
    return {"loss": loss, "given": np.array(2 * given > sum(view[0].numel() for view in weights))}


def _look_at_signals(state: RunState, candidates: Sequence[str]) -> Generator[Event, None, dict[str, Look]]:
    """The activations of the network's own initializer, and of the candidates up to one that lets signals pass."""
    part = state.sample(1, state.few(SIGNAL_ROWS, SIGNAL_VALUES))
    looks: dict[str, Look] = {}
    for init in dict.fromkeys((INITS[0], *candidates)):
        members = [Member(seed=state.options.seed + seed, init=init) for seed in range(SIGNAL_SEEDS)]
        piece, key = f"signals of {init}", state.key(members)
        kept = state.cache.recall(piece, key)
        if kept is None:
            yield state.progress(1, 0.5, f"activations of {len(members)} untrained networks")
            looks[init] = signal.look(activations.measure(state.population(members), part.x, part.y), init)
            state.cache.keep(piece, key, {}, looks[init].model_dump(mode="json"))
        else:
            looks[init] = Look.model_validate(kept.document)
        if init in candidates and looks[init].healthy:
            break
    return looks


def overfit_small_sample(state: RunState) -> Generator[Event, None, None]:
    """Step 2: learn a few rows by heart, regularization off."""
    started = time.perf_counter()
    yield StepStarted(step=2, why="a network that cannot learn a few rows by heart cannot learn many")
    problem, order = state.problem, state.order(2)
    part = problem.train.take(small_sample.choose_rows(problem.train.y, order))
    target = 1.0 if problem.classes is not None else small_sample.R2_TARGET
    members = [
        Member(seed=state.options.seed + seed, optimizer="adam", lr=lr, init=state.init, dropout=0.0)
        for lr in SMALL_LRS
        for seed in range(SMALL_SEEDS)
    ]
    before_s = yield from state.read_clock()
    trained = yield from _learn_by_heart(state, members, part, target)
    loss, score = (np.stack([getattr(record, name) for record in trained.records]) for name in ("loss", "score"))
    steps = len(trained.records)
    reached = steps if np.nanmax(score[-1], initial=-np.inf) >= target else None
    spent_s = (yield from state.read_clock()) - before_s
    state.members_trained += len(members)
    state.allocator.learned(spent_s * state.batch_size / len(part), steps * len(members))
    every = max(1, steps // 60)
    kept = sorted({*range(0, steps, every), steps - 1})
    yield SmallSample(
        rows=len(part),
        steps=[t + 1 for t in kept],
        lr=[member.lr or 0.0 for member in members],
        loss=[[float(loss[t][k]) for t in kept] for k in range(len(members))],
        score=[[float(score[t][k]) for t in kept] for k in range(len(members))],
        target=target,
        reached_step=reached,
    )
    verdict = small_sample.judge(
        best=float(np.nanmax(score)) if np.isfinite(score).any() else float("nan"),
        reached_step=reached,
        steps=SMALL_STEPS,
        rows=len(part),
        conflicting=small_sample.conflicts(part.x, part.y),
        target=target,
        diverged=sum(trained.diverged),
        members=len(members),
        crowding="" if reached else state.problem.crowding(),
    )
    yield from decided(2, verdict, "Go on." if reached else "Go on, but read the results with this in mind.")
    number = f"after {reached} steps" if reached else f"best score {verdict.evidence['best']:.3g}"
    yield finished(2, verdict, number, started)


def _learn_by_heart(
    state: RunState, members: Sequence[Member], part: Part, target: float
) -> Generator[Event, None, Trained]:
    """Batch gradient descent until one member reaches the target."""
    job = Job(
        architecture=state.network,
        members=tuple(members),
        loss=state.problem.loss,
        epochs=SMALL_STEPS,
        batch_size=len(part),
        keep=1,
        precision=state.options.precision,
    )
    with Training(job, [Split(train=part)], state.runner, state.cache, "small sample") as training:
        for record in training:
            if np.nanmax(record.score, initial=-np.inf) >= target:
                training.end()
            elif record.epoch % 10 == 0:
                yield state.progress(2, record.epoch / SMALL_STEPS, f"{len(part)} rows, step {record.epoch}")
                state.check_interrupt(2)
    return training.trained
