"""What the sentences and numbers of the page claim, against the events: one number for one thing, signs kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from shoal.core import events as ev
from shoal.report import advice, answer, chapters, exhibits, page, story, wrong
from shoal.report.formats import MINUS
from tests.report import streams


def changed(events: list[ev.Event], kind: type[Any], **update: Any) -> list[ev.Event]:
    """The events, those of one kind with other values."""
    return [e.model_copy(update=update) if isinstance(e, kind) else e for e in events]


def baseline(events: Sequence[ev.Event]) -> str:
    return next(f.value for f in answer.figures(story.read(events)) if f.label == "baseline")


def test_once_the_test_was_read_the_baseline_is_that_of_the_test_rows() -> None:
    events = changed(streams.income(), ev.TestRead, baseline=0.719)
    assert baseline(events) == "71.9 %"
    assert "14.6 points above" in answer.sentence(story.read(events))
    unread = [e for e in events if not isinstance(e, ev.TestRead | ev.RunFinished)]
    assert baseline(unread) == "76.1 %"


@pytest.mark.parametrize("interval", [(0.782, 0.992), (0.93, 0.97), None])
def test_who_subtracts_the_shown_scores_finds_the_shown_difference(interval: tuple[float, float] | None) -> None:
    """21 of 22 and 7 of 22: 95.5 and 31.8 are 63.6 apart, but 95 and 32 are 63."""
    events = changed(streams.income(), ev.TestRead, score=21 / 22, baseline=7 / 22, interval=interval, rows=22)
    told = story.read(events)
    shown = [f.value.removesuffix(" %") for f in answer.figures(told)[:2]]
    digits = len(shown[0].partition(".")[2])
    said = answer.sentence(told)
    assert f"with {shown[0]} % accuracy" in said
    assert f", {float(shown[0]) - float(shown[1]):.{digits}f} points above" in said


def advised(events: Sequence[ev.Event]) -> list[str]:
    return [" ".join((a.what, a.why, a.effect)) for a in advice.actions(story.read(events))]


def test_nothing_is_advised_that_no_command_does() -> None:
    """A run answers with its ensemble; what one network alone would lose stands in the ensemble's chapter."""
    events = changed(streams.income(), ev.EnsembleChosen, gain=-0.002, gain_interval=(-0.005, 0.001))
    assert not [text for text in advised(events) if "single network" in text or "points (in %)" in text]
    caption = chapters.together(story.read(events))[0].caption
    assert f"{MINUS}0.2 points against its best network on validation rows ({MINUS}0.5 points to +0.1" in caption


def test_the_greedy_path_keeps_its_sign() -> None:
    """The selection goes by the loss, so the score may fall on the way."""
    lower = changed(streams.income(), ev.EnsembleChosen, path=[0.8358, 0.8300, 0.8284], score=0.8284)
    caption = chapters.together(story.read(lower))[1].caption
    assert f"3 additions changed the score by {MINUS}0.74 points on validation rows, to 82.8 %" in caption
    higher = changed(streams.income(), ev.EnsembleChosen, path=[0.8284, 0.8358])
    assert "2 additions changed the score by +0.74 points" in chapters.together(story.read(higher))[1].caption


def at_the_wall(share: float, gain: float) -> list[ev.Event]:
    """A run whose best weight decay lies at its upper bound, explains `share`, and whose last round gained `gain`."""
    events = streams.income()
    last = [e for e in events if isinstance(e, ev.SearchRound)][-1]
    best = next(m for m in last.members if m.id == last.best)
    decay = float(best.values["weight_decay"])  # type: ignore[arg-type]
    bounds = {name: ev.Range(low=-1e3, high=1e3, log=False) for name in last.ranges}
    bounds["weight_decay"] = ev.Range(low=decay / 1e3, high=decay)
    out: list[ev.Event] = []
    for e in events:
        if e is last:
            e = last.model_copy(update={"ranges": bounds})
        if isinstance(e, ev.SearchRound):
            e = e.model_copy(update={"importance": {"lr": 0.9 - share, "weight_decay": share}})
        if isinstance(e, ev.DecisionMade) and e.decision.step == 7:
            told: dict[str, Any] = {"gain": gain, "standard_error": 0.002, "noises": 2.0}
            e = ev.DecisionMade(decision=e.decision.model_copy(update={"evidence": told}))
        out.append(e)
    return out


