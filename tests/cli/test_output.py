from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.cli.output import one_line, write_json
from shoal.core.events import RunFinished
from shoal.store.run_folder import RunFolder


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


def test_standard_output_holds_the_answer_alone_whoever_prints() -> None:
    ended = run(
        """
import os, subprocess, sys
from shoal.cli.output import reserved_stdout, write_json
print("before")
with reserved_stdout() as answer:
    print("a library")
    os.write(1, b"a library in C\\n")
    subprocess.run(["echo", "a child"])
    write_json({"a": [1.0, float("nan"), float("-inf")], "b": "\\u00fc"}, answer)
print("after")
"""
    )
    before, *document, after = ended.stdout.splitlines()
    assert (before, after) == ("before", "after")
    assert json.loads("\n".join(document)) == {"a": [1.0, None, None], "b": "ü"}
    assert sorted(ended.stderr.splitlines()) == ["a child", "a library", "a library in C"]


def test_a_reader_that_leaves_early_is_no_failure_to_speak_of() -> None:
    writes = """
import sys, shoal.cli.app
def application():
    def command(**_):
        from shoal.cli.output import reserved_stdout
        with reserved_stdout() as answer:
            for _ in range(100_000):
                answer.write("a line of the answer\\n")
    return command
shoal.cli.app.application = application
from shoal.cli import main
main(["predict"])
"""
    ended = subprocess.run(
        f"{sys.executable} -c '{writes}' | head -n 1", shell=True, capture_output=True, text=True, timeout=60
    )
    assert ended.stdout == "a line of the answer\n"
    assert ended.stderr == ""


@pytest.mark.parametrize("evil", ["a\nb", "a\x1b[31mb", "a\rb", "a\u2028b", "a\x00b", "a\ud800b"])
def test_text_becomes_one_printable_line(evil: str) -> None:
    assert one_line(evil).isprintable()
    assert one_line(evil)[0] == "a" and one_line(evil)[-1] == "b"


def test_strings_of_a_document_steer_no_terminal_and_stay_readable() -> None:
    answer = io.StringIO()
    steering = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x061C, 0x200E, 0x2028, *range(0x202A, 0x202F)]))
    document = {"a\x9b": f"{steering} \ufeff\u2066 Köln 東京 \U0001f41f", "row": ["\x85"]}
    write_json(document, answer)
    written = answer.getvalue()
    assert written.replace("\n", "").isprintable() and written.count("\n") == 6
    assert "Köln 東京 \U0001f41f" in written and "\\u0080" in written and '"a\\u009b"' in written
    assert json.loads(written) == document


def piped(arguments: str, pipe: str, folder: Path) -> tuple[int, subprocess.CompletedProcess[str]]:
    """Run the program in a pipe; its own exit code, and what came out at the end of the pipe."""
    program = (
        f"{sys.executable} -c 'from shoal.cli import main; main()' {arguments} {pipe}; echo ${{PIPESTATUS[0]}} >&9"
    )
    ended = subprocess.run(
        ["bash", "-c", f"exec 9>code; {program}"], capture_output=True, text=True, timeout=110, cwd=folder
    )
    return int((folder / "code").read_text()), ended


def test_a_reader_of_the_progress_that_leaves_does_not_end_the_run(tmp_path: Path) -> None:
    code, ended = piped("fit iris --budget trials=3 --out run", "2>&1 | head -n 1", tmp_path)
    assert code == 0, ended
    assert ended.stdout.startswith("iris: 150 rows") and len(ended.stdout.splitlines()) == 1
    events = RunFolder.open(tmp_path / "run").read_events()
    assert isinstance(events[-1], RunFinished)
    assert (tmp_path / "run/model/model.safetensors").exists()

    code, ended = piped("predict run iris", "| head -n 1", tmp_path)
    assert (code, ended.stderr) == (0, "")
    assert ended.stdout.startswith("row,prediction,")
    code, ended = piped("predict run iris --json", "> /dev/full", tmp_path)
    assert code == 1
    assert "standard output" in ended.stderr and "expect" not in ended.stderr and len(ended.stderr.splitlines()) == 1


def test_bytes_of_a_name_that_are_not_utf8_are_shown_as_their_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    name = os.fsdecode(b"d\xffg")
    assert one_line(name) == r"d\xffg"
    write_json({"name": name})
    text = capsys.readouterr().out
    assert text.encode() and json.loads(text) == {"name": r"d\xffg"}
