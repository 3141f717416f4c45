"""What the page says: read from the HTML with the standard parser, against the events it was made from."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from functools import cache
from html.parser import HTMLParser
from typing import Any

import pytest

from shoal.core import events as ev
from shoal.report import render
from tests.report import streams

EMPTY_TAGS = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """Text, tags with attributes, and the raw bodies of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY_TAGS:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            attrs, body = self.scripts.pop()
            self.scripts.append((attrs, body + data))
        elif "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            next(body for attrs, body in self.scripts if attrs.get("id") == "shoal-data")
        )
        return found


@cache
def page(name: str) -> str:
    return render(streams.EVERY[name]())


@cache
def reader(name: str) -> Reader:
    return Reader(page(name))


def heading(read: Reader) -> str:
    text = read.text
    return text[: text.index("accuracy")] if "accuracy" in text else text


# --- the answer -------------------------------------------------------------------------------------------------------


def test_the_answer_sentence_says_the_summary_s_numbers() -> None:
    events = streams.income()
    summary = events[-1].summary  # type: ignore[union-attr]
    low, high = summary["test_interval"]
    above = 100 * (summary["test"] - summary["baseline"])
    expected = (
        f"An ensemble of {len(summary['ensemble']['members'])} networks predicts income "
        f"with {100 * summary['test']:.1f} % accuracy ({100 * low:.1f}-{100 * high:.1f}) on test rows, "
        f"{above:.1f} points above always answering <=50K."
    )
    assert expected in reader("income").text
    assert f"{summary['members_trained']:,}" in reader("income").text


def test_classes_of_unequal_size_get_their_mean_said_and_equal_ones_do_not() -> None:
    said = "Averaged over the classes, which are of unequal size, it is 86.2 %; guessing gets 50 %."
    assert said in reader("income").text
    assert "Averaged over the classes" not in reader("classification").text


def test_the_answer_of_a_regression_names_the_interval_the_error_and_the_baseline() -> None:
    text = reader("regression").text
    assert (
        "An ensemble of 4 networks predicts median_house_value with an R2 of 0.80 (0.79-0.81) on test rows, "
        "off by 33,900 on average; always answering 206,856 gets 0.00." in text
    )


def test_a_score_within_chance_of_the_baseline_is_said_before_anything_else() -> None:
    events = [
        e.model_copy(update={"score": 0.11, "interval": (0.09, 0.13), "baseline": 0.1})
        if isinstance(e, ev.TestRead)
        else e
        for e in streams.classification()
    ]
    text = Reader(render(events)).text
    assert "which could be chance" in text
    said = "The score cannot be told from always giving the same answer"
    assert text.index(said) < text.index("Seven steps")
    assert said not in reader("classification").text


def test_problems_stand_under_the_answer_and_before_every_praise() -> None:
    text = reader("classification").text
    warning = text.index("3 test images are nearly the same")
    assert text.index("An ensemble of") < warning < text.index("Initial loss")
    assert text.index("All images are 28 x 28") > text.index("What are the data?")  # a note waits for its chapter


def test_four_numbers_at_most() -> None:
    for name in streams.EVERY:
        numbers = [attrs for tag, attrs in reader(name).tags if attrs.get("class") == "value"]
        assert len(numbers) <= 4, name
    assert sum(attrs.get("class") == "value" for _, attrs in reader("income").tags) == 4


# --- the record -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(streams.EVERY))
def test_every_decision_stands_in_the_log_with_its_numbers(name: str) -> None:
    decisions = [e.decision for e in streams.EVERY[name]() if isinstance(e, ev.DecisionMade)]
    entries = [attrs for tag, attrs in reader(name).tags if tag == "li" and "data-step" in attrs]
    assert [int(e["data-step"] or 0) for e in entries] == [d.step for d in decisions]
    log = reader(name).text.partition("Which decisions were taken, and why?")[2]
    for decision in decisions:
        assert decision.sentence in log
        assert decision.action in log


def test_all_rounds_of_the_steps_are_shown() -> None:
    text = reader("income").text
    for k in (1, 2, 3):
        assert text.count(f"Round {k}: ") >= 3  # steps 5, 6 and 7, and the verdicts
    kinds = [f["kind"] for f in reader("income").data["figures"].values()]
    assert kinds.count("search") == 5  # coarse, three rounds, all together
    assert kinds.count("progress") == 3