@pytest.mark.parametrize(("share", "gain", "expected"), [(0.3, 0.01, True), (0.3, 0.003, False), (0.0, 0.01, False)])
def test_another_round_is_advised_only_where_step_7_and_the_importance_leave_room(
    share: float, gain: float, expected: bool
) -> None:
    """Not after a round that changed nothing beyond the noise, nor for a bound of what explains nothing."""
    texts = advised(at_the_wall(share, gain))
    assert any("best weight decay lies near its upper bound" in text for text in texts) is expected
    if gain < 0.004:
        assert not [text for text in texts if "Search" in text]


def test_only_a_run_that_kept_a_network_promises_that_it_predicts() -> None:
    events = streams.interrupted()
    first = next(k for k, e in enumerate(events) if isinstance(e, ev.SearchRound))
    early = [*events[:first], ev.RunInterrupted(step=4, sentence="Stopped by the user.")]
    assert "shoal predict" in advised(events)[0]
    assert "shoal predict" not in advised(early)[0] and "shoal fit" in advised(early)[0]


def one_chosen() -> list[ev.Event]:
    """A finished run whose answer is one network, its summary counting 14 short trainings of step 3 too."""
    out: list[ev.Event] = []
    for e in streams.income():
        if isinstance(e, ev.EnsembleChosen):
            e = e.model_copy(update={"members": e.members[:1], "counts": [1], "path": [e.single], "gain": 0.0})
        if isinstance(e, ev.RunFinished):
            e = ev.RunFinished(summary={**e.summary, "members_trained": 246, "epochs_trained": 449.7})
        out.append(e)
    return out


def test_the_best_of_n_counts_only_networks_that_could_be_chosen() -> None:
    told = story.read(one_chosen())
    searched = sum(len(e.members) for e in one_chosen() if isinstance(e, ev.PopulationStarted))
    assert searched == 232
    assert answer.sentence(told).startswith("The best of 232 networks predicts")


def test_networks_and_epochs_trained_are_the_summary_s() -> None:
    figure = next(f for f in answer.figures(story.read(one_chosen())) if f.label == "networks trained")
    assert figure.value == "246"
    assert figure.note == "232 of them in the search, 450 epochs in all"


def built(*networks: dict[str, Any]) -> str:
    start = next(e for e in streams.income() if isinstance(e, ev.PopulationStarted))
    told = [
        start.model_copy(update={"population": f"refine {k}", "network": network, "parameters": 1000 * k + 18})
        for k, network in enumerate(networks, 1)
    ]
    return chapters.networks(story.read(told))


def test_the_network_is_said_in_words() -> None:
    mlp = {"network": "mlp", "inputs": 113, "outputs": 2, "width": 128, "depth": 2, "dropout": 0.0}
    cnn = {"network": "cnn", "channels": 1, "size": [8, 8], "outputs": 10, "width": 16, "blocks": 2}
    assert built(mlp) == "Each network has two hidden layers of 128: 1,018 numbers to learn."
    assert built(cnn) == (
        "Each network has two convolutions of 16 and 32 channels and a linear layer: 1,018 numbers to learn."
    )
    assert built({"network": "given", "factory": "nets:make"}) == (
        "Each network is your own, `nets:make`: 1,018 numbers to learn."
    )
    assert built(mlp, {**mlp, "width": 256}) == (
        "In refine 1 each network has two hidden layers of 128: 1,018 numbers to learn. "
        "In refine 2 each network has two hidden layers of 256: 2,018 numbers to learn."
    )


