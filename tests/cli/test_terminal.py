from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from shoal.cli.fit import closing, outcome
from shoal.cli.terminal import LiveView, PlainView, TerminalView, finding_line, terminal_view
from shoal.core.events import Event, Finding, FindingRaised, StepProgress
from tests.cli.synthetic import STARTED, finished_run, interrupted_run, step


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def show(view: TerminalView, events: list[Event]) -> None:
    for event in events:
        view.show(event)


def test_without_a_terminal_each_ended_step_is_one_plain_line() -> None:
    stream = io.StringIO()
    with PlainView(stream, Clock()) as view:
        show(view, finished_run())
    assert stream.getvalue().splitlines() == [
        "flowers.csv: 1,500 rows, 4 columns, 3 classes (960 train, 240 validation, 300 test). "
        "Always answering `a` scores 33 % on validation rows. Budget 60s, seed 0.",
        "warning SHL206: `colour` is the target again. It is left out.",
        "1 Initial loss: as chance gives; 1.10; 1.2 s",
        "2 Overfit a small sample: learnt by heart; in 40 steps; 1.2 s",
        "3 Find the learning rate: the loss goes down; lr 0.01; 1.2 s",
        "4 Coarse search: a region is clear; 90 %; 1.2 s",
        "5 Refine and train longer: better; 94 %; 1.2 s",
        "6 Look at the curves: underfitting; gap 0.0; 1.2 s",
        "7 Go again or stop: go again; wider network; 1.2 s",
        "5 Refine and train longer, round 2: better; 96 %; 1.2 s",
        "6 Look at the curves, round 2: good; gap 0.5 points; 1.2 s",
        "7 Go again or stop, round 2: stop; within the noise; 1.2 s",
    ]


def test_a_plain_log_says_now_and_then_how_far_it_is() -> None:
    stream, clock = io.StringIO(), Clock()
    view = PlainView(stream, clock)
    view.show(STARTED)
    for second in range(0, 70, 10):
        clock.s = 100.0 + second
        view.show(StepProgress(step=5, done=second / 100, best=0.951, left_s=75.0, doing="epoch 3 of 12"))
    assert stream.getvalue().splitlines()[1:] == [
        "5 30%  1:15 left  best 95 %  epoch 3 of 12",
        "5 60%  1:15 left  best 95 %  epoch 3 of 12",
    ]


