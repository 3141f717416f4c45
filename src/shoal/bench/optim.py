"""`shoal bench optim`: each optimizer rule against the best mode of torch.optim, and against what memory allows.

One step of 20 million float32 weights. Shoal: 20 rows of a million, each row with its own hyperparameters, as one
compiled pass. torch.optim: one parameter of 20 million numbers, which is its best case, in each of its modes: tensor by
tensor, foreach, fused where torch has such a kernel, and `torch.compile` of the step; the quickest is the peer, the
others stand in the note. The bandwidth case asks how long a triad c = a + s b would take to move the bytes that the
rule must move (theta read and written, the gradient read, each slot read and written). `quick`: 4 rules, 2 million.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from shoal import optim
from shoal.bench.case import Case
from shoal.bench.timing import Side, clocked, in_turns
from shoal.core.errors import RunError
from shoal.core.layout import Layout
from shoal.optim import compilation

ROWS = 20
LR, WEIGHT_DECAY = 1e-3, 1e-2
EPOCH = 64  # steps
BANDWIDTH_TARGET = 0.9
QUICK_RULES = ("sgd", "adam", "rmsprop", "nadam")
FUSED = frozenset({"SGD", "Adam", "AdamW", "Adagrad"})  # where torch has a fused kernel on CPU


@dataclass(frozen=True, slots=True)
class Peer:
    """The optimizer of torch.optim that does what a rule does, and the ratio to it that is aimed at."""

    name: str
    target: float
    settings: Mapping[str, Any]

    def make(self, parameter: Tensor, mode: Mapping[str, Any]) -> torch.optim.Optimizer:
        """An optimizer of one parameter; `mode` is torch's own choice of implementation."""
        made = getattr(torch.optim, self.name)
        return made([parameter], lr=LR, weight_decay=WEIGHT_DECAY, **self.settings, **mode)  # type: ignore[no-any-return]


PEERS: Mapping[str, Peer] = {
    "sgd": Peer("SGD", 1.0, {}),
    "momentum": Peer("SGD", 1.0, {"momentum": 0.9}),
    "nesterov": Peer("SGD", 1.0, {"momentum": 0.9, "nesterov": True}),
    "adagrad": Peer("Adagrad", 1.0, {}),
    "adadelta": Peer("Adadelta", 2.0, {}),
    "rmsprop": Peer("RMSprop", 2.0, {}),
    "rmsprop_momentum": Peer("RMSprop", 2.0, {"momentum": 0.9}),
    "rmsprop_centered": Peer("RMSprop", 2.0, {"centered": True}),
    "rmsprop_centered_momentum": Peer("RMSprop", 2.0, {"centered": True, "momentum": 0.9}),
    "adam": Peer("Adam", 1.0, {}),
    "amsgrad": Peer("Adam", 1.0, {"amsgrad": True}),
    "adamw": Peer("AdamW", 1.0, {}),
    "adamw_amsgrad": Peer("AdamW", 1.0, {"amsgrad": True}),
    "nadam": Peer("NAdam", 2.0, {}),
    "radam": Peer("RAdam", 2.0, {}),
}
"""AdamP is missing: torch has none."""


def cases(quick: bool) -> Iterator[Case]:
    """Every rule on the CPU, or a few rules on fewer weights."""
    names = QUICK_RULES if quick else tuple(optim.RULES)
    yield from rule_cases(names, 100_000 if quick else 1_000_000, repeats=3 if quick else 15)


def rule_cases(names: tuple[str, ...], columns: int, repeats: int, device: str = "cpu") -> Iterator[Case]:
    """Rules on `ROWS` rows of `columns` weights.

    Raises:
        RunError: Shoal and torch do not agree on a step.
    """
    triad = _triad(ROWS * columns, device)
    for name in names:
        _check_agreement(name, device)
        torch._dynamo.reset()  # torch counts recompilations of its `step` over all optimizers of a process
        yield from _one_rule(name, columns, repeats, device, triad)


def _one_rule(name: str, columns: int, repeats: int, device: str, triad: Side) -> Iterator[Case]:
    """One rule against torch's modes and against the bandwidth."""
    rule, peer = optim.rule(name), PEERS.get(name)
    case = f"{name}, {ROWS} x {columns / 1e6:g} M"
    sides = {"shoal": _shoal(name, columns, device), "triad": triad}
    if peer is not None:
        sides |= _torch_modes(peer, columns, device)
    seconds = in_turns(sides, repeats, warmup=3)
    reason = compilation.why_not(device)
    note = f"Shoal is uncompiled: {reason}" if reason else ""
    if peer is None:
        yield Case.missing(case, "torch.optim", "torch has no such optimizer")
    else:
        modes = sorted((median(seconds[mode]), mode) for mode in sides if mode not in ("shoal", "triad"))
        best = modes[0][1]
        slower = ", ".join(f"{mode} {taken * 1000:.3g} ms" for taken, mode in modes[1:])
        told = f"slower modes of torch.optim.{peer.name}: {slower}" + (f"; {note}" if note else "")
        label = f"torch.optim.{peer.name}, {best}"
        yield Case.measured(case, seconds["shoal"], label, seconds[best], peer.target, told)
    streams = 3 + 2 * rule.copies
    allowed = [taken * streams / 3 for taken in seconds["triad"]]
    rate = 12 * ROWS * columns / median(seconds["triad"]) / 1e9
    told = f"{streams} streams of 4 bytes a weight; the triad moves {rate:.3g} GB/s" + (f"; {note}" if note else "")
    yield Case.measured(case, seconds["shoal"], "a triad's bandwidth", allowed, BANDWIDTH_TARGET, told)


