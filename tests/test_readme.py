"""What the README says is run: its Python in the order in which it stands, its commands as far as the parser goes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from shoal.cli import VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


def test_the_python_of_the_readme_runs(tmp_path: Path) -> None:
    program = "\n".join(blocks("python"))
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=110, cwd=tmp_path, check=False
    )
    assert ended.returncode == 0, ended.stderr
    score = re.search(r"^test score: (\S+) between", ended.stdout, flags=re.MULTILINE)
    assert score is not None and float(score[1]) >= 0.8  # iris: a third by chance


def test_the_readme_stays_short_and_its_files_exist() -> None:
    assert len(README.splitlines()) <= 120
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_the_verbs_in_the_readme_are_those_of_the_program() -> None:
    shown = set(re.findall(r"^\| `shoal (\w+)", README, flags=re.MULTILINE))
    assert shown == set(VERBS)
    assert set(re.findall(r"\bshoal (\w+) ", "\n".join(blocks("sh")))) <= set(VERBS)


def test_the_two_commands_are_those_of_the_ci_script() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    for command in (
        "pip install -c constraints.txt . && shoal fit digits",
        "pip install -c constraints.txt -e '.[dev]' && pytest",
    ):
        assert command in README
        assert f": {command}" in script
