"""Convolution and its two gradients: against torch, finite differences, loops, SciPy and numbers worked by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import signal
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from shoal.core.errors import InputError
from shoal.nn.functional import conv, conv_input_grad, conv_weight_grad
from shoal.nn.functional.choice import FORMS
from tests.nn.conv_cases import Conv, convolutions
from tests.oracle import conv_loops

TINY = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

OURS = "library"  # named, the sums are differentiated by this package; left to the rule, torch may do all of it


def close(ours: Tensor, theirs: Tensor, atol: float = 1e-10) -> None:
    assert ours.shape == theirs.shape
    torch.testing.assert_close(ours, theirs, rtol=0, atol=atol)


# --- numbers worked by hand -------------------------------------------------------------------------------------------


def test_the_worked_example_gives_each_number_of_the_formulas() -> None:
    """o_i = sum_j w_j x_{i+j-1} with x of 5 and w of 3, and what delta at o gives to w and to x."""
    x = torch.tensor([2.0, 3.0, 5.0, 7.0, 11.0], dtype=torch.float64)
    w = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    delta = torch.tensor([1.0, -2.0, 4.0], dtype=torch.float64)

    o = [
        1 * 2 + 10 * 3 + 100 * 5,  # o_1 = 532
        1 * 3 + 10 * 5 + 100 * 7,  # o_2 = 753
        1 * 5 + 10 * 7 + 100 * 11,  # o_3 = 1175
    ]
    by_w = [  # dL/dw_j = sum_i delta_i x_{i+j-1}
        1 * 2 - 2 * 3 + 4 * 5,  # 16
        1 * 3 - 2 * 5 + 4 * 7,  # 21
        1 * 5 - 2 * 7 + 4 * 11,  # 35
    ]
    by_x = [  # dL/dx_n = sum_j delta_{n-j+1} w_j
        1 * 1,  # delta_1 w_1 = 1
        -2 * 1 + 1 * 10,  # delta_2 w_1 + delta_1 w_2 = 8
        4 * 1 - 2 * 10 + 1 * 100,  # delta_3 w_1 + delta_2 w_2 + delta_1 w_3 = 84
        4 * 10 - 2 * 100,  # delta_3 w_2 + delta_2 w_3 = -160
        4 * 100,  # delta_3 w_3 = 400
    ]
    assert (o, by_w, by_x) == ([532, 753, 1175], [16, 21, 35], [1, 8, 84, -160, 400])

    leaves = x[None, None].requires_grad_(), w[None, None].requires_grad_()
    y = conv(*leaves, formulation=OURS)
    assert y[0, 0].tolist() == o
    gradients = torch.autograd.grad(y, leaves, delta[None, None])
    assert [g[0, 0].tolist() for g in gradients] == [by_x, by_w]
    for form in (None, *FORMS):
        assert conv(*leaves, formulation=form)[0, 0].tolist() == o
        assert conv_weight_grad(leaves[0], delta[None, None], 3, formulation=form)[0, 0].tolist() == by_w
        assert conv_input_grad(delta[None, None], leaves[1], 5, formulation=form)[0, 0].tolist() == by_x


@pytest.mark.parametrize(
    ("size", "kernel", "setting", "out"),
    [
        ((28, 28), (3, 3), {}, (26, 26)),
        ((28, 28), (3, 3), {"padding": 1}, (28, 28)),
        ((28, 28), (3, 3), {"padding": 1, "stride": 2}, (14, 14)),
        ((28, 28), (4, 2), {"padding": "same"}, (28, 28)),
        ((28, 28), (5, 5), {"padding": "valid"}, (24, 24)),
        ((10,), (3,), {"dilation": 4}, (2,)),
        ((7,), (3,), {"stride": 3}, (2,)),
        ((9, 8, 7), (3, 2, 1), {"stride": (2, 3, 4), "padding": (1, 0, 2)}, (5, 3, 3)),
    ],
)
def test_the_output_has_the_size_of_the_formula(
    size: tuple[int, ...], kernel: tuple[int, ...], setting: dict[str, object], out: tuple[int, ...]
) -> None:
    assert conv(torch.ones(2, 3, *size), torch.ones(4, 3, *kernel), **setting).shape == (2, 4, *out)  # type: ignore[arg-type]


@TINY
@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(0, 4), st.integers(1, 3))
def test_the_size_formula(n: int, k: int, s: int, p: int, d: int) -> None:
    out = (n + 2 * p - d * (k - 1) - 1) // s + 1
    if n + 2 * p < d * (k - 1) + 1:
        with pytest.raises(InputError, match="does not fit"):
            conv(torch.ones(1, 1, n), torch.ones(1, 1, k), None, s, p, d)
    else:
        assert conv(torch.ones(1, 1, n), torch.ones(1, 1, k), None, s, p, d).shape == (1, 1, out)


# --- against finite differences, torch and loops ----------------------------------------------------------------------


@settings(TINY, max_examples=220)
@given(convolutions(most=45))
def test_the_gradients_are_those_of_finite_differences(case: Conv) -> None:
    leaves = case.numbers(case.x, case.w, case.w[:1], grad=True)
    assert gradcheck(lambda *given: conv(*given, **case.settings, formulation=OURS), leaves)


@pytest.mark.parametrize(
    "case",
    [
        Conv((2, 2, 5), (2, 1, 2), (2,), (1,), (1,), 2, 1),
        Conv((1, 2, 3, 4), (1, 2, 2, 2), (1, 2), (1, 0), (1, 1), 1, 2),
        Conv((1, 1, 2, 3, 2), (2, 1, 2, 2, 1), (1, 1, 1), (0, 0, 0), (1, 2, 1), 1, 3),
    ],
    ids=["1d", "2d", "3d"],
)
def test_second_derivatives_and_forward_mode_are_those_of_finite_differences(case: Conv) -> None:
    leaves = case.numbers(case.x, case.w, case.w[:1], grad=True)

    def convolve(*given: Tensor) -> Tensor:
        return conv(*given, **case.settings, formulation=OURS)

    assert gradgradcheck(convolve, leaves)
    assert gradcheck(convolve, leaves, check_forward_ad=True)
    delta = convolve(*leaves).detach().clone().requires_grad_()
    assert gradcheck(
        lambda d, w: conv_input_grad(d, w, case.size, **case.settings), (delta, leaves[1]), check_forward_ad=True
    )
    assert gradcheck(
        lambda x, d: conv_weight_grad(x, d, case.kernel, **case.settings), (leaves[0], delta), check_forward_ad=True
    )


@settings(TINY, max_examples=150)
@given(convolutions(), st.sampled_from([None, *FORMS]))
def test_each_form_equals_torch(case: Conv, form: str | None) -> None:
    x, w, b = case.numbers(case.x, case.w, case.w[:1], grad=True)
    theirs = case.peer(x, w, b)
    delta = torch.randn(theirs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(case.seed + 1))
    their_gradients = torch.autograd.grad(theirs, (x, w, b), delta)

    ours = conv(x, w, b, **case.settings, formulation=form)
    close(ours, theirs)
    for mine, its in zip(torch.autograd.grad(ours, (x, w, b), delta), their_gradients, strict=True):
        close(mine, its)
    for size in (case.size, case.x):  # of the spatial axes, or the whole shape
        close(conv_input_grad(delta, w, size, **case.settings, formulation=form), their_gradients[0])
    close(conv_weight_grad(x, delta, case.kernel, **case.settings, formulation=form), their_gradients[1])


@settings(TINY, max_examples=40)
@given(convolutions(most=60))
def test_it_equals_loops_over_every_index(case: Conv) -> None:
    x, w = case.numbers(case.x, case.w, grad=True)
    what = {"x_shape": case.x, "w_shape": case.w, **case.settings}
    ours = conv(x, w, **case.settings, formulation=OURS)
    delta = torch.randn(ours.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(case.seed + 1))
    mine = torch.autograd.grad(ours, (x, w), delta)

    numbers = [_as_numbers(tensor.detach()) for tensor in (x, w, delta)]
    loops = conv_loops.forward(*numbers[:2], **what)
    assert set(loops) <= set(_as_numbers(ours.detach()))
    close(ours, _as_tensor(loops, tuple(ours.shape)))
    for gradient, theirs in zip(mine, conv_loops.backward(*numbers, **what), strict=True):
        close(gradient, _as_tensor(theirs, tuple(gradient.shape)))


def _as_numbers(tensor: Tensor) -> conv_loops.Numbers:
    return {at: float(tensor[at]) for at in itertools.product(*map(range, tensor.shape))}


def _as_tensor(numbers: conv_loops.Numbers, shape: tuple[int, ...]) -> Tensor:
    tensor = torch.zeros(shape, dtype=torch.float64)
    for at, number in numbers.items():
        tensor[at] = number
    return tensor


@pytest.mark.parametrize("kernel", [(2,), (3,), (4, 3), (2, 2), (2, 3, 4)])
@pytest.mark.parametrize("dilation", [1, 2, 3])
def test_same_padding_is_torchs_and_keeps_the_size(kernel: tuple[int, ...], dilation: int) -> None:
    case = Conv((2, 4, *(9, 8, 10)[: len(kernel)]), (6, 2, *kernel), (), (), (), 2, 5)
    x, w, b = case.numbers(case.x, case.w, (6,), grad=True)
    setting = {"padding": "same", "dilation": dilation, "groups": 2}
    theirs = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[len(kernel)](x, w, b, **setting)  # type: ignore[operator]
    ours = conv(x, w, b, **setting)  # type: ignore[arg-type]
    delta = torch.randn_like(theirs)
    close(ours, theirs)
    by_x, by_w = torch.autograd.grad(theirs, (x, w), delta)
    for mine, its in zip(torch.autograd.grad(ours, (x, w), delta), (by_x, by_w), strict=True):
        close(mine, its)
    close(conv_input_grad(delta, w, case.size, **setting), by_x)  # type: ignore[arg-type]
    close(conv_weight_grad(x, delta, kernel, **setting), by_w)  # type: ignore[arg-type]


# --- what convolution is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("mode", ["valid", "full", "same"])
def test_flipped_it_is_scipys_convolution(rank: int, mode: str) -> None:
    random = np.random.default_rng(3)
    x, w = random.normal(size=(9, 8)[:rank]), random.normal(size=(3, 5)[:rank])
    padding = {"valid": "valid", "full": [k - 1 for k in w.shape], "same": "same"}[mode]
    tensors = torch.from_numpy(x)[None, None], torch.from_numpy(w)[None, None]
    ours = conv(*tensors, padding=padding, flip=True)
    close(ours[0, 0], torch.from_numpy(signal.convolve(x, w, mode=mode, method="direct")))
    unflipped = signal.correlate(x, w, mode=mode, method="direct")
    close(conv(*tensors, padding=padding)[0, 0], torch.from_numpy(unflipped))
    assert (ours[0, 0] - torch.from_numpy(unflipped)).abs().max() > 0.1  # the kernel is not symmetric


@settings(TINY, max_examples=40)
@given(convolutions())
def test_flip_turns_the_kernel_in_the_gradients_too(case: Conv) -> None:
    x, w = case.numbers(case.x, case.w, grad=True)
    turned = w.flip(tuple(range(2, w.dim())))
    theirs = case.peer(x, turned)
    delta = torch.ones_like(theirs)
    by_x, by_w = torch.autograd.grad(theirs, (x, w), delta)
    close(conv(x, w, **case.settings, flip=True), theirs)
    close(conv_input_grad(delta, w, case.size, **case.settings, flip=True), by_x)
    close(conv_weight_grad(x, delta, case.kernel, **case.settings, flip=True), by_w)


@settings(TINY, max_examples=40)
@given(convolutions(), st.floats(-3, 3), st.floats(-3, 3))
def test_it_is_linear_in_the_input_and_in_the_kernel(case: Conv, a: float, c: float) -> None:
    x, x2, w, w2 = case.numbers(case.x, case.x, case.w, case.w)
    setting = case.settings
    close(conv(a * x + c * x2, w, **setting), a * conv(x, w, **setting) + c * conv(x2, w, **setting), 1e-9)
    close(conv(x, a * w + c * w2, **setting), a * conv(x, w, **setting) + c * conv(x, w2, **setting), 1e-9)


@settings(TINY, max_examples=40)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 2), st.integers(0, 99))
def test_a_shift_of_the_input_shifts_the_output(rank: int, shift: int, dilation: int, seed: int) -> None:
    case = Conv((1, 2, *(12, 11, 9)[:rank]), (3, 2, *(3, 2, 3)[:rank]), (), (), (), 1, seed)
    x, w = case.numbers(case.x, case.w)
    moved = x.roll(shift, dims=2)
    y, y_moved = conv(x, w, dilation=dilation), conv(moved, w, dilation=dilation)
    assert torch.equal(y_moved[:, :, shift:], y[:, :, :-shift])  # what came in over the border is not compared


# --- types and devices ------------------------------------------------------------------------------------------------


def test_autocast_works_in_its_type_and_gives_gradients_in_the_weights_type() -> None:
    x, w, b = torch.randn(2, 3, 8, 8), torch.randn(4, 3, 3, 3, requires_grad=True), torch.zeros(4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = conv(x, w, b), torch.conv2d(x, w, b)
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, theirs)
    ours.float().sum().backward()
    assert w.grad is not None and w.grad.dtype == torch.float32


def test_the_layout_of_memory_changes_no_number() -> None:
    x, w = torch.randn(2, 8, 9, 9), torch.randn(4, 8, 3, 3)
    torch.testing.assert_close(conv(x.to(memory_format=torch.channels_last), w), conv(x, w))
    torch.testing.assert_close(conv(x.mT, w.mT), torch.conv2d(x.mT, w.mT))


@pytest.mark.parametrize(
    ("x", "w", "groups", "whole"),
    [
        ((2, 4, 8, 8), (6, 4, 3, 3), 1, True),
        ((2, 4, 9), (4, 1, 3), 4, False),  # depthwise: the rule takes other sums for the gradients
        ((2, 8, 5, 5, 5), (8, 8, 3, 3, 3), 1, False),
    ],
)
def test_torchs_own_function_is_called_where_all_sums_are_left_to_it(
    x: tuple[int, ...], w: tuple[int, ...], groups: int, whole: bool
) -> None:
    seen, kernel = torch.randn(x), torch.randn(w, requires_grad=True)
    nodes = [conv(seen, kernel, groups=groups, formulation=form).grad_fn for form in (None, OURS)]
    assert ["ConvolutionBackward" in type(node).__name__ for node in nodes] == [whole, False]
    torch.testing.assert_close(*(conv(seen, kernel, groups=groups, formulation=form) for form in (None, OURS)))
    with torch.no_grad():
        torch.testing.assert_close(conv(seen, kernel, groups=groups), conv(seen, kernel, groups=groups, flip=False))


def test_settings_in_lists_are_as_good_as_in_tuples() -> None:
    x, w = torch.randn(1, 2, 7, 8), torch.randn(3, 2, 3, 2)
    lists, tuples = (conv(x, w, stride=kind((2, 1)), padding=kind((1, 0))) for kind in (list, tuple))
    assert torch.equal(lists, tuples) and torch.equal(lists, torch.conv2d(x, w, None, (2, 1), (1, 0)))


# --- bad input --------------------------------------------------------------------------------------------------------

X, W = torch.ones(2, 4, 8, 8), torch.ones(6, 4, 3, 3)
SHAPES = r"\[2, 4, 8, 8\].*\[6, 4, 3, 3\]"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"w": torch.ones(6, 4, 9, 3)}, r"\[2, 4, 8, 8\], kernel \[6, 4, 9, 3\].*spans 9 does not fit .* of 8"),
        ({"dilation": 4}, SHAPES + ".*dilation .*spans 9 does not fit"),
        (
            {"w": torch.ones(6, 3, 3, 3)},
            r"input \[2, 4, 8, 8\], kernel \[6, 3, 3, 3\].*channels \(4\) must be those of the kernel \(3\)",
        ),
        ({"groups": 2}, SHAPES + r", groups 2.*channels \(4\) must be those of the kernel \(4\) times the groups"),
        ({"groups": 4, "w": torch.ones(6, 1, 3, 3)}, r"the outputs \(6\) divisible by the groups"),
        ({"groups": 0}, SHAPES + ".*groups=0 must be a whole number of at least 1"),
        ({"groups": 1.0}, "groups=1.0 must be a whole number"),
        ({"groups": True}, "groups=True must be a whole number"),
        ({"x": X[:, :0], "w": W[:, :0]}, r"input \[2, 0, 8, 8\].*at least one input channel and one output"),
        ({"w": W[:0]}, r"kernel \[0, 4, 3, 3\].*at least one input channel and one output"),
        ({"x": [1.0]}, "tensors, not list"),
        ({"w": None}, "tensors, not NoneType"),
        ({"x": torch.ones(4, 8, 8)}, r"input \[4, 8, 8\], kernel \[6, 4, 3, 3\].*\[B, C, ...\]"),
        ({"w": torch.ones(6, 4, 3)}, r"input \[2, 4, 8, 8\], kernel \[6, 4, 3\]"),
        ({"x": torch.ones(2, 4), "w": torch.ones(6, 4)}, "1 to 3 spatial axes"),
        ({"x": torch.ones(2, 4, *(5,) * 4), "w": torch.ones(6, 4, *(3,) * 4)}, "1 to 3 spatial axes"),
        ({"stride": -1}, SHAPES + ".*stride=-1 must be at least 1"),
        ({"stride": 0}, "stride=0 must be at least 1"),
        ({"stride": (1, 1, 1)}, r"stride=\(1, 1, 1\) must be one whole number, or one for each of 2 axes"),
        ({"stride": 1.5}, "stride=1.5 must be one whole number"),
        ({"padding": (0, -1)}, r"padding=\(0, -1\) must be at least 0"),
        ({"padding": "full"}, "padding='full' is none of"),
        ({"padding": "same", "stride": 2}, "padding='same' needs a stride of 1"),
        ({"dilation": 0}, "dilation=0 must be at least 1"),
        ({"x": X.long(), "w": W.long()}, r"input \[2, 4, 8, 8\] of torch.int64.*kernel.*floating-point"),
        ({"x": X.double()}, "torch.float64.*torch.float32.*one floating-point type"),
        ({"x": X.to(torch.complex64), "w": W.to(torch.complex64)}, "complex64.*floating-point"),
        ({"b": torch.ones(4)}, r"bias \[4\], kernel \[6, 4, 3, 3\]: the bias must be \[6\]"),
        ({"b": torch.ones(6, dtype=torch.int32)}, "bias .* of torch.int32"),
        ({"formulation": "quick"}, "formulation='quick' is unknown: use one of"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_shapes(change: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        conv(**{"x": X, "w": W, **change})  # type: ignore[arg-type]


def test_the_gradients_refuse_what_does_not_fit() -> None:
    delta = torch.ones(2, 6, 6, 6)
    for wrong in (torch.ones(2, 6, 6, 5), torch.ones(2, 5, 6, 6)):
        with pytest.raises(InputError, match=r"delta \[2, \d, 6, \d\].*is \[2, 6, 6, 6\]"):
            conv_input_grad(wrong, W, 8)
    with pytest.raises(InputError, match=r"delta \[3, 6, 6, 6\].*is \[2, 6, 6, 6\]"):
        conv_weight_grad(X, torch.ones(3, 6, 6, 6), 3)
    with pytest.raises(InputError, match=r"delta \[2, 6, 6\], kernel \[6, 4, 3, 3\]"):
        conv_input_grad(torch.ones(2, 6, 6), W, 8)
    with pytest.raises(InputError, match=r"input_size=\[8, 8, 8\] must be one whole number|input \[8, 8, 8\]"):
        conv_input_grad(delta, W, [8, 8, 8])
    with pytest.raises(InputError, match=r"kernel_size=0 must be at least 1"):
        conv_weight_grad(X, delta, 0)
    with pytest.raises(InputError, match=r"kernel_size=\(3, 3, 3\) must be one whole number"):
        conv_weight_grad(X, delta, (3, 3, 3))
    with pytest.raises(InputError, match=r"channels"):
        conv_weight_grad(X, delta, 3, groups=3)
    with pytest.raises(InputError, match="floating-point"):
        conv_weight_grad(X.int(), delta.int(), 3)
