"""Laws 1 to 3: rows are independent, alone or together is the same, randomness is keyed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from shoal.optim import compilation
from shoal.population import Member, Population
from shoal.population.plan import Plan
from tests.population.networks import convolutional, dense, pictures, table

OPTIMIZERS = ["sgd", "momentum", "nesterov", "adam", "adamw"]
CASES = {"dense": (dense, table()), "convolutional": (convolutional, pictures())}


def member(k: int, **changes: object) -> Member:
    """Members that differ in everything that a row may differ in."""
    values: dict[str, object] = {
        "seed": 11 + k % 4,
        "optimizer": OPTIMIZERS[k % len(OPTIMIZERS)],
        "lr": 0.002 * (1 + k % 3),
        "weight_decay": [0.0, 0.01][k % 2],
        "dropout": [None, 0.0, 0.5][k % 3],
        "label_smoothing": [0.0, 0.1][k % 2],
        "schedule": ["constant", "cosine"][k % 2],
        "init": ["torch", "kaiming", "orthogonal"][k % 3],
        "l1": [0.0, 0.0, 0.003][k % 3],
        "clip": [None, 0.5][k % 2],
        "clip_value": [None, None, 0.1][k % 3],
        "input_noise": [0.0, 0.3, 0.0, 0.1][k % 4],
        "weight_noise": [0.0, 0.0, 0.02][k % 3],
        "dropconnect": [0.0, 0.2, 0.0][k % 3],
        "average": ["none", "none", "ema"][k % 3],
        "decoupled_weight_decay": [None, True, False][k % 3],
        "decoupled_l1": k % 2 == 1,
    }
    values |= changes
    if values["optimizer"] in ("momentum", "nesterov"):
        values["momentum"] = 0.8
    return Member.model_validate(values)


def trained(
    make_net: Callable[[], nn.Module],
    members: Sequence[Member],
    data: tuple[Tensor, Tensor],
    epochs: int,
    dtype: torch.dtype = torch.float64,
) -> Population:
    population = Population(make_net, members, dtype=dtype)
    x, y = data
    for _ in population.train(x.to(dtype), y, epochs=epochs, batch_size=8):
        pass
    return population


def difference(one: Population, row: int, other: Population, other_row: int) -> float:
    """Largest difference of weights and buffers."""
    gaps = [(one.theta[row] - other.theta[other_row]).abs().max()]
    gaps += [(one.buffers[n][row].double() - other.buffers[n][other_row].double()).abs().max() for n in one.buffers]
    return float(torch.stack(gaps).max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("plan", [Plan(1, 2), Plan(2, 2), Plan(3, 2), Plan(100, 1), Plan(2, 2, sequential=True)])
def test_a_member_alone_equals_itself_in_any_population(case: str, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """50 steps of float64 agree to 1e-10, whatever the block size and the number of threads."""
    make_net, data = CASES[case]
    monkeypatch.setattr(Population, "plan", lambda *_: plan)
    members = [member(k) for k in range(11)]
    together = trained(make_net, members, data, epochs=10)
    assert int(together.steps[0]) == 50
    for k in (0, 4, 10):
        alone = trained(make_net, [members[k]], data, epochs=10)
        assert difference(together, k, alone, 0) < 1e-10
        start = Population(make_net, [members[k]], dtype=torch.float64)
        assert difference(alone, 0, start, 0) > 1e-3  # it did move


@pytest.mark.parametrize("case", CASES)
def test_float32_agrees_to_rounding_over_a_few_steps(case: str) -> None:
    make_net, data = CASES[case]
    members = [member(k) for k in range(6)]
    together = trained(make_net, members, data, epochs=1, dtype=torch.float32)
    for k in range(6):
        alone = trained(make_net, [members[k]], data, epochs=1, dtype=torch.float32)
        assert difference(together, k, alone, 0) < 2e-5


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(6)), keep=st.integers(1, 6))
def test_a_permuted_subset_trains_as_in_the_full_population(order: list[int], keep: int) -> None:
    members = [member(k) for k in range(6)]
    whole = trained(dense, members, table(), epochs=2)
    part = trained(dense, [members[k] for k in order[:keep]], table(), epochs=2)
    for row, k in enumerate(order[:keep]):
        assert difference(part, row, whole, k) < 1e-12


def test_equal_members_are_equal_bit_for_bit() -> None:
    population = trained(dense, [member(3)] * 4, table(), epochs=3)
    assert all(torch.equal(population.theta[0], population.theta[k]) for k in range(1, 4))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("workers", "rule"), [(1, "adamw"), (2, "adamw"), (2, "adamp")])
def test_rows_by_themselves_have_the_same_bits_in_any_company(
    case: str, workers: int, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever shares the optimizer's pass with a row, and while others leave."""
    make_net, data = CASES[case]
    monkeypatch.setattr(Population, "plan", lambda *_: Plan(3, workers, sequential=True))
    members = [member(k, clip=0.5, optimizer=rule, average="none") for k in range(4)]
    together = Population(make_net, members)
    for record in together.train(*data, epochs=4, batch_size=8):
        together.stop([k for k in (0, 2) if record.epoch == k + 1])
    for k in (1, 3):
        alone = trained(make_net, [members[k]], data, epochs=4, dtype=torch.float32)
        assert torch.equal(together.theta[k], alone.theta[0])
        assert all(torch.equal(together.buffers[name][k], alone.buffers[name][0]) for name in alone.buffers)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308])
