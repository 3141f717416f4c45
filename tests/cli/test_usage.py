"""What the parser does, through the real program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shoal.cli.fit import OPTIONS, resolve
from shoal.core.errors import InputError
from shoal.core.settings import FitSettings


def shoal(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from shoal.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
    )


def test_help_names_the_verbs_and_ends_with_0() -> None:
    for arguments in ([], ["--help"], ["-h"]):
        ended = shoal(*arguments)
        assert ended.returncode == 0
        assert all(verb in ended.stdout for verb in ("fit", "predict", "evaluate", "report"))
        assert ended.stderr == ""


def test_help_loads_no_heavy_library() -> None:
    """That is what makes it quick: torch alone takes over a second to load, everything else 0.15 s."""
    told = "import atexit, sys; atexit.register(lambda: print('loaded', *sys.modules, file=sys.stderr)); "
    for arguments in (["--help"], ["fit", "--help"], ["fit", "digits", "--budgt", "5m"]):
        command = [sys.executable, "-c", told + "from shoal.cli import main; main()", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
        loaded = set(ended.stderr.rpartition("loaded ")[2].split())
        assert "shoal.cli" in loaded
        assert not loaded & {"torch", "sklearn", "scipy", "polars", "pandas", "matplotlib", "sqlalchemy"}, arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fitt", "digits"], "did you mean `fit`"),
        (["fit", "digits", "--budgt", "5m"], "--budget"),
        (["fit", "digits", "--seed", "many"], "--seed"),
        (["fit", "digits", "extra"], "extra"),
        (["predict"], "RUN"),
        (["fit"], "shoal fit digits"),
        (["fit", "digits", "--budget", "5x"], "trials=200"),
        (["fit", "digits", "--budget"], "--budget"),
        (["fit", "digits", "--range", "lr=1"], "lr=1e-4:1e-1"),
        (["fit", "digits", "--config", "none.toml"], "none.toml"),
        (["report", "runs/none"], "runs/none does not exist"),
        (["predict", "runs/none", "new.csv"], "runs/none does not exist"),
    ],
)
def test_bad_usage_is_one_sentence_and_2(tmp_path: Path, arguments: list[str], words: str) -> None:
    ended = shoal(*arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("shoal: ") and words in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_with_json_an_error_is_a_document_too(tmp_path: Path) -> None:
    ended = shoal("fit", "digits", "--budget", "5x", "--json", cwd=tmp_path)
    assert ended.returncode == 2
    assert json.loads(ended.stdout)["exit_code"] == 2
    assert json.loads(ended.stdout)["error"] in ended.stderr


def test_debug_shows_the_traceback_and_nothing_else_does(tmp_path: Path) -> None:
    assert "Traceback" in shoal("fit", "digits", "--budget", "5x", "--debug", cwd=tmp_path).stderr
    assert "Traceback" not in shoal("fit", "digits", "--budget", "5x", cwd=tmp_path).stderr


def test_every_setting_has_an_option() -> None:
    assert {option.name for option in OPTIONS} | {"data"} == set(FitSettings.model_fields)


def given(**values: object) -> dict[str, object]:
    return {"json": False, "debug": False, "config": None, "data": None} | values


def test_a_configuration_holds_any_option_and_the_line_wins(tmp_path: Path) -> None:
    path = tmp_path / "fit.toml"
    path.write_text(
        'data = "adult.csv"\ntarget = "income"\nbudget = "5m"\nbatch-size = 64\ndrop = ["split"]\n'
        'range = ["lr=1e-4:1e-2", "dropout=0:0.5"]\n[run]\nkey = "ignored"\n'
    )
    settings = resolve(given(config=str(path), budget="10m", ranges=["lr=1e-3:1e-1"], drop=[]))
    assert settings == FitSettings(
        data="adult.csv",
        target="income",
        budget="10m",
        batch_size=64,
        drop=("split",),
        ranges={"lr": (1e-3, 1e-1), "dropout": (0.0, 0.5)},
    )


def test_roles_of_a_configuration_and_of_the_line_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "fit.toml"
    path.write_text('data = "adult.csv"\n[roles]\nzip = "category"\nsize = ["S", "M", "L"]\n')
    settings = resolve(given(config=str(path), roles=["zip=numeric,when=date"]))
    assert settings.roles == {"zip": "numeric", "size": "ordered:S<M<L", "when": "date"}
    from shoal.api import command

    assert "--roles zip=numeric --roles 'size=ordered:S<M<L' --roles when=date" in command(settings)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"budgt = '5m'\ndata = 'iris'", "did you mean `budget`"), (b"data = ", "TOML"), (b"\xff\xfe", "text")],
)
def test_a_configuration_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "fit.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=words):
        resolve(given(config=str(path)))
