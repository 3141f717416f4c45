"""`shoal bench conv`: convolution and its two gradients against torch.nn.functional and its autograd.

One network: the forward sum, and both gradients as a user gets them through autograd, in 1-D to 3-D, with strides,
groups and depthwise. K = 8 and 64 networks: forward and backward of one population call, on an input by row and on a
shared one, against a loop of torch's convolutions; what `torch.func.vmap` makes of torch's is shown besides.
float32, in the process's own threads. The note says by which formulation each sum was computed: F forward, I by the
input, W by the weights. `quick`: fewer shapes, K = 8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn import functional as peer

from shoal.bench.case import Case
from shoal.bench.timing import Side, against, clocked
from shoal.core.errors import RunError
from shoal.nn.functional import Choice, conv
from shoal.nn.functional.choice import as_one, ruled
from shoal.nn.functional.geometry import Geometry, placed

PEERS: dict[int, Callable[..., Tensor]] = {1: peer.conv1d, 2: peer.conv2d, 3: peer.conv3d}
TARGET = 1.0
TURN_S = 0.01  # a turn of a short call repeats it for about this long


@dataclass(frozen=True, slots=True)
class Shape:
    """One convolution of the benchmark; `batch` is for one network, `rows_batch` for each of K."""

    name: str
    batch: int
    rows_batch: int
    channels: int
    outputs: int
    size: tuple[int, ...]
    kernel: int
    stride: int = 1
    groups: int = 1

    @property
    def padding(self) -> int:
        """Half a kernel."""
        return self.kernel // 2

    def tensors(self, batch: int, rows: int = 0, shared: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """x, w and b, with their leading axes; all want gradients."""
        generator = torch.Generator().manual_seed(17)
        lead = (rows,) if rows else ()
        kernel = (self.outputs, self.channels // self.groups, *(self.kernel,) * len(self.size))
        x = torch.randn((*(() if shared else lead), batch, self.channels, *self.size), generator=generator)
        w = torch.randn((*lead, *kernel), generator=generator) * 0.1
        b = torch.randn((*lead, self.outputs), generator=generator)
        return x.requires_grad_(), w.requires_grad_(), b.requires_grad_()

    def ours(self, x: Tensor, w: Tensor, b: Tensor, rows: bool = False) -> Tensor:
        """Shoal's side."""
        return conv(x, w, b, self.stride, self.padding, 1, self.groups, rows=rows)

    def theirs(self, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        """torch's side."""
        return PEERS[len(self.size)](x, w, b, self.stride, self.padding, 1, self.groups)


SHAPES = (
    Shape("1-D 1 to 16, 187, k 5", 64, 32, 1, 16, (187,), 5),
    Shape("1-D 16 to 32, 94, k 5", 64, 32, 16, 32, (94,), 5),
    Shape("1-D depthwise 32, 94, k 5", 64, 32, 32, 32, (94,), 5, groups=32),
    Shape("2-D 1 to 16, 28x28, k 3", 64, 32, 1, 16, (28, 28), 3),
    Shape("2-D 16 to 32, 14x14, k 3", 64, 32, 16, 32, (14, 14), 3),
    Shape("2-D 16 to 32, 14x14, k 3, stride 2", 64, 32, 16, 32, (14, 14), 3, stride=2),
    Shape("2-D 3 to 32, 32x32, k 5", 64, 16, 3, 32, (32, 32), 5),
    Shape("2-D 32 to 64, 14x14, k 1", 64, 32, 32, 64, (14, 14), 1),
    Shape("2-D 16 to 32 in 4 groups, 14x14, k 3", 64, 32, 16, 32, (14, 14), 3, groups=4),
    Shape("2-D depthwise 32, 14x14, k 3", 64, 32, 32, 32, (14, 14), 3, groups=32),
    Shape("3-D 1 to 8, 28x28x28, k 3", 8, 4, 1, 8, (28, 28, 28), 3),
    Shape("3-D 8 to 16, 14x14x14, k 3", 8, 4, 8, 16, (14, 14, 14), 3),
    Shape("3-D depthwise 16, 14x14x14, k 3", 8, 4, 16, 16, (14, 14, 14), 3, groups=16),
)
SMALL = Shape("2-D 8 to 8, 8x8, k 3", 16, 16, 8, 8, (8, 8), 3)  # calls cost more than their work
QUICK = (SHAPES[1], SHAPES[5], SHAPES[9], SHAPES[11])


def cases(quick: bool) -> Iterator[Case]:
    """Every shape alone, then as populations; a few of them where `quick`."""
    repeats = 3 if quick else 15
    for shape in QUICK if quick else SHAPES:
        yield from _alone(shape, repeats)
    for rows in (8,) if quick else (8, 64):
        for shape in QUICK[:2] if quick else (SMALL, *SHAPES):
            yield from _population(shape, rows, False, repeats)
            if shape.groups == 1:
                yield from _population(shape, rows, True, repeats)


def _alone(shape: Shape, repeats: int) -> Iterator[Case]:
    x, w, b = shape.tensors(shape.batch)
    ours, theirs = shape.ours(x, w, b), shape.theirs(x, w, b)
    delta = torch.randn(theirs.shape, generator=torch.Generator().manual_seed(18))
    _agree(shape, [ours, *_gradients(ours, (x, w, b), delta)], [theirs, *_gradients(theirs, (x, w, b), delta)])
    chosen = ruled(x, w, delta, _geometry(shape, x, w, rows=False))

    def forward(convolve: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        with torch.no_grad():
            return convolve(x, w, b)

    works: dict[str, tuple[Callable[[], object], Callable[[], object], str | None]] = {
        "forward": (lambda: forward(shape.ours), lambda: forward(shape.theirs), chosen.correlate),
        "both gradients": (
            lambda: _gradients(ours, (x, w, b), delta),
            lambda: _gradients(theirs, (x, w, b), delta),
            f"{chosen.input_gradient} (I), {chosen.weight_gradient} (W)",
        ),
    }
    for what, (mine, its, form) in works.items():
        name = f"{shape.name}, {what}"
        calls = _calls(its)
        peers = {"torch.nn.functional": clocked(its, calls=calls)}
        notes = {"torch.nn.functional": f"by {form}"}
        targets = {"torch.nn.functional": TARGET}
        yield from against(name, clocked(mine, calls=calls), peers, repeats, targets=targets, notes=notes, warmup=3)


def _population(shape: Shape, rows: int, shared: bool, repeats: int) -> Iterator[Case]:
    """Forward and both gradients of K networks; the gradient by a shared input is asked for by nobody."""
    x, w, b = shape.tensors(shape.rows_batch, rows, shared)
    wanted = (w, b) if shared else (x, w, b)
    if shared:
        x.requires_grad_(False)
    leaves = [tuple(t[k].detach().requires_grad_() for t in wanted) for k in range(rows)]
    y = shape.ours(x, w, b, rows=True)
    delta = torch.randn(y.shape, generator=torch.Generator().manual_seed(18))

    def ours() -> tuple[Tensor, ...]:
        return _gradients(shape.ours(x, w, b, rows=True), wanted, delta)

    def mapped() -> tuple[Tensor, ...]:
        return _gradients(vmap(shape.theirs, in_dims=(None if shared else 0, 0, 0))(x, w, b), wanted, delta)

    def loop() -> list[tuple[Tensor, ...]]:
        return [
            _gradients(shape.theirs(x, *leaf) if shared else shape.theirs(*leaf), leaf, delta[k])
            for k, leaf in enumerate(leaves)
        ]

    _agree(shape, ours(), [torch.stack(every) for every in zip(*loop(), strict=True)])
    g = _geometry(shape, x, w, rows=True)
    if shared and as_one(x, w.shape, g):
        note = "as one convolution"
    else:
        note = _named(ruled(x.expand(rows, *x.shape) if shared else x, w, delta, g._replace(rows=True)))
    calls = _calls(loop)
    sides: dict[str, Side] = {
        "loop of torch.nn.functional": clocked(loop, calls=calls),
        "torch.func.vmap of torch.nn.functional": clocked(mapped, calls=calls),
    }
    name = f"K {rows}, {shape.name}, {'shared input' if shared else 'an input by row'}, forward and backward"
    targets = {"loop of torch.nn.functional": TARGET}
    yield from against(
        name,
        clocked(ours, calls=calls),
        sides,
        repeats if rows < 64 else max(3, repeats // 2),
        targets=targets,
        notes=dict.fromkeys(sides, note),
    )


def _geometry(shape: Shape, x: Tensor, w: Tensor, rows: bool) -> Geometry:
    return placed(tuple(x.shape), tuple(w.shape), shape.stride, shape.padding, 1, shape.groups, rows).geometry


def _gradients(y: Tensor, leaves: tuple[Tensor, ...], delta: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(y, leaves, delta, retain_graph=True)


def _agree(shape: Shape, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> None:
    for mine, its in zip(ours, theirs, strict=True):
        scale = float(its.abs().max())
        if float((mine - its).abs().max()) > 1e-3 * scale:
            raise RunError(f"{shape.name}: Shoal's convolution and torch's do not agree.")


def _calls(work: Callable[[], object]) -> int:
    """How often a turn repeats a call."""
    work()
    start = perf_counter()
    work()
    return max(1, round(TURN_S / (perf_counter() - start)))


def _named(choice: Choice) -> str:
    return f"F by {choice.correlate}, I by {choice.input_gradient}, W by {choice.weight_gradient}"
