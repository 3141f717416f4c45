"""The functional view: outputs, gradients and Hessian products of each row are those of its ordinary module."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from shoal.core.errors import InputError
from shoal.population import Member, Population
from tests.population.networks import convolutional, dense, pictures, table


class Recurrent(nn.Module):
    """`vmap` has no rule for it."""

    def __init__(self) -> None:
        super().__init__()
        self.cells, self.out = nn.LSTM(5, 4, batch_first=True), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.cells(x.unsqueeze(1))[0][:, -1])


@pytest.mark.parametrize(
    ("make_net", "data"),
    [(dense, table()), (convolutional, pictures()), (Recurrent, table())],
    ids=["dense", "convolutional", "recurrent"],
)
def test_outputs_and_gradients_of_each_row_are_its_modules(make_net: type, data: tuple[Tensor, Tensor]) -> None:
    x, y = data[0].double(), data[1]
    population = Population(make_net, [Member(seed=k) for k in range(3)], dtype=torch.float64)
    list(population.train(x, y, epochs=1, batch_size=16))
    before = population.theta.clone()
    f, theta, buffers = population.functional([2, 0])

    def losses(theta: Tensor) -> Tensor:
        outputs = f(theta, buffers, x)
        return nn.functional.cross_entropy(outputs.flatten(0, 1), y.repeat(len(theta)), reduction="none").sum()

    gradient = torch.func.grad(losses)(theta)
    for number, row in enumerate((2, 0)):
        network = population.network(row)
        torch.testing.assert_close(f(theta, buffers, x)[number], network(x), rtol=0, atol=1e-12)
        nn.functional.cross_entropy(network(x), y, reduction="sum").backward()
        flat = torch.cat([p.grad.reshape(-1) for p in network.parameters() if p.grad is not None])
        torch.testing.assert_close(gradient[number], flat, rtol=1e-10, atol=1e-10)
    assert torch.equal(population.theta, before)


def test_a_hessian_product_is_the_change_of_the_gradient() -> None:
    x, y = table()
    population = Population(dense, [Member(seed=k) for k in range(2)], dtype=torch.float64)
    f, theta, buffers = population.functional()

    def gradient(theta: Tensor) -> Tensor:
        return torch.func.grad(
            lambda t: nn.functional.cross_entropy(f(t, buffers, x.double()).flatten(0, 1), y.repeat(2)) * 2
        )(theta)

    along = torch.randn(theta.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    product = torch.func.jvp(gradient, (theta,), (along,))[1]
    h = 1e-5
    difference = (gradient(theta + h * along) - gradient(theta - h * along)) / (2 * h)
    torch.testing.assert_close(product, difference, rtol=1e-6, atol=1e-8)


def test_rows_that_are_not_there_are_refused() -> None:
    with pytest.raises(InputError, match="no row 3"):
        Population(dense, [Member()]).functional([3])
