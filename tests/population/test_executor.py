"""How rows are computed: plans, their choice, what cannot be stacked, and memory that ends."""

from __future__ import annotations

import dataclasses
from math import inf

import pytest
import torch
from torch import Tensor, nn

from shoal.core.errors import InputError, RunError
from shoal.population import Member, Population, matrix
from shoal.population.block import Block
from shoal.population.executor import quickest
from shoal.population.forward import Stacked
from shoal.population.plan import Computation, Plan, Plans, by_rule, candidates
from tests.population.networks import convolutional, dense, pictures, table
from tests.population.test_laws import difference, member

X, Y = table(30)


class Recurrent(nn.Module):
    """vmap has no rule for it."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, 4, batch_first=True)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.lstm(x.unsqueeze(-1))[0][:, -1])  # type: ignore[no-any-return]


class Branching(nn.Module):
    """Data decide which way the forward pass takes."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) if self.a.weight.sum().item() > 0 else self.b(x)  # type: ignore[no-any-return]


class Tied(nn.Module):
    """Two layers share one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(5, 5), nn.Linear(5, 5)
        self.outer.weight = self.inner.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.outer(torch.tanh(self.inner(x)))[:, :3]


class Counting(nn.Module):
    """Writes into one buffer and assigns a new tensor to another."""

    seen: Tensor
    mean: Tensor

    def __init__(self, rebind: bool) -> None:
        super().__init__()
        self.layer, self.rebind = nn.Linear(5, 3), rebind
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(5))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += len(x)
            if self.rebind:
                self.mean = 0.9 * self.mean + 0.1 * x.mean(dim=0)
            else:
                self.mean.mul_(0.9).add_(0.1 * x.mean(dim=0))
        return self.layer(x - self.mean)  # type: ignore[no-any-return]


class Frozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Linear(5, 6), nn.Linear(6, 3)
        self.features.weight.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.features(x)))  # type: ignore[no-any-return]


def loop(network: nn.Module, order: list[Tensor], lr: float) -> nn.Module:
    """Plain torch on the same batches."""
    network = network.double().train()
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=lr)
    for rows in order:
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(X[rows].double()), Y[rows]).backward()
        optimizer.step()
    return network


@pytest.mark.parametrize(
    ("make_net", "why"),
    [
        (Recurrent, "cannot be stacked"),
        (Branching, "cannot be stacked"),
        (lambda: Counting(rebind=True), "assigns new tensors to its buffers"),
        (lambda: Counting(rebind=False), ""),
        (Tied, ""),
        (Frozen, ""),
    ],
    ids=["lstm", "branching", "rebinds", "in place", "tied", "frozen"],
)
def test_unusual_modules_train_as_in_a_loop_and_the_plan_says_how(make_net, why: str) -> None:  # type: ignore[no-untyped-def]
    from shoal.population.batches import epoch_batches

    plans = Plans()
    members = [Member(seed=k, optimizer="sgd", lr=0.1) for k in range(3)]
    population = Population(make_net, members, dtype=torch.float64, plans=plans)
    epochs = [epoch_batches(30, 8, 0, epoch, torch.device("cpu")) for epoch in range(2)]
    order = [batches.at(step) for batches in epochs for step in range(batches.steps)]
    expected = [loop(population.network(k), order, 0.1) for k in range(3)]
    list(population.train(X.double(), Y, epochs=2, batch_size=8))
    plan = Plan(**next(iter(plans.document().values())))  # type: ignore[arg-type]
    assert why in plan.why and bool(why) == bool(plan.why) and why in plan.describe()
    assert plan.sequential == bool(why)
    for k in range(3):
        mine = population.network(k).state_dict()
        torch.testing.assert_close(mine, expected[k].state_dict(), rtol=1e-10, atol=1e-12)


def test_networks_that_draw_from_the_global_generator_are_refused() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x + torch.randn_like(x))  # type: ignore[no-any-return]

    state = torch.get_rng_state()
    with pytest.raises(InputError, match="global generator"):
        list(Population(Noisy, [Member()]).train(X, Y, epochs=1))
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("make_net", "y", "loss", "words"),
    [
        (lambda: nn.Linear(4, 3), Y, "cross_entropy", r"cannot take a batch of shape \[30, 5\]"),
        (lambda: nn.Linear(5, 2), Y, "cross_entropy", "class number 2, but the network has 2 outputs"),
        (lambda: nn.Linear(5, 3), Y - 1, "cross_entropy", "class number -1"),
        (lambda: nn.Sequential(nn.Linear(5, 3), nn.Flatten(0)), Y, "cross_entropy", r"answers a batch .* with \[90\]"),
        (lambda: nn.Unflatten(1, (5, 1)), Y, "cross_entropy", "no trainable parameters"),
        (lambda: nn.Sequential(nn.Linear(5, 3), nn.Unflatten(1, (3, 1))), Y, "cross_entropy", r"logits \[B, C\]"),
        (lambda: nn.Linear(5, 3), torch.randn(30), "squared_error", r"with \[3\] and y has \[1\]"),
        (lambda: nn.Linear(5, 3, dtype=torch.complex64), Y, "cross_entropy", "complex64"),
        (lambda: nn.LazyLinear(3), Y, "cross_entropy", "no shape yet"),
    ],
)
def test_networks_data_and_losses_that_do_not_fit_are_refused(make_net, y, loss, words) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=words):
        list(Population(make_net, [Member(), Member(seed=1)], loss=loss).train(X, y, epochs=1))


def test_a_loss_of_ones_own_trains_like_the_built_in_one_and_its_shape_is_checked() -> None:
    def mine(outputs: Tensor, target: Tensor) -> Tensor:
        gaps = outputs.view(-1, 3) - target.reshape(-1, 3)
        return gaps.square().mean(dim=-1).view(outputs.shape[:2])

    y = torch.randn(30, 3, dtype=torch.float64)
    members = [Member(seed=k, optimizer="sgd", lr=0.05) for k in range(3)]
    own, known = (Population(dense, members, loss=loss, dtype=torch.float64) for loss in (mine, "squared_error"))
    for population in (own, known):
        last = list(population.train(X.double(), y, epochs=3, batch_size=8))[-1]
    torch.testing.assert_close(own.theta, known.theta, rtol=1e-10, atol=1e-12)
    assert last.score[0] < 1
    with pytest.raises(InputError, match=r"The loss <lambda> returned \[2\] for outputs \[2, 4, 3\]"):
        wrong = Population(dense, members[:2], loss=lambda o, t: (o - t).square().mean(dim=(1, 2)))
        list(wrong.train(X, y.float(), epochs=1, batch_size=8))


def test_memory_that_ends_halves_the_pieces_and_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forward pass of more than two rows at once fails after its first layers have moved their statistics."""
    x, y = pictures()
    members = [member(k, optimizer="adamw", average="none") for k in range(7)]
    monkeypatch.setattr(Population, "plan", lambda *_: Plan(rows=7, workers=1))
    plain, short = (Population(convolutional, members, dtype=torch.float64) for _ in range(2))
    list(plain.train(x.double(), y, epochs=3, batch_size=8))
    call, widths = Stacked.__call__, []

    def limited(self, batch, keys=None, by_row=False):  # type: ignore[no-untyped-def]
        outputs = call(self, batch, keys, by_row)
        if outputs.requires_grad:
            widths.append(len(outputs))
            if len(outputs) > 2:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to ...")
        return outputs

    monkeypatch.setattr(Stacked, "__call__", limited)
    list(short.train(x.double(), y, epochs=3, batch_size=8))
    assert widths[0] == 7 and max(widths[-4:]) <= 2
    for k in range(7):
        assert difference(plain, k, short, k) < 1e-10


