"""Clipping and weight averages, by row, against torch's for one network."""

from __future__ import annotations

from math import inf

import pytest
import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from shoal.optim import averages, clip
from shoal.optim.sums import row_sum


def gradients(rows: int, parameters: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    size = torch.logspace(-2, 2, rows, dtype=torch.float64).unsqueeze(1)
    return size * torch.randn(rows, parameters, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("parameters", [1, 40, 5000])
def test_by_norm_equals_torch_for_each_row(parameters: int) -> None:
    grad, limits = gradients(5, parameters), torch.tensor([1.0, 0.5, 3.0, 1e-3, inf])
    clipped, norms = clip.by_norm(grad, limits)
    for row in range(5):
        p = torch.zeros(parameters, dtype=torch.float64, requires_grad=True)
        p.grad = grad[row].clone()
        norm = clip_grad_norm_([p], float(limits[row]))
        torch.testing.assert_close(clipped[row], p.grad, rtol=1e-12, atol=0.0)
        torch.testing.assert_close(norms[row], norm, rtol=1e-12, atol=0.0)
    assert torch.equal(clipped[4], grad[4])
    assert torch.linalg.vector_norm(clipped[3]) < 2e-3 < torch.linalg.vector_norm(grad[3])


def test_by_norm_keeps_a_lost_row_to_itself_and_off_is_off() -> None:
    grad = gradients(4, 50)
    lost = grad.clone()
    lost[1, 3], lost[2, 3] = torch.nan, inf
    limits = torch.tensor([0.1, 0.1, inf, 0.1])
    clean, _ = clip.by_norm(grad, limits)
    clipped, _ = clip.by_norm(lost, limits)
    assert torch.equal(clipped[[0, 3]], clean[[0, 3]])
    assert clipped[1].isnan().all()
    assert torch.equal(clipped[2], lost[2])


def test_by_value_equals_torch_for_each_row() -> None:
    grad, limits = gradients(4, 40), torch.tensor([0.001, 0.5, 3.0, inf])
    clipped = clip.by_value(grad, limits)
    for row in range(4):
        p = torch.zeros(40, dtype=torch.float64, requires_grad=True)
        p.grad = grad[row].clone()
        clip_grad_value_([p], limits[row].double())
        assert torch.equal(clipped[row], p.grad)
    assert not torch.equal(clipped[0], grad[0]) and torch.equal(clipped[3], grad[3])


@pytest.mark.parametrize("length", [1, 2, 1023, 1024, 1025, 70_001])
def test_a_row_s_sum_has_the_same_bits_in_any_company(length: int) -> None:
    x = torch.randn(9, length, generator=torch.Generator().manual_seed(1))
    threads, sums = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        sums += [row_sum(x), torch.cat([row_sum(row.clone()) for row in x.split(1)]), row_sum(x[:, :])]
        sums.append(torch.cat([row_sum(part) for part in x.split([2, 7])]))
    torch.set_num_threads(threads)
    assert all(torch.equal(each, sums[0]) for each in sums)
    torch.testing.assert_close(sums[0].double(), x.double().sum(dim=1), rtol=1e-5, atol=1e-3)


def test_averages_equal_torch_for_each_row() -> None:
    generator = torch.Generator().manual_seed(4)
    path = torch.randn(20, 3, 7, generator=generator, dtype=torch.float64)
    starts = [0, 0, 5]  # the last row joins later
    decay = torch.tensor([[0.9], [0.5], [0.99]], dtype=torch.float64)
    ema = swa = torch.full((3, 7), torch.nan, dtype=torch.float64)
    count = torch.tensor([[-start] for start in starts])
    nets = [torch.nn.Linear(7, 1, bias=False).double() for _ in starts]
    theirs_ema = [AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(float(d))) for net, d in zip(nets, decay)]  # noqa: B905
    theirs_swa = [AveragedModel(net) for net in nets]
    for t, theta in enumerate(path):
        ema = averages.toward(ema, theta, averages.ema_share(decay, count))
        swa = averages.toward(swa, theta, averages.swa_share(count))
        count = count + 1
        for row, (net, start) in enumerate(zip(nets, starts, strict=True)):
            net.weight.data = theta[row : row + 1].clone()
            if t >= start:
                theirs_ema[row].update_parameters(net)
                theirs_swa[row].update_parameters(net)
    for row in range(3):
        torch.testing.assert_close(ema[row : row + 1], theirs_ema[row].module.weight.data, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(swa[row : row + 1], theirs_swa[row].module.weight.data, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(swa[row], path[starts[row] :, row].mean(dim=0), rtol=1e-12, atol=1e-13)


def test_an_average_that_rests_or_starts_does_not_look_at_the_other_matrix() -> None:
    nan, numbers = torch.full((2, 3), torch.nan), torch.arange(6.0).view(2, 3)
    share = torch.tensor([[0.0], [1.0]])
    assert torch.equal(averages.toward(numbers, torch.where(share > 0, numbers, nan), share)[0], numbers[0])
    assert torch.equal(averages.toward(torch.where(share > 0, nan, numbers), numbers, share)[1], numbers[1])
