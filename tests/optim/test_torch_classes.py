"""The drop-in classes against torch.optim: steps, groups, closures, state both ways, schedulers."""

from __future__ import annotations

import copy
import inspect
import io
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shoal import optim
from shoal.core.errors import InputError
from shoal.optim import compilation, row_optimizer
from tests.optim.problem import Losses, agree
from tests.oracle import optim_adamp

# every class with the settings that choose its formulas
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.02, "weight_decay": 0.1}),
    "SGD momentum": ("SGD", {"lr": 0.02, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.1}),
    "SGD nesterov": ("SGD", {"lr": 0.02, "momentum": 0.8, "nesterov": True}),
    "Adagrad": ("Adagrad", {"lr": 0.1, "lr_decay": 0.01, "initial_accumulator_value": 0.3, "weight_decay": 0.1}),
    "Adadelta": ("Adadelta", {"weight_decay": 0.1}),
    "RMSprop": ("RMSprop", {"weight_decay": 0.1}),
    "RMSprop centered": ("RMSprop", {"centered": True, "momentum": 0.7, "alpha": 0.9}),
    "Adam": ("Adam", {"lr": 0.02, "weight_decay": 0.1}),
    "Adam amsgrad": ("Adam", {"lr": 0.02, "amsgrad": True, "betas": (0.8, 0.9)}),
    "Adam decoupled": ("Adam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "AdamW": ("AdamW", {"lr": 0.02, "eps": 1e-4}),
    "AdamW amsgrad": ("AdamW", {"lr": 0.02, "amsgrad": True, "maximize": True}),
    "NAdam": ("NAdam", {"weight_decay": 0.1}),
    "NAdam decoupled": ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True}),
    "RAdam": ("RAdam", {"lr": 0.02, "weight_decay": 0.1}),
    "RAdam decoupled": ("RAdam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
}
every_case = pytest.mark.parametrize("name", CASES)


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)
        ).to(dtype)


