"""Activation statistics against a plain loop with hooks; planted faults turn each verdict and healthy networks none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from shoal.diagnose import activations, signal
from shoal.population import Member, Population

N = 48


def data(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, 32, generator=generator), torch.randint(0, 4, (N,), generator=generator)


def deep(activation: type[nn.Module] = nn.ReLU, depth: int = 6) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Linear(32, 32), activation()]
        return nn.Sequential(*layers, nn.Linear(32, 4))

    return make


class Own(nn.Module):
    """A forward of the user's own: functions, methods, in-place forms, one layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.norm = nn.Linear(32, 16), nn.Linear(16, 16), nn.BatchNorm1d(16)
        self.drop, self.act, self.last = nn.Dropout(0.5), nn.ReLU(inplace=True), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        x = torch.tanh(self.again(self.norm(x)))
        x = self.act(self.again(self.drop(x)))
        return self.last(x.sigmoid())


def members(*inits: str) -> list[Member]:
    return [Member(seed=k, init=init) for k, init in enumerate(inits)]


def by_hand(network: Own, x: Tensor, y: Tensor) -> tuple[list[Tensor], list[Tensor], float]:
    """The activations of `Own`, the gradients by them, and the loss, without any of the machinery under test."""
    network.train()
    a = F.relu(network.first(x))
    b = torch.tanh(network.again(network.norm(a)))
    c = network.again(b).relu()
    d = c.sigmoid()
    loss = F.cross_entropy(network.last(d), y)
    gradients = torch.autograd.grad(loss, [a, b, c, d])
    return [each.detach() for each in (a, b, c, d)], list(gradients), float(loss.detach())


def test_numbers_equal_a_loop_written_out() -> None:
    x, y = data()
    x = x.double()
    population = Population(Own, members("torch", "kaiming", "normal(0.3)"), dtype=torch.float64)
    before = population.theta.clone(), {name: stack.clone() for name, stack in population.buffers.items()}
    found = activations.measure(population, x, y)
    assert torch.equal(population.theta, before[0])
    assert all(torch.equal(population.buffers[name], stack) for name, stack in before[1].items())
    assert [site.kind for site in found.sites] == ["relu", "tanh", "relu", "sigmoid"]
    assert found.sites[2].name == "act"
    for row in range(3):
        network = population.network(row)
        assert isinstance(network, Own)
        values, gradients, loss = by_hand(network, x, y)
        assert found.loss[row] == pytest.approx(loss, rel=1e-10)
        for s, (value, gradient) in enumerate(zip(values, gradients, strict=True)):
            assert found.mean[row, s] == pytest.approx(float(value.mean()), rel=1e-9, abs=1e-12)
            assert found.std[row, s] == pytest.approx(float(value.std(correction=0)), rel=1e-9)
            assert found.gradient[row, s] == pytest.approx(float(gradient.norm()), rel=1e-8)
            assert found.histogram[row, s].sum() == pytest.approx(1.0)
        dead = (values[0] == 0).all(dim=0).double().mean()
        assert found.dead[row, 0] == pytest.approx(float(dead)) and np.isnan(found.dead[row, 1])
        assert found.saturated[row, 1] == pytest.approx(float((1 - values[1] ** 2 < 0.1).double().mean()))
        counts, _ = np.histogram(values[1].detach().numpy(), bins=found.edges[row, 1])
        np.testing.assert_allclose(found.histogram[row, 1] * values[1].numel(), counts)


def test_weight_gradients_are_autograds() -> None:
    x, y = data()
    population = Population(deep(depth=2), members("torch", "kaiming"), dtype=torch.float64)
    found = activations.measure(population, x.double(), y)
    assert found.weights == ("0.weight", "2.weight", "4.weight")
    for row in range(2):
        network = population.network(row)
        F.cross_entropy(network(x.double()), y).backward()
        for w, name in enumerate(found.weights):
            wanted = float(network.get_parameter(name).grad.norm())
            assert found.weight_gradient[row, w] == pytest.approx(wanted, rel=1e-9)


