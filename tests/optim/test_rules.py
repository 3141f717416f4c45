"""What every rule owes: a rule that is listed in RULES is tested here."""

from __future__ import annotations

from math import inf

import pytest
import torch
from torch import Tensor

from shoal.core.errors import InputError
from shoal.core.layout import Layout
from shoal.optim import RULES, Rule, State, apply, columns, fresh_state, rule
from shoal.optim.one_pass import BLOCK_ELEMENTS
from tests.optim.problem import LAYOUT, Losses, displacement, hyper

LOSSES = Losses()
every_rule = pytest.mark.parametrize("each", RULES.values(), ids=RULES)
both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])


def midway(each: Rule, rows: int, layout: Layout, dtype: torch.dtype, seed: int = 3) -> tuple[Tensor, Tensor, State]:
    """theta, a gradient and the state of rows that have trained for three steps of noise."""
    generator = torch.Generator().manual_seed(seed)
    shape = (4, rows, layout.parameters)
    draws = torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)
    theta, state = draws[3], fresh_state(each, rows, layout.parameters, dtype=dtype)
    for t in range(2):
        step = torch.full((rows, 1), t + 1.0)
        theta, state = each.update(theta, draws[t], state, hyper(each, rows), step, layout)
    return theta, draws[2], state


def same(left: State, right: State) -> bool:
    """Equal bit for bit, NaN included."""
    return left.keys() == right.keys() and all(
        torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num())
        for a, b in ((left[name], right[name]) for name in left)
    )


@every_rule
def test_the_record_is_complete(each: Rule) -> None:
    assert RULES[each.name] is each
    assert each.copies == len(each.slots)
    assert {"lr", "weight_decay"} <= set(each.defaults)
    state = fresh_state(each, 2, 5, dtype=torch.float64)
    assert set(state) == {*each.slots, *each.row_slots}
    assert all(state[name].shape == (2, 5) and not state[name].any() for name in each.slots)
    assert all(state[name].shape == (2, 1) and (state[name] == each.row_start[name]).all() for name in each.row_slots)
    columns(each, 3)  # its own defaults are in range