def batch(t: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(t)
    x = torch.randn(8, 2, 6, 6, generator=generator, dtype=torch.float64)
    return x.to(dtype), (x.mean(dim=(2, 3)) * 3).sin().to(dtype)


def train(net: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for t in steps:
        x, y = batch(t)
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()


def weights(net: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(1, -1) for p in net.parameters()], dim=1)


def pair(name: str, **further: Any) -> tuple[nn.Module, torch.optim.Optimizer, nn.Module, torch.optim.Optimizer]:
    """The same network twice, with our optimizer and torch's."""
    class_name, settings = CASES[name]
    ours, theirs = network(), network()
    settings = {**settings, **further}
    return (
        ours,
        getattr(optim, class_name)(ours.parameters(), **settings),
        theirs,
        getattr(torch.optim, class_name)(theirs.parameters(), **settings),
    )


@pytest.fixture(autouse=True)
def double_by_default() -> Any:
    """torch keeps NAdam's mu_product in the default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@every_case
def test_trains_as_torch_does(name: str) -> None:
    ours, our_optimizer, theirs, their_optimizer = pair(name)
    start = weights(ours)
    train(ours, our_optimizer, range(50))
    train(theirs, their_optimizer, range(50))
    assert (weights(theirs) - start).abs().max() > 1e-3
    assert agree(weights(ours) - start, weights(theirs) - start, rtol=1e-7)  # the network amplifies rounding


@every_case
@pytest.mark.parametrize("there", ["to torch", "from torch", "to ourselves"])
def test_state_dict_goes_both_ways(name: str, there: str) -> None:
    ours, our_optimizer, theirs, their_optimizer = pair(name)
    first, second = {
        "to torch": ((ours, our_optimizer), their_optimizer),
        "from torch": ((theirs, their_optimizer), our_optimizer),
        "to ourselves": ((ours, our_optimizer), our_optimizer),
    }[there]
    straight, straight_optimizer = pair(name)[2:]
    train(straight, straight_optimizer, range(20))
    train(*first, range(10))
    stored = io.BytesIO()
    torch.save(first[1].state_dict(), stored)
    stored.seek(0)
    loaded = torch.load(stored, weights_only=True)
    onward = network()
    onward.load_state_dict(first[0].state_dict())
    class_name, _ = CASES[name]
    fresh = type(second)(onward.parameters())  # settings come from the state as well
    fresh.load_state_dict(loaded)
    train(onward, fresh, range(10, 20))
    start = weights(network())
    assert agree(weights(onward) - start, weights(straight) - start, rtol=1e-7), class_name


@every_case
def test_state_has_torch_s_keys_and_shapes(name: str) -> None:
    ours, our_optimizer, theirs, their_optimizer = pair(name)
    train(ours, our_optimizer, range(2))
    train(theirs, their_optimizer, range(2))
    mine, other = our_optimizer.state_dict(), their_optimizer.state_dict()
    assert mine["state"].keys() == other["state"].keys()
    for index, slots in other["state"].items():
        stated = {key: value for key, value in slots.items() if value is not None}
        assert mine["state"][index].keys() == stated.keys()
        for key, value in stated.items():
            assert mine["state"][index][key].shape == value.shape and mine["state"][index][key].dtype == value.dtype
    assert set(other["param_groups"][0]) <= set(mine["param_groups"][0])


@pytest.mark.parametrize("name", [name for name in optim.__all__ if hasattr(torch.optim, name) and name[0].isupper()])
def test_names_and_defaults_are_torch_s(name: str) -> None:
    ours = inspect.signature(getattr(optim, name).__init__).parameters
    theirs = inspect.signature(getattr(torch.optim, name).__init__).parameters
    how_torch_runs = {"foreach", "fused", "capturable", "differentiable"}
    assert set(ours) - {"torch_only"} == set(theirs) - how_torch_runs

    def by_position(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return [key for key, each in parameters.items() if each.kind is kind and key not in how_torch_runs]

    assert by_position(ours) == by_position(theirs)[: len(by_position(ours))]
    assert all(ours[key].default == theirs[key].default for key in ours if key in theirs)


def test_groups_have_their_own_settings() -> None:
    def groups(net: nn.Module) -> list[dict[str, Any]]:
        return [
            {"params": net[0].parameters(), "lr": 0.05, "betas": (0.5, 0.9)},
            {"params": net[1].parameters(), "weight_decay": 0.0},
            {"params": net[4].parameters()},
        ]

    ours, theirs = network(), network()
    train(ours, optim.AdamW(groups(ours), lr=1e-2, weight_decay=0.3), range(30))
    train(theirs, torch.optim.AdamW(groups(theirs), lr=1e-2, weight_decay=0.3), range(30))
    start = weights(network())
    assert agree(weights(ours) - start, weights(theirs) - start, rtol=1e-7)


@pytest.mark.parametrize("name", ["SGD momentum", "Adam", "NAdam", "RMSprop centered"])
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "plateau"])
def test_torch_s_schedulers_work(name: str, schedule: str) -> None:
    scheduler = {
        "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=20),
        "one_cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, max_lr=0.05, total_steps=40),  # momentum as well
        "plateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=1),
    }[schedule]
    results = []
    for net, optimizer in (pair(name)[:2], pair(name)[2:]):
        plan = scheduler(optimizer)
        for t in range(30):
            train(net, optimizer, range(t, t + 1))
            plan.step(1.0) if schedule == "plateau" else plan.step()
        results.append(weights(net) - weights(network()))
    assert agree(results[0], results[1], rtol=1e-7)


def test_a_closure_is_called_once_with_gradients_on() -> None:
    net, calls = network(), []
    optimizer = optim.RAdam(net.parameters(), lr=1e-3)

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(batch(0)[0]), batch(0)[1])
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True] and loss.item() > 0
    assert not torch.equal(weights(net), weights(network()))


def test_adamp_equals_the_literal_version() -> None:
    losses = Losses(rows=1, parameters=24)
    p = losses.start[0].clone().view(4, 3, 2).requires_grad_()
    flat = losses.start[0].tolist()
    settings = {"lr": 0.01, "weight_decay": 0.1, "delta": 0.7, "wd_ratio": 0.3}
    optimizer = optim.AdamP([p], betas=(0.9, 0.99), nesterov=True, **settings)
    oracle = optim_adamp.AdamP((4, 3, 2), beta1=0.9, beta2=0.99, eps=1e-8, nesterov=1.0, **settings)
    for t in range(100):
        p.grad = losses.gradient(0, p.detach().reshape(-1), t).view(4, 3, 2)
        optimizer.step()
        flat = oracle.step(flat, losses.gradient(0, torch.tensor(flat), t).tolist())
    assert {"channels", "no"} <= set(oracle.projected)
    start = losses.start
    assert agree(p.detach().reshape(1, -1) - start, torch.tensor([flat]) - start)


@pytest.mark.parametrize("name", ["SGD nesterov", "Adam", "NAdam", "Adagrad"])
def test_channels_last_parameters(name: str) -> None:
    nets = [network(), network().to(memory_format=torch.channels_last)]
    for net in nets:
        class_name, settings = CASES[name]
        train(net, getattr(optim, class_name)(net.parameters(), **settings), range(10))
    assert not nets[1][0].weight.is_contiguous()
    torch.testing.assert_close(weights(nets[1]), weights(nets[0]), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["AdamP", "AdamW", "SGD"])
def test_half_precision_parameters_are_worked_on_in_float32(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    start, grad = (torch.randn(6, 5, generator=generator).bfloat16() for _ in range(2))
    half, full = start.clone().requires_grad_(), start.float().requires_grad_()
    half.grad, full.grad = grad.clone(), grad.float()
    for p in (half, full):
        getattr(optim, name)([p], lr=0.1).step()
    assert half.dtype == torch.bfloat16 and torch.equal(half.detach(), full.detach().bfloat16())


def test_parameters_without_a_gradient_are_left_alone() -> None:
    net = network()
    net[0].weight.requires_grad_(False)
    optimizer = optim.Adam(net.parameters(), lr=0.1, weight_decay=1.0)
    train(net, optimizer, range(3))
    assert torch.equal(net[0].weight, network()[0].weight)
    assert net[0].weight not in optimizer.state
    empty = nn.Parameter(torch.empty(0, 3))
    empty.grad = torch.empty(0, 3)
    optim.AdamP([empty]).step()


@pytest.mark.parametrize("name", ["Adam", "SGD momentum", "NAdam", "RAdam", "Adagrad"])
def test_each_parameter_counts_its_own_steps(name: str) -> None:
    class_name, settings = CASES[name]
    moved = []
    for library in (optim, torch.optim):
        often, seldom = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
        optimizer = getattr(library, class_name)([often, seldom], **settings)
        for t in range(12):
            often.grad = often.detach() + t % 2
            seldom.grad = seldom.detach() + t % 3 if t % 4 == 1 else None
            optimizer.step()
        moved.append(torch.stack([often.detach(), seldom.detach()]) - 1)
    assert agree(moved[0], moved[1])


def test_copies_and_continues_bit_for_bit() -> None:
    straight, saved = network(), network()
    optimizer, saved_optimizer = (optim.NAdam(net.parameters()) for net in (straight, saved))
    train(straight, optimizer, range(12))
    train(saved, saved_optimizer, range(6))
    onward = copy.deepcopy(saved)
    fresh = optim.NAdam(onward.parameters())
    fresh.load_state_dict(copy.deepcopy(saved_optimizer.state_dict()))
    train(onward, fresh, range(6, 12))
    assert torch.equal(weights(onward), weights(straight))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("Adam", {"lr": -1.0}, "lr is -1; it must be a finite number of at least 0"),
        ("Adam", {"betas": (0.9, 1.0)}, "beta2 is 1; it must be at least 0 and below 1"),
        ("AdamW", {"weight_decay": -0.1}, "weight_decay is -0.1"),
        ("SGD", {"momentum": -0.5}, "momentum is -0.5; it must be at least 0 and at most 1"),
        ("SGD", {"nesterov": True}, "nesterov=True needs momentum above 0 and dampening 0"),
        ("SGD", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov=True needs"),
        ("Adadelta", {"rho": 1.5}, "rho is 1.5"),
        ("Adagrad", {"initial_accumulator_value": -1.0}, "initial_accumulator_value is -1"),
        ("RAdam", {"differentiable": True}, "differentiable=True is not supported"),
        ("RAdam", {"learning_rate": 1.0}, "RAdam has no argument learning_rate"),
    ],
)
def test_bad_settings_are_refused(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        getattr(optim, name)([nn.Parameter(torch.zeros(2))], **settings)


def test_bad_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="a parameter is complex"):
        optim.Adam([nn.Parameter(torch.zeros(2, dtype=torch.complex64))])
    table = nn.Embedding(5, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(InputError, match="Adam needs dense gradients"):
        optim.Adam(table.parameters()).step()
    optimizer = optim.Adam([nn.Parameter(torch.zeros(2))])
    with pytest.raises(InputError, match="lr is -2"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.zeros(2))], "lr": -2.0})
    assert len(optimizer.param_groups) == 1


def test_torch_s_running_flags_change_nothing() -> None:
    results = []
    for flags in ({}, {"foreach": True}, {"fused": True, "capturable": True}):
        net = network()
        train(net, optim.Adam(net.parameters(), **flags), range(3))
        results.append(weights(net))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


@pytest.mark.skipif(bool(compilation.why_not()), reason="nothing can be compiled here")
@pytest.mark.parametrize("name", ["SGD momentum", "AdamW amsgrad"])
def test_a_long_training_goes_on_compiled_with_the_same_numbers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many moved weights the passes are compiled; here in the middle of 20 steps."""
    compiled_passes = []
    run = compilation.run
    monkeypatch.setattr(compilation, "run", lambda *given: compiled_passes.append(given[1]) or run(*given))
    ours, our_optimizer, theirs, their_optimizer = pair(name)
    monkeypatch.setattr(row_optimizer, "COMPILED_AFTER", 10 * weights(ours).numel())
    start = weights(ours)
    train(ours, our_optimizer, range(10))
    assert compiled_passes == []
    train(ours, our_optimizer, range(10, 20))
    assert len(compiled_passes) > 9 * len(list(ours.parameters()))
    train(theirs, their_optimizer, range(20))
    assert agree(weights(ours) - start, weights(theirs) - start, rtol=1e-7)


@pytest.mark.parametrize(
    ("name", "copies"),
    [("SGD", 0), ("SGD momentum", 1), ("RMSprop", 1), ("Adam", 2), ("Adam amsgrad", 3), ("NAdam", 2)],
)
def test_the_state_takes_the_memory_that_the_rule_states(name: str, copies: int) -> None:
    ours, our_optimizer, _, _ = pair(name)
    train(ours, our_optimizer, range(1))
    held = [value for state in our_optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    matrices = sum(value.untyped_storage().nbytes() for value in held if value.dim())
    numbers = sum(value.untyped_storage().nbytes() for value in held if not value.dim())
    assert matrices == copies * sum(p.untyped_storage().nbytes() for p in ours.parameters())
    assert numbers <= 2 * 8 * len(list(ours.parameters()))
