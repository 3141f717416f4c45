"""A run without a folder: it does all that a run does, leaves nothing on the disk, and can be saved."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import shoal
from shoal import api
from shoal.api import Run, runs
from shoal.cli import run as shoal_command
from shoal.core.errors import InputError, RunError
from shoal.core.events import Event, RunFinished, RunInterrupted, RunStarted
from shoal.store.events_store import EventStore
from shoal.store.run_folder import RunFolder
from tests.recipe import planted

BLOBS = planted.blobs(90)
QUICK: dict[str, Any] = {"budget": "trials=2", "epochs": 1, "seed": 3}


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, list[Path]]]:
    """A run in an empty working folder, with an empty folder for temporary files; and what it left in them."""
    here = tmp_path_factory.mktemp("here")
    for name in ("work", "temporary"):
        (here / name).mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here / "work")
        patch.setattr(tempfile, "tempdir", str(here / "temporary"))
        run = shoal.fit(BLOBS, **QUICK)
        run.model.predict(BLOBS[0])
        assert run.events and run.decisions and run.summary
        left = [path for path in here.rglob("*") if path.is_file()]
    yield run, left


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run with a folder."""
    return shoal.fit(BLOBS, out=tmp_path_factory.mktemp("kept") / "data", **QUICK)


def told(run: Run) -> list[str]:
    """What a run told, but for what a clock says and where things lie."""
    lines = []
    for event in run.events:
        body: dict[str, Any] = event.model_dump(mode="json")
        for changing in (body, body.get("summary", {})):
            for name in ("seconds", "model", "report"):
                changing.pop(name, None)
        lines.append(json.dumps(body, sort_keys=True))
    return lines


def test_nothing_is_left_on_the_disk(fitted: tuple[Run, list[Path]]) -> None:
    run, left = fitted
    assert left == [] and run.folder is None


def test_it_tells_and_answers_what_it_would_with_a_folder(fitted: tuple[Run, list[Path]], kept: Run) -> None:
    run, _ = fitted
    assert told(run) == told(kept)
    assert isinstance(run.events[0], RunStarted) and run.events[0].run == "data"
    assert isinstance(run.events[-1], RunFinished)
    assert [*run.summary] == [*kept.summary]
    assert (run.summary["model"], run.summary["report"]) == (None, None)
    assert [d.code for d in run.decisions] == [d.code for d in kept.decisions]
    assert np.array_equal(run.model.predict_proba(BLOBS[0]), kept.model.predict_proba(BLOBS[0]))


def test_its_report_is_written_where_one_says(fitted: tuple[Run, list[Path]], kept: Run, tmp_path: Path) -> None:
    run, _ = fitted
    with pytest.raises(InputError, match=r"in memory: say where .* run\.report\('report\.html'\)"):
        run.report()
    assert run.report(tmp_path / "page.html") == tmp_path / "page.html"
    assert "<html" in (tmp_path / "page.html").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="there is no folder"):
        run.report(tmp_path / "none" / "page.html")
    assert kept.folder is not None
    assert kept.report() == kept.folder.report_html and kept.report(str(tmp_path / "k.html")).exists()
    with pytest.raises(InputError, match="lies in the run's folder"):
        kept.report(kept.folder.run_toml)


