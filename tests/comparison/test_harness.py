"""Designs: the same numbers as a loop of separate trainings, honest epochs, and pairs that cancel what they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from shoal import losses as all_losses
from shoal.comparison import Compared, Design, Doing, Level, run
from shoal.core import keyed
from shoal.core.errors import InputError
from shoal.core.returning import Returning
from shoal.experiment import BuiltIn, Given
from shoal.nn.networks import Mlp
from shoal.population import Member, Population
from shoal.task import Part, Split

pytestmark = pytest.mark.usefixtures("one_thread")

ENTROPY = all_losses.find("cross_entropy")


def part(rows: int, seed: int, width: int = 4) -> Part:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width)).astype(np.float32)
    return Part(torch.from_numpy(x), torch.from_numpy((x[:, 0] + rng.normal(size=rows) > 0).astype(np.int64)))


TWO_FOLDS = [Split(train=part(48, k), validation=part(24, 10 + k)) for k in range(2)]


def mlp(split: Split) -> BuiltIn:
    return BuiltIn(Mlp(inputs=split.train.x.shape[1], outputs=2, width=6, depth=1))


def level(lr: float, folds: list[Split] = TWO_FOLDS, **settings: Any) -> Level:
    return Level(Member(optimizer="momentum", momentum=0.9, lr=lr, **settings), mlp, folds)


def design(levels: Mapping[Any, Level], **settings: Any) -> Design:
    given: dict[str, Any] = {"seeds": (3, 4, 5), "loss": ENTROPY, "epochs": 3, "batch_size": 16}
    return Design(levels, **{**given, **settings})


def carried_out(asked: Design) -> tuple[Compared, list[Doing]]:
    steps = Returning(run(asked))
    told = list(steps)
    return steps.result, told


def test_a_comparison_is_the_loop_over_levels_seeds_and_folds() -> None:
    asked = design({"slow": level(0.01), "fast": level(0.1)}, order_seed=7)
    found, _ = carried_out(asked)
    assert asked.networks == 12
    for name, each in asked.levels.items():
        for r, seed in enumerate(asked.seeds):
            for f, split in enumerate(each.folds):
                alone = Population(mlp(split).build, [each.member.model_copy(update={"seed": seed})])
                held = split.validation
                assert held is not None
                records = list(
                    alone.train(
                        split.train.x,
                        split.train.y,
                        epochs=3,
                        batch_size=16,
                        validation=(held.x, held.y),
                        order_seed=7,
                    )
                )
                assert found.loss[name][r, f] == pytest.approx(records[-1].validation_loss[0], rel=1e-4)
                assert found.score[name][r, f] == pytest.approx(records[-1].validation_score[0])
                assert found.curve[name][:, r, f] == pytest.approx([record.validation_score[0] for record in records])
    assert found.by_seed("slow") == pytest.approx(found.score["slow"].mean(axis=1))


def test_levels_of_one_structure_are_one_population_and_others_are_not() -> None:
    wide = [Split(train=part(48, k, 5), validation=part(24, 20 + k, 5)) for k in range(2)]
    levels = {"a": level(0.01), "b": level(0.02), "other rows": level(0.01, wide)}
    linear = Given(lambda: nn.Linear(4, 2), "linear")
    levels["another network"] = Level(Member(lr=0.01), lambda split: linear, TWO_FOLDS)
    asked = design(levels, epochs=1)
    found, told = carried_out(asked)
    assert [(each.level, each.networks) for each in told[::2]] == [("a", 12), ("other rows", 6), ("another network", 6)]
    done = [each.done for each in told]
    assert done == sorted(done) and done[0] == 0 and done[-1] == 1
    assert all(np.isfinite(found.score[name]).all() for name in levels)


def test_folds_that_are_prepared_to_rows_of_other_widths_are_compared_too() -> None:
    """A category that one fold's training rows do not hold makes one column fewer."""
    uneven = [TWO_FOLDS[0], Split(train=part(48, 1, 5), validation=part(24, 11, 5))]
    found, _ = carried_out(design({"a": level(0.05, uneven), "b": level(0.1, uneven)}))
    even, _ = carried_out(design({"a": level(0.05), "b": level(0.1)}))
    assert found.score["a"][:, 0] == pytest.approx(even.score["a"][:, 0])
    assert np.isfinite(found.score["b"]).all()


