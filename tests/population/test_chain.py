"""Chains of layers: layer by layer gives what `vmap` of the whole network gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from shoal.population import Member, Population, forward
from shoal.population.chain import FEW_OUTPUTS, Chain, is_chain, linear
from shoal.population.plan import Plan
from tests.population.networks import table

X, Y = table()
FEATURES, CLASSES = X.shape[1], int(Y.max()) + 1


def mixed() -> nn.Module:
    """Everything that a chain treats in its own way, and layers that it does not know."""
    twice, frozen = nn.GELU(), nn.Linear(8, 8)
    frozen.requires_grad_(False)
    inner = nn.Sequential(nn.Linear(FEATURES, 8, bias=False), nn.BatchNorm1d(8), twice, nn.Dropout(0.3))
    return nn.Sequential(
        nn.Flatten(), nn.Hardtanh(-3, 3), inner, frozen, twice, nn.LayerNorm(8), nn.Dropout(0.2), nn.Linear(8, CLASSES)
    )


def positions() -> nn.Module:
    """Linear layers over more than one axis, and dropout of whole channels."""
    layers = (nn.Linear(FEATURES, 8), nn.Unflatten(1, (2, 4)), nn.Linear(4, 5), nn.Dropout1d(0.3), nn.Tanh())
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(10, CLASSES))


MEMBERS = {
    "paired": [Member(seed=3, optimizer="adamw", lr=0.01 * k, dropout=0.1 * k) for k in range(1, 5)],
    "apart": [Member(seed=k, optimizer="adamw", lr=0.01, input_noise=0.1 * k) for k in range(4)],
    "sharing": [Member(seed=k, optimizer="adamw", lr=0.01) for k in range(3)],
}


@pytest.mark.parametrize("members", MEMBERS)
@pytest.mark.parametrize("make_net", [mixed, positions])
def test_layer_by_layer_equals_vmap_of_the_whole(
    make_net: Callable[[], nn.Module], members: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, statistics and scores, with dropout, noise and batches by row."""
    monkeypatch.setattr(Population, "plan", lambda *_: Plan(4, 1))
    assert is_chain(make_net())
    found = []
    for chain in (True, False):
        monkeypatch.setattr(forward, "is_chain", lambda network, chain=chain: chain and is_chain(network))
        population = Population(make_net, MEMBERS[members], dtype=torch.float64)
        *_, record = population.train(X.double(), Y, epochs=4, batch_size=8, validation=(X.double(), Y))
        found.append((population.theta, population.buffers, record.loss, record.validation_loss))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


class Doubling(nn.Flatten):
    """A class of the user's own whose `forward` does more than its parent's."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize(
    "first",
    [lambda: nn.Unflatten(1, (1, -1)), lambda: nn.ReLU(inplace=True), lambda: nn.Softmax(1), Doubling],
    ids=["unflatten", "in place", "softmax", "own"],
)
def test_a_first_layer_without_weights_sees_the_batch_that_all_rows_share(first: Callable[[], nn.Module]) -> None:
    def make_net() -> nn.Module:
        return nn.Sequential(first(), nn.Flatten(), nn.Linear(FEATURES, CLASSES))

    together = Population(make_net, MEMBERS["sharing"], dtype=torch.float64)
    list(together.train(X.double(), Y, epochs=2, batch_size=8))
    for k, member in enumerate(MEMBERS["sharing"]):
        alone = Population(make_net, [member], dtype=torch.float64)
        list(alone.train(X.double(), Y, epochs=2, batch_size=8))
        torch.testing.assert_close(together.theta[k], alone.theta[0], rtol=1e-10, atol=1e-12)


def test_a_row_on_all_inputs_is_the_network_itself() -> None:
    population = Population(mixed, MEMBERS["apart"], dtype=torch.float64)
    list(population.train(X.double(), Y, epochs=2, batch_size=8))
    outputs = torch.as_tensor(population.predict(X.double()))
    for k in range(len(population)):
        with torch.no_grad():
            torch.testing.assert_close(outputs[k], population.network(k).eval()(X.double()), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("batch_last", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_the_linear_layers_gradients(bias: bool, batch_last: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    x, w, b = drawn(3, 2, 4, 5), drawn(3, 6, 5), drawn(3, 6) if bias else None
    assert torch.autograd.gradcheck(linear, (x, w, b, batch_last))
    alone = torch.stack([nn.functional.linear(x[k], w[k], None if b is None else b[k]) for k in range(3)])
    outputs = linear(x, w, b, batch_last)
    torch.testing.assert_close(outputs, alone, rtol=1e-12, atol=1e-12)
    by_row = outputs.flatten(1, 2)
    assert (by_row.transpose(1, 2) if batch_last else by_row).is_contiguous()


def test_what_is_no_chain() -> None:
    """Where a hook is to be called, weights are shared, or a class of the user's own may do more."""
    hooked, tied = mixed(), nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    statistics = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(4))
    statistics[2].running_mean = statistics[1].running_mean
    hooked[2].register_forward_hook(lambda *_: None)
    tied[1].weight = tied[0].weight
    rebound = mixed()
    rebound[-1].forward = lambda x: x
    own = type("Own", (nn.Sequential,), {})(nn.Linear(4, 4))
    assert not any(
        is_chain(each) for each in (hooked, tied, statistics, rebound, own, nn.Linear(4, 4), nn.Sequential(nn.ReLU()))
    )


@pytest.mark.parametrize(
    ("layers", "along"),
    [
        ([nn.Linear(FEATURES, 10)], True),
        ([nn.Linear(FEATURES, FEW_OUTPUTS + 1)], False),
        ([nn.Linear(FEATURES, 10), nn.ReLU()], False),
    ],
    ids=["few outputs", "many", "not the last layer"],
)
def test_few_outputs_lie_along_the_batch(layers: list[nn.Module], along: bool) -> None:
    network = nn.Sequential(*layers)
    weights = {name: p.detach().expand(2, *p.shape).clone() for name, p in network.named_parameters()}
    outputs = Chain(network, weights)(X, {}, False)
    assert outputs.transpose(1, 2).is_contiguous() == along
    for row in outputs:
        torch.testing.assert_close(row, network(X).detach())
