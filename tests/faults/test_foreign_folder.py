"""A run folder that somebody else made runs no code, opens nothing outside of itself, and is refused in a sentence."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomlkit
from torch import nn

import shoal
from shoal import api
from shoal.cli.fit import resolve
from shoal.core.digest import digest_of
from shoal.core.errors import InputError, RunError
from shoal.core.events import EpochFinished, RunFinished
from shoal.core.settings import FitSettings
from tests.faults.planted_runs import BLOBS

TRAP = "from pathlib import Path\nPath({mark!r}).touch()\ndef make_net():\n    Path({mark!r}).touch()\n"


@pytest.fixture
def run(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, with traps in it and in the working folder."""
    copy = shutil.copytree(whole, tmp_path / "run")
    mark = str(tmp_path / "ran")
    for folder in (copy, copy / "model", copy / "checkpoint", tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / "trap.py").write_text(TRAP.format(mark=mark))
        (folder / "sitecustomize.py").write_text(TRAP.format(mark=mark))
    monkeypatch.chdir(copy)
    return copy


def rewritten(run: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the model's document, and sign it as whoever can write the file can."""
    path = run / "model/model.json"
    whole = json.loads(path.read_text())
    change(whole["document"])
    whole.pop("sha256")
    whole["sha256"] = digest_of(whole)
    path.write_text(json.dumps(whole))


def settings_changed(run: Path, **values: Any) -> None:
    """Change `run.toml`, signed too."""
    document = tomlkit.parse((run / "run.toml").read_text())
    for name, value in values.items():
        document[name] = value
    document["run"].pop("digest")  # type: ignore[union-attr]
    document["run"]["digest"] = digest_of(document.unwrap())  # type: ignore[index]
    (run / "run.toml").write_text(tomlkit.dumps(document))


def looked_at(run: Path) -> list[str]:
    """Look at the run in every way there is; what was said."""
    said = []
    looks: list[Callable[[], object]] = [
        lambda: api.predict(run, BLOBS[0]),
        lambda: api.evaluate(run, BLOBS),
        lambda: shoal.load(run).model,
        lambda: shoal.load(run).report(),
        lambda: list(api.go_on(run, BLOBS)),
    ]
    for look in looks:
        try:
            look()
        except (InputError, RunError) as error:
            said.append(str(error))
            assert "\n" not in said[-1]
    return said


def by_factory(name: str) -> Callable[[Path], None]:
    def change(document: dict[str, Any]) -> None:
        for part in document["networks"]:
            part["architecture"] = {"network": "given", "factory": name}

    return lambda run: rewritten(run, change)


def pickled(run: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (run.parent / "ran",)

    content = pickle.dumps(Trap())
    for name in ("model.safetensors", "model.json"):
        (run / "model" / name).write_bytes(content)


def pickled_arrays(run: Path) -> None:
    with open(run / "checkpoint/coarse@done.safetensors", "wb") as file:
        np.save(file, np.array([[1], "a"], dtype=object), allow_pickle=True)


def store_elsewhere(run: Path) -> None:
    settings_changed(run, store=str(run.parent / "elsewhere.db"))


def linked(name: str) -> Callable[[Path], None]:
    """A link in a file's place: who writes the file writes what the link leads to."""

    def change(run: Path) -> None:
        (run.parent / "precious").write_text("mine")
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(run.parent / "precious")

    return change


def piped(name: str) -> Callable[[Path], None]:
    """A pipe in a file's place: who opens it waits for ever."""

    def change(run: Path) -> None:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)

    return change


WAYS: dict[str, Callable[[Path], None]] = {
    "a module in the folder": by_factory("trap:make_net"),
    "a module below the folder": by_factory("model.trap:make_net"),
    "abort": by_factory("os:abort"),
    "a prompt": by_factory("code:interact"),
    "a path": by_factory("../../trap:make_net"),
    "no name": by_factory(""),
    "a pickle": pickled,
    "pickled arrays": pickled_arrays,
    "a database elsewhere": store_elsewhere,
    "a report that lies elsewhere": linked("report.html"),
    "a lock that lies elsewhere": linked(".lock"),
    "a model that lies elsewhere": linked("model/model.json"),
    "a piece that lies elsewhere": linked("checkpoint/coarse@1.safetensors"),
    "a pipe for settings": piped("run.toml"),
    "a pipe for a model": piped("model/model.json"),
    "a pipe for a summary": piped("summary.json"),
    "a pipe for a piece": piped("checkpoint/coarse@done.safetensors"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_foreign_folder_runs_nothing_and_touches_nothing_outside(
    run: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    WAYS[way](run)
    modules, path = set(sys.modules), list(sys.path)
    said = looked_at(run)
    assert not (run.parent / "ran").exists()
    assert not (run.parent / "elsewhere.db").exists()
    assert not {"trap", "code", "sitecustomize"} & (set(sys.modules) - modules) and sys.path == path
    if way != "pickled arrays":  # of a run that is finished nobody reads them
        assert said
    if "module" in way or way in ("abort", "a prompt", "a path"):
        assert "--model" in said[0] and "vouch" in said[0]
    if "lies elsewhere" in way:
        assert (run.parent / "precious").read_text() == "mine" and len(said) == 5
    if "pipe" in way:
        assert len(said) == 5 and all("no ordinary file" in each for each in said)
    if way == "a database elsewhere":
        assert all("name it in this call" in each for each in said)


def test_settings_of_a_run_that_is_not_finished_import_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, out = threading.Event(), tmp_path / "run"
    for event in api.stream(FitSettings(data="blobs", budget="trials=4", epochs=2, out=str(out)), BLOBS, stop=stop):
        if isinstance(event, EpochFinished):
            stop.set()
    monkeypatch.chdir(out)
    (out / "trap.py").write_text(TRAP.format(mark=str(tmp_path / "ran")))
    settings_changed(out, model="trap:make_net")
    with pytest.raises(InputError, match="--model trap:make_net"):
        list(api.go_on(out, BLOBS))
    assert not (tmp_path / "ran").exists()


def test_the_record_of_a_run_is_no_configuration_that_vouches_for_code(run: Path, tmp_path: Path) -> None:
    settings_changed(run, model="trap:make_net")
    with pytest.raises(InputError, match="add --model trap:make_net"):
        resolve({"config": str(run / "run.toml")})
    assert resolve({"config": str(run / "run.toml"), "model": "trap:make_net"}).model == "trap:make_net"
    settings_changed(run, model="auto", store="sqlite:///elsewhere.db")
    with pytest.raises(InputError, match="add --store"):
        resolve({"config": str(run / "run.toml")})
    (tmp_path / "own").mkdir()
    (tmp_path / "own/mine.toml").write_text('data = "iris"\nmodel = "mine:net"\n')
    assert resolve({"config": str(tmp_path / "own/mine.toml")}).model == "mine:net"
    assert not (tmp_path / "ran").exists()


def test_a_network_of_ones_own_is_imported_when_it_is_named_and_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mynet.py").write_text("from torch import nn\ndef make_net():\n    return nn.Linear(4, 3)\n")
    settings = FitSettings(data="blobs", budget="trials=3", epochs=1, out="run", model="mynet:make_net")
    *_, last = api.stream(settings, BLOBS)
    assert isinstance(last, RunFinished)
    with pytest.raises(InputError, match="--model mynet:make_net"):
        api.predict("run", BLOBS[0])
    with pytest.raises(InputError, match="`other:make_net` was given"):
        api.predict("run", BLOBS[0], "other:make_net")
    by_name = api.predict("run", BLOBS[0], "mynet:make_net").rows
    assert by_name == api.predict("run", BLOBS[0], lambda: nn.Linear(4, 3)).rows
    with pytest.raises(InputError, match="has changed since"):
        shoal.load("run", lambda: nn.Linear(4, 2)).model  # noqa: B018


HUGE = {
    "depth": 10**9,
    "width": 10**9,
    "inputs": -1,
    "outputs": 10**12,
    "dropout": 7.0,
    "activation": "eval",
    "periodic": [10**9],
    "network": "given",
}


@pytest.mark.parametrize("name", HUGE)
def test_a_description_beyond_all_bounds_is_refused_at_once(run: Path, name: str) -> None:
    def change(document: dict[str, Any]) -> None:
        document["networks"][0]["architecture"][name] = HUGE[name]

    rewritten(run, change)
    with pytest.raises(InputError) as raised:
        shoal.load(run).model  # noqa: B018
    assert "\n" not in str(raised.value)


WRONG = (None, -1, 10**30, float("inf"), "x", [], {}, [[]], True)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where values stand in a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, each in inner for place in places(each, (*at, key)))]


def test_no_wrong_value_in_the_models_document_raises_anything_but_a_sentence(run: Path) -> None:
    whole = json.loads((run / "model/model.json").read_text())
    chosen = [at for at in places(whole["document"]) if at]
    draw = np.random.default_rng(0)
    for number in draw.permutation(len(chosen))[:40].tolist():
        at, wrong = chosen[number], WRONG[int(draw.integers(len(WRONG)))]

        def change(document: dict[str, Any], at: tuple[Any, ...] = at, wrong: Any = wrong) -> None:
            for key in at[:-1]:
                document = document[key]
            document[at[-1]] = wrong

        rewritten(run, change)
        try:
            shoal.load(run).model.predict_proba(BLOBS[0])
        except InputError as error:
            assert "\n" not in str(error)
        (run / "model/model.json").write_text(json.dumps(whole))


def test_no_wrong_value_in_run_toml_raises_anything_but_a_sentence(run: Path) -> None:
    written = (run / "run.toml").read_text()
    names = [*FitSettings.model_fields]
    for name in names:
        for wrong in (1e300, [1]):
            settings_changed(run, **{name: wrong})
            looks: list[Callable[[], object]] = [lambda: list(api.go_on(run, BLOBS)), lambda: shoal.load(run).events]
            for look in looks:
                try:
                    look()
                except (InputError, RunError) as error:
                    assert "\n" not in str(error), (name, wrong)
            (run / "run.toml").write_text(written)
