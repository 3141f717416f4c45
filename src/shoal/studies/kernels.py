"""What a convolution is, shown on numbers: linear, shifts commute with it, few weights; blur and edge kernels.

All checks run in float64 through `shoal.nn.functional.conv`, the convolution that Shoal's own layers use.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from shoal.core import keyed
from shoal.nn.functional import conv

KERNEL, OUTPUTS = 3, 8
SHIFTS = (1, 2, 3)
EXACT = 1e-10  # relative: rounding in float64 stays far below it, anything else far above

BLUR = np.full((3, 3), 1 / 9)
GAUSS = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256
SOBEL_X = np.array([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
LAPLACE = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])
SHARPEN = np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]])
KERNELS = {
    "blur: mean of 3 x 3": BLUR,
    "blur: Gauss, 5 x 5": GAUSS,
    "upright edges (Sobel)": SOBEL_X,
    "level edges (Sobel)": SOBEL_X.T,
    "edges all ways (Laplace)": LAPLACE,
    "sharpen": SHARPEN,
}
SIGNAL_KERNELS = {
    "blur: mean of 5": np.full(5, 1 / 5),
    "edges: central difference": np.array([-0.5, 0.0, 0.5]),
    "edges: second difference": np.array([1.0, -2.0, 1.0]),
}


@dataclass(frozen=True)
class Check:
    """One property: how far from it convolution and a dense layer are, relative to the size of the output."""

    name: str
    means: str
    convolution: float
    dense: float

    @property
    def holds(self) -> bool:
        """For the convolution, to rounding."""
        return self.convolution < EXACT


def _weights(shape: tuple[int, ...], seed: int, number: int) -> Tensor:
    return keyed.normal(keyed.key(seed, keyed.Purpose.SAMPLE, 77, number), shape)


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp(min=1e-300))


def checks(x: Tensor, seed: int) -> list[Check]:
    """Linearity, shifts, and flip, on rows of the user's data, beside a dense layer with as many outputs.

    Args:
        x: at least two rows [N, C, *size].
        seed: of kernels and weights.
    """
    x = x.double()
    rank = x.dim() - 2
    kernels = _weights((OUTPUTS, x.shape[1], *(KERNEL,) * rank), seed, 0)
    a, b = x[0::2][: len(x) // 2], x[1::2][: len(x) // 2]
    size = tuple(x.shape[2:])
    matrix = _weights((min(64, prod(size)), x.shape[1] * prod(size)), seed, 1)

    def dense(rows: Tensor) -> Tensor:
        return rows.flatten(1) @ matrix.T

    def relu(rows: Tensor) -> Tensor:
        return conv(rows, kernels).relu()

    found = [
        Check(
            "linear",
            "conv(2 a - 3 b) = 2 conv(a) - 3 conv(b); a dense layer is linear too, one with a ReLU behind it is not",
            _apart(conv(2 * a - 3 * b, kernels), 2 * conv(a, kernels) - 3 * conv(b, kernels)),
            _apart(dense(2 * a - 3 * b), 2 * dense(a) - 3 * dense(b)),
        ),
        Check(
            "linear, with a ReLU",
            "the same with a ReLU behind it: no longer linear, which is what it is for",
            _apart(relu(2 * a - 3 * b), 2 * relu(a) - 3 * relu(b)),
            _apart(dense(2 * a - 3 * b).relu(), 2 * dense(a).relu() - 3 * dense(b).relu()),
        ),
    ]
    for shift in (s for s in SHIFTS if s + KERNEL < min(size)):
        found.append(_shifted(x, kernels, matrix, shift))
    flipped = kernels.flip(tuple(range(2, kernels.dim())))
    found.append(
        Check(
            "flip",
            "true convolution is cross-correlation with the flipped kernel",
            _apart(conv(x, kernels, flip=True), conv(x, flipped)),
            float("nan"),
        )
    )
    return found


def _shifted(x: Tensor, kernels: Tensor, matrix: Tensor, shift: int) -> Check:
    """Shift, then convolve, against convolve, then shift: equal wherever the border has not come in."""
    rolled = x.roll(shift, dims=-1)
    inside = slice(shift, None)
    moved, plain = conv(rolled, kernels)[..., inside], conv(x, kernels).roll(shift, dims=-1)[..., inside]
    outputs = (x.flatten(1) @ matrix.T, rolled.flatten(1) @ matrix.T)
    return Check(
        f"shift by {shift}",
        "shifting the input shifts the output; a dense layer's outputs have no places, so its list of outputs is "
        "shifted instead",
        _apart(moved, plain),
        _apart(outputs[1][:, shift:], outputs[0].roll(shift, dims=-1)[:, shift:]),
    )


@dataclass(frozen=True)
class Count:
    """Weights (with biases) of a convolution and of the dense layer with the same inputs and outputs."""

    kernel: int
    outputs: tuple[int, ...]  # [channels, *size]
    convolution: int
    dense: int


def counts(shape: tuple[int, ...]) -> list[Count]:
    """For kernels of 3 and 5 and 16 output channels on one row [C, *size].

    >>> [(c.outputs, c.convolution, c.dense) for c in counts((1, 28, 28))][:1]
    [((16, 26, 26), 160, 8490560)]
    """
    found = []
    for kernel in (3, 5):
        if kernel > min(shape[1:]):
            continue
        outputs = (16, *(n - kernel + 1 for n in shape[1:]))
        weights = outputs[0] * (shape[0] * kernel ** (len(shape) - 1) + 1)
        found.append(Count(kernel, outputs, weights, prod(outputs) * (prod(shape) + 1)))
    return found


def filtered(image: NDArray[np.floating], kernel: NDArray[np.floating]) -> NDArray[np.float64]:
    """One kernel over one channel, same size, edges repeated; [H, W] or [L]."""
    x = torch.as_tensor(np.asarray(image, dtype=np.float64))
    w = torch.as_tensor(np.asarray(kernel, dtype=np.float64))
    pad = [size // 2 for size in reversed(kernel.shape) for _ in range(2)]
    padded = torch.nn.functional.pad(x[None, None], pad, mode="replicate")
    return np.asarray(conv(padded, w[None, None])[0, 0].numpy())
