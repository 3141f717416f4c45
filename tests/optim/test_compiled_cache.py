"""Where compiled loops are kept between processes: a folder that nobody else can write into."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from shoal.optim import compilation, compiled_cache


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(compiled_cache.VARIABLE, raising=False)
    return tmp_path


def test_what_is_compiled_inside_goes_to_a_folder_of_the_users_own(home: Path) -> None:
    with compiled_cache.kept():
        folder = Path(os.environ[compiled_cache.VARIABLE])
    assert folder == home / "shoal" / "compiled" / compiled_cache.name()
    assert compiled_cache.VARIABLE not in os.environ
    for each in (folder, folder.parent):
        assert each.stat().st_mode & 0o777 == 0o700


def test_the_folder_that_the_user_names_stands(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(compiled_cache.VARIABLE, "/elsewhere")
    with compiled_cache.kept():
        assert os.environ[compiled_cache.VARIABLE] == "/elsewhere"
    assert os.environ[compiled_cache.VARIABLE] == "/elsewhere" and not (home / "shoal").exists()


def test_what_torch_sets_by_itself_is_no_wish_of_the_users(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sets the variable to its own folder when its compiler is loaded, by whomever."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    monkeypatch.setenv(compiled_cache.VARIABLE, default_cache_dir())
    with compiled_cache.kept():
        assert os.environ[compiled_cache.VARIABLE] == str(compiled_cache.root() / compiled_cache.name())
    assert os.environ[compiled_cache.VARIABLE] == default_cache_dir()


def test_machines_that_share_a_home_share_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    here = compiled_cache.name.__wrapped__()
    assert here == compiled_cache.name() and here.startswith(torch.__version__)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
    assert compiled_cache.name.__wrapped__() != here


@pytest.mark.parametrize("trouble", ["others may write", "a link", "a file", "no home"])
def test_a_folder_that_is_not_private_is_not_read(home: Path, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of the moment takes its place, and is gone afterwards."""
    folder = compiled_cache.root() / compiled_cache.name()
    if trouble == "no home":
        monkeypatch.setattr(os.path, "expanduser", lambda path: path)
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.chdir(home)
    elif trouble == "others may write":
        folder.mkdir(parents=True)
        folder.chmod(0o777)
    else:
        folder.parent.mkdir(parents=True, mode=0o700)
        target = home / "other"
        target.mkdir(mode=0o700)
        folder.symlink_to(target) if trouble == "a link" else folder.touch()
    with compiled_cache.kept():
        used = Path(os.environ[compiled_cache.VARIABLE])
        assert used.is_dir() and used != folder and used.stat().st_mode & 0o777 == 0o700
        (used / "compiled").touch()
    assert not used.exists() and compiled_cache.VARIABLE not in os.environ
    assert not (home / "~").exists()


def test_folders_of_other_versions_go_when_they_are_old(home: Path) -> None:
    now, old, young = (compiled_cache.root() / name for name in (compiled_cache.name(), "1.0", "2.0"))
    for folder in (now, old, young):
        folder.mkdir(parents=True, mode=0o700)
        (folder / "loop.so").touch()
    compiled_cache.root().chmod(0o700)
    for folder in (now, old):
        os.utime(folder, (0, 0))
    with compiled_cache.kept():
        pass
    assert not old.exists() and (young / "loop.so").exists() and (now / "loop.so").exists()
    assert now.stat().st_mtime > 0


ONE_PASS = """
import hashlib, torch
from torch._dynamo.utils import counters
from shoal import optim
from shoal.optim import compilation
rule, rows = optim.rule("adam"), 5
theta, grad = torch.randn(2, rows, 301, generator=torch.Generator().manual_seed(0))
state, hyper = optim.fresh_state(rule, rows, 301), optim.columns(rule, rows, {"lr": 1e-3}, "cpu")
optim.apply(rule, theta, grad, state, hyper, torch.ones(rows, 1, dtype=torch.float64), compiled=True)
assert not compilation.why_not()
print(counters["inductor"]["fxgraph_cache_hit"], hashlib.sha256(theta.numpy().tobytes()).hexdigest())
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(compilation.why_not()), reason="nothing can be compiled here")
def test_another_process_finds_what_was_compiled_and_computes_the_same_bits(home: Path) -> None:
    def run() -> list[str]:
        done = subprocess.run([sys.executable, "-c", ONE_PASS], capture_output=True, text=True, check=True)
        return done.stdout.split()

    (missed, bits), (found, same) = run(), run()
    assert (missed, found) == ("0", "1")
    assert bits == same
