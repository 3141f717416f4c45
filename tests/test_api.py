"""`fit`, `load`, `predict`, `evaluate` and `stream`: what a run leaves, and what is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.metrics import accuracy_score, r2_score
from torch import Tensor, nn

import shoal
from shoal import api
from shoal import data as data_room
from shoal.api import Run
from shoal.core.errors import DataWarning, InputError, RunError
from shoal.core.events import (
    EnsembleChosen,
    EpochFinished,
    Event,
    FindingRaised,
    RunInterrupted,
    RunStarted,
    TestRead,
)
from shoal.core.settings import FitSettings
from shoal.resample import hold_out
from shoal.store.events_store import EventStore
from tests.recipe import planted

QUICK: dict[str, Any] = {"budget": "trials=4", "epochs": 2}


def frame() -> pd.DataFrame:
    """The blobs as a table: a category and a missing cell among the numbers."""
    x, y = planted.blobs(180)
    table = pd.DataFrame(x, columns=["a", "b", "c", "d"])
    table["colour"] = np.where(x[:, 2] > 0, "red", "blue")
    table.loc[3, "c"] = np.nan
    table["kind"] = np.array(["one", "two", "three"])[y]
    return table


@pytest.fixture(scope="module")
def tabled(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on a frame, kept by several of these tests."""
    out = tmp_path_factory.mktemp("tabled") / "run"
    return shoal.fit(frame(), target="kind", out=str(out), budget="trials=6", epochs=4, seed=1)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run whose target is a number far from 0 and 1."""
    x, y = planted.wave(200)
    return shoal.fit((x, 1000 + 50 * y), out=str(tmp_path_factory.mktemp("numbers") / "run"), budget="trials=6")


def events_of(run: Run, kind: type[Event]) -> list[Any]:  # type: ignore[valid-type]
    return [event for event in run.events if isinstance(event, kind)]


def tensors(run: Run) -> dict[str, Tensor]:
    return run.model.tensors()


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


# --- what a run leaves ------------------------------------------------------------------------------------------------


def test_a_loaded_model_answers_bit_for_bit_as_the_fitted_one(tabled: Run) -> None:
    again = shoal.load(tabled.folder.path)
    rows = frame().drop(columns="kind")
    assert np.array_equal(tabled.model.predict_proba(rows), again.model.predict_proba(rows))
    assert tabled.model.predict(rows).tolist() == again.model.predict(rows).tolist()
    assert equal(tensors(tabled), tensors(again))
    assert [d.model_dump() for d in again.decisions] == [d.model_dump() for d in tabled.decisions]
    assert again.summary == tabled.summary == json.loads(tabled.folder.summary_json.read_text())


def test_the_model_on_raw_rows_scores_what_the_run_recorded(tabled: Run, numbers: Run) -> None:
    x, y = planted.wave(200)
    for run, table, seed in ((tabled, frame(), 1), (numbers, pd.DataFrame(x).assign(kind=1000 + 50 * y), 0)):
        metric = accuracy_score if run is tabled else r2_score
        plan = hold_out(data_room.read(table.rename(columns=str), target="kind"), seed=seed)
        assert plan.sizes() == events_of(run, RunStarted)[0].split
        for rows, recorded in (
            (plan.validation, events_of(run, EnsembleChosen)[0].score),
            (plan.test, events_of(run, TestRead)[0].score),
        ):
            raw = table.iloc[rows].drop(columns="kind")
            answers = run.model.predict(raw if run is tabled else raw.to_numpy())
            assert metric(table["kind"].iloc[rows], answers) == pytest.approx(recorded, abs=1e-5)


def test_predict_and_evaluate_agree_with_the_model(tabled: Run, numbers: Run, tmp_path: Path) -> None:
    table = frame()
    table.to_csv(tmp_path / "rows.csv", index=False)
    answer = api.predict(tabled.folder.path, tmp_path / "rows.csv")
    assert answer.columns == [
        "row",
        "prediction",
        *(f"probability_{name}" for name in tabled.model.target.classes or ()),
    ]
    assert [row[0] for row in answer.rows] == list(range(180))
    assert [row[1] for row in answer.rows] == tabled.model.predict(table.drop(columns="kind")).tolist()
    assert np.allclose([sum(row[2:]) for row in answer.rows], 1)
    scored = api.evaluate(tabled.folder.path, tmp_path / "rows.csv")
    assert scored["score"] == pytest.approx(accuracy_score(table["kind"], [row[1] for row in answer.rows]))
    assert scored["rows"] == 180 and scored["interval"][0] < scored["score"] < scored["interval"][1]
    x, _ = planted.wave(20)
    values = numbers.model.predict(x)
    assert values.shape == (20,) and 800 < values.mean() < 1200  # in the target's own unit
    with pytest.raises(InputError, match="numbers, which have no probabilities"):
        numbers.model.predict_proba(x)
    with pytest.raises(InputError, match="kind"):
        api.evaluate(tabled.folder.path, table.drop(columns="kind"))


def test_unseen_categories_and_missing_cells_are_answered_and_counted(tabled: Run) -> None:
    rows = pd.DataFrame(
        {"a": [0.1, None], "b": [2.0, -1.0], "c": [0.0, 0.0], "d": [1.0, 1.0], "colour": ["mauve", "red"]}
    )
    answer = api.predict(tabled.folder.path, rows)
    assert len(answer.rows) == 2 and np.isfinite([row[2:] for row in answer.rows]).all()
    with pytest.warns(DataWarning, match="a: 1 missing cell.*mauve") as noticed:
        tabled.model.predict(rows)
        tabled.model.predict_proba(rows)
    assert len(noticed) == 2 and noticed[0].filename == __file__
    said = " ".join(finding.sentence for finding in answer.findings)
    assert "a: 1 missing cell" in said and "colour: 1 row" in said and "mauve" in said
    with pytest.raises(InputError, match="colour"):
        api.predict(tabled.folder.path, rows.drop(columns="colour"))


def test_the_report_can_be_drawn_again_from_the_store(tabled: Run) -> None:
    before = tabled.folder.report_html.read_text(encoding="utf-8")
    tabled.folder.report_html.unlink()
    assert tabled.report().read_text(encoding="utf-8") == before


def test_a_run_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        shoal.load(tmp_path / "nothing")


# --- ways in ----------------------------------------------------------------------------------------------------------


def test_the_same_rows_give_the_same_model_whichever_way_they_come(tmp_path: Path) -> None:
    x, y = planted.blobs(90)
    table = pd.DataFrame(x.astype(np.float64), columns=["a", "b", "c", "d"]).round(3)
    table["kind"] = y
    table.to_csv(tmp_path / "rows.csv", index=False)
    sources = {"pandas": table, "polars": pl.from_pandas(table), "path": tmp_path / "rows.csv"}
    fitted = {
        name: shoal.fit(source, target="kind", out=str(tmp_path / name), **QUICK) for name, source in sources.items()
    }
    first = fitted["pandas"]
    for run in fitted.values():
        assert equal(tensors(run), tensors(first))
        assert run.summary["test"] == first.summary["test"]
    arrays = shoal.fit((table.drop(columns="kind").to_numpy(), y), out=str(tmp_path / "arrays"), **QUICK)
    assert arrays.summary["data"] == first.summary["data"]
    assert arrays.model.predict(x[:5]).shape == (5,)


def make_net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.1), nn.Linear(6, 3))


def test_a_users_function_and_the_same_by_name_give_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nets_of_a_user.py").write_text(
        "from torch import nn\n"
        "def make_net():\n"
        "    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.1), nn.Linear(6, 3))\n"
    )
    monkeypatch.chdir(tmp_path)
    data = planted.blobs(90)
    given = shoal.fit(data, model=make_net, out="given", **QUICK)
    named = shoal.fit(data, model="nets_of_a_user:make_net", out="named", **QUICK)
    assert equal(tensors(given), tensors(named))
    rows = data[0][:7]
    assert np.array_equal(named.model.predict_proba(rows), given.model.predict_proba(rows))
    again = shoal.load("named", model="nets_of_a_user:make_net")
    assert np.array_equal(again.model.predict_proba(rows), given.model.predict_proba(rows))
    with pytest.raises(InputError, match=r"--model nets_of_a_user:make_net.*model="):
        shoal.load("named").model  # noqa: B018
    with pytest.raises(InputError, match="name the same function"):
        shoal.load("named", model="os:abort").model  # noqa: B018
    assert np.array_equal(
        shoal.load("given", model=make_net).model.predict_proba(rows), given.model.predict_proba(rows)
    )
    with pytest.raises(InputError, match="model="):
        shoal.load("given").model  # noqa: B018
    with pytest.raises(InputError, match="has changed since"):
        shoal.load("given", model=lambda: nn.Linear(4, 3)).model  # noqa: B018
    assert isinstance(given.model.parts[0].network[2], nn.Dropout)  # the user's own class came back


def fails() -> nn.Module:
    raise ValueError("width must be positive")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lambda: nn.Linear(4, 2), r"with \[2, 2\]: it must be \[2, 3\]"),
        (lambda: nn.Linear(5, 3), r"cannot take rows of shape \[2, 4\]"),
        (lambda: "network", "returned str"),
        (lambda: nn.Flatten(), r"it must be \[2, 3\]"),
        (lambda: nn.Sequential(nn.Flatten(), nn.AdaptiveAvgPool1d(3)), "no trainable parameters"),
        (fails, "could not be built: ValueError: width must be positive"),
        ("no_such_module_at_all:make_net", "no_such_module_at_all"),
        ("tests.test_api:make_nett", "make_net`"),
        ("tests.test_api:QUICK", "no function `QUICK`"),
    ],
)
def test_a_network_that_cannot_work_is_refused_in_one_sentence(
    model: str | Callable[[], Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        shoal.fit(planted.blobs(60), model=model, out=str(tmp_path / "run"), **QUICK)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_module_with_a_broken_line_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_nets.py").write_text("def make_net(:\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="broken_nets"):
        shoal.fit(planted.blobs(60), model="broken_nets:make_net", out="run", **QUICK)


# --- laws -------------------------------------------------------------------------------------------------------------


def told(run: Run) -> list[str]:
    """Everything that was measured and decided."""
    return [event.model_dump_json() for event in run.events if not isinstance(event, RunStarted) and timeless(event)]


def timeless(event: Event) -> bool:
    return event.kind not in ("step_finished", "run_finished")


def test_equal_seeds_give_the_same_run_and_the_same_weights(tmp_path: Path) -> None:
    data = planted.blobs(90)
    first, again, other = (
        shoal.fit(data, model=make_net, budget="trials=12", epochs=4, seed=seed, out=str(tmp_path / name))
        for name, seed in (("first", 7), ("again", 7), ("other", 8))
    )
    assert told(first) == told(again)
    assert equal(tensors(first), tensors(again))
    assert first.summary["decisions"] == again.summary["decisions"]
    assert told(first) != told(other)


def test_nothing_but_the_last_step_sees_the_test_rows(tmp_path: Path) -> None:
    x, y = planted.blobs(120)
    rows = hold_out(data_room.read((x, y)), seed=0).test
    noise = x.copy()
    noise[rows] = 1e3 * np.random.default_rng(0).normal(size=(len(rows), 4)).astype(np.float32)
    fitted = shoal.fit((x, y), out=str(tmp_path / "a"), **QUICK)
    blind = shoal.fit((noise, y), out=str(tmp_path / "b"), **QUICK)
    assert equal(tensors(fitted), tensors(blind))
    assert [d.model_dump() for d in fitted.decisions[:-1]] == [d.model_dump() for d in blind.decisions[:-1]]
    assert fitted.summary["test"] != blind.summary["test"]
    assert len(events_of(fitted, TestRead)) == 1


# --- settings ---------------------------------------------------------------------------------------------------------


def test_a_run_that_is_stopped_ends_with_what_it_has(tmp_path: Path) -> None:
    stop, seen = threading.Event(), []
    settings = FitSettings(data="blobs", budget="trials=20", out=str(tmp_path / "run"))
    for event in api.stream(settings, planted.blobs(90), stop=stop):
        seen.append(event)
        if isinstance(event, EpochFinished):
            stop.set()
    assert isinstance(seen[-1], RunInterrupted) and seen[-1].step == 4
    assert sum(isinstance(event, EpochFinished) for event in seen) == 1
    run = shoal.load(tmp_path / "run")
    assert isinstance(run.events[-1], RunInterrupted)
    assert "stopped" in run.folder.report_html.read_text(encoding="utf-8").lower()
    assert "kept" in seen[-1].sentence
    assert len(run.model.predict(planted.blobs(90)[0])) == 90  # the best networks so far
    assert not any(isinstance(event, TestRead) for event in run.events)
    with pytest.raises(InputError, match="did not finish"):
        run.summary  # noqa: B018


def test_a_run_that_is_stopped_before_anything_is_trained_says_so(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    settings = FitSettings(data="blobs", budget="trials=20", out=str(tmp_path / "run"))
    *_, last = api.stream(settings, planted.blobs(90), stop=stop)
    assert isinstance(last, RunInterrupted) and "no network" in last.sentence
    with pytest.raises(InputError, match="ended before its model was saved"):
        shoal.load(tmp_path / "run").model  # noqa: B018


def test_scoring_the_rows_of_the_run_itself_is_warned_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any folder, by any name of the file, and wherever the events are: none are needed."""
    x, y = planted.blobs(90)
    lines = [",".join(map(str, (*row, f"c{label}"))) for row, label in zip(x.tolist(), y.tolist(), strict=True)]
    for name in ("blobs.csv", "new.csv"):
        (tmp_path / name).write_text("a,b,c,d,y\n" + "\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    store = str(tmp_path / "team.db")
    run = shoal.fit("blobs.csv", target="y", budget="trials=2", epochs=1, out=str(tmp_path / "run"), store=store)
    (tmp_path / "team.db").unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/linked.csv").symlink_to(tmp_path / "blobs.csv")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for source, seen in (("../blobs.csv", True), ("linked.csv", True), (tmp_path / "new.csv", False)):
        codes = [finding["code"] for finding in api.evaluate(run.folder.path, source)["findings"]]
        assert ("SHL191" in codes) == seen, source
    with pytest.raises(InputError, match="what was given has no usable column `y`: give rows"):
        api.evaluate(run.folder.path, x)


def test_an_ignored_finding_is_not_raised_but_its_decision_stays(tmp_path: Path) -> None:
    data, model = planted.contradictions(), planted.small_net(2, 2)
    loud = shoal.fit(data, model=model, out=str(tmp_path / "loud"), **QUICK)
    quiet = shoal.fit(data, model=model, out=str(tmp_path / "quiet"), ignore=("SHL111",), **QUICK)

    def raised(run: Run) -> set[str]:
        return {event.finding.code for event in events_of(run, FindingRaised)}

    assert raised(loud) - raised(quiet) == {"SHL111"} and raised(quiet) < raised(loud)
    assert [d.code for d in quiet.decisions] == [d.code for d in loud.decisions]


def test_what_the_user_fixes_is_kept(tmp_path: Path) -> None:
    run = shoal.fit(
        planted.blobs(90),
        out=str(tmp_path / "run"),
        budget="trials=6",
        epochs=3,
        batch_size=20,
        ranges={"lr": (1e-3, 1e-2), "dropout": (0.1, 0.2)},
    )
    started = [event for event in run.events if event.kind == "population_started"]
    assert {event.batch_size for event in started} == {20}
    coarse = [member.values for member in started[0].members]
    assert all(1e-3 <= values["lr"] <= 1e-2 and 0.1 <= values["dropout"] <= 0.2 for values in coarse)
    epochs = [event.epoch for event in events_of(run, EpochFinished) if event.population.startswith("refine")]
    assert max(epochs) <= 3
    assert run.summary["members_trained"] >= 6


def test_the_command_repeats_the_settings() -> None:
    settings = FitSettings(data="my data.csv", target="a b", budget="2m", drop=("x",), ranges={"lr": (1e-4, 0.1)})
    assert api.command(settings) == (
        "shoal fit 'my data.csv' --target 'a b' --drop x --budget 2m --seed 0 --range lr=0.0001:0.1"
    )
    settings = FitSettings(data="a.csv", task="regression", decimal=",", missing=("n.d.", "?"), axes="NLC")
    assert api.command(settings) == (
        "shoal fit a.csv --kind signal --task regression --decimal , --missing 'n.d.,?' --axes NLC "
        "--budget 60s --seed 0"
    )


def test_cuda_where_there_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="device=cuda"):
        shoal.fit(planted.blobs(60), device="cuda", out=str(tmp_path / "run"), **QUICK)


