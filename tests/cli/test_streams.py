"""Standard streams that are closed or full, paths that cannot be: a sentence and an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from shoal.cli import run
from shoal.cli.console import Console
from shoal.cli.output import say, write_json

PROGRAM = "from shoal.cli import main; main()"
EVIL = "a\x1b[31m\x07b\u202ec\x9bd"


def shoal(line: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A line as a shell reads it, with its redirections."""
    whole = f"{shlex.quote(sys.executable)} -c {shlex.quote(PROGRAM)} {line}"
    return subprocess.run(["bash", "-c", whole], capture_output=True, text=True, timeout=300, cwd=cwd)


REFUSED = {"a closed one": ">&-", "a full one": ">/dev/full", "both": ">&- 2>&-", "all": "<&- >&- 2>&-"}
TAKEN = {"no errors": "2>&-", "full errors": "2>/dev/full", "no input": "<&-"}


def check_all_streams(verb: str, cwd: Path | None, redirections: dict[str, str]) -> None:
    """The answer that cannot be written is a failure that is said where that can be; the rest changes nothing."""
    usual = shoal(verb, cwd)
    assert usual.returncode == 0 and usual.stdout, usual.stderr
    for redirection in redirections.values():
        ended = shoal(f"{verb} {redirection}", cwd)
        refused = redirection in REFUSED.values()
        assert ended.returncode == int(refused), (redirection, ended.stderr)
        if not refused:
            assert ended.stdout == usual.stdout
        elif "2>" not in redirection:
            reason = "it is closed" if "&-" in redirection else "No space left on device"
            said = f"shoal: the answer cannot be written to standard output: {reason}"
            assert ended.stderr.splitlines()[-1] == said
        assert "Traceback" not in ended.stderr and "Exception ignored" not in ended.stderr


def test_the_parser_ends_in_order_whatever_the_streams_are() -> None:
    check_all_streams("--version", None, REFUSED | TAKEN)


def test_an_answer_ends_in_order_whatever_the_streams_are() -> None:
    check_all_streams("bench --json", None, REFUSED | {"no errors": "2>&-"})


@pytest.mark.slow
def test_a_run_and_what_is_asked_of_it_end_in_order_whatever_the_streams_are(tmp_path: Path) -> None:
    ended = shoal("fit iris --budget trials=3 --epochs 1 --out r >&- 2>&- <&-", tmp_path)
    assert ended.returncode == 1
    assert json.loads((tmp_path / "r" / "summary.json").read_text())["members_trained"] > 0  # the run itself is kept
    for verb in ("predict r iris", "evaluate r iris --json", "report r", "resume r", "data describe iris"):
        check_all_streams(verb, tmp_path, {name: (REFUSED | TAKEN)[name] for name in ("a closed one", "no errors")})


def test_bad_input_is_said_with_its_exit_code_whatever_the_streams_are() -> None:
    for redirection, said in (
        ("", True),
        (">&-", True),
        (">/dev/full", True),
        ("2>&-", False),
        ("<&- >&- 2>&-", False),
    ):
        ended = shoal(f"report nowhere --json {redirection}")
        assert ended.returncode == 2
        assert ("nowhere does not exist" in ended.stderr) == said
        assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (f"fit {'x' * 300}.csv", "longer than this system allows"),
        ("fit ~nobody-of-that-name/x.csv", "there is no such user"),
        ("data describe caf\udce9.csv", "is not UTF-8"),
        ("fit dangling.csv --target y", "is a link to gone.csv, which does not exist"),
        ("data describe loop.csv", "leads back to itself"),
        ("fit iris --out table.csv/below", "a part of the path is a file"),
        (f"fit iris --out {'x' * 300}", "longer than this system allows"),
        ("fit iris --config .", "the configuration . is a folder, where a file is meant"),
        ("fit iris --config loop.csv", "leads back to itself"),
        ("predict loop.csv new.csv", "leads back to itself"),
        (f"report {'x' * 300}", "longer than this system allows"),
        ("data describe ev\x1b[31mil.csv", "ev [31mil.csv does not exist"),
        ("data describe iris --report pipe", "no ordinary file"),
        ("data preview digits --out ~nobody-of-that-name/x.png --augment hflip", "there is no such user"),
        ("fit NOTHING", "say what to fit"),
        ("data describe NOTHING", "An empty path names nothing"),
    ],
)
def test_paths_that_cannot_be_are_one_sentence(
    arguments: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.csv").write_text("a,y\n1,2\n")
    (tmp_path / "dangling.csv").symlink_to("gone.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    os.mkfifo(tmp_path / "pipe")
    assert run(["" if each == "NOTHING" else each for each in arguments.split(" ")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("shoal: ") and said.count("\n") == 1 and words in said


def test_what_is_said_cannot_steer_the_terminal() -> None:
    said = StringIO()
    say(f"first {EVIL}\nsecond {EVIL}", said)
    assert said.getvalue() == "first a [31m b c d\nsecond a [31m b c d\n"


@pytest.mark.parametrize("colours", [False, True])
def test_what_is_drawn_cannot_steer_the_terminal(colours: bool) -> None:
    drawn = StringIO()
    console = Console(drawn, 60, colours=colours)
    table = Table(title=EVIL)
    table.add_column(EVIL)
    table.add_row(Text(EVIL, style="red"))
    for each in (EVIL, Text(EVIL, style="bold"), table, Panel(EVIL)):
        console.print(each, markup=False)
    assert not set(drawn.getvalue()) & set("\x07\u202e\x9b")
    assert "\x1b[31m\x07" not in drawn.getvalue() and ("\x1b" in drawn.getvalue()) == colours
    assert drawn.getvalue().count("[31m") >= 4


def test_a_document_keeps_every_character_and_shows_none_that_steers() -> None:
    document = {"name": EVIL, "lone": "\udce9", "plain": "ü漢😀"}
    written = StringIO()
    write_json(document, written)
    shown = r"\xe9"  # the byte of a name that is no UTF-8, which JSON could not carry
    assert json.loads(written.getvalue()) == {**document, "lone": shown}
    assert written.getvalue().replace("\n", "").isprintable() and "ü漢😀" in written.getvalue()
