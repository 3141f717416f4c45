"""The pass over memory: however it is cut, whoever else is in it, with or without an average, compiled or not."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from shoal.core.layout import Layout
from shoal.optim import RULES, Average, Rule, State, apply, averages, clip, compilation, fresh_state, rule
from shoal.optim.sums import row_sum
from tests.optim.problem import hyper, shared

Row = dict[str, Tensor]

QUICK_TO_COMPILE = ("momentum", "adamp")
sizes = st.integers(1, 65)
some_rule = st.sampled_from(sorted(RULES)).map(rule)
types = st.sampled_from([torch.float32, torch.float64])


def layout(parameters: int) -> Layout:
    """A matrix and a bias, or a bias alone."""
    if parameters < 7:
        return Layout.of([("bias", (parameters,))])
    return Layout.of([("weight", (3, (parameters - 1) // 3)), ("bias", (parameters - (parameters - 1) // 3 * 3,))])


def problem(each: Rule, rows: int, parameters: int, dtype: torch.dtype, seed: int = 0) -> dict[str, Any]:
    """Rows in the middle of a training, each with its own settings of everything."""
    generator = torch.Generator().manual_seed(seed)
    theta, grad, average, *slots = torch.randn(
        3 + len(each.slots), rows, parameters, generator=generator, dtype=torch.float64
    ).to(dtype)
    further = {**shared(rows), "decay_factor": (torch.arange(parameters) % 4 > 0).to(dtype)}
    further["lr_factor"] = 0.5 + (torch.arange(parameters) % 3).to(dtype)
    further["grad_factor"] = torch.rand(rows, 1, generator=generator, dtype=torch.float64)
    state = fresh_state(each, rows, parameters, dtype=dtype)
    state |= {name: slot.abs() if "buffer" not in name else slot for name, slot in zip(each.slots, slots, strict=True)}
    if "grad_avg" in state:
        state["grad_avg"] = state["grad_avg"] * 0.1
    return {
        "theta": theta,
        "grad": grad,
        "state": state,
        "hyper": {**hyper(each, rows), **further},
        "step": torch.randint(1, 50, (rows, 1), generator=generator).double(),
        "average": Average(average, torch.tensor([0.0, 0.3, 1.0]).repeat(rows)[:rows].unsqueeze(1)),
    }


def taken(given: dict[str, Any], rows: Tensor | list[int]) -> dict[str, Any]:
    """The problem of some of its rows."""
    return {
        "theta": given["theta"][rows],
        "grad": given["grad"][rows],
        "state": {name: slot[rows] for name, slot in given["state"].items()},
        "hyper": {
            name: value if name.endswith("_factor") and name != "grad_factor" else value[rows]
            for name, value in given["hyper"].items()
        },
        "step": given["step"][rows],
        "average": Average(*(each[rows] for each in given["average"])),
    }


def after(each: Rule, given: dict[str, Any], **how: Any) -> State:
    """Everything that a pass wrote, from copies of the problem."""
    theta, average = given["theta"].clone(), Average(given["average"].weights.clone(), given["average"].share)
    state = {name: slot.clone() for name, slot in given["state"].items()}
    columns = layout(theta.shape[1])
    apply(each, theta, given["grad"], state, given["hyper"], given["step"], columns, average=average, **how)
    return {**state, "theta": theta, "average": average.weights}


def same(left: State, right: State, rows: Tensor | list[int] | slice = slice(None)) -> bool:
    """Equal bit for bit, NaN included; `rows` of the right one."""
    return left.keys() == right.keys() and all(
        torch.equal(left[name].nan_to_num(12345.0), right[name][rows].nan_to_num(12345.0)) for name in left
    )


def near(left: State, right: State, rtol: float) -> bool:
    """Equal to rounding, an element near zero judged by the largest of its row."""
    return all(
        bool(((a - b).abs() <= rtol * b.abs().amax(dim=1, keepdim=True)).all())
        for a, b in ((left[name].double(), right[name].double()) for name in right)
    )


@settings(deadline=None, max_examples=60)
@given(some_rule, types, sizes, st.integers(1, 300), st.integers(0, 10**6), st.data())
def test_any_rows_in_any_company_and_any_cut(
    each: Rule, dtype: torch.dtype, rows: int, parameters: int, seed: int, data: st.DataObject
) -> None:
    """Permutation, subset, duplicates, chunking and threads leave every bit of a row as it is."""
    given_ = problem(each, rows, parameters, dtype, seed)
    whole = after(each, given_)
    chosen = data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=70), label="rows")
    block = data.draw(st.sampled_from([None, 1, 3, 64, 1000]), label="block")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(data.draw(st.sampled_from([1, 2]), label="threads"))
        assert same(after(each, taken(given_, chosen), block=block), whole, chosen)
    finally:
        torch.set_num_threads(threads)


@settings(deadline=None, max_examples=40)
@given(
    some_rule, sizes.filter(lambda rows: rows > 1), st.floats(), st.sampled_from(["theta", "grad", "average", "slot"])
)
def test_a_lost_row_changes_no_bit_of_another(each: Rule, rows: int, poison: float, where: str) -> None:
    given_ = problem(each, rows, 20, torch.float32)
    clean = after(each, given_)
    lost = rows // 2
    matrices = {"theta": [given_["theta"]], "grad": [given_["grad"]], "average": [given_["average"].weights]}
    for matrix in matrices.get(where, [given_["state"][name] for name in each.slots]):
        matrix[lost] = torch.tensor(poison, dtype=torch.float64).float()
    others = [row for row in range(rows) if row != lost]
    found = after(each, given_)
    assert same({name: value[others] for name, value in found.items()}, clean, others)


@pytest.mark.parametrize("each", RULES.values(), ids=RULES)
def test_one_pass_equals_the_passes_one_by_one(each: Rule) -> None:
    """Clipping, the step and the average apart: the same bits."""
    given_ = problem(each, 7, 3001, torch.float32)
    own = dict(given_["hyper"])
    limit, factor = own.pop("clip_value"), own.pop("grad_factor")
    grad = clip.by_value(given_["grad"], limit[:, 0]) * factor.float()
    theta, state = each.update(given_["theta"], grad, given_["state"], own, given_["step"], layout(3001))
    average = averages.toward(given_["average"].weights, theta, given_["average"].share)
    found = after(each, given_)
    assert same(found, {**state, "theta": theta, "average": average})
    assert torch.equal(found["average"][0], given_["average"].weights[0])  # share 0
    assert torch.equal(found["average"][2], found["theta"][2])  # share 1


@settings(deadline=None, max_examples=30)
@given(sizes, st.integers(1, 5000), st.booleans(), st.integers(0, 10**6))
@example(33, 1258, False, 2)  # a last run that is short and stands in a piece of its own
def test_the_factor_of_clipping_has_the_bits_of_clipping(rows: int, parameters: int, by_value: bool, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    grad = torch.randn(rows, parameters, generator=generator)
    limits = torch.where(torch.arange(rows) % 3 == 1, torch.inf, 0.1 + 3 * torch.rand(rows, generator=generator))
    value = torch.full((rows,), 0.5)
    factor, norm = clip.factor(grad, limits, value if by_value else None)
    held = clip.by_value(grad, value) if by_value else grad
    assert torch.equal(norm, row_sum(held * held).sqrt())  # however it was cut
    assert torch.equal(held * factor, clip.by_norm(held, limits)[0])
    some = torch.randperm(rows, generator=generator)[: rows // 2 + 1]
    assert torch.equal(clip.factor(grad[some], limits[some], value[some] if by_value else None)[0], factor[some])


class _Made(TorchDispatchMode):
    """Sizes of the storages that operations make."""

    def __init__(self) -> None:
        super().__init__()
        self.nbytes: list[int] = []

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = operation(*args, **(kwargs or {}))
        given_ = {each.untyped_storage().data_ptr() for each in args if isinstance(each, Tensor)}
        if isinstance(result, Tensor) and result.untyped_storage().data_ptr() not in given_:
            self.nbytes.append(result.untyped_storage().nbytes())
        return result


@pytest.mark.parametrize("each", [r for r in RULES.values() if r.elementwise], ids=lambda r: r.name)
def test_an_uncompiled_pass_makes_nothing_larger_than_a_block(each: Rule) -> None:
    given_ = problem(each, 4, 20_000, torch.float32)
    state, average = given_["state"], given_["average"]
    with _Made() as made:
        apply(
            each, given_["theta"], given_["grad"], state, given_["hyper"], given_["step"], block=5000, average=average
        )
    assert max(made.nbytes) == 5000 * 4


# --- compiled ---------------------------------------------------------------------------------------------------------

compiles = pytest.mark.skipif(bool(compilation.why_not()), reason=f"nothing can be compiled: {compilation.why_not()}")
compiled_rules = pytest.mark.parametrize(
    "each",
    [pytest.param(r, marks=[] if name in QUICK_TO_COMPILE else pytest.mark.slow) for name, r in RULES.items()],
    ids=RULES,
)


@compiles
@compiled_rules
@pytest.mark.timeout(900)  # some ten compilations, seconds each
def test_compiled_equals_plain_and_rows_do_not_know_of_each_other(each: Rule) -> None:
    for dtype, rtol in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        given_ = problem(each, 13, 1003, dtype)
        whole = after(each, given_, compiled=True)
        assert compilation.why_not() == ""
        assert near(whole, after(each, given_), rtol)
        for rows in ([4], [12, 0], [3, 3, 1, 7, 7, 2, 0, 5], list(range(12, -1, -1))):
            assert same(after(each, taken(given_, rows), compiled=True), whole, rows)
    longer = problem(each, 65, 301, torch.float32)
    assert same(after(each, taken(longer, [9]), compiled=True), after(each, longer, compiled=True), [9])


@compiles
def test_a_nan_stays_in_its_row_when_compiled() -> None:
    each = rule("momentum")
    given_ = problem(each, 13, 1003, torch.float32)
    clean = after(each, given_, compiled=True)
    given_["grad"][5, ::7], given_["theta"][6, 3] = torch.nan, torch.inf
    others = [row for row in range(13) if row not in (5, 6)]
    found = after(each, given_, compiled=True)
    assert same({name: value[others] for name, value in found.items()}, clean, others)


@compiles
def test_any_shape_runs_through_the_loops_that_are_there() -> None:
    """Compilations are bounded: one for K = 1, one for more rows, one each for P = 1."""
    each = rule("sgd")
    counted = torch._dynamo.utils.counters["stats"]
    for rows, parameters in ((2, 9), (1, 9), (5, 100)):
        after(each, problem(each, rows, parameters, torch.float32), compiled=True)
    before = counted["unique_graphs"]
    for rows, parameters in ((3, 9), (65, 1003), (1, 2000), (7, 8), (4, 4), (9, 9)):
        given_ = problem(each, rows, parameters, torch.float32)
        assert near(after(each, given_, compiled=True), after(each, given_), 1e-5)
    assert counted["unique_graphs"] == before


@compiles
def test_threads_may_run_compiled_passes_at_once() -> None:
    each = rule("momentum")
    given_ = problem(each, 8, 20_011, torch.float32)
    whole = after(each, given_, compiled=True)
    found: dict[int, State] = {}

    def one(row: int) -> None:
        found[row] = after(each, taken(given_, [row]), compiled=True)

    workers = [threading.Thread(target=one, args=(row,)) for row in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(same(found[row], whole, [row]) for row in range(8))


@pytest.mark.parametrize("trouble", ["no compiler", "a compiler that fails"])
def test_without_a_compiler_it_runs_uncompiled_and_says_so_once(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "_compiled", compilation._Compiled())
    if trouble == "no compiler":
        monkeypatch.setenv("CXX", "no-such-compiler")
    else:

        def refuse(*given: object, **also: object) -> None:
            raise RuntimeError("cannot")

        monkeypatch.setattr(torch, "compile", lambda *given, **also: refuse)
    each = rule("adam")
    given_ = problem(each, 3, 50, torch.float32)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(3):
            assert same(after(each, given_, compiled=True), after(each, given_))
    (notice,) = [str(each.message) for each in said if "uncompiled" in str(each.message)]
    assert ("no C++ compiler" in notice) if trouble == "no compiler" else ("RuntimeError" in notice)
    assert compilation.why_not()
