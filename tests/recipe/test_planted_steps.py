"""Each of the seven steps on planted data, through `shoal.fit`: its verdict turns when the flaw is taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

import shoal
from shoal.api import Run
from shoal.core.events import (
    CurveVerdict,
    Finding,
    FindingRaised,
    LearningRateSweep,
    PopulationStarted,
    SearchRound,
)
from shoal.diagnose.initial_loss import TOLERANCE
from shoal.recipe import rate_step
from tests.recipe import planted

CASES: dict[str, tuple[Callable[[], planted.Data], dict[str, Any]]] = {
    "healthy": (planted.blobs, {"model": planted.small_net(4, 3)}),
    "last layer times 100": (planted.blobs, {"model": planted.small_net(4, 3, scale=100)}),
    "contradictions": (planted.contradictions, {"model": planted.small_net(2, 2)}),
    "linear on a ring": (planted.ring, {"model": lambda: nn.Linear(2, 2)}),
    "ring": (planted.ring, {}),
    "lr too low": (planted.blobs, {"ranges": {"lr": (1e-10, 1e-8)}, "model": planted.small_net(4, 3)}),
    "lr too high": (planted.wave, {"ranges": {"lr": (1e2, 1e4)}}),
    "lr well": (planted.wave, {"ranges": {"lr": (1e-3, 1e-1)}}),
    "labels shuffled": (planted.shuffled_labels, {"model": planted.small_net(4, 3)}),
    "labels shuffled, lr given": (
        planted.shuffled_labels,
        {"model": planted.small_net(4, 3), "ranges": {"lr": (1e-4, 1e-1)}},
    ),
    "optimum outside": (planted.blobs, {"budget": "trials=24"}),
    "optimum outside, lr given": (planted.blobs, {"ranges": {"lr": (1e-5, 1e-4)}, "budget": "trials=24"}),
    "optimum inside": (planted.blobs, {"ranges": {"lr": (1e-5, 1.0)}, "budget": "trials=24"}),
    "two epochs": (planted.blobs, {"ranges": {"lr": (1e-4, 1e-3)}, "epochs": 2}),
    "twenty epochs": (planted.blobs, {"ranges": {"lr": (1e-3, 1e-2)}, "epochs": 20}),
    "far too large for 60 rows": (
        planted.few_noisy_rows,
        {"model": planted.small_net(10, 2, width=512), "ranges": {"lr": (1e-2, 1e-1)}, "epochs": 20, "seed": 5},
    ),
    "as large, 60 clear rows": (
        planted.few_clear_rows,
        {"model": planted.small_net(10, 2, width=512), "ranges": {"lr": (1e-3, 1e-2)}, "epochs": 20, "seed": 5},
    ),
}

Fitted = Callable[[str], Run]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """The finished run of a case, fitted when it is first asked for."""
    runs: dict[str, Run] = {}

    def run_of(case: str) -> Run:
        if case not in runs:
            make_data, settings = CASES[case]
            out = str(tmp_path_factory.mktemp("runs") / "run")
            with pytest.MonkeyPatch.context() as patch:
                if case == "optimum outside":
                    patch.setattr(rate_step, "SWEEP_RANGE", (1e-5, 1e-4))
                    patch.setattr(rate_step, "HIGHEST_LR", 1e-4)
                runs[case] = shoal.fit(make_data(), **{"budget": "trials=8", "out": out, **settings})
        return runs[case]

    return run_of


def decisions(run: Run, step: int) -> list[Finding]:
    return [decision for decision in run.decisions if decision.step == step]


def findings(run: Run) -> dict[str, str]:
    return {event.finding.code: event.finding.level for event in run.events if isinstance(event, FindingRaised)}


def search_rounds(run: Run) -> list[SearchRound]:
    found = [event for event in run.events if isinstance(event, SearchRound)]
    assert found
    return found


def test_step_1_a_last_layer_a_hundred_times_too_large(fitted: Fitted) -> None:
    bad, good = decisions(fitted("last layer times 100"), 1)[0], decisions(fitted("healthy"), 1)[0]
    assert (bad.code, good.code) == ("SHL101", "SHL100")
    means, chance, chosen = bad.evidence["mean_by_init"], bad.evidence["expected"], bad.evidence["chosen"]
    assert means["torch"] > 5 * chance
    assert chosen != "torch" and abs(means[chosen] / chance - 1) <= TOLERANCE
    assert chosen in bad.action and chosen in bad.sentence
    assert findings(fitted("last layer times 100"))["SHL101"] == "warning"
    assert good.evidence["chosen"] == "torch" and "SHL101" not in findings(fitted("healthy"))


def test_step_1_the_rescuing_initializer_is_the_one_that_trains(fitted: Fitted) -> None:
    run = fitted("last layer times 100")
    chosen = decisions(run, 1)[0].evidence["chosen"]
    trained = [event for event in run.events if isinstance(event, PopulationStarted)]
    assert trained and all(member.values["init"] == chosen for each in trained for member in each.members)


def test_step_2_rows_that_contradict_each_other(fitted: Fitted) -> None:
    bad, good = decisions(fitted("contradictions"), 2)[0], decisions(fitted("ring"), 2)[0]
    assert (bad.code, good.code) == ("SHL111", "SHL110")
    assert bad.evidence["conflicting_rows"] > 0 and bad.evidence["best"] < 1
    assert good.evidence["reached_step"] <= good.evidence["steps"]
    assert findings(fitted("contradictions"))["SHL111"] == "problem"


def test_step_2_a_network_too_weak_for_its_sample(fitted: Fitted) -> None:
    weak, able = decisions(fitted("linear on a ring"), 2)[0], decisions(fitted("ring"), 2)[0]
    assert (weak.code, able.code) == ("SHL113", "SHL110")
    assert weak.evidence["conflicting_rows"] == 0 and weak.evidence["best"] < 0.9
    assert findings(fitted("linear on a ring"))["SHL113"] == "problem"


def test_step_3_a_given_range_ten_thousand_times_too_low_stays_and_is_said(fitted: Fitted) -> None:
    bad, good = decisions(fitted("lr too low"), 3)[0], decisions(fitted("healthy"), 3)[0]
    assert (bad.code, good.code) == ("SHL121", "SHL120")
    assert bad.evidence["moved_from"] == [] and bad.evidence["range"] == [1e-10, 1e-8]
    assert "the whole range that you gave is of no use" in bad.sentence
    (said,) = [
        e.finding for e in fitted("lr too low").events if isinstance(e, FindingRaised) and e.finding.code == bad.code
    ]
    assert said.fix == 'Give higher learning rates, as in ranges={"lr": (1e-08, 0.0001)}, or --range lr=1e-08:0.0001.'
    for each in search_rounds(fitted("lr too low")):
        assert all(1e-10 <= member.values["lr"] <= 1e-8 for member in each.members)


def test_step_3_a_given_range_far_too_high_stays_and_is_said(fitted: Fitted) -> None:
    bad, good = decisions(fitted("lr too high"), 3)[0], decisions(fitted("lr well"), 3)[0]
    assert (bad.code, good.code) == ("SHL123", "SHL120")
    assert bad.evidence["moved_from"] == [] and bad.evidence["range"] == [1e2, 1e4]
    assert "the whole range that you gave is of no use" in bad.sentence
    assert all(1e2 <= m.values["lr"] <= 1e4 for each in search_rounds(fitted("lr too high")) for m in each.members)


@pytest.mark.parametrize("case", ["labels shuffled", "labels shuffled, lr given"])
def test_step_3_no_learning_rate_helps_where_there_is_nothing_to_learn(fitted: Fitted, case: str) -> None:
    bad, good = decisions(fitted(case), 3)[0], decisions(fitted("healthy"), 3)[0]
    assert (bad.code, good.code) == ("SHL122", "SHL120")
    least = bad.evidence["least_improvement"]
    assert bad.evidence["beyond_answering_blindly"] < least < good.evidence["beyond_answering_blindly"]
    sweep = next(event for event in fitted(case).events if isinstance(event, LearningRateSweep))
    assert len(sweep.end) == bad.evidence["trainings"]
    if "given" in case:
        assert sweep.chosen == (1e-4, 1e-1)  # the user's range is kept where nothing speaks for another


def test_steps_4_and_5_an_optimum_beyond_the_wall_moves_the_wall(fitted: Fitted) -> None:
    run = fitted("optimum outside")
    fired = [each for step in (4, 5) for each in decisions(run, step) if each.evidence["edges"].get("lr") == "high"]
    assert fired and all(each.code in ("SHL141", "SHL151") for each in fired)
    first, *later = [each.ranges["lr"] for each in search_rounds(run)]
    assert first.high == 1e-4
    reaching = [each for each in later if each.high > 1e-4]
    assert reaching and reaching[0].was is not None and reaching[0].was[1] <= 1e-4 * (1 + 1e-9)
    best = next(m for m in search_rounds(run)[-1].members if m.id == search_rounds(run)[-1].best)
    assert best.values["lr"] > 1e-4


def test_steps_4_and_5_a_given_wall_stays_and_a_wider_range_is_advised(fitted: Fitted) -> None:
    run = fitted("optimum outside, lr given")
    near = [each for step in (4, 5) for each in decisions(run, step) if each.evidence["edges_given"]]
    assert near and all(each.code in ("SHL141", "SHL151") and not each.evidence["edges"] for each in near)
    assert "the best lr lies near the high edge of the range that you gave" in near[0].sentence
    assert "--range lr=1e-05:0.000562" in near[0].action
    for each in search_rounds(run):
        assert all(1e-5 <= member.values["lr"] <= 1e-4 for member in each.members)


def test_steps_4_and_5_an_optimum_well_inside_leaves_the_walls(fitted: Fitted) -> None:
    run = fitted("optimum inside")
    assert "lr" not in decisions(run, 4)[0].evidence["edges"]
    assert all(each.ranges["lr"].low >= 1e-5 and each.ranges["lr"].high <= 1.0 for each in search_rounds(run))
    for each in (*decisions(run, 4), *decisions(run, 5)):
        assert each.code[-1] == ("1" if each.evidence["edges"] else "0")


def test_step_4_finer_ranges_stay_inside_and_are_not_wider(fitted: Fitted) -> None:
    coarse, *finer = search_rounds(fitted("optimum inside"))
    assert finer[0].ranges["lr"].low >= coarse.ranges["lr"].low
    assert finer[0].ranges["lr"].high / finer[0].ranges["lr"].low < coarse.ranges["lr"].high / coarse.ranges["lr"].low


def verdicts(run: Run) -> list[str]:
    return [event.verdict for event in run.events if isinstance(event, CurveVerdict)]


@pytest.mark.parametrize(
    ("flawed", "verdict", "code", "sound"),
    [
        ("two epochs", "more_training", "SHL161", "twenty epochs"),
        ("far too large for 60 rows", "overfitting", "SHL162", "as large, 60 clear rows"),
        ("linear on a ring", "underfitting", "SHL163", "ring"),
    ],
)
def test_step_6_reads_the_curves(fitted: Fitted, flawed: str, verdict: str, code: str, sound: str) -> None:
    assert verdicts(fitted(flawed))[0] == verdict
    assert decisions(fitted(flawed), 6)[0].code == code
    assert verdict not in verdicts(fitted(sound))
    assert verdicts(fitted(sound))[-1] == "good"


def test_step_6_cites_its_numbers(fitted: Fitted) -> None:
    short = decisions(fitted("two epochs"), 6)[0].evidence
    assert short["slope"] < short["slope_threshold"] and "--epochs" in decisions(fitted("two epochs"), 6)[0].action
    over = decisions(fitted("far too large for 60 rows"), 6)[0].evidence
    assert over["rise"] > over["rise_threshold"] or over["gap"] > over["gap_threshold"]
    for event in fitted("ring").events:
        if isinstance(event, CurveVerdict) and event.verdict == "good":
            assert event.gap <= event.gap_threshold


def test_step_6_overfitting_is_answered_with_more_regularization(fitted: Fitted) -> None:
    run = fitted("far too large for 60 rows")
    first, second = [each for each in search_rounds(run) if each.step == 5][:2]
    assert second.ranges["weight_decay"].high >= first.ranges["weight_decay"].high
    best = next(member for member in first.members if member.id == first.best)
    assert second.ranges["weight_decay"].low == pytest.approx(best.values["weight_decay"])


def test_step_7_stops_when_nothing_improves_and_goes_on_while_it_does(fitted: Fitted) -> None:
    steps = decisions(fitted("optimum outside"), 7)
    assert steps[0].code == "SHL170" and steps[0].evidence["gain"] > steps[0].evidence["standard_error"]
    assert steps[-1].code == "SHL171"
    last = decisions(fitted("healthy"), 7)[-1]
    assert last.code == "SHL171" and last.evidence["gain"] <= last.evidence["standard_error"]
    assert "nothing improves beyond the noise" in last.sentence  # though a trial is left
    for case in ("healthy", "optimum outside", "labels shuffled"):
        codes = [decision.code for decision in decisions(fitted(case), 7)]
        rounds = [each for each in search_rounds(fitted(case)) if each.step == 5]
        assert codes == ["SHL170"] * (len(rounds) - 1) + ["SHL171"]


def test_the_end_says_when_the_model_is_of_no_use(fitted: Fitted) -> None:
    bad, good = decisions(fitted("labels shuffled"), 9)[0], decisions(fitted("healthy"), 9)[0]
    assert (bad.code, good.code) == ("SHL301", "SHL190")
    assert findings(fitted("labels shuffled"))["SHL301"] == "problem"
    assert bad.evidence["interval"][0] <= bad.evidence["baseline"]
    assert good.evidence["interval"][0] > good.evidence["baseline"]
    assert "SHL301" not in findings(fitted("healthy"))
