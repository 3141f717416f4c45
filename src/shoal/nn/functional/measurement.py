"""Which form of each sum is quickest here, by the clock: for who may let a clock decide, and records what it said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from time import perf_counter

import torch
from torch import Tensor

from shoal.nn.functional import choice as sums
from shoal.nn.functional.choice import FORMS, FORMULATIONS, Choice
from shoal.nn.functional.geometry import Geometry, Ints, Shape, placed

ROUNDS = 5
HOPELESS = 4.0  # a form this many times slower than the best in the first round is not timed again

Timings = Mapping[str, Mapping[str, float]]


def quickest(
    x_shape: Shape,
    w_shape: Shape,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
    *,
    rows: bool = False,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Choice:
    """The quickest form of each of `conv`'s three sums on this machine, to be handed to it as `formulation`.

    Args:
        x_shape: shape of the input, as `conv` takes it.
        w_shape: shape of the kernels.
        stride: as in `conv`, and so are padding, dilation, groups and rows.
        padding: see `conv`.
        dilation: see `conv`.
        groups: see `conv`.
        rows: see `conv`.
        dtype: type of both.
        device: where both lie.

    Returns:
        a choice. It may differ from one call of the program to the next: whoever needs runs that repeat keeps it.

    Raises:
        InputError: as in `conv`.

    What it costs: a few calls of each form, once in a process for each signature and number of threads.

    >>> quickest((8, 4, 9), (4, 4, 3)).correlate in FORMS
    True
    """
    found = timings(
        x_shape, w_shape, stride, padding, dilation, groups, rows=rows, dtype=dtype, device=torch.device(device)
    )
    return Choice(**{name: min(seconds, key=lambda form: seconds[form]) for name, seconds in found.items()})


def timings(
    x_shape: Shape,
    w_shape: Shape,
    stride: Ints,
    padding: Ints | str,
    dilation: Ints,
    groups: int,
    *,
    rows: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> Timings:
    """The best seconds of each form of each sum; arguments as in `quickest`."""
    at = placed(tuple(x_shape), tuple(w_shape), stride, padding, dilation, groups, rows)
    rank = at.geometry.rank
    size = tuple(n + q for n, q in zip(x_shape[-rank:], at.beyond, strict=True))
    x_shape, w_shape, by_row = (*x_shape[:-rank], *size), tuple(w_shape), rows
    if rows and len(x_shape) == rank + 2:  # one input for all rows is one network with all their outputs
        w_shape, by_row = (w_shape[0] * w_shape[1], *w_shape[2:]), False
    return _timings(x_shape, w_shape, at.geometry._replace(rows=by_row), dtype, device, torch.get_num_threads())


@cache
def _timings(
    x_shape: Shape, w_shape: Shape, g: Geometry, dtype: torch.dtype, device: torch.device, threads: int
) -> Timings:
    size, kernel = x_shape[-g.rank :], w_shape[-g.rank :]
    x, w = torch.ones(x_shape, dtype=dtype, device=device), torch.ones(w_shape, dtype=dtype, device=device)
    with torch.no_grad():
        delta = torch.ones_like(sums.correlate(x, w, None, g))
        calls: Mapping[str, Callable[[str], Tensor]] = {
            "correlate": lambda form: sums.correlate(x, w, None, g, form),
            "input_gradient": lambda form: sums.input_gradient(delta, w, size, g, form),
            "weight_gradient": lambda form: sums.weight_gradient(x, delta, kernel, g, form),
        }
        return {name: _best(call, FORMULATIONS if g.rows else FORMS, device) for name, call in calls.items()}


def _best(call: Callable[[str], Tensor], forms: Sequence[str], device: torch.device) -> dict[str, float]:
    """The shortest of several runs in turns, by form."""

    def clock(form: str) -> float:
        start = perf_counter()
        call(form)
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        return perf_counter() - start

    for form in forms:
        clock(form)  # what is set up once does not count
    best = {form: clock(form) for form in forms}
    hopeful = [form for form in forms if best[form] <= HOPELESS * min(best.values())]
    for _ in range(ROUNDS - 1):
        for form in hopeful:
            best[form] = min(best[form], clock(form))
    return best
