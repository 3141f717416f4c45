"""The search and augmentation: what label preservation allows becomes one dimension, on planted pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import shoal
from shoal.augment import Augment, Pixels, default_for, parse
from shoal.core.budget import Budget
from shoal.core.errors import InputError
from shoal.core.events import DecisionMade, Event, Finding, FindingRaised, Interval, PopulationStarted, SearchRound
from shoal.diagnose.label_preservation import Effort, Judge
from shoal.experiment import BuiltIn
from shoal.nn import Mlp
from shoal.population import Population
from shoal.recipe import augmenting, recipe
from shoal.recipe.problem import Options, Problem
from shoal.recipe.recipe import Outcome
from shoal.store.checkpoint import Checkpoint
from shoal.store.plans import RecordedPlans
from shoal.task import Part, Sealed
from tests.recipe import planted
from tests.recipe.test_loop import finished

SIDE = 10


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmenting, "QUICK", Effort(rows=60, probes=1, steps=60))


def bars(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """`top` and `bottom` are each other upside down; `cross` and `ring` are anywhere and look the same both ways."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 0.2, size=(rows, 1, SIDE, SIDE)).astype(np.float32), np.arange(rows) % 3
    for image, label in zip(x[:, 0], y, strict=True):
        if label == 2:
            image[:, rng.integers(3, 7)] += 2.0
        else:
            image[1 + rng.integers(2) if label == 0 else SIDE - 2 - rng.integers(2), 2:8] += 2.0
    return torch.from_numpy(x), torch.from_numpy(y)