def live_picture(events: list[Event], clock: Clock | None = None, width: int = 100) -> str:
    """What the seven lines and the bar show after some events, as plain text."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None, highlight=False)
    view = LiveView(console, clock or Clock())
    show(view, events)
    with console.capture() as capture:
        console.print(view.picture())
    return re.sub(r" +$", "", capture.get(), flags=re.MULTILINE)


def test_the_seven_lines_fill_in_and_a_later_round_takes_the_place_of_the_former() -> None:
    rows = [
        ("Initial loss", "as chance gives", "1.10"),
        ("Overfit a small sample", "learnt by heart", "in 40 steps"),
        ("Find the learning rate", "the loss goes down", "lr 0.01"),
        ("Coarse search", "a region is clear", "90 %"),
        ("Refine and train longer, round 2", "better", "96 %"),
        ("Look at the curves, round 2", "good", "gap 0.5 points"),
        ("Go again or stop, round 2", "stop", "within the noise"),
    ]
    assert live_picture(finished_run()).strip().splitlines() == [
        f"{place}  {name:<32}  {verdict:<26}  {number:<24}    1.2 s"
        for place, (name, verdict, number) in enumerate(rows, 1)
    ]


LONG = "best 0.996, near the edge of lr, weight_decay"


@pytest.mark.parametrize("width", [40, 50, 75, 80, 100, 160])
def test_a_verdict_has_the_free_width_and_nothing_jumps(width: int) -> None:
    events = [STARTED, *step(1, "as chance gives", "1.10"), *step(4, LONG, "12 networks, 200 epochs")]
    places = set()
    for shown in (4, 7):
        lines = live_picture(events[:shown], width=width).strip().splitlines()
        assert all(len(line) <= width for line in lines)
        places.add(lines[0])
    assert len(places) == 1  # the line of the first step is where it was
    start = lines[0].index("as chance")
    fourth = next(place for place, line in enumerate(lines) if line.startswith("4"))
    words = [re.sub(r" *(12 networks.*|1\.2 s)$", "", line[start:]) for line in lines[fourth : fourth + 3]]
    assert " ".join(each.strip() for each in words).strip() == LONG


def test_the_running_step_has_a_bar_whose_time_left_goes_down_between_events() -> None:
    clock = Clock()
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None, highlight=False)
    view = LiveView(console, clock)
    show(view, [STARTED, *step(4, "clear", "90 %")[:2]])
    bars = []
    for seconds in (0.0, 30.0, 90.0):
        clock.s = 100.0 + seconds
        with console.capture() as capture:
            console.print(view.picture())
        bars.append(capture.get().splitlines()[-1])
    assert [re.sub(r"^\S+ +", "", each).strip() for each in bars] == [
        "50%  0:42 left  best 90 %  half of 4",
        "50%  0:12 left  best 90 %  half of 4",
        "50%  0:00 left  best 90 %  half of 4",
    ]


def test_an_interrupted_step_says_so_and_has_no_bar() -> None:
    lines = live_picture(interrupted_run()).strip().splitlines()
    assert len(lines) == 7
    assert re.split("  +", lines[4]) == ["5", "Refine and train longer", "interrupted"]
    assert lines[5] == "6  Look at the curves"


def test_after_ctrl_c_the_view_says_what_happens() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    view = LiveView(console, Clock())
    show(view, [STARTED, *step(4, "clear", "90 %")[:2]])
    view.stopping()
    with console.capture() as capture:
        console.print(view.picture())
    assert "Stopping after the current epoch" in capture.get()


def test_a_narrow_terminal_keeps_the_steps_and_the_seconds() -> None:
    lines = live_picture(finished_run(), width=50).strip().splitlines()
    assert len(lines) == 7
    assert all(len(line) <= 50 and line.endswith("1.2 s") for line in lines)


def test_a_long_verdict_is_cut_to_the_line() -> None:
    picture = live_picture([STARTED, *step(1, "a verdict " * 20, "1.0")])
    lines = [line for line in picture.splitlines() if line.strip()]
    assert len(lines) == 9 and all(len(line) <= 100 for line in lines)
    assert lines[0].startswith("1  Initial loss  ") and lines[0].endswith("  1.2 s") and lines[2].endswith("…")


def test_text_from_the_data_cannot_steer_the_terminal() -> None:
    evil = "\x1b[2J\x1b]0;title\x07\r\nx[bold]y"
    events: list[Event] = [
        STARTED.model_copy(update={"source": evil, "baseline_answer": evil}),
        FindingRaised(finding=Finding(code="SHL206", sentence=evil, level="warning")),
        *step(1, evil, evil),
    ]
    stream = io.StringIO()
    show(PlainView(stream, Clock()), events)
    plain = stream.getvalue()
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)
    view = LiveView(console, Clock())
    show(view, events)
    console.print(view.picture())
    assert isinstance(console.file, io.StringIO)
    for shown in (plain, console.file.getvalue()):
        assert "\x1b" not in shown and "\x07" not in shown and "\r" not in shown
        assert "x[bold]y" in shown  # and no markup is obeyed
    assert len(plain.splitlines()) == 3


@pytest.mark.parametrize(
    ("fix", "shown"),
    [
        ("mend these cells", "Mend these cells."),
        ('if not: roles="t=exact", or --roles t=exact', 'If not: roles="t=exact", or --roles t=exact'),
        ("say which: --decimal '.'", "Say which: --decimal '.'"),
        ("--drop fee", "Use --drop fee"),
        ("", ""),
    ],
)
def test_advice_is_a_sentence_that_can_be_typed_as_it_stands(fix: str, shown: str) -> None:
    finding = Finding(code="SHL299", sentence="Something is odd.", level="warning", fix=fix)
    assert finding_line(finding) == f"warning SHL299: Something is odd. {shown}".rstrip()


def test_a_stream_that_is_no_terminal_gets_the_plain_view() -> None:
    assert isinstance(terminal_view(io.StringIO()), PlainView)


def test_the_last_lines_are_the_answer_and_the_next_commands() -> None:
    document, code = outcome(finished_run())
    assert code == 0 and document["test"] == 0.96
    lines = closing(finished_run(), document).splitlines()
    assert lines[1] == (
        "An ensemble of 2 networks predicts `species` with 96 % accuracy (93-98) on test rows, "
        "63 points above always answering `a`."
    )
    assert lines[3] == "  shoal predict runs/flowers new.csv"
    assert lines[4].endswith("open runs/flowers/report.html")


def test_an_interrupted_run_ends_with_130_and_says_what_is_kept() -> None:
    document, code = outcome(interrupted_run())
    assert code == 130
    assert document == {
        "run": "flowers",
        "interrupted": "Stopped by the user; 3 networks are kept.",
        "step": 5,
        "report": "runs/flowers/report.html",
        "exit_code": 130,
    }
    assert outcome(interrupted_run(), "here")[0]["report"] == "here/report.html"
    lines = closing(interrupted_run(), document).splitlines()
    assert lines[2] == "Stopped by the user; 3 networks are kept. The run is in runs/flowers."
    assert lines[-1].endswith("open runs/flowers/report.html") and "predict" not in lines[-2]


def test_the_answer_breaks_between_words() -> None:
    document, _ = outcome(finished_run())
    lines = closing(finished_run(), document, width=50).splitlines()
    assert all(len(line) <= 50 for line in lines)
    assert "An ensemble of 2 networks predicts `species` with" in lines