def test_a_member_that_diverges_changes_no_bit_of_another(case: str, value: float) -> None:
    """Not while it computes nonsense, and not when it has left either."""
    make_net, (x, y) = CASES[case]
    members = [member(k, optimizer="adamw") for k in range(5)]
    clean, sick = (Population(make_net, members, dtype=torch.float64) for _ in range(2))
    sick.theta[2] = value
    for population in (clean, sick):
        for _ in population.train(x.double(), y, epochs=4, batch_size=8):
            pass
    assert clean.status == ["ok"] * 5
    assert sick.status == ["ok", "ok", "diverged", "ok", "ok"]
    for k in (0, 1, 3, 4):
        assert torch.equal(clean.theta[k], sick.theta[k])
        assert all(torch.equal(clean.buffers[name][k], sick.buffers[name][k]) for name in clean.buffers)


def test_a_row_that_is_left_alone_keeps_its_bits() -> None:
    """Float32, all but one row stopped after the first epoch."""
    x, y = table()
    members = [member(k, optimizer="adamw") for k in range(5)]
    company, lonely = (Population(dense, members) for _ in range(2))
    for population in (company, lonely):
        for record in population.train(x, y, epochs=5, batch_size=8):
            if population is lonely and record.epoch == 1:
                population.stop([0, 1, 2, 4])
    assert torch.equal(company.theta[3], lonely.theta[3])
    assert not torch.equal(company.theta[0], lonely.theta[0])


def test_one_seed_shares_initial_weights_and_masks_whatever_the_settings() -> None:
    """Rows of one seed with a learning rate of (almost) 0 see the same losses, dropout included."""
    members = [Member(seed=5, optimizer=o, lr=1e-30, weight_decay=0.0) for o in ("sgd", "adamw")]
    population = Population(dense, members, dtype=torch.float64)
    x, y = table()
    record = next(population.train(x.double(), y, epochs=1, batch_size=8))
    assert record.loss[0] == pytest.approx(record.loss[1], rel=1e-12)
    other = Population(dense, [members[0], members[0].model_copy(update={"seed": 6})], dtype=torch.float64)
    record = next(other.train(x.double(), y, epochs=1, batch_size=8))
    assert abs(record.loss[0] - record.loss[1]) > 1e-3


def test_global_generator_is_neither_read_nor_moved() -> None:
    x, y = table()
    torch.manual_seed(1)
    first = trained(dense, [member(0)], (x, y), epochs=2)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = trained(dense, [member(0)], (x, y), epochs=2)
    assert torch.equal(first.theta, second.theta)
    assert torch.equal(torch.get_rng_state(), before)


def test_rows_taken_out_go_on_as_in_the_full_population() -> None:
    """`population[rows]` carries weights, buffers, optimizer state and step counts."""
    x, y = pictures()
    members = [member(k) for k in range(5)]
    whole = Population(convolutional, members, dtype=torch.float64)
    for _ in whole.train(x.double(), y, epochs=2, batch_size=8):
        pass
    part = whole[[3, 1]]
    for population in (whole, part):
        for _ in population.train(x.double(), y, epochs=2, batch_size=8):
            pass
    assert difference(part, 0, whole, 3) < 1e-12
    assert difference(part, 1, whole, 1) < 1e-12


def test_the_laws_can_fail() -> None:
    """A draw that depended on the row's place would break law 2: shown by a member of another seed."""
    members = [member(k) for k in range(3)]
    together = trained(dense, members, table(), epochs=2)
    alone = trained(dense, [members[0].model_copy(update={"seed": 99})], table(), epochs=2)
    assert difference(together, 0, alone, 0) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_laws_hold_when_the_optimizer_is_compiled(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled against plain, alone against together, and a sick row beside healthy ones, bit for bit."""
    make_net, data = CASES[case]
    if reason := compilation.why_not():
        pytest.skip(reason)
    members = [member(k, optimizer=["adamw", "momentum"][k % 2]) for k in range(6)]
    plain = trained(make_net, members, data, epochs=4)
    for rows in (1, 4):
        monkeypatch.setattr(Population, "plan", lambda *_, rows=rows: Plan(rows, 2, compiled=True))
        together = trained(make_net, members, data, epochs=4)
        for k in range(6):
            assert difference(together, k, plain, k) < 1e-10
        alone = trained(make_net, [members[4]], data, epochs=4)
        assert difference(together, 4, alone, 0) < 1e-10
        sick = Population(make_net, members, dtype=torch.float64)
        sick.theta[2] = float("nan")
        list(sick.train(data[0].double(), data[1], epochs=4, batch_size=8))
        assert sick.status[2] == "diverged"
        assert all(torch.equal(sick.theta[k], together.theta[k]) for k in (0, 1, 3, 4, 5))


@settings(max_examples=8, deadline=None)
@given(members=st.integers(1, 65), rows=st.sampled_from([1, 2, 4, 8, 64]), who=st.integers(0, 64))
def test_any_number_of_rows_in_blocks_of_any_width(members: int, rows: int, who: int) -> None:
    """K from 1 to 65; one of them is compared with itself alone."""
    row = who % members
    every = [member(k) for k in range(members)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Population, "plan", lambda *_: Plan(rows, 2))
        together = trained(dense, every, table(16), epochs=2)
    alone = trained(dense, [every[row]], table(16), epochs=2)
    assert difference(together, row, alone, 0) < 1e-11