def _shoal(name: str, columns: int, device: str) -> Side:
    """A step of the rule as a population makes it: rows with hyperparameters of their own.

    Their numbers are worked out at the first step of every epoch, inside the clock, for all of its steps.
    """
    rule = optim.rule(name)
    theta, grad = _weights(columns, device), _weights(columns, device, seed=1)
    state = optim.fresh_state(rule, ROWS, columns, device)
    rates = torch.logspace(-4, -3, ROWS)
    hyper = optim.columns(rule, ROWS, {"lr": rates, "weight_decay": torch.full((ROWS,), WEIGHT_DECAY)}, device)
    slots, counts = ({name: state[name] for name in names} for names in (rule.slots, rule.row_slots))
    epoch = torch.arange(1.0, EPOCH + 1, dtype=torch.float64, device=device).reshape(-1, 1, 1)
    layout, done = _layout(columns), 0
    numbers: optim.State = {}
    after: optim.State = {}

    def one() -> None:
        nonlocal done, numbers, after
        if done % EPOCH == 0:
            numbers, after = rule.coefficients(hyper, epoch.expand(-1, ROWS, 1) + done, counts, theta.dtype)
        optim.advance(rule, theta, grad, slots, optim.at_step(numbers, done % EPOCH), layout, compiled=True)
        for name, value in optim.at_step(after, done % EPOCH).items():
            counts[name].copy_(value)
        done += 1

    return clocked(one, finish=_finish(device))


def _layout(columns: int) -> Layout:
    """Square dense layers, and the rest as a bias; only rules that look at whole parameters ask for it."""
    side = min(500, int(columns**0.5))
    layers = columns // (side * side)
    shapes: list[tuple[str, tuple[int, ...]]] = [(f"{layer}.weight", (side, side)) for layer in range(layers)]
    rest = columns - layers * side * side
    return Layout.of([*shapes, ("bias", (rest,))] if rest else shapes)


def _torch_modes(peer: Peer, columns: int, device: str) -> dict[str, Side]:
    """The modes of a torch optimizer that work here, each with a state of its own and the same weights."""
    parameter = _weights(columns, device).reshape(-1).requires_grad_()
    parameter.grad = _weights(columns, device, seed=1).reshape(-1)
    modes = {"single tensor": {"foreach": False}, "foreach": {"foreach": True}}
    if peer.name in FUSED:
        modes["fused"] = {"fused": True}
    sides = {name: clocked(peer.make(parameter, mode).step, finish=_finish(device)) for name, mode in modes.items()}
    if not compilation.why_not(device):
        compiled = torch.compile(peer.make(parameter, {}).step)
        sides["torch.compile"] = clocked(compiled, finish=_finish(device))
    return sides


def _check_agreement(name: str, device: str) -> None:
    """Take three steps with the rule and with torch from the same weights.

    Raises:
        RunError: the weights differ by more than rounding.
    """
    peer, rule = PEERS.get(name), optim.rule(name)
    if peer is None:
        return
    theta, state = _weights(1000, device), optim.fresh_state(rule, ROWS, 1000, device)
    start, grad = theta.clone(), _weights(1000, device, seed=1)
    hyper = optim.columns(rule, ROWS, {"lr": LR, "weight_decay": WEIGHT_DECAY}, device)
    parameter = theta.clone().requires_grad_()
    parameter.grad = grad.clone()
    theirs = peer.make(parameter, {})
    for step in range(1, 4):
        number = torch.full((ROWS, 1), float(step), dtype=torch.float64, device=device)
        optim.apply(rule, theta, grad, state, hyper, number, compiled=True)
        theirs.step()
    moved, wanted = theta - start, parameter.detach() - start
    gap = float((moved - wanted).abs().max() / wanted.abs().max())
    if not gap < 1e-3:
        raise RunError(f"{name} and torch.optim.{peer.name} differ by {gap:.2g} of a step; nothing was timed")


def _triad(elements: int, device: str) -> Side:
    """c = a + s b."""
    a, b, c = (torch.ones(elements, device=device) for _ in range(3))
    return clocked(lambda: torch.add(a, b, alpha=0.5, out=c), finish=_finish(device))


def _weights(columns: int, device: str, seed: int = 0) -> Tensor:
    """Normal numbers [ROWS, columns]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, columns, generator=generator).to(device)


def _finish(device: str) -> Callable[[], object] | None:
    """What waits for the device."""
    return torch.cuda.synchronize if torch.device(device).type == "cuda" else None