def test_steps_are_closed_where_fine_and_open_where_not() -> None:
    def opened(events: list[ev.Event]) -> list[bool]:
        read = Reader(render(events))
        found = []
        for k, (tag, attrs) in enumerate(read.tags):
            if tag == "li" and (attrs.get("class") or "").startswith("step level-"):
                found.append("open" in read.tags[k + 1][1])
        return found

    events = streams.classification()
    assert opened(events) == [False] * 7
    bad = [
        e.model_copy(update={"level": "problem"}) if isinstance(e, ev.StepFinished) and e.step == 2 else e
        for e in events
    ]
    assert opened(bad) == [False, True, False, False, False, False, False]


def test_the_page_says_how_to_repeat_the_run() -> None:
    text = reader("income").text
    start = streams.income()[0]
    assert isinstance(start, ev.RunStarted)
    for fact in (start.command, start.data_hash, *start.versions.values()):
        assert fact in text


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_every_picture_has_a_caption_with_a_number_a_table_and_two_ways_to_save_it() -> None:
    read = reader("classification")
    shown = {attrs["data-plot"] for _, attrs in read.tags if "data-plot" in attrs}
    assert (
        shown == set(read.data["figures"]) == {attrs["data-table"] for _, attrs in read.tags if "data-table" in attrs}
    )
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page("classification"), re.S)
    assert len(captions) == len(shown)
    assert all(re.search(r"\d", caption) for caption in captions)
    assert sum(attrs.get("data-save") == "csv" for _, attrs in read.tags) == len(shown)
    assert sum(attrs.get("data-save") == "svg" for _, attrs in read.tags) == len(shown)


def test_the_curves_in_the_page_are_those_of_the_events() -> None:
    events = streams.classification()
    populations = {c["name"]: c for c in reader("classification").data["populations"]}
    seen = 0
    for event in events:
        if isinstance(event, ev.EpochFinished):
            population = populations[event.population]
            for k, member in enumerate(event.members):
                shown = population["validation_loss"][population["ids"].index(member)][event.epoch - 1]
                true = event.validation_loss[k]
                assert shown == (pytest.approx(true, rel=1e-5) if math.isfinite(true) else None)
                seen += 1
    assert seen > 1000


def test_the_verdict_is_cited_with_its_numbers_and_thresholds() -> None:
    text = reader("classification").text
    assert (
        "epochs 10 to 14: the validation loss fell by 2.1 % of chance's loss an epoch (called settled within 0.5 %)"
        in text
    )
    assert "+3.4 points from the validation score (called a gap above 5 points)" in text


def test_a_gain_whose_interval_holds_zero_is_called_no_evidence() -> None:
    events = [
        e.model_copy(update={"gain_interval": (-0.002, 0.012)}) if isinstance(e, ev.EnsembleChosen) else e
        for e in streams.classification()
    ]
    assert "no evidence of a difference, it could be chance" in Reader(render(events)).text
    assert (
        "it could be chance" not in reader("classification").text.partition("Are several better than one? The")[2][:600]
    )


def test_one_chosen_network_is_not_called_an_ensemble_and_has_no_gain() -> None:
    text = reader("single").text
    one = [
        e.model_copy(update={"members": e.members[:1], "counts": [1], "path": [e.single], "gain": 0.0})
        if isinstance(e, ev.EnsembleChosen)
        else e
        for e in streams.classification()
    ]
    read = Reader(render(one))
    assert "The best of 152 networks predicts class" in read.text
    assert "adding any other of 30 candidates did not lower the loss" in read.text
    assert not {"gain", "path"} & set(read.data["figures"])
    assert "An ensemble of 2 networks predicts class" in text  # two populations of one network


def test_the_judged_network_stands_where_its_verdict_says() -> None:
    read = reader("classification")
    verdict = [e for e in streams.classification() if isinstance(e, ev.CurveVerdict)][-1]
    points = {p["id"]: p for p in read.data["figures"]["agreement"]["points"]}
    judged = points[verdict.member]
    assert judged["x"] - judged["y"] == pytest.approx(verdict.gap, abs=1e-5)


def test_a_best_value_near_a_wall_is_said_and_becomes_an_action() -> None:
    events = streams.classification()
    last = [e for e in events if isinstance(e, ev.SearchRound)][-1]
    member = next(m for m in last.members if m.id == last.best)
    lr = float(member.values["lr"])  # type: ignore[arg-type]
    near = last.model_copy(update={"ranges": {**last.ranges, "lr": ev.Range(low=lr / 1000, high=lr * 1.1)}})
    text = Reader(render([near if e is last else e for e in events])).text
    assert "best learning rate lies near its upper bound" in text
    assert "Search another round with wider bounds" in text.partition("What would help next?")[2]