def marks(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """A cross or a ring of three by three, anywhere."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 0.1, size=(rows, 1, SIDE, SIDE)).astype(np.float32), np.arange(rows) % 2
    ring = np.ones((3, 3), dtype=np.float32)
    ring[1, 1] = 0
    cross = np.float32(1.6) * np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], dtype=np.float32)
    for image, label in zip(x[:, 0], y, strict=True):
        top, left = rng.integers(0, SIDE - 2, size=2)
        image[top : top + 3, left : left + 3] += (cross, ring)[label]
    return torch.from_numpy(x), torch.from_numpy(y)


def places(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """A spot, and how far to the right it is: a number that moves with it."""
    rng = np.random.default_rng(seed)
    x, at = rng.normal(0, 0.1, size=(rows, 1, SIDE, SIDE)).astype(np.float32), rng.integers(1, SIDE - 1, size=rows)
    for image, column in zip(x[:, 0], at, strict=True):
        image[3:7, column - 1 : column + 2] += 1.0
    y = (at - at.mean()) / at.std()
    return torch.from_numpy(x), torch.from_numpy(y.astype(np.float32))[:, None]


def problem_of(
    train: tuple[Tensor, Tensor], unseen: tuple[Tensor, Tensor], classes: tuple[str, ...] | None, width: int = 32
) -> Problem:
    network = Mlp(inputs=SIDE * SIDE, outputs=len(classes) if classes else 1, width=width, depth=1)
    half = len(unseen[0]) // 2
    return Problem(
        train=Part(*train),
        validation=Part(unseen[0][:half], unseen[1][:half]),
        test=Sealed(lambda: Part(unseen[0][half:], unseen[1][half:]), len(unseen[0]) - half),
        classes=classes,
        network=BuiltIn(network),
        kind="image",
        pixels=Pixels(),
    )


def bars_problem(held_seed: int = 1) -> Problem:
    return problem_of(bars(120, 0), bars(90, held_seed), ("top", "bottom", "post"), width=8)


def run(problem: Problem, trials: int = 4, **options: object) -> tuple[list[Event], Outcome]:
    return finished(recipe.run(problem, Budget(trials=trials), Options(**options)))  # type: ignore[arg-type]


def decided(events: list[Event]) -> list[Finding]:
    """What was decided about augmentation."""
    codes = ("SHL144", "SHL145", "SHL401", "SHL402", "SHL403")
    return [e.decision for e in events if isinstance(e, DecisionMade) and e.decision.code in codes]


def shares(events: list[Event], population: str) -> list[float]:
    members = next(e.members for e in events if isinstance(e, PopulationStarted) and e.population == population)
    return [value for member in members if isinstance(value := member.values["augment"], float)]


def best_share(round_: SearchRound) -> float:
    share = next(member.values["augment"] for member in round_.members if member.id == round_.best)
    assert isinstance(share, float)
    return share


@pytest.fixture(scope="module")
def of_bars() -> tuple[list[Event], Outcome]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmenting, "QUICK", Effort(rows=60, probes=1, steps=60))
        return run(bars_problem(), trials=8, epochs=3, augment=parse("hflip,vflip,brightness=0.1"))


def test_what_turns_a_class_into_another_is_left_out_and_the_pairs_are_named(
    of_bars: tuple[list[Event], Outcome],
) -> None:
    events, outcome = of_bars
    excluded, left = decided(events)
    assert (excluded.code, excluded.step, excluded.action) == ("SHL403", 4, "Leave vflip out.")
    assert "top for bottom" in excluded.sentence and "bottom for top" in excluded.sentence
    assert [e.finding.code for e in events if isinstance(e, FindingRaised)].count("SHL403") == 1  # it was asked for
    assert left.code == "SHL144" and left.evidence["allowed"] == outcome.augment == "hflip=0.5,brightness=0.1"
    assert left.evidence["judged"] == {"hflip": "keep", "vflip": "exclude", "brightness": "keep"}
    assert "`augment` from 0 to 1: hflip=0.5,brightness=0.1" in left.action


def test_the_share_is_one_number_of_each_network(of_bars: tuple[list[Event], Outcome]) -> None:
    events, outcome = of_bars
    drawn = shares(events, "coarse")
    assert len(drawn) == 4 == len(set(drawn)) and all(0 <= share <= 1 for share in drawn)
    rounds = [e for e in events if isinstance(e, SearchRound)]
    assert rounds and all("augment" in e.ranges and not e.ranges["augment"].log for e in rounds)
    coarse = next(e.decision for e in events if isinstance(e, DecisionMade) and e.decision.code.startswith("SHL14"))
    assert outcome.chosen is not None and outcome.chosen.members
    assert all(isinstance(each.values["augment"], float) for each in outcome.chosen.members)
    assert coarse.step == 4
    narrowed = [e.decision for e in events if isinstance(e, DecisionMade) and e.decision.code in ("SHL140", "SHL141")]
    assert "augment stays whole" in narrowed[0].action


def test_the_judgement_reads_training_rows_alone() -> None:
    def judged(problem: Problem) -> list[str]:
        steps = recipe.run(problem, Budget(trials=2), Options(augment=parse("vflip,brightness=0.1")))
        seen: list[Event] = []
        for event in steps:
            seen.append(event)
            if isinstance(event, PopulationStarted):
                steps.close()
        return [each.model_dump_json() for each in decided(seen)]

    first = judged(bars_problem())
    noise = problem_of(bars(120, 0), (torch.randn(90, 1, SIDE, SIDE), torch.arange(90) % 3), ("top", "bottom", "post"))
    assert len(first) == 2 and judged(noise) == first
    others = judged(problem_of(bars(120, 7), bars(90, 1), ("top", "bottom", "post")))
    assert others != first


def test_runs_without_it_have_no_such_dimension() -> None:
    events, outcome = run(bars_problem(), augment=Augment(), epochs=2, ranges={"augment": (0.0, 0.5)})
    assert decided(events) == [] and outcome.augment == ""
    rounds = [e for e in events if isinstance(e, SearchRound)]
    assert rounds and all("augment" not in e.ranges for e in rounds)


def test_the_user_may_bound_the_share_and_networks_train_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: dict[str, Interval] = {"augment": (0.2, 0.3)}
    problem = replace(bars_problem(), pixels=Pixels(mean=(0.3,), std=(0.2,)))
    seen, train = [], Population.train

    def watched(self: Population, *data: object, **settings: object) -> object:
        if any(member.augment.active for member in self.members):
            seen.append((settings["pixels"], [member.augment for member in self.members]))
        return train(self, *data, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(Population, "train", watched)
    events, _ = run(problem, augment=parse("brightness=0.1"), epochs=2, ranges=bounds)
    drawn = shares(events, "coarse")
    assert all(0.2 <= share <= 0.3 for share in drawn)
    assert seen[0] == ((problem.pixels,) * len(drawn), [Augment(brightness=0.1).weakened(share) for share in drawn])


def test_the_usual_ones_are_proposed_by_kind() -> None:
    grey, colour = default_for("image", 1), default_for("image", 3)
    assert {"hflip", "rotate", "shear"} <= set(grey.active) and "vflip" not in grey.active
    assert {"hflip", "brightness", "saturation"} <= set(colour.active)
    assert default_for("table", 1) == Augment() and {"dflip", "rotate"} <= set(default_for("volume", 1).active)
    assert augmenting.asked(" auto ") is None and augmenting.asked("none") == Augment()


def test_noise_and_mixtures_are_searched_unjudged_on_a_table_too() -> None:
    x, y = planted.blobs(90)
    part = Part(torch.from_numpy(x), torch.from_numpy(y))
    table = Problem(
        train=part,
        validation=part,
        test=Sealed(lambda: part, len(part)),
        classes=("a", "b", "c"),
        network=BuiltIn(Mlp(inputs=4, outputs=3, width=4, depth=1)),
    )
    events, outcome = run(table, trials=2, epochs=1, augment=parse("noise=0.1,mixup"))
    (said,) = decided(events)
    assert said.code == "SHL144" and said.evidence["not_judged"] == ["noise", "mixup"]
    assert outcome.augment == "noise=0.1,mixup=0.2" and len(shares(events, "coarse")) == 2
    assert decided(run(replace(table, test=Sealed(lambda: part, len(part))), trials=2, epochs=1)[0]) == []


def test_a_finding_is_raised_only_of_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmenting, "default_for", lambda kind, channels: parse("vflip"))
    events, _ = run(bars_problem(), trials=2, epochs=1)
    codes = [(each.code, each.level) for each in decided(events)]
    assert codes == [("SHL403", "note"), ("SHL145", "note")]
    assert not [e for e in events if isinstance(e, FindingRaised) and e.finding.code == "SHL403"]


def test_it_is_chosen_where_rows_are_few_and_positions_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dense network that saw each mark in a few places knows it elsewhere only if the marks were moved about."""
    monkeypatch.setattr(augmenting, "QUICK", Effort(rows=60, probes=1, steps=100))
    problem = problem_of(marks(100, 0), marks(600, 1), ("cross", "ring"), width=64)
    events, outcome = run(problem, trials=24, epochs=40, augment=parse("translate=0.2"))
    assert outcome.augment == "translate=0.2" and outcome.chosen is not None
    assert outcome.chosen.validation > 0.75  # without augmentation the same search reaches 0.67
    coarse, finer, *_, last = [e for e in events if isinstance(e, SearchRound)]
    assert (finer.ranges["augment"].low, finer.ranges["augment"].high) == (0, 1)
    assert finer.ranges["lr"].high / finer.ranges["lr"].low < coarse.ranges["lr"].high / coarse.ranges["lr"].low
    assert best_share(coarse) < 0.3 < best_share(last)  # five epochs would have excluded what forty need


def test_it_is_not_chosen_where_it_blurs_the_answer() -> None:
    """Where the spot is, is the answer; a number cannot be judged by classes, so the search finds it out."""
    problem = problem_of(places(200, 0), places(400, 1), None)
    events, _ = run(problem, trials=24, epochs=20, augment=parse("translate=0.3"))
    (said,) = decided(events)
    assert said.code == "SHL145" and "the target is a number" in said.sentence and "asked for" in said.sentence
    assert best_share([e for e in events if isinstance(e, SearchRound)][-1]) < 0.35
    assert decided(run(problem_of(places(60, 0), places(60, 1), None), trials=2, epochs=1)[0])[0].action == (
        "Train on the samples as they are."
    )


# --- the budget in time ---------------------------------------------------------------------------------------------


class Clock:
    """Moves a little each time it is looked at."""

    def __init__(self, tick: float) -> None:
        self.time, self.tick = 0.0, tick

    def __call__(self) -> float:
        self.time += self.tick
        return self.time


def in_time(tick: float) -> list[Finding]:
    steps = recipe.run(
        bars_problem(),
        Budget(seconds=60.0),
        Options(augment=parse("hflip,vflip,brightness=0.1,rotate=5")),
        now=Clock(tick),
    )
    seen: list[Event] = []
    for event in steps:
        seen.append(event)
        if isinstance(event, PopulationStarted):
            steps.close()
    return decided(seen)


def test_what_there_is_no_time_for_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augmenting, "FULL", augmenting.QUICK)
    *_, whole = in_time(0.01)
    assert whole.evidence["not_judged"] == [] and whole.evidence["allowed"] == "hflip=0.5,rotate=5,brightness=0.1"
    *_, part = in_time(1.4)
    assert isinstance(part.evidence["not_judged"], list) and 0 < len(part.evidence["not_judged"]) < 4
    assert "there was no time to judge" in part.sentence
    assert not set(part.evidence["not_judged"]) & {p.split("=")[0] for p in str(part.evidence["allowed"]).split(",")}


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.store.checkpoint.LEAST_S", 0.0)
    monkeypatch.setattr("shoal.store.checkpoint.SHARE", 0.0)
    asked, judge = [], Judge.of

    def counted(self: Judge, name: str, candidate: Augment) -> object:
        asked.append(name)
        return judge(self, name, candidate)

    monkeypatch.setattr(Judge, "of", counted)

    def told() -> Iterator[Event]:
        cache = Checkpoint(tmp_path / "checkpoint", RecordedPlans({}, lambda _: None))
        options = Options(augment=parse("hflip,vflip"), epochs=2)
        return recipe.run(bars_problem(), Budget(trials=2), options, cache=cache)

    def lines(events: list[Event]) -> list[str]:
        timeless = (DecisionMade, PopulationStarted, SearchRound)
        return [event.model_dump_json() for event in events if isinstance(event, timeless)]

    first = told()
    for event in first:
        if event.kind == "step_progress" and "does vflip" in event.doing:
            break
    first.close()  # type: ignore[attr-defined]
    assert asked == ["hflip"]
    again = lines(list(told()))
    assert asked == ["hflip", "vflip"]
    assert lines(list(told())) == again and asked == ["hflip", "vflip"]
    (tmp_path / "checkpoint").rename(tmp_path / "away")
    assert lines(list(told())) == again and asked == ["hflip", "vflip"] * 2


