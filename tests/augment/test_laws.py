"""The laws: rows are independent, alone or together the same, draws keyed; no strength is the identity bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.augment import OPERATIONS, PRESETS, Augment, Augmentation, draws, of
from shoal.core.errors import InputError

SHAPES: dict[str, tuple[int, ...]] = {
    "signal": (2, 23),
    "image": (3, 13, 18),
    "volume": (1, 6, 7, 9),
    "table": (5,),
}
GEOMETRY = ["hflip", "vflip", "rotate", "translate", "scale", "crop", "stretch", "shear", "distort"]


def batch(kind: str, samples: int = 9) -> torch.Tensor:
    return torch.as_tensor(np.random.default_rng(1).normal(size=(samples, *SHAPES[kind]))).to(torch.float32)


def usable(kind: str) -> list[str]:
    return [name for name, (kinds, _) in OPERATIONS.items() if kind in kinds]


@st.composite
def rows(draw: st.DrawFn, kind: str) -> list[tuple[int, int, Augment]]:
    """Members with seeds, steps and some operations at random strengths."""
    several = []
    for _ in range(draw(st.integers(1, 6))):
        names = draw(st.lists(st.sampled_from(usable(kind)), max_size=5, unique=True))
        values: dict[str, Any] = {name: OPERATIONS[name][1] * draw(st.sampled_from([0.0, 0.5, 1.0])) for name in names}
        if kind == "image":
            values["padding"] = draw(st.sampled_from(["zeros", "border", "reflection"]))
            values["interpolation"] = draw(st.sampled_from(["bilinear", "nearest", "bicubic"]))
        several.append((draw(st.integers(0, 3)), draw(st.integers(0, 2)), of(values)))
    return several


def run(kind: str, members: list[tuple[int, int, Augment]], x: torch.Tensor) -> list[tuple[torch.Tensor, ...]]:
    """(inputs, partner, lam) of each member."""
    plan = Augmentation([augment for *_, augment in members], kind, SHAPES[kind])  # type: ignore[arg-type]
    seen = plan(x, torch.tensor([m[0] for m in members]), torch.tensor([m[1] for m in members]))
    n = len(x)
    own = torch.arange(n).repeat(len(members), 1)
    inputs = seen.inputs if seen.by_row else seen.inputs.expand(len(members), *seen.inputs.shape)
    partner = own if seen.partner is None else seen.partner
    lam = torch.ones(len(members), n) if seen.lam is None else seen.lam
    return list(zip(inputs, partner, lam, strict=True))


@pytest.mark.parametrize("kind", SHAPES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_alone_or_together_the_same_bits(kind: str, data: st.DataObject) -> None:
    members = data.draw(rows(kind))
    x = batch(kind)
    together = run(kind, members, x)
    for member, seen in zip(members, together, strict=True):
        for alone, here in zip(run(kind, [member], x)[0], seen, strict=True):
            assert torch.equal(alone, here)


@pytest.mark.parametrize("kind", SHAPES)
def test_rows_with_batches_of_their_own_are_rows_alone(kind: str) -> None:
    members = [(seed, 1, of({name: OPERATIONS[name][1] for name in usable(kind)})) for seed in (0, 0, 5)]
    own = torch.stack([batch(kind), batch(kind) + 1.0, batch(kind) * 2.0])
    plan = Augmentation([member[2] for member in members], kind, SHAPES[kind])  # type: ignore[arg-type]
    seen = plan(own, torch.tensor([0, 0, 5]), torch.tensor([1, 1, 1]), by_row=True)
    assert seen.by_row
    for row, member in enumerate(members):
        assert torch.equal(seen.inputs[row], run(kind, [member], own[row])[0][0])


@pytest.mark.parametrize("kind", SHAPES)
def test_a_row_of_nan_changes_no_bit_of_another(kind: str) -> None:
    strong = of({name: OPERATIONS[name][1] for name in usable(kind)})
    own = torch.stack([batch(kind), torch.full_like(batch(kind), torch.nan)])
    plan = Augmentation([strong, strong], kind, SHAPES[kind])  # type: ignore[arg-type]
    seen = plan(own, torch.tensor([3, 3]), torch.tensor([0, 0]), by_row=True)
    assert torch.equal(seen.inputs[0], run(kind, [(3, 0, strong)], own[0])[0][0])
    assert seen.inputs[0].isfinite().all()


@pytest.mark.parametrize("kind", SHAPES)
def test_no_strength_is_the_identity_bit_for_bit(kind: str) -> None:
    x = batch(kind)
    nothing = Augment(padding="reflection", interpolation="nearest")
    everything = of({name: OPERATIONS[name][1] for name in usable(kind)})
    assert Augmentation([nothing], kind, SHAPES[kind])(x, torch.tensor([0]), torch.tensor([0])).inputs is x  # type: ignore[arg-type]
    inputs, partner, lam = run(kind, [(0, 0, everything), (0, 0, nothing), (1, 0, everything)], x)[1]
    assert torch.equal(inputs, x)
    assert torch.equal(partner, torch.arange(len(x))) and bool((lam == 1).all())


@pytest.mark.parametrize("name", [name for name in usable("image") if name not in ("mixup", "cutmix", "noise")])
def test_a_vanishing_strength_vanishes(name: str) -> None:
    x = batch("image")
    tiny = of({name: 1e-9})
    torch.testing.assert_close(run("image", [(0, 0, tiny)], x)[0][0], x, atol=1e-4, rtol=0)


def test_draws_are_keyed_by_seed_step_sample_and_operation() -> None:
    seeds, steps = torch.tensor([4, 4, 4, 9]), torch.tensor([0, 0, 1, 0])
    u = draws.uniforms(seeds, steps, 50)
    assert torch.equal(u[0], u[1])
    assert not torch.equal(u[0], u[2]) and not torch.equal(u[0], u[3])
    assert torch.equal(draws.uniforms(seeds, steps, 7), u[:, :7])  # the batch's length changes no draw
    assert len(u[0].unique()) > 0.999 * u[0].numel()
    correlation = np.corrcoef(draws.uniforms(torch.tensor([1]), torch.tensor([0]), 4000)[0].numpy(), rowvar=False)
    assert np.abs(correlation - np.eye(draws.WIDTH)).max() < 0.08


def test_paired_members_share_their_draws_whatever_their_strengths() -> None:
    x = torch.zeros(40, 1, 41, 41)
    x[:, :, 20, 20] = 1.0
    plan = Augmentation([Augment(translate=0.1), Augment(translate=0.2)], "image", (1, 41, 41))
    weak, strong = plan(x, torch.tensor([7, 7]), torch.tensor([0, 0])).inputs

    def moved(seen: torch.Tensor) -> torch.Tensor:
        return torch.stack([(each[0] > 0).nonzero()[0] - 20 for each in seen]).float()

    assert (moved(strong) - 2 * moved(weak)).abs().max() <= 1.0  # whole pixels
    assert moved(strong).abs().max() > 6


def test_equal_members_share_one_batch_in_memory() -> None:
    x = batch("image")
    plan = Augmentation([PRESETS["photo-strong"]] * 64, "image", SHAPES["image"])
    seen = plan(x, torch.full((64,), 3), torch.full((64,), 2))
    assert not seen.by_row and seen.inputs.shape == x.shape
    apart = plan(x, torch.arange(64), torch.full((64,), 2))
    assert apart.by_row and apart.inputs.shape == (64, *x.shape)


def test_the_batch_given_is_left_alone() -> None:
    x = batch("image")
    before = x.clone()
    run("image", [(0, 0, PRESETS["photo-strong"]), (1, 0, of("mixup,cutmix,noise,channel_drop"))], x)
    assert torch.equal(x, before)


def test_the_ends_of_every_range() -> None:
    """`extreme`: what a range can do at most, for judging it."""
    x = batch("image")
    seeds, steps = torch.tensor([0]), torch.tensor([0])
    turned = Augmentation([Augment(hflip=0.01, vflip=0.01)], "image", SHAPES["image"], extreme=True)(
        x, seeds, steps
    ).inputs
    assert torch.equal(turned, x.flip(-1, -2))
    half = Augmentation([Augment(rotate=180)], "image", SHAPES["image"], extreme=True)(x, seeds, steps).inputs
    torch.testing.assert_close(half, x.flip(-1, -2), atol=1e-5, rtol=0)


def test_a_batch_of_another_shape_is_refused() -> None:
    plan = Augmentation([Augment(rotate=5)], "image", (3, 13, 18))
    with pytest.raises(InputError, match=r"samples \[3, 13, 18\] .* the batch is torch.float32 \[9, 5\]"):
        plan(batch("table"), torch.tensor([0]), torch.tensor([0]))


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_no_bit(threads: int) -> None:
    x = torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    plan = Augmentation([PRESETS["photo-strong"]], "image", (3, 64, 64))
    usual = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        seen = plan(x, torch.tensor([0]), torch.tensor([0])).inputs
        torch.set_num_threads(1)
        assert torch.equal(seen, plan(x, torch.tensor([0]), torch.tensor([0])).inputs)
    finally:
        torch.set_num_threads(usual)
