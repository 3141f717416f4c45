"""Losses and scores against torch and scikit-learn, member by member."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, r2_score
from torch import Tensor
from torch.nn import functional

from shoal import losses
from shoal.core.errors import InputError
from tests.oracle import loss_literal as literal


@given(st.integers(1, 5), st.integers(1, 9), st.integers(2, 7), st.integers(0, 1000), st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_cross_entropy_equals_torch_with_smoothing_by_member(k: int, b: int, c: int, seed: int, most: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    outputs = 5 * torch.randn(k, b, c, generator=generator, dtype=torch.float64)
    target = torch.randint(0, c, (k, b), generator=generator)
    smoothing = most * torch.rand(k, generator=generator, dtype=torch.float64)
    ours = losses.cross_entropy(outputs, target, smoothing)
    for member in range(k):
        theirs = functional.cross_entropy(
            outputs[member], target[member], reduction="none", label_smoothing=float(smoothing[member])
        )
        torch.testing.assert_close(ours[member], theirs, rtol=1e-12, atol=1e-12)


def along_batch(outputs: Tensor) -> Tensor:
    """The same logits with the batch next to each other in memory, as a chain's last layer writes them."""
    return outputs.transpose(1, 2).contiguous().transpose(1, 2)


LAYOUTS = pytest.mark.parametrize("layout", [Tensor.contiguous, along_batch], ids=["by class", "along the batch"])


@LAYOUTS
@pytest.mark.parametrize("smoothed", [False, True])
def test_cross_entropy_is_its_formula_in_either_layout_and_so_are_its_derivatives(
    layout: Callable[[Tensor], Tensor], smoothed: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    outputs = layout(3 * torch.randn(3, 4, 5, generator=generator, dtype=torch.float64)).requires_grad_()
    target = torch.randint(0, 5, (3, 4), generator=generator)
    smoothing = torch.tensor([0.0, 0.1, 0.3], dtype=torch.float64) if smoothed else None
    ours = losses.cross_entropy(outputs, target, smoothing)
    for k in range(3):
        s = 0.0 if smoothing is None else float(smoothing[k])
        for b in range(4):
            by_hand = literal.cross_entropy(outputs[k, b].tolist(), int(target[k, b]), s)
            assert float(ours[k, b].detach()) == pytest.approx(by_hand, rel=1e-12, abs=1e-12)
    assert torch.autograd.gradcheck(lambda o: losses.cross_entropy(o, target, smoothing), outputs)
    assert torch.autograd.gradgradcheck(lambda o: losses.cross_entropy(o, target, smoothing), outputs)


@LAYOUTS
def test_a_member_has_the_same_bits_in_any_company(layout: Callable[[Tensor], Tensor]) -> None:
    """Loss and gradient, for batches that fill no vector and members that begin anywhere in memory."""
    generator = torch.Generator().manual_seed(0)
    for b in (1, 7, 33, 100):
        outputs = layout(4 * torch.randn(13, b, 10, generator=generator))
        target = torch.randint(0, 10, (13, b), generator=generator)

        def both(rows: list[int], outputs: Tensor = outputs, target: Tensor = target) -> tuple[Tensor, Tensor]:
            own = layout(outputs[rows]).requires_grad_()
            value = losses.cross_entropy(own, target[rows])
            return value.detach(), torch.autograd.grad(value.sum(), own)[0]

        whole = both(list(range(13)))
        for rows in ([12], [3, 7], list(range(1, 13)), list(range(12, -1, -1))):
            assert all(torch.equal(part, full[rows]) for part, full in zip(both(rows), whole, strict=True))


@LAYOUTS
def test_a_class_ruled_out_harms_no_row_that_does_not_smooth(layout: Callable[[Tensor], Tensor]) -> None:
    """A logit of minus infinity: a row's loss and gradient are the same beside a row that smooths its labels."""
    outputs = layout(torch.tensor([[[1.0, 2.0, -torch.inf]]]).repeat(2, 2, 1)).requires_grad_()
    target = torch.tensor([[1, 1]]).repeat(2, 1)
    beside = losses.cross_entropy(outputs, target, torch.tensor([0.0, 0.1]))
    alone = losses.cross_entropy(outputs[:1], target[:1])
    assert torch.equal(beside[:1], alone) and torch.isinf(beside[1]).all()
    gradients = [torch.autograd.grad(value[0].sum(), outputs, retain_graph=True)[0][0] for value in (beside, alone)]
    assert torch.equal(*gradients) and torch.isfinite(gradients[0]).all()


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 4), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_squared_error_equals_torch(k: int, b: int, c: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    outputs, target = torch.randn(2, k, b, c, generator=generator, dtype=torch.float64)
    theirs = functional.mse_loss(outputs, target, reduction="none").mean(dim=-1)
    torch.testing.assert_close(losses.squared_error(outputs, target, torch.zeros(k)), theirs)
    torch.testing.assert_close(losses.explained(outputs, target), -theirs)


def test_the_metrics_are_accuracy_and_r2() -> None:
    generator = torch.Generator().manual_seed(0)
    outputs, classes = torch.randn(3, 50, 4, generator=generator), torch.randint(0, 4, (50,), generator=generator)
    loss = losses.find("cross_entropy")
    mean = loss.score(outputs, classes.expand(3, 50)).mean(dim=1).numpy()
    accuracy = loss.metric(mean, loss.target_variance(classes))
    assert accuracy == pytest.approx([accuracy_score(classes, each.argmax(dim=1)) for each in outputs])
    loss = losses.find("squared_error")
    values = 3 + 2 * torch.randn(50, 1, generator=generator, dtype=torch.float64)
    guesses = values + torch.randn(3, 50, 1, generator=generator, dtype=torch.float64)
    mean = loss.score(guesses, values.expand(3, 50, 1)).mean(dim=1).numpy()
    assert loss.metric(mean, loss.target_variance(values)) == pytest.approx(
        [r2_score(values, each) for each in guesses]
    )


def test_an_answer_that_is_not_a_number_is_no_hit() -> None:
    outputs = torch.tensor([[[1.0, 0.0], [torch.nan, 0.0], [torch.nan, torch.nan], [0.0, torch.nan]]])
    scores = losses.hits(outputs, torch.tensor([[0, 0, 0, 1]]))
    assert scores[0, 0] == 1 and torch.isnan(scores[0, 1:]).all()


@LAYOUTS
def test_members_do_not_touch_each_other(layout: Callable[[Tensor], Tensor]) -> None:
    outputs = layout(torch.randn(3, 6, 4))
    broken = outputs.clone()
    broken[1] = torch.nan
    target, smoothing = torch.zeros(3, 6, dtype=torch.int64), torch.tensor([0.0, 0.1, 0.2])
    kept = torch.tensor([0, 2])
    for function in (lambda o: losses.cross_entropy(o, target, smoothing), lambda o: losses.hits(o, target)):
        assert torch.equal(function(outputs)[kept], function(broken)[kept])


def test_an_unknown_loss_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"'hinge' is not known.*cross_entropy, squared_error"):
        losses.find("hinge")
    assert np.isfinite(losses.find("cross_entropy").target_variance(torch.tensor([0, 0])))