# --- through the front door -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text", "words"),
    [
        ("no-such-file.csv", "rotat", "did you mean `rotate`"),  # before anything is read
        ("no-such-file.csv", "rotate=999", "less than or equal to 180"),
        ("digits", "hue", "needs the 3 channels"),
        ("iris", "hflip", "the columns of a table have none"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(data: str, text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        shoal.fit(data, augment=text, out=str(tmp_path / "run"))
    assert words in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_a_preparation_that_knows_places_is_refused_or_leaves_samples_as_they_are(tmp_path: Path) -> None:
    x, y = bars(60, 0)
    data, common = (x[:, 0].numpy(), y.numpy()), {"kind": "image", "prepare": "standardize+pca", "budget": "trials=2"}
    with pytest.raises(InputError, match="treats every place of a sample differently"):
        shoal.fit(data, augment="hflip", out=str(tmp_path / "run"), **common)
    run_ = shoal.fit(data, out=str(tmp_path / "run"), epochs=1, **common)
    (said,) = [each for each in run_.decisions if each.code == "SHL145"]
    assert "every place" in said.sentence and run_.summary["augment"] is None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_flips_are_left_out_of_a_real_run_on_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the run is the same again from its run.toml."""
    from shoal.cli import run as command

    monkeypatch.undo()  # the real effort
    monkeypatch.chdir(tmp_path)
    asked = ["--augment", "hflip,vflip,rotate=10", "--budget", "trials=4", "--epochs", "2"]
    assert command(["fit", "digits", *asked, "--out", "first"]) == 0
    first = shoal.load("first")
    judged = {d.evidence["operation"]: d for d in first.decisions if d.code in ("SHL402", "SHL403")}
    assert set(judged) == {"hflip", "vflip"} and {d.code for d in judged.values()} == {"SHL403"}
    taken = [(pair["class"], pair["taken_for"]) for pair in judged["vflip"].evidence["answers"][0]["pairs"]]  # type: ignore
    assert {("2", "5"), ("5", "2")} & set(taken)
    assert "2 for 5" in judged["vflip"].sentence or "5 for 2" in judged["vflip"].sentence
    augment = first.summary["augment"]
    assert isinstance(augment, dict) and augment["strengths"] == "rotate=10"
    assert first.events[0].command.endswith("--augment hflip,vflip,rotate=10 --budget trials=4 --seed 0 --epochs 2")  # type: ignore
    assert command(["fit", "--config", "first/run.toml", "--out", "second"]) == 0
    assert [d.model_dump() for d in shoal.load("second").decisions] == [d.model_dump() for d in first.decisions]
    one, other = (Path(name, "model/model.safetensors").read_bytes() for name in ("first", "second"))
    assert one == other