@every_rule
def test_defaults_are_torch_s(each: Rule) -> None:
    names = {"momentum": "SGD", "nesterov": "SGD", "sgd": "SGD", "adamp": "Adam", "amsgrad": "Adam"}
    torch_names = {name.lower(): name for name in ("Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "NAdam", "RAdam")}
    theirs = getattr(torch.optim, names.get(each.name) or torch_names[each.name.split("_")[0]])
    defaults = theirs([torch.zeros(1, requires_grad=True)]).defaults
    defaults |= dict(zip(("beta1", "beta2"), defaults.get("betas", (0, 0)), strict=True))
    own = {name: value for name, value in each.defaults.items() if name in defaults and name != "nesterov"}
    if each.name in ("momentum", "nesterov") or each.name.endswith("_momentum"):
        assert own.pop("momentum") == 0.9  # torch's is 0, which is another rule here
    assert own == {name: defaults[name] for name in own}


@every_rule
@both_types
def test_update_is_pure(each: Rule, dtype: torch.dtype) -> None:
    theta, grad, state = midway(each, 3, LAYOUT, dtype)
    before = [tensor.clone() for tensor in (theta, grad, *state.values())]
    new_theta, new_state = each.update(theta, grad, state, hyper(each, 3), torch.full((3, 1), 3.0), LAYOUT)
    assert all(torch.equal(a, b) for a, b in zip(before, (theta, grad, *state.values()), strict=True))
    assert new_theta.dtype == dtype and all(new_state[name].dtype == dtype for name in each.slots)
    assert set(new_state) == set(state) and not torch.equal(new_theta, theta)


@every_rule
@both_types
@pytest.mark.parametrize("block", [1, 7, 39, 64, 1000, None])
def test_apply_writes_the_numbers_of_update_whatever_the_block(
    each: Rule, dtype: torch.dtype, block: int | None
) -> None:
    theta, grad, state = midway(each, 5, LAYOUT, dtype)
    own, step = hyper(each, 5), torch.tensor([[3.0], [1.0], [8.0], [3.0], [500.0]])
    mask = (torch.arange(LAYOUT.parameters) % 3 > 0).to(dtype)
    for decay in (own["weight_decay"], (own["weight_decay"] * mask).to(dtype), mask.unsqueeze(0), mask):
        numbers = {**own, "weight_decay": decay}
        new_theta, new_state = each.update(theta, grad, state, numbers, step, LAYOUT)
        into, inside = theta.clone(), {name: slot.clone() for name, slot in state.items()}
        apply(each, into, grad, inside, numbers, step, LAYOUT, block=block)
        assert torch.equal(into, new_theta) and same(inside, new_state)


@every_rule
def test_a_long_row_is_cut_without_a_trace(each: Rule) -> None:
    """Longer than the default block, odd in length, and with two threads."""
    layout = Layout.of([("weight", (7, BLOCK_ELEMENTS // 7)), ("more", (3, 11, 1301)), ("bias", (5,))])
    theta, grad, state = midway(each, 2, layout, torch.float32)
    step = torch.full((2, 1), 3.0)
    threads = torch.get_num_threads()
    results = []
    for count, block in ((1, 10**9), (1, None), (2, None), (2, 40_001)):
        torch.set_num_threads(count)
        into, inside = theta.clone(), {name: slot.clone() for name, slot in state.items()}
        apply(each, into, grad, inside, hyper(each, 2), step, layout, block=block)
        results.append({**inside, "theta": into})
    torch.set_num_threads(threads)
    assert all(same(result, results[0]) for result in results[1:])


@every_rule
@both_types
def test_rows_do_not_know_of_each_other(each: Rule, dtype: torch.dtype) -> None:
    """Permuted, alone, in pairs or all together: the same bits, for K up to 65."""
    rows = 65
    theta, grad, state = midway(each, rows, LAYOUT, dtype)
    own, step = hyper(each, rows), torch.arange(1.0, rows + 1).unsqueeze(1)
    new_theta, new_state = each.update(theta, grad, state, own, step, LAYOUT)
    subsets = [torch.randperm(rows, generator=torch.Generator().manual_seed(5)), torch.tensor([4, 4, 9])]
    subsets += [torch.arange(start, start + count) for start, count in ((0, 1), (64, 1), (3, 2), (7, 8), (20, 33))]
    for rows_taken in subsets:
        part_theta, part_state = each.update(
            theta[rows_taken],
            grad[rows_taken],
            {name: slot[rows_taken] for name, slot in state.items()},
            {name: value[rows_taken] for name, value in own.items()},
            step[rows_taken],
            LAYOUT,
        )
        assert torch.equal(part_theta, new_theta[rows_taken])
        assert same(part_state, {name: slot[rows_taken] for name, slot in new_state.items()})


@every_rule
def test_a_row_trains_alone_as_in_the_population(each: Rule) -> None:
    together = displacement(each, LOSSES, hyper(each), steps=30)
    for row in range(len(together)):
        assert torch.equal(displacement(each, LOSSES, hyper(each), rows=[row], steps=30)[0], together[row])


@every_rule
@pytest.mark.parametrize("poison", [float("nan"), inf, -inf])
@pytest.mark.parametrize("where", ["grad", "theta", "state", "lr"])
def test_a_lost_row_changes_no_bit_of_another(each: Rule, poison: float, where: str) -> None:
    theta, grad, state = midway(each, 4, LAYOUT, torch.float32)
    own, step = hyper(each, 4), torch.full((4, 1), 3.0)
    clean_theta, clean_state = each.update(theta, grad, state, own, step, LAYOUT)
    if where == "lr":
        own["lr"] = own["lr"].clone()
        own["lr"][1] = poison
    else:
        for tensor in {"grad": [grad], "theta": [theta], "state": list(state.values())}[where]:
            tensor[1, :: max(1, tensor.shape[1] // 2)] = poison
    new_theta, new_state = each.update(theta, grad, state, own, step, LAYOUT)
    others = torch.tensor([0, 2, 3])
    assert torch.equal(new_theta[others], clean_theta[others])
    assert same(*({name: s[others] for name, s in full.items()} for full in (new_state, clean_state)))
    if where != "state":  # SGD has none
        assert not torch.isfinite(new_theta[1]).all()


@every_rule
def test_no_decay_and_exempt_weights_do_not_decay(each: Rule) -> None:
    theta, grad, state = midway(each, 2, LAYOUT, torch.float64)
    own, step = hyper(each, 2), torch.full((2, 1), 3.0)
    free = torch.arange(LAYOUT.parameters) >= 40  # the last two parameters
    mask = (~free).double()
    decayed, _ = each.update(theta, grad, state, own, step, LAYOUT)
    masked, _ = each.update(theta, grad, state, {**own, "weight_decay": own["weight_decay"] * mask}, step, LAYOUT)
    none, _ = each.update(theta, grad, state, {**own, "weight_decay": own["weight_decay"] * 0}, step, LAYOUT)
    first = torch.arange(LAYOUT.parameters) < 27  # conv.weight and conv.bias
    assert torch.equal(masked[:, first], decayed[:, first])
    scalar = LAYOUT.parameters - 1  # one number: no other parameter's norm matters to it
    assert torch.equal(masked[:, scalar], none[:, scalar])
    assert not torch.equal(masked[:, first], none[:, first])


@every_rule
def test_under_vmap(each: Rule) -> None:
    theta, grad, state = midway(each, 4, LAYOUT, torch.float64)
    own, step = hyper(each, 4), torch.full((4, 1), 3.0)
    expected, expected_state = each.update(theta, grad, state, own, step, LAYOUT)

    def one(theta: Tensor, grad: Tensor, state: State, own: State, step: Tensor) -> tuple[Tensor, State]:
        rows = {name: slot[None] for name, slot in state.items()}
        numbers = {name: value[None] for name, value in own.items()}
        return each.update(theta[None], grad[None], rows, numbers, step[None], LAYOUT)

    mapped, mapped_state = torch.func.vmap(one)(theta, grad, state, own, step)
    torch.testing.assert_close(mapped[:, 0], expected, rtol=1e-13, atol=1e-14)
    for name, slot in expected_state.items():
        torch.testing.assert_close(mapped_state[name][:, 0], slot, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "copies"),
    {
        **{"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 1, "adadelta": 2},
        **{"rmsprop": 1, "rmsprop_momentum": 2, "rmsprop_centered": 2, "rmsprop_centered_momentum": 3},
        **{"adam": 2, "amsgrad": 3, "adamw": 2, "adamw_amsgrad": 3, "nadam": 2, "radam": 2, "adamp": 2},
    }.items(),
)
def test_memory_is_what_the_rule_states(name: str, copies: int) -> None:
    assert rule(name).copies == copies
    state = fresh_state(rule(name), 4, 1000)
    held = sum(tensor.untyped_storage().nbytes() for tensor in state.values())
    assert copies * 4 * 1000 * 4 <= held <= copies * 4 * 1000 * 4 + 4 * 8 * len(rule(name).row_slots)


def test_an_unknown_rule_is_named_with_the_closest() -> None:
    with pytest.raises(InputError, match=r"no optimizer 'addam'.*`adam`"):
        rule("addam")


def test_a_rule_by_parameter_asks_for_the_layout() -> None:
    theta, state = torch.zeros(1, 4), fresh_state(rule("adamp"), 1, 4)
    own, step = columns(rule("adamp"), 1), torch.ones(1, 1)
    with pytest.raises(InputError, match="adamp needs the layout of theta's 4 columns; none was given"):
        rule("adamp").update(theta, theta, state, own, step)
    with pytest.raises(InputError, match="the one given has 6"):
        apply(rule("adamp"), theta, theta, state, own, step, Layout.of([("w", (2, 3))]))


def test_columns_fill_in_defaults_and_refuse_nonsense() -> None:
    made = columns(rule("adam"), 3, {"lr": [1e-3, 1e-2, 1e-1], "beta1": 0.5})
    assert made["lr"].dtype == torch.float64 and made["lr"].shape == (3, 1)
    assert made["beta1"].flatten().tolist() == [0.5] * 3 and made["eps"].flatten().tolist() == [1e-8] * 3
    with pytest.raises(InputError, match="lr has 2 values for 3 members"):
        columns(rule("adam"), 3, {"lr": [0.1, 0.2]})
    with pytest.raises(InputError, match=r"adam has no beta.*`beta1`"):
        columns(rule("adam"), 3, {"beta": 0.1})


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("lr", [0.1, -0.5, 0.1], "lr of member 1 is -0.5; it must be a finite number of at least 0"),
        ("lr", [float("nan"), 0.1, inf], "lr of members 0, 2 is nan, inf;"),
        ("lr", -1.0, "lr is -1;"),
        ("beta2", 1.0, "beta2 is 1; it must be at least 0 and below 1"),
        ("weight_decay", -1e-4, "weight_decay is -0.0001; it must be a finite number of at least 0"),
        ("eps", -1.0, "eps is -1;"),
    ],
)
def test_values_out_of_range_are_named(name: str, values: float | list[float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        columns(rule("adam"), 3, {name: values})


@pytest.mark.parametrize(
    ("name", "bad", "allowed"),
    [("momentum", 1.5, "at least 0 and at most 1"), ("dampening", -0.1, "at least 0 and at most 1")],
)
def test_momentum_s_ranges(name: str, bad: float, allowed: str) -> None:
    with pytest.raises(InputError, match=f"{name} is {bad:g}; it must be {allowed}"):
        columns(rule("momentum"), 1, {name: bad})


def test_switches_are_zero_or_one() -> None:
    with pytest.raises(InputError, match=r"decoupled_weight_decay is 0.5; it must be 0 or 1"):
        columns(rule("nadam"), 2, {"decoupled_weight_decay": 0.5})