def test_a_start_that_fails_leaves_its_folder_free(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    with pytest.raises(InputError, match="bogus"):
        shoal.fit(planted.blobs(90), budget="trials=2", store="bogus://x", out=out)
    assert not (tmp_path / "run").exists()
    assert shoal.fit(planted.blobs(90), budget="trials=2", out=out).summary["test"] > 0.5


@pytest.mark.parametrize("store", [None, "sqlite:///team.db"])
def test_a_run_that_fails_after_its_first_event_keeps_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str | None
) -> None:
    """Wherever its events are, and whatever state their store is in by then."""
    monkeypatch.chdir(tmp_path)
    settings = FitSettings(data="iris", out="run", store=store)
    events = api.stream(settings)
    assert isinstance(next(events), RunStarted)

    def fails(*_: object, **__: object) -> None:
        raise RunError("the disk refuses")

    monkeypatch.setattr("shoal.api.running.recipe.run", fails)
    if store is None:
        monkeypatch.setattr(EventStore, "runs", Mock(side_effect=InputError("the store cannot be read")))
    with pytest.raises(RunError, match="the disk refuses"):
        list(events)
    assert (tmp_path / "run/run.toml").exists() and (tmp_path / "run/store.db").exists() == (store is None)


def test_numbers_in_text_are_read_alike_by_fit_evaluate_and_predict(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    rows = [(i % 7, 1000 + 41 * (i * 17 % 60)) for i in range(60)]
    lines = [f"{a};{b:,};".replace(",", ".") + f"{b / 4 + a:.2f} kg".replace(".", ",") for a, b in rows]
    path.write_text("\n".join(["a;b;y", *lines]), encoding="utf-8")
    run = shoal.fit(path, target="y", task="regression", out=str(tmp_path / "run"), **QUICK)
    started = events_of(run, RunStarted)[0]
    assert (started.task, "--task regression" in started.command) == ("regression", True)
    assert api.evaluate(run.folder.path, path)["rows"] == 60
    text = api.predict(run.folder.path, path).rows
    plain = api.predict(run.folder.path, pd.DataFrame(rows, columns=["a", "b"])).rows
    assert text == plain