def test_one_row_that_does_not_fit_into_memory_ends_the_run_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Block, "_call", never)
    with pytest.raises(RunError, match="Not enough memory for one network of 75 parameters and a batch of 8 rows"):
        list(Population(dense, [Member()]).train(X, Y, epochs=1, batch_size=8))


def test_bfloat16_keeps_float32_weights_and_states_and_learns_the_same() -> None:
    x, y = table(200)
    members = [Member(seed=k, optimizer="adam", lr=0.01) for k in range(3)]
    half, full = Population(dense, members, dtype=torch.bfloat16), Population(dense, members)
    losses = [list(p.train(x, y, epochs=5, batch_size=20))[-1].loss for p in (half, full)]
    assert half.theta.dtype == torch.float32
    assert all(v.dtype == torch.float32 for v in half.state[0].values() if v.numel() > 1)
    gap = abs(losses[0] - losses[1]).max()
    assert 0 < gap < 0.02  # it is another arithmetic, and a near one
    with pytest.raises(InputError, match="float16 is not supported"):
        Population(dense, members, dtype=torch.float16)


def work(make_net, batch: Tensor, members: int, steps: int) -> Computation:  # type: ignore[no-untyped-def]
    population = Population(make_net, [Member(seed=k) for k in range(members)])
    return Computation(population.template, members, ("adamw",), 6, batch, steps, 2 << 30, False, True)


