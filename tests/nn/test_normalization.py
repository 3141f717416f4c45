"""Normalizations against torch's and against a literal loop; running statistics by row; batches that hold filling."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from shoal.core.errors import InputError
from shoal.nn import normalization
from shoal.nn.adoption import adopt_layers, told
from shoal.nn.dropout import Dropout
from shoal.nn.initializers import initialize
from tests.oracle.normalization import by_loops

EXACT = {"rtol": 1e-10, "atol": 1e-10}
SIZES = {1: (9,), 2: (5, 4), 3: (3, 4, 2)}


def batch(rank: int, rows: int = 6, channels: int = 4, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3.0 + 2.0 * torch.randn(rows, channels, *SIZES.get(rank, ()), generator=generator, dtype=torch.float64)


def shaken(layer: nn.Module, seed: int = 1) -> nn.Module:
    """The layer in float64 with weights and biases that are not ones and zeros."""
    layer = layer.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return layer


TORCHS: dict[tuple[str, int], tuple[Callable[[], nn.Module], Callable[[], nn.Module]]] = {}
for _rank, (_bn, _in) in enumerate(
    [
        (nn.BatchNorm1d, None),
        (nn.BatchNorm1d, nn.InstanceNorm1d),
        (nn.BatchNorm2d, nn.InstanceNorm2d),
        (nn.BatchNorm3d, nn.InstanceNorm3d),
    ]
):
    for _momentum in (0.1, 0.7, None):
        TORCHS[f"batch, momentum {_momentum}", _rank] = (
            lambda bn=_bn, m=_momentum: bn(4, eps=1e-3, momentum=m),
            lambda m=_momentum: normalization.BatchNorm(4, eps=1e-3, momentum=m),
        )
    TORCHS["batch, no statistics kept", _rank] = (
        lambda bn=_bn: bn(4, affine=False, track_running_stats=False),
        lambda: normalization.BatchNorm(4, affine=False, track_running_stats=False),
    )
    TORCHS["group", _rank] = (lambda: nn.GroupNorm(2, 4), lambda: normalization.GroupNorm(2, 4))
    if _in is not None:
        for _tracked in (False, True):
            TORCHS[f"instance, tracked {_tracked}", _rank] = (
                lambda n=_in, t=_tracked: n(4, affine=True, track_running_stats=t),
                lambda t=_tracked: normalization.InstanceNorm(4, affine=True, track_running_stats=t),
            )
        TORCHS["layer", _rank] = (
            lambda r=_rank: nn.LayerNorm(SIZES[r]),
            lambda r=_rank: normalization.LayerNorm(SIZES[r]),
        )


@pytest.mark.parametrize(("kind", "rank"), TORCHS)
def test_equals_torchs_in_training_and_evaluation(kind: str, rank: int) -> None:
    theirs, mine = (shaken(make()) for make in TORCHS[kind, rank])
    mine.load_state_dict(theirs.state_dict())
    for step in range(4):
        x = batch(rank, seed=step).requires_grad_()
        outputs = [layer(x) for layer in (mine, theirs)]
        torch.testing.assert_close(*outputs, **EXACT)
        weights = torch.randn(outputs[0].shape, dtype=torch.float64)
        gradients = [
            torch.autograd.grad((o * weights).sum(), [x, *net.parameters()])
            for o, net in zip(outputs, (mine, theirs), strict=True)
        ]
        torch.testing.assert_close(*gradients, **EXACT)
        for name, value in theirs.state_dict().items():
            if not (kind.startswith("instance") and name == "num_batches_tracked"):  # torch's layer forgets to count
                torch.testing.assert_close(mine.state_dict()[name], value, **EXACT)
    mine.eval(), theirs.eval()
    torch.testing.assert_close(mine(batch(rank, seed=9)), theirs(batch(rank, seed=9)), **EXACT)


@given(
    rank=st.integers(0, 3),
    rows=st.integers(1, 5),
    channels=st.sampled_from([2, 4, 6]),
    kind=st.sampled_from(["batch", "layer", "instance", "group"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_one_formula_and_four_sets_of_axes(rank: int, rows: int, channels: int, kind: str, seed: int) -> None:
    x = batch(rank, rows, channels, seed)
    axes = {
        "batch": (0, *range(2, x.dim())),
        "layer": tuple(range(1, x.dim())),
        "instance": tuple(range(2, x.dim())),
        "group": tuple(range(2, x.dim() + 1)),
    }[kind]
    if not axes:
        return  # instance normalization needs positions
    wide = x.unflatten(1, (2, -1)) if kind == "group" else x
    wanted = by_loops(wide, axes, 1e-5).reshape(x.shape)
    torch.testing.assert_close(normalization.normalize(wide, axes).reshape(x.shape), wanted, **EXACT)


def stacked(
    momentum: float | None, members: int = 3
) -> tuple[nn.Module, dict[str, Tensor], dict[str, Tensor], list[nn.Module]]:
    torch.manual_seed(4)
    networks = [
        nn.Sequential(nn.Conv1d(4, 5, 3), normalization.BatchNorm(5, momentum=momentum), nn.ReLU()).double()
        for _ in range(members)
    ]
    parameters, buffers = stack_module_state(networks)
    return networks[0], parameters, {k: v for k, v in buffers.items() if v is not None}, copy.deepcopy(networks)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_rows_of_a_population_keep_running_statistics_of_their_own(momentum: float | None) -> None:
    base, parameters, buffers, loop = stacked(momentum)
    for step in range(3):
        x = batch(1, seed=step)

        def one(row: dict[str, Tensor], state: dict[str, Tensor], x: Tensor = x) -> Tensor:
            return functional_call(base, {**row, **state}, (x,))

        together = vmap(one)(parameters, buffers)
        for k, network in enumerate(loop):
            reference = nn.Sequential(network[0], nn.BatchNorm1d(5, momentum=momentum).double())
            reference[1].load_state_dict(network[1].state_dict())
            torch.testing.assert_close(together[k], reference(x).relu(), **EXACT)
            network[1].load_state_dict(reference[1].state_dict())
            for name, value in reference[1].named_buffers():
                torch.testing.assert_close(buffers[f"1.{name}"][k], value, **EXACT)
    assert not torch.equal(buffers["1.running_mean"][0], buffers["1.running_mean"][1])


def test_a_single_row_gives_the_bias_and_not_nan() -> None:
    layer = shaken(normalization.BatchNorm(4))
    assert torch.equal(layer(batch(0, rows=1))[0], layer.bias)
    assert torch.isfinite(layer.running_var).all()


@pytest.mark.parametrize("momentum", [0.1, None])
def test_half_precision_statistics_are_taken_in_single(momentum: float | None) -> None:
    layer = normalization.BatchNorm(4, momentum=momentum)
    x = batch(2).to(torch.bfloat16)
    y = layer(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(layer.running_mean, (momentum or 1.0) * x.float().mean((0, 2, 3)), rtol=1e-5, atol=1e-6)


def test_compiled_equals_plain() -> None:
    pytest.importorskip("torch._inductor")
    for momentum in (0.1, None):
        layer = shaken(normalization.BatchNorm(4, momentum=momentum))
        plain, other = copy.deepcopy(layer), copy.deepcopy(layer)
        compiled = torch.compile(other, backend="aot_eager")
        x = batch(2)
        torch.testing.assert_close(compiled(x), plain(x), **EXACT)
        torch.testing.assert_close(other.running_var, plain.running_var, **EXACT)


def test_a_users_layers_are_made_row_aware_and_the_user_is_told() -> None:
    shared = nn.BatchNorm1d(3)
    custom = type("Custom", (nn.BatchNorm1d,), {})(3)
    network = nn.Sequential(
        nn.Linear(3, 3), shared, nn.Sequential(nn.Dropout(0.2), shared), nn.LayerNorm(3), custom, nn.Dropout2d(0.1)
    ).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    adopted = adopt_layers(network)
    assert [(each.name, each.was) for each in adopted] == [("1", "BatchNorm1d"), ("2.0", "Dropout"), ("5", "Dropout2d")]
    assert network[1] is network[2][1] and isinstance(network[1], normalization.BatchNorm)
    assert isinstance(network[2][0], Dropout) and float(network[2][0].p) == pytest.approx(0.2) and network[5].channels
    assert type(network[3]) is nn.LayerNorm and network[4] is custom
    assert not network[1].training
    after = network.state_dict()
    assert list(after) == list(before) and all(torch.equal(before[name], after[name]) for name in before)
    assert network[1].weight is shared.weight  # the parameters themselves, not copies
    words = told(adopted)
    assert "`1` (BatchNorm1d)" in words and "`2.0` (Dropout)" in words and words.count("\n") == 0
    assert told([]) == ""


def test_initializers_leave_these_layers_alone() -> None:
    network = nn.Sequential(
        nn.Linear(4, 4), normalization.BatchNorm(4), normalization.GroupNorm(2, 4), normalization.LayerNorm([2, 4])
    )
    initialize(network, "kaiming", seed=0)
    for layer in list(network)[1:]:
        assert torch.equal(layer.weight, torch.ones_like(layer.weight))


def test_groups_that_do_not_divide_are_refused() -> None:
    with pytest.raises(InputError, match="6 channels cannot be split into 4"):
        normalization.GroupNorm(4, 6)