def test_rows_do_not_mix_not_even_when_one_is_not_finite() -> None:
    x, y = data()
    population = Population(deep(), members("kaiming", "xavier", "torch"))
    wanted = activations.measure(population, x, y)
    population.theta[1, 5] = torch.nan
    found = activations.measure(population, x, y)
    for name in ("mean", "std", "gradient", "dead", "histogram", "edges", "weight_gradient", "loss"):
        for row in (0, 2):
            np.testing.assert_array_equal(getattr(found, name)[row], getattr(wanted, name)[row])
    assert np.isnan(found.std[1]).any()
    assert [verdict.code for verdict in signal.verdicts(found)][1] == "SHL132"


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (2, 4, 4)),
        nn.Conv2d(2, 6, 3),
        nn.ReLU6(),
        nn.Conv2d(6, 5, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5, 4),
    )


def test_a_unit_of_a_convolution_is_its_channel() -> None:
    x, y = data()
    population = Population(convolutional, members("torch", "torch"))
    with torch.no_grad():
        views = population.template.layout.views(population.theta)
        views["1.bias"][1, :3] = -100.0  # three of six channels of the second row
    found = activations.measure(population, x, y)
    assert [site.kind for site in found.sites] == ["relu6", "relu"]
    assert found.dead[0, 0] == 0.0 and found.dead[1, 0] == 0.5


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.last = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.lstm(x.unflatten(1, (4, 8)))[0][:, -1])


def test_what_cannot_be_stacked_is_measured_row_by_row_and_layers_stand_in_for_activations() -> None:
    x, y = data()
    found = activations.measure(Population(Recurrent, members("torch", "kaiming")), x, y)
    assert [site.name for site in found.sites] == ["lstm", "last"]
    for row, member in enumerate(members("torch", "kaiming")):
        alone = activations.measure(Population(Recurrent, [member]), x, y)
        np.testing.assert_allclose(found.std[row], alone.std[0], rtol=1e-5)
    assert (found.gradient > 0).all()


def verdict_of(
    make: Callable[[], nn.Module], init: str = "torch", change: Callable[[Population], None] | None = None
) -> str:
    population = Population(make, [Member(seed=1, init=init)])
    if change:
        with torch.no_grad():
            change(population)
    return signal.verdict(activations.measure(population, *data()), 0).code


def biases(value: float) -> Callable[[Population], None]:
    def change(population: Population) -> None:
        for name, view in population.template.layout.views(population.theta).items():
            if name.endswith("bias"):
                view.fill_(value)

    return change


def normalized() -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(6):
        layers += [nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(32, 4))


@pytest.mark.parametrize(
    ("planted", "healthy", "code"),
    [
        (lambda: verdict_of(deep(nn.Tanh), "normal(0.05)"), lambda: verdict_of(deep(nn.Tanh), "xavier"), "SHL131"),
        (lambda: verdict_of(deep(depth=10), "xavier"), lambda: verdict_of(deep(depth=10), "kaiming"), "SHL131"),
        (lambda: verdict_of(deep(), "normal(0.05)"), lambda: verdict_of(normalized, "normal(0.05)"), "SHL131"),
        (lambda: verdict_of(deep(nn.Sigmoid), "xavier"), lambda: verdict_of(deep(nn.Sigmoid, 2), "xavier"), "SHL131"),
        (lambda: verdict_of(deep(), "normal(0.5)"), lambda: verdict_of(normalized, "normal(0.5)"), "SHL132"),
        (lambda: verdict_of(deep(nn.Tanh), "normal(1)"), lambda: verdict_of(deep(nn.Tanh), "kaiming"), "SHL133"),
        (
            lambda: verdict_of(deep(), "torch", biases(-9.0)),
            lambda: verdict_of(deep(), "kaiming", biases(0.1)),
            "SHL134",
        ),
    ],
)
def test_each_planted_fault_turns_its_verdict_and_its_counterpart_is_healthy(
    planted: Callable[[], str], healthy: Callable[[], str], code: str
) -> None:
    assert planted() == code
    assert healthy() == "SHL130"


def test_a_verdict_names_the_layer_the_number_the_threshold_and_the_fix() -> None:
    measured = activations.measure(Population(deep(nn.Tanh), [Member(seed=1, init="normal(1)")]), *data())
    said = signal.verdict(measured, 0)
    assert "layer" in said.sentence and "33%" in said.sentence and "xavier" in said.fix
    assert said.evidence["saturated"] > said.evidence["thresholds"]["saturated"]