def test_saved_it_is_a_run_like_any_other(
    fitted: tuple[Run, list[Path]], kept: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, _ = fitted
    path = run.save(tmp_path / "saved")
    assert kept.folder is not None
    names = {each.relative_to(path).as_posix() for each in path.rglob("*")}
    assert names == {each.relative_to(kept.folder.path).as_posix() for each in kept.folder.path.rglob("*")}
    again = shoal.load(path)
    assert [event.model_dump_json() for event in again.events] == [event.model_dump_json() for event in run.events]
    assert again.summary == run.summary == json.loads((path / "summary.json").read_text())
    assert np.array_equal(again.model.predict_proba(BLOBS[0]), run.model.predict_proba(BLOBS[0]))
    for name in ("model.safetensors", "model.json"):
        assert (path / "model" / name).read_bytes() == (kept.folder.model / name).read_bytes()
    folder, other = RunFolder.open(path), kept.folder
    assert folder.read_settings() == other.read_settings().model_copy(update={"out": None})
    assert folder.read_record().plans.keys() == other.read_record().plans.keys()
    assert folder.read_record().given == ("data",)
    assert api.evaluate(path, BLOBS)["rows"] == 90
    assert shoal_command(["report", str(path), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["events"] == len(run.events)
    before = {each: each.read_bytes() for each in path.rglob("*") if each.is_file() and each.name != ".lock"}
    assert any("is finished" in getattr(event, "sentence", "") for event in api.go_on(path))
    assert {each: each.read_bytes() for each in before} == before


def test_what_lay_nowhere_when_it_ended_is_said_so_by_a_saved_run(
    fitted: tuple[Run, list[Path]], tmp_path: Path
) -> None:
    run, _ = fitted
    assert shoal.load(run.save(str(tmp_path / "a" / "b"))).summary["model"] is None


def test_it_is_saved_to_a_folder_of_its_own_or_not_at_all(
    fitted: tuple[Run, list[Path]], kept: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = fitted
    assert kept.folder is not None
    with pytest.raises(InputError, match="already holds a run"):
        run.save(kept.folder.path)
    with pytest.raises(InputError, match=r"lies in .* already: copy that folder"):
        kept.save(tmp_path / "copy")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        run.save(tmp_path / "file")

    def full(*_: object) -> None:
        raise RunError("the disk is full")

    monkeypatch.setattr("shoal.store.storage.write_atomically", full)
    with pytest.raises(RunError, match="the disk is full"):
        run.save(tmp_path / "half")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file"]


def make_net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def test_a_network_of_ones_own_comes_back_with_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = shoal.fit(BLOBS, model=make_net, **QUICK)
    assert isinstance(run.model.parts[0].network[1], nn.Tanh)
    with torch.no_grad():  # whoever changes a network changes no other one
        run.model.parts[0].network[0].weight.zero_()
    again = Run(run.storage, make_net).model
    assert again.parts[0].network[0].weight.abs().sum() > 0
    assert not [*tmp_path.iterdir()]


def test_its_events_may_go_to_a_database(
    fitted: tuple[Run, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    store = f"sqlite:///{tmp_path / 'team.db'}"
    run = shoal.fit(BLOBS, store=store, **QUICK)
    assert not [*(tmp_path / "work").iterdir()] and run.folder is None
    with EventStore(store, read_only=True) as events:
        (key,) = events.runs()
        assert len(events.read(key)) == len(run.events) > 20
    assert key.startswith("data@")  # which nobody else has
    assert told(run)[1:] == told(fitted[0])[1:]  # the first one says the command
    saved = run.save("saved")
    assert not (saved / "store.db").exists()
    assert told(shoal.load(saved, store=store)) == told(run)
    with pytest.raises(InputError, match="name it in this call"):
        shoal.load(saved).events  # noqa: B018


def test_a_run_that_ends_without_a_result_says_that_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def stopped(*_: object, **__: object) -> Iterator[Event]:
        yield RunInterrupted(step=1, sentence="Stopped.")

    monkeypatch.setattr(runs, "stream", stopped)
    for out, words in ((None, "nothing of it is kept"), ("run", "its folder keeps what was done")):
        with pytest.raises(RunError, match=f"ended without a result; {words}"):
            shoal.fit("iris", out=out)


def test_bad_input_is_refused_before_anything_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there is no option `otu`"):
        shoal.fit("iris", otu="runs/x")
    with pytest.raises(InputError, match="bogus"):
        shoal.fit("iris", store="bogus://x", **QUICK)
    assert not [*tmp_path.iterdir()]


def test_a_folder_into_which_it_could_not_be_saved_is_as_it_was(
    fitted: tuple[Run, list[Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = fitted
    (tmp_path / "mine.txt").write_text("keep me")

    def full(self: RunFolder, ended: object) -> None:
        raise RunError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "write_end", full)
        with pytest.raises(RunError, match="no space left"):
            run.save(tmp_path)
    assert [each.name for each in tmp_path.rglob("*")] == ["mine.txt"]
    assert shoal.load(run.save(tmp_path)).summary == run.summary
    assert (tmp_path / "mine.txt").read_text() == "keep me"
