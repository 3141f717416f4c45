"""K kernels at once: what each formulation, vmap, grad and compile give, against one convolution at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, vmap

from shoal.core.errors import InputError
from shoal.nn.functional import Choice, conv, conv_input_grad, conv_weight_grad, measurement, unfolding
from shoal.nn.functional.choice import FORMS, FORMULATIONS
from tests.nn.conv_cases import Conv, convolutions
from tests.nn.test_conv import TINY, close


def one_by_one(case: Conv, x: Tensor, w: Tensor, b: Tensor, shared: bool) -> Tensor:
    """torch's own convolution, row by row."""
    return torch.stack([case.peer(x if shared else x[k], w[k], b[k]) for k in range(len(w))])


@settings(TINY, max_examples=100)
@given(convolutions(), st.integers(1, 3), st.booleans(), st.booleans(), st.sampled_from([None, *FORMULATIONS]))
def test_rows_equal_a_loop(case: Conv, rows: int, shared: bool, mapped: bool, formulation: str | None) -> None:
    x_shape = case.x if shared else (rows, *case.x)
    leaves = case.numbers(x_shape, (rows, *case.w), (rows, case.w[0]), grad=True)
    theirs = one_by_one(case, *leaves, shared)
    delta = torch.randn(theirs.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(case.seed + 1))
    their_gradients = torch.autograd.grad(theirs, leaves, delta)

    def one(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return conv(x, w, b, **case.settings, formulation=formulation)

    setting = {**case.settings, "rows": True, "formulation": formulation}
    ours = vmap(one, in_dims=(None if shared else 0, 0, 0))(*leaves) if mapped else conv(*leaves, **setting)
    close(ours, theirs)
    for mine, its in zip(torch.autograd.grad(ours, leaves, delta), their_gradients, strict=True):
        close(mine, its)
    close(conv_input_grad(delta, leaves[1], x_shape, **setting), their_gradients[0])
    close(conv_weight_grad(leaves[0], delta, case.kernel, **setting), their_gradients[1])


def test_a_row_alone_gives_what_it_gives_among_others() -> None:
    case = Conv((5, 3, 9, 9), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1, 7)
    x, w = case.numbers((6, *case.x), (6, *case.w))
    every = conv(x, w, rows=True, **case.settings)
    close(conv(x[[4, 1]], w[[4, 1]], rows=True, **case.settings), every[[4, 1]], 1e-12)
    poisoned = x.clone()
    poisoned[2] = torch.nan
    found = conv(poisoned, w, rows=True, **case.settings)
    assert found[2].isnan().all()
    assert not found[[0, 1, 3, 4, 5]].isnan().any()


CASE = Conv((3, 4, 7, 6), (6, 2, 3, 2), (2, 1), (1, 0), (1, 2), 2, 11)


@pytest.mark.parametrize(
    "in_dims", [(0, None, None), (None, 0, None), (None, None, 0), (2, 1, None), (1, None, 1), (None, 3, 0), (4, 2, 1)]
)
def test_any_axis_of_any_argument_can_be_mapped(in_dims: tuple[int | None, ...]) -> None:
    plain = CASE.numbers(CASE.x, CASE.w, CASE.w[:1])
    leaves = [
        tensor if at is None else torch.stack([tensor * (k + 1) for k in range(3)], dim=at)
        for tensor, at in zip(plain, in_dims, strict=True)
    ]

    def ours(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return conv(x, w, b, **CASE.settings)

    theirs = torch.stack(
        [
            CASE.peer(*(t if at is None else t.select(at, k) for t, at in zip(leaves, in_dims, strict=True)))
            for k in range(3)
        ]
    )
    close(vmap(ours, in_dims=in_dims)(*leaves), theirs)
    gradients = vmap(grad(lambda *given: ours(*given).square().sum(), argnums=(0, 1, 2)), in_dims=in_dims)(*leaves)
    their_gradients = vmap(grad(lambda *given: CASE.peer(*given).square().sum(), argnums=(0, 1, 2)), in_dims=in_dims)(
        *leaves
    )
    for mine, its in zip(gradients, their_gradients, strict=True):
        close(mine, its, 1e-9)


def test_populations_of_populations() -> None:
    x, w, b = CASE.numbers((2, *CASE.x), (2, 3, *CASE.w), (3, CASE.w[0]))

    def ours(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return conv(x, w, b, **CASE.settings)

    found = vmap(vmap(ours, in_dims=(None, 0, 0)), in_dims=(0, 0, None))(x, w, b)
    close(found, torch.stack([one_by_one(CASE, x[k], w[k], b, shared=True) for k in range(2)]))
    rows = vmap(lambda w: conv(x[0], w, rows=True, **CASE.settings))(w)
    close(rows, torch.stack([one_by_one(CASE, x[0], w[k], 0 * b, shared=True) for k in range(2)]))


def test_many_deltas_at_once() -> None:
    """Jacobians: backward under vmap, where delta has the mapped axis and the kernels have none."""
    x, w = CASE.numbers(CASE.x, CASE.w, grad=True)
    ours, theirs = conv(x, w, **CASE.settings, formulation="library"), CASE.peer(x, w)
    deltas = torch.randn(4, *theirs.shape, dtype=torch.float64)
    for mine, its in zip(
        torch.autograd.grad(ours, (x, w), deltas, is_grads_batched=True),
        torch.autograd.grad(theirs, (x, w), deltas, is_grads_batched=True),
        strict=True,
    ):
        close(mine, its)


@pytest.mark.slow
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_compiled_in_one_graph_it_equals_plain(shared: bool, mapped: bool) -> None:
    x, w, b = CASE.numbers(CASE.x if shared else (3, *CASE.x), (3, *CASE.w), (3, CASE.w[0]), grad=True)
    if shared:
        x = x.detach()  # a batch; torch 2.13 cannot compile vmap where it wants a gradient

    def loss(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        if mapped:
            one = lambda x, w, b: conv(x, w, b, **CASE.settings)  # noqa: E731
            return vmap(one, in_dims=(None if shared else 0, 0, 0))(x, w, b).square().sum()
        return conv(x, w, b, rows=True, **CASE.settings).square().sum()

    plain, compiled = loss(x, w, b), torch.compile(loss, fullgraph=True)(x, w, b)
    close(compiled, plain, 1e-9)
    leaves = (w, b) if shared else (x, w, b)
    for mine, its in zip(torch.autograd.grad(compiled, leaves), torch.autograd.grad(plain, leaves), strict=True):
        close(mine, its, 1e-9)


# --- which formulation ------------------------------------------------------------------------------------------------

RULED = [  # shapes on which the rule names something else than the library or the row
    ((64, 8, 5, 5, 5), (4, 8, 3, 3, 3), 1, False),
    ((2, 5, 9), (5, 1, 3), 5, False),
    ((2, 5, 9, 9), (5, 1, 3, 3), 5, False),
    ((2, 5, 5, 5, 5), (5, 1, 3, 3, 3), 5, False),
    ((2, 1, 9, 9), (128, 1, 3, 3), 1, False),
    ((2, 4, 9, 9), (8, 2, 3, 3), 2, False),
    ((3, 2, 1, 9, 9), (3, 4, 1, 3, 3), 1, True),
    ((3, 2, 4, 9), (3, 4, 4, 1), 1, True),
    ((3, 2, 8, 9, 9), (3, 8, 8, 3, 3), 1, True),
]


@pytest.mark.parametrize(("x_shape", "w_shape", "groups", "rows"), RULED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_the_rule_names_gives_the_same_numbers(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], groups: int, rows: bool, dtype: torch.dtype
) -> None:
    case = Conv(x_shape, w_shape, (), (), (), groups, 3)
    x, w = (tensor.to(dtype).requires_grad_() for tensor in case.numbers(x_shape, w_shape))
    found = []
    for formulation in (None, "rows" if rows else "library"):
        y = conv(x, w, groups=groups, rows=rows, formulation=formulation)
        found.append([y, *torch.autograd.grad(y.square().sum(), (x, w))])
    atol = 1e-10 if dtype == torch.float64 else 1e-3
    for mine, its in zip(*found, strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-4 if dtype == torch.float32 else 0, atol=atol)


def test_the_default_repeats_itself_bit_for_bit() -> None:
    for x_shape, w_shape, groups, rows in RULED:
        x, w = torch.randn(x_shape), torch.randn(w_shape)
        assert torch.equal(conv(x, w, groups=groups, rows=rows), conv(x, w, groups=groups, rows=rows))


@pytest.mark.parametrize("rows", [False, True])
def test_the_quickest_is_measured_once_and_gives_the_same_numbers(rows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    lead = (2,) if rows else ()
    x, w = CASE.numbers((*lead, *CASE.x), (*lead, *CASE.w))
    arguments = {**CASE.settings, "rows": rows, "dtype": torch.float64}
    choice = measurement.quickest(x.shape, w.shape, **arguments)
    assert set(choice) <= set(FORMULATIONS if rows else FORMS)
    close(conv(x, w, **CASE.settings, rows=rows, formulation=choice), conv(x, w, **CASE.settings, rows=rows))
    monkeypatch.setattr(measurement, "_best", None)
    assert measurement.quickest(x.shape, w.shape, **arguments) == choice  # no clock a second time


def test_a_choice_reaches_each_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    for name in ("correlate", "input_gradient", "weight_gradient"):
        kept = getattr(unfolding, name)
        monkeypatch.setattr(unfolding, name, lambda *a, kept=kept, name=name: (called.append(name), kept(*a))[1])
    x, w = CASE.numbers((2, *CASE.x), (2, *CASE.w), grad=True)
    for choice, expected in (
        (Choice("unfold", "rows", "unfold"), ["correlate", "weight_gradient"]),
        (Choice("grouped", "unfold", "rows"), ["input_gradient", "correlate"]),  # it is a correlation itself
        ("rows", []),
    ):
        called.clear()
        conv(x, w, rows=True, formulation=choice, **CASE.settings).sum().backward()
        assert called == expected


def test_columns_are_made_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = CASE.numbers((5, *CASE.x), (5, *CASE.w), grad=True)
    whole = conv(x, w, rows=True, formulation="unfold", **CASE.settings)
    gradients = torch.autograd.grad(whole.square().sum(), (x, w))
    seen = []
    kept = unfolding._pieces
    monkeypatch.setattr(
        unfolding, "_pieces", lambda *a: (seen.append(piece.numel() * 8) or (at, piece) for at, piece in kept(*a))
    )
    sample = 4 * 6 * 4 * 4 * 8  # bytes of one sample's columns: channels, taps, places
    for limit in (1, 2 * sample, 7 * sample):
        seen.clear()
        monkeypatch.setattr(unfolding, "PIECE_BYTES", limit)
        y = conv(x, w, rows=True, formulation="unfold", **CASE.settings)
        close(y, whole, 1e-12)
        assert max(seen) <= max(limit, sample)
        for mine, its in zip(torch.autograd.grad(y.square().sum(), (x, w)), gradients, strict=True):
            close(mine, its)


def test_a_population_that_does_not_fit_is_refused_with_the_shapes() -> None:
    x, w = torch.ones(3, 2, 4, 8, 8), torch.ones(4, 6, 4, 3, 3)
    with pytest.raises(InputError, match=r"\[3, 2, 4, 8, 8\].*\[4, 6, 4, 3, 3\]: there are 3 rows of inputs but 4"):
        conv(x, w, rows=True)
    with pytest.raises(InputError, match=r"bias \[6\], kernel \[4, 6, 4, 3, 3\]: the bias must be \[4, 6\]"):
        conv(x[0], w, torch.ones(6), rows=True)
    with pytest.raises(InputError, match=r"\[K, B, C, ...\] or one \[B, C, ...\]"):
        conv(x[0, 0], w, rows=True)
    with pytest.raises(InputError, match=r"delta \[4, 2, 6, 6, 5\].*is \[4, 2, 6, 6, 6\]"):
        conv_input_grad(torch.ones(4, 2, 6, 6, 5), w, 8, rows=True)
    with pytest.raises(InputError, match="there are 3 rows of inputs but 4"):
        conv_weight_grad(x, torch.ones(4, 2, 6, 6, 6), 3, rows=True)
