"""What `shoal` shows of itself, and what it must not load to do so."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import shoal

HEAVY = ["torch", "sklearn", "polars", "optuna", "pandas", "scipy", "sqlalchemy", "jinja2", "PIL"]
ROOT = Path(__file__).parents[1]


def loaded_by(program: str) -> set[str]:
    """The top-level modules in a fresh process after a program."""
    report = "import json, sys; print('\\n' + json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    ended = subprocess.run(
        [sys.executable, "-c", f"{program}\n{report}"], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(ended.stdout.splitlines()[-1]))


def test_the_front_door_is_these_names_and_no_others() -> None:
    assert sorted(shoal.__all__) == [
        "Member",
        "Population",
        "__version__",
        "compare",
        "describe",
        "doctor",
        "fit",
        "load",
        "nn",
        "optim",
        "resume",
        "study",
    ]


def test_every_public_name_is_there_and_shown() -> None:
    for name in shoal.__all__:
        assert getattr(shoal, name) is not None
        assert name in dir(shoal)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tune'"):
        shoal.tune  # noqa: B018


def test_the_version_is_said_once() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == shoal.__version__


@pytest.mark.parametrize(
    "program",
    [
        "import shoal",
        "import shoal; dir(shoal); shoal.__version__",
        "from shoal.cli import run; assert run(['--help']) == 0",
        "from shoal.cli import run; assert run(['fit', '--help']) == 0",
        "from shoal.cli import run; assert run(['--version']) == 0",
        "from shoal.cli import run; assert run(['fit', 'digits', '--budget', '5x']) == 2",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(program: str) -> None:
    assert loaded_by(program).isdisjoint(HEAVY)


def test_the_engine_needs_torch_numpy_and_pydantic_alone() -> None:
    blocked = ["sklearn", "scipy", "polars", "pandas", "optuna", "sqlalchemy", "typer", "rich", "PIL", "tomlkit"]
    program = f"""
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Wall())
import shoal, shoal.core.settings, shoal.losses
shoal.Population, shoal.Member, shoal.nn, shoal.optim
"""
    assert "torch" in loaded_by(program)