@pytest.mark.parametrize(
    ("slope", "said"),
    [
        (0.00017, "rose by 0.02 % of chance's loss an epoch"),
        (-0.0214, "fell by 2.14 % of chance's loss an epoch"),
        (-0.000021, "changed by less than 0.01 % of chance's loss an epoch"),
    ],
)
def test_a_slope_is_said_in_the_digits_of_the_run_s_own_log(slope: float, said: str) -> None:
    """Step 6 says `+0.02%`: the sentence beside it must not say 0.015."""
    seen = next(e for e in streams.income() if isinstance(e, ev.CurveVerdict)).model_copy(update={"slope": slope})
    assert f"the validation loss {said} (called settled" in exhibits.verdict_numbers(story.read([]), seen)


def test_per_cent_stands_apart_from_its_number_except_in_names() -> None:
    text = str(page.said("gap 3.4%, `a 5%` of 48%: settled"))
    assert "3.4 %" in text and "48 %" in text and "<code>a 5%</code>" in text


def test_a_finding_s_fix_is_advised_as_a_sentence() -> None:
    copies = ev.Finding(code="SHL214", sentence="52 rows repeat.", fix="drop the copies, or give --group to them")
    what = [a.what for a in advice.actions(story.read([ev.FindingRaised(finding=copies)]))]
    assert what == ["Drop the copies, or give `--group` to them."]


def test_hyperparameters_and_thresholds_are_said_in_words_everywhere() -> None:
    text = str(page.said("Move the bounds to lr 0.1 to 1, weight_decay 0 to 1, label_smoothing 0; column `lr`."))
    assert "learning rate 0.1 to 1, weight decay 0 to 1, label smoothing 0; column <code>lr</code>" in text
    decision = ev.Finding(
        step=5,
        code="SHL150",
        sentence="Done.",
        level="fine",
        evidence={"best": {"lr": 0.5, "weight_decay": 0.1}, "margin": 0.1},
        action="",
    )
    html = page.render([streams.income()[0], ev.StepStarted(step=5), ev.DecisionMade(decision=decision)])
    assert "learning rate 0.5, weight decay 0.1" in html
    assert "<dt>margin</dt>" not in html and "<dt>near an edge within</dt>" in html


@pytest.mark.parametrize(("rows", "said"), [(66, "off by 33,000 on average"), (3096, "off by 33,100 on average")])
def test_an_error_has_the_digits_that_its_rows_support(rows: int, said: str) -> None:
    events = changed(streams.regression(), ev.TestRead, rows=rows, scores={"mae": 33133.4})
    assert said in answer.sentence(story.read(events))


def test_a_worst_answer_says_where_its_row_stands_in_the_source() -> None:
    read = next(e for e in streams.income() if isinstance(e, ev.TestRead))
    read = read.model_copy(
        update={"worst": [{"row": 188, "probability": 0.51}, {"row": 7, "path": "Coat/7.png", "probability": 0.24}]}
    )
    assert [s.notes for s in wrong.worst(read, "titanic.csv.gz")] == [
        ["51 % sure", "line 190"],
        ["24 % sure", "Coat/7.png"],
    ]
    assert wrong.worst(read, "digits")[0].notes == ["51 % sure", "row 188"]
    assert wrong.worst(read, "digits")[1].values == []
    assert "the surest answer first: from 51 % down to 24 % sure." in wrong.worst_caption(read)


def test_the_worst_numbers_are_called_farthest_off() -> None:
    read = next(e for e in streams.regression() if isinstance(e, ev.TestRead))
    assert "farthest off, the worst first" in wrong.worst_caption(read)


def test_where_nothing_is_advised_no_wall_is_denied() -> None:
    """A best value may lie at a bound that is not worth a round."""
    quiet = [
        e.model_copy(update={"confusion": None}) if isinstance(e, ev.TestRead) else e for e in at_the_wall(0.0, 0.0)
    ]
    assert advised(quiet) == []
    html = page.render(quiet)
    assert "Nothing in the numbers asks for a change" in html and "no best value lies at a bound" not in html
