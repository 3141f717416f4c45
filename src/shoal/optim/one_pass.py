"""One step of every row in place, in one pass over memory: the rule's move, clipping, penalties and the average."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from shoal.core.layout import Layout
from shoal.optim import averages, compilation
from shoal.optim.averages import Average
from shoal.optim.formula import Coefficients, Hyper, Rule, State, cut

BLOCK_ELEMENTS = 1 << 16
"""Elements of theta that an uncompiled pass works on at a time: the pieces of a rule's matrices then stay in cache."""

_SHARE = "average_share"  # the average's coefficient


@torch.no_grad()
def apply(
    rule: Rule,
    theta: Tensor,
    grad: Tensor,
    state: State,
    hyper: Hyper,
    step: Tensor,
    layout: Layout | None = None,
    block: int | None = None,
    *,
    average: Average | None = None,
    compiled: bool = False,
) -> None:
    """One step of every row, in place: writes theta and state, and the average where there is one.

    Args:
        rule: the optimizer.
        theta: weights [K, P].
        grad: gradient [K, P]; only read.
        state: as `fresh_state` made it.
        hyper: each [K, 1], float64 best; see `Hyper` for what it may hold besides the rule's own.
        step: [K, 1], each row's own count, 1 at its first update.
        layout: where the parameters lie; only rules that are not elementwise need it.
        block: elements worked on at a time when not compiled; by default `BLOCK_ELEMENTS` on CPU and all elsewhere.
        average: takes in the new weights on the way.
        compiled: run as one compiled loop where that is possible; see `advance`.

    Raises:
        InputError: the rule needs a layout and got none.

    What holds: the same numbers as `rule.update`, bit for bit on CPU, whatever the block; see `advance` for compiled
    passes. What it costs: theta, grad, state and average pass through memory once; uncompiled, a few temporaries of
    `block` elements.
    """
    rows = {name: state[name] for name in rule.row_start}
    slots = {name: state[name] for name in rule.slots}
    coefficients, new_rows = rule.coefficients(hyper, step, rows, theta.dtype)
    advance(rule, theta, grad, slots, coefficients, layout, block, average=average, compiled=compiled)
    for name, value in new_rows.items():
        state[name].copy_(value)


def advance(
    rule: Rule,
    theta: Tensor,
    grad: Tensor,
    slots: State,
    coefficients: Coefficients,
    layout: Layout | None = None,
    block: int | None = None,
    *,
    average: Average | None = None,
    compiled: bool = False,
) -> None:
    """The part of `apply` that passes through memory: move theta, the slots and the average [K, P], in place.

    What holds when compiled: a row has the same bits in any company, for any number of rows, columns and threads. They
    differ from those of the uncompiled pass in the last place (in float64 by about 1e-16 a step), because torch's own
    `addcmul` and `sqrt` on CPU round otherwise than single instructions do. Compilation takes seconds, once for a rule,
    type and number of threads, whatever K and P; rules that are not elementwise run uncompiled (their sums by channel
    gain nothing from it). Without a compiler the uncompiled pass is taken, and a warning says so once.
    """
    matrices = {"theta": theta, "grad": grad, **slots}
    numbers = coefficients
    if average is not None:
        matrices["average"] = average.weights
        numbers = {**coefficients, _SHARE: average.share.to(theta.dtype)}
    if compiled and rule.elementwise and theta.numel():
        key = (rule.by_weight, rule.slots, *matrices, None, *numbers)
        names, number_names = tuple(matrices), tuple(numbers)

        def work(tensors: Sequence[Tensor]) -> None:
            given = dict(zip(names, tensors, strict=False))
            _move(rule, given, dict(zip(number_names, tensors[len(names) :], strict=True)), ())

        if compilation.run(key, f"{rule.name}_pass", work, (*matrices.values(), *numbers.values())):
            return
    if block is None:
        block = BLOCK_ELEMENTS if theta.device.type == "cpu" else max(theta.numel(), 1)
    for shape, columns in [((), slice(None))] if rule.elementwise else rule.parameters(theta, layout):
        part = {name: matrix[:, columns] for name, matrix in matrices.items()}
        own = {name: cut(value, slice(None), columns) for name, value in numbers.items()}
        for piece in _blocks(part, own, block, cuttable=rule.elementwise):
            _move(rule, *piece, shape)


def _move(rule: Rule, matrices: State, c: Coefficients, shape: tuple[int, ...]) -> None:
    """Write what follows from one step into a piece of the matrices."""
    slots = {name: matrices[name] for name in rule.slots}
    theta, new = rule.move(matrices["theta"], matrices["grad"], slots, c, shape)
    new["theta"] = theta
    if "average" in matrices:
        new["average"] = averages.toward(matrices["average"], theta, c[_SHARE])
    for name, value in new.items():
        matrices[name].copy_(value)


def _blocks(
    matrices: State, coefficients: Coefficients, block: int, *, cuttable: bool
) -> Iterator[tuple[State, Coefficients]]:
    """Views of at most `block` elements: several whole rows, or part of one, so that each is one run of memory.

    Rows are cut only when that is allowed.
    """
    height, length = matrices["theta"].shape
    if height * length <= block:
        yield matrices, coefficients
        return
    high = max(block // length, 1)
    wide = block if cuttable else length
    for top in range(0, height, high):
        rows = slice(top, top + high)
        for left in range(0, length, wide):
            columns = slice(left, left + wide)
            at = rows if wide >= length else (rows, columns)
            yield (
                {name: matrix[at] for name, matrix in matrices.items()},
                {name: cut(value, rows, columns) for name, value in coefficients.items()},
            )