def test_a_short_training_is_planned_without_a_clock_and_a_long_one_is_measured() -> None:
    short, long = work(dense, X, 100, 10), work(dense, X, 100, 10**9)
    assert not short.measuring_pays and long.measuring_pays
    assert not short.compiling_pays and long.compiling_pays
    assert short.signature() != long.signature()
    assert not by_rule(short).compiled and by_rule(long).compiled
    assert candidates(long)[0] == by_rule(long) and len(candidates(long)) >= 3
    assert not dataclasses.replace(long, compiler=False).compiling_pays


def test_convolutions_run_row_by_row_channels_last_where_they_are_large() -> None:
    plan = by_rule(
        work(
            lambda: nn.Sequential(nn.Conv2d(1, 16, 3), nn.Flatten(), nn.Linear(16 * 676, 3)),
            torch.randn(64, 1, 28, 28),
            8,
            10,
        )
    )
    assert plan.sequential and plan.channels_last


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_channels_last_changes_the_layout_and_no_number(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    conv, pool = [(nn.Conv1d, nn.MaxPool1d), (nn.Conv2d, nn.MaxPool2d), (nn.Conv3d, nn.MaxPool3d)][rank - 1]

    def net() -> nn.Module:
        return nn.Sequential(
            conv(2, 4, 3, padding=1), pool(2), nn.ReLU(), conv(4, 4, 3), nn.Flatten(), nn.LazyLinear(3)
        )

    def built() -> nn.Module:
        network = net()
        network(torch.zeros(1, 2, *(8,) * rank))
        return network

    x = torch.randn(20, 2, *(8,) * rank, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    members = [member(k, input_noise=0.1) for k in range(2)]
    thetas = []
    for channels_last in (False, True):
        monkeypatch.setattr(Population, "plan", lambda *_, last=channels_last: Plan(1, 2, channels_last=last))
        population = Population(built, members, dtype=torch.float64)
        list(population.train(x, Y[:20], epochs=4, batch_size=8))
        thetas.append(population.theta)
    torch.testing.assert_close(thetas[0], thetas[1], rtol=1e-10, atol=1e-12)


def test_the_quickest_plan_wins_only_when_it_is_clearly_quicker() -> None:
    rule, other = Plan(4, 2), Plan(1, 2)
    assert quickest([rule, other], lambda plan, _: {rule: 1.0, other: 0.99}[plan]).rows == 4
    assert quickest([rule, other], lambda plan, _: {rule: 1.0, other: 0.8}[plan]).rows == 1
    told: list[float] = []
    quickest([rule, other, rule], lambda plan, least: told.append(least) or {rule: 2.0, other: 3.0}[plan])
    assert told == [inf, 2.0, 2.0]  # the least so far, for whoever measures


def test_a_plan_is_made_once_for_the_same_work_and_can_be_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def counted(asked: Computation) -> Plan:
        made.append(asked)
        return Plan(3, 1)

    monkeypatch.setattr(matrix, "by_rule", counted)
    plans = Plans()
    members = [member(k) for k in range(5)]
    for _ in range(2):
        list(Population(dense, members, plans=plans).train(X, Y, epochs=1, batch_size=8))
    assert len(made) == 1
    handed = Plans.of(plans.document())
    list(Population(dense, members, plans=handed).train(X, Y, epochs=1, batch_size=8))
    assert len(made) == 1
    list(Population(dense, members, plans=handed).train(X, Y, epochs=1, batch_size=9))
    assert len(made) == 2  # other work


def test_a_long_training_is_raced_on_copies_that_nobody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    """The race reads real data and moves no row, whatever it chooses."""
    monkeypatch.setattr(Computation, "measuring_pays", property(lambda self: self.steps > 0))
    members = [member(k) for k in range(6)]
    plans = Plans()
    raced = Population(dense, members, dtype=torch.float64, plans=plans)
    monkeypatch.undo()
    plain = Population(dense, members, dtype=torch.float64)
    monkeypatch.setattr(Computation, "measuring_pays", property(lambda self: self.steps > 0))
    list(raced.train(X.double(), Y, epochs=2, batch_size=8))
    monkeypatch.undo()
    list(plain.train(X.double(), Y, epochs=2, batch_size=8))
    assert any("quickest of" in str(plan["why"]) for plan in plans.document().values())
    for k in range(6):
        assert difference(raced, k, plain, k) < 1e-12