def test_what_seeds_share_cancels() -> None:
    found, _ = carried_out(design({"one": level(0.05), "same": level(0.05), "none": level(1e-9)}))
    gain = found.gain("one", "same")
    assert (gain.value, gain.low, gain.high, gain.n) == (0, 0, 0, 3)
    against = found.gain("one", "none")
    assert against.value == pytest.approx((found.by_seed("one") - found.by_seed("none")).mean())


def test_rows_that_choose_the_epoch_do_not_score_it() -> None:
    """The scoring half is found by spoiling row after row: a row moves either the choice or the score, never both."""
    held = part(20, 5)
    plain = Split(train=part(48, 0), validation=held)

    def of(split: Split) -> tuple[np.ndarray[Any, Any], float]:
        asked = design({"a": level(0.05, [split])}, seeds=(1,), epochs=1, choose_epoch=True)
        found, _ = carried_out(asked)
        return found.curve["a"][:, 0, 0], float(found.loss["a"][0, 0])

    curve, loss = of(plain)
    moved = []
    for row in range(20):
        y = held.y.clone()
        y[row] = 1 - y[row]
        spoiled, other = of(replace(plain, validation=Part(held.x, y)))
        moved.append((not np.array_equal(spoiled, curve), other != loss))
    assert sum(choosing for choosing, _ in moved) == 10
    assert all(choosing != scoring for choosing, scoring in moved)


def test_a_network_is_scored_at_the_epoch_that_the_choosing_half_likes_best() -> None:
    """Labels are noise and steps are large: scores go up and down from epoch to epoch."""
    noise = Part(part(40, 0).x, torch.from_numpy(np.random.default_rng(1).integers(0, 2, 40)))
    held = part(60, 3)
    asked = design({"a": level(0.3, [Split(train=noise, validation=held)])}, epochs=12, choose_epoch=True)
    found, _ = carried_out(asked)
    others = held.take(keyed.permutation(keyed.key(0, keyed.Purpose.SAMPLE, 60), 60)[30:])
    alone = Population(mlp(asked.levels["a"].folds[0]).build, [level(0.3).member.model_copy(update={"seed": 4})])
    losses = [alone.evaluate(others.x, others.y)[0][0] for _ in alone.train(noise.x, noise.y, epochs=12, batch_size=16)]
    curve = found.curve["a"][:, 1, 0]
    best = np.flatnonzero(curve == curve.max())  # between equal scores the lower loss decides
    assert best[0] < 11 and found.loss["a"][1, 0] in [pytest.approx(losses[epoch], rel=1e-4) for epoch in best]
    assert min(abs(losses[-1] - losses[epoch]) for epoch in best) > 1e-3


def test_what_diverged_or_is_ruined_has_no_score() -> None:
    levels = {"fine": level(0.05), "wild": level(1e25)}
    found, _ = carried_out(design(levels))
    assert np.isnan(found.score["wild"]).all() and np.isfinite(found.score["fine"]).all()
    ruined, _ = carried_out(design(levels, ruined=float(found.loss["fine"].max())))
    assert np.isnan(ruined.score["fine"]).sum() == 1 and np.isnan(ruined.loss["fine"]).sum() == 1


@pytest.mark.parametrize(
    ("levels", "settings", "said"),
    [
        ({}, {}, "at least one level and one seed"),
        ({"a": level(0.1)}, {"seeds": ()}, "at least one level and one seed"),
        ({"a": level(0.1), "b": level(0.1, TWO_FOLDS[:1])}, {}, "different numbers of folds"),
    ],
)
def test_what_is_no_comparison_is_refused(levels: dict[str, Level], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        design(levels, **settings)


def test_an_epoch_cannot_be_chosen_by_one_row() -> None:
    one = [Split(train=part(20, 0), validation=part(1, 1))]
    with pytest.raises(InputError, match="fewer than two validation rows"):
        carried_out(design({"a": level(0.1, one)}, choose_epoch=True))