def test_many_classes_come_with_a_list_of_the_commonest_mistakes() -> None:
    read = reader("large")
    assert "The commonest mistakes" in read.text
    assert "The commonest mistakes" not in reader("classification").text
    test = next(e for e in streams.large() if isinstance(e, ev.TestRead))
    assert test.confusion is not None
    worst = max(n for k, row in enumerate(test.confusion) for j, n in enumerate(row) if j != k)
    assert f"{worst} times" in read.text
    cells = sum(
        tag == "td" and (attrs.get("class") or "").split()[0] in ("right", "wrong")
        for tag, attrs in read.tags
        if tag == "td" and attrs.get("class")
    )
    assert cells == 50 * 50


def test_worst_images_are_shown_at_an_integer_scale() -> None:
    images = [attrs for tag, attrs in reader("classification").tags if tag == "img"]
    assert len(images) == 8
    assert {(i["width"], i["height"]) for i in images} == {("112", "112")}  # 28 pixels, four times


# --- what can go wrong ----------------------------------------------------------------------------------------------


def test_hostile_names_stay_text() -> None:
    read = reader("hostile")
    assert not read.open, "every tag is closed"
    own = {tag for tag, _ in reader("classification").tags} | {"strong"}
    assert {tag for tag, _ in read.tags} <= own
    assert not [attrs for _, attrs in read.tags if any(name.startswith("on") for name in attrs)]
    assert not [attrs for tag, attrs in read.tags if tag == "img"]  # both image addresses are refused
    assert len(read.scripts) == 2
    assert streams.HOSTILE[0] in read.text
    assert "49" not in read.text.partition("ticks")[2][:30]
    assert "\u202e" not in page("hostile") and "\x00" not in page("hostile")
    assert "<" not in next(body for attrs, body in read.scripts if attrs.get("id") == "shoal-data")


def test_the_policy_allows_only_the_page_s_own_script() -> None:
    read = reader("hostile")
    policy = next(
        a["content"] for t, a in read.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    code = next(body for attrs, body in read.scripts if "type" not in attrs)
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert re.findall(r"script-src ([^;]*)", policy) == [f"'sha256-{digest}'"]
    for tag, attrs in read.tags:
        for name in ("src", "href", "action", "xlink:href"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)


@pytest.mark.parametrize("name", ["classification", "regression", "hostile", "diverged"])
def test_every_prefix_of_a_run_renders(name: str) -> None:
    events = streams.EVERY[name]()
    for n in range(len(events) + 1):
        read = Reader(render(events[:n]))
        assert not read.open, n
        assert "nan" not in re.findall(r"\b(nan|inf|None|undefined)\b", read.text), n
        if 0 < n < len(events) and not isinstance(events[n - 1], ev.RunInterrupted):
            assert "has not ended" in read.text or "has not begun" in read.text, n


def test_an_interrupted_run_says_where_it_stopped_and_how_to_go_on() -> None:
    text = reader("interrupted").text
    assert (
        "Stopped by the user at step 5 (refine and train longer); what stands here is what was done until then." in text
    )
    assert "Run it again: shoal fit fashion_folder --target class --budget 4m --seed 7." in text
    assert "shoal predict works on this run's folder" in text
    assert "resume" not in text
    assert "the test rows have not been read" in text
    assert "not finite" not in text.partition("Which decisions")[0]


def test_a_resumed_run_forgets_the_interruption() -> None:
    done = streams.classification()
    events = streams.interrupted()
    at = next(k for k, e in enumerate(done) if isinstance(e, ev.StepStarted) and e.step == 5)
    text = Reader(render([*events, *done[at:]])).text
    assert "Stopped by the user" not in text
    assert text.count("Round 1: ") == reader("classification").text.count("Round 1: ")


def test_events_survive_the_store_and_give_the_same_page() -> None:
    events = streams.diverged()
    assert render([ev.from_json(ev.to_json(e)) for e in events]) == render(events)


def test_three_hundred_networks_stay_small() -> None:
    assert len(page("large").encode()) < 3_000_000


def test_the_caption_over_all_rounds_names_the_settings_of_the_highest_score() -> None:
    """Also when a later round's best is worse: score and settings are one network's."""
    from shoal.report import exhibits, formats, story

    events = streams.classification()
    searches = [e for e in events if isinstance(e, ev.SearchRound)]
    champion = searches[0]
    last = searches[-1].model_copy(update={"score": [s - 0.2 for s in searches[-1].score]})
    told = story.read([last if e is searches[-1] else e for e in events])
    picture = exhibits.search(told, "key", [champion, last])
    best = next(m for m in champion.members if m.id == champion.best)
    assert f"learning rate {formats.number(best.values['lr'])}" in picture.caption
    assert picture.data["best"] == champion.best
