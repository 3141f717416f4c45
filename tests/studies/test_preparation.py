"""The study of preparation: what it claims is what a loop of single trainings and the textbook give."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from shoal.core.errors import InputError
from shoal.core.returning import Returning, result_of
from shoal.nn.networks import Mlp
from shoal.population import Member, Population
from shoal.report.study_page import render_study
from shoal.studies import find
from shoal.studies.preparation import REFERENCE, STAGES
from shoal.studies.preparation_inputs import inputs, rows_of
from shoal.studies.preparation_training import RATES, Reached, train
from shoal.studies.record import Study, StudyOptions
from shoal.studies.subject import Subject


def carried_out(subject: Subject, options: StudyOptions) -> Study:
    steps = Returning(find("preparation")(subject, options))
    seen = [progress.done for progress in steps]
    assert seen == sorted(seen) and seen[0] >= 0 and seen[-1] <= 1
    return steps.result


def frame(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two features of unlike scales that vary together, far from zero; their difference decides."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=400), rng.normal(size=400)
    return np.column_stack([1e4 + 1e3 * (shared + 0.1 * own), 5 + shared, rng.normal(size=400)]), (own > 0).astype(int)


@pytest.fixture(scope="module")
def study() -> Study:
    return carried_out(Subject.read(frame()), StudyOptions(replicates=3, epochs=4))


def test_the_inputs_of_each_stage_are_what_their_names_say() -> None:
    subject = Subject.read(frame())
    rows = rows_of(subject, seed=0)
    by = {how: inputs(rows, how) for how in STAGES}
    x = {how: each.fold.train.x.numpy().astype(np.float64) for how, each in by.items()}
    raw = rows.dataset.features.take(rows.plan.train).frame.to_numpy()
    assert np.allclose(x["none"], raw, rtol=1e-6)
    assert np.allclose(x["center"], raw - raw.mean(axis=0), atol=1e-3)
    assert np.allclose(x[REFERENCE], (raw - raw.mean(axis=0)) / raw.std(axis=0), atol=1e-5)
    assert np.allclose(np.corrcoef(x["standardize+pca"].T), np.eye(3), atol=1e-5)
    for how in ("standardize+whiten", "standardize+zca"):
        assert np.allclose(np.cov(x[how].T), np.eye(3), atol=1e-4)
        assert by[how].condition == pytest.approx(1, abs=1e-3)
    assert by["center"].condition == pytest.approx(np.linalg.cond(np.cov(raw.T)), rel=1e-3)
    assert by["none"].condition == pytest.approx(by["center"].condition, rel=1e-3)
    with_one = np.column_stack([raw, np.ones(len(raw))])
    assert by["none"].with_mean == pytest.approx(np.linalg.cond(with_one.T @ with_one), rel=1e-2)
    assert by["none"].with_mean > 10 * by["center"].with_mean > 100 * by[REFERENCE].with_mean


def test_validation_rows_change_no_input_of_the_training_rows() -> None:
    x, y = frame()
    subject = Subject.read((x, y))
    held = subject.fold.plan.validation
    x[held] = np.random.default_rng(1).normal(0, 1e6, size=(len(held), 3))
    spoiled = Subject.read((x, y))
    for how in STAGES:
        a, b = (inputs(rows_of(each, 0), how) for each in (subject, spoiled))
        assert a.fold.preparation == b.fold.preparation and torch.equal(a.fold.train.x, b.fold.train.x)


def test_a_population_reaches_what_each_member_reaches_alone() -> None:
    subject = Subject.read(frame())
    given = inputs(rows_of(subject, seed=0), REFERENCE)
    together = result_of(train(subject, {REFERENCE: given}, StudyOptions(replicates=2, epochs=3)))[REFERENCE]
    k = RATES.index(0.01)
    for seed in range(2):
        alone = Population(
            Mlp(inputs=3, outputs=2, width=64, depth=1).build,
            [Member(seed=seed, optimizer="momentum", momentum=0.9, lr=0.01, schedule="cosine")],
        )
        fold = given.fold
        held_out = (fold.validation.x, fold.validation.y)
        *_, last = alone.train(fold.train.x, fold.train.y, epochs=3, batch_size=64, validation=held_out)
        assert together.loss[seed, k] == pytest.approx(last.validation_loss[0], rel=1e-4)
        assert together.score[seed, k] == pytest.approx(last.validation_score[0], abs=1e-6)


def test_no_seed_chooses_its_own_learning_rate() -> None:
    score = np.full((3, len(RATES)), 0.5)
    score[0, 3] = 0.99  # lucky at a rate that is poor for the others
    score[1:, 3] = 0.1
    score[:, 5] = 0.6
    score[1, 7] = np.nan  # best of all, but a seed diverged
    score[[0, 2], 7] = 1.0
    found = Reached(None, 1 - score, score, base=0.5)
    assert found.chosen().tolist() == [5, 5, 5]
    assert found.best()[1].tolist() == [0.6, 0.6, 0.6]
    assert found.rate == RATES[5] and found.workable == (RATES[5], RATES[5])
    wild = Reached(None, np.full((2, 4), np.nan), np.full((2, 4), np.nan), base=0.5)
    assert wild.rate is None and wild.workable is None and len(wild.best()[0]) == 0


def test_what_it_says_can_be_read_from_its_own_table(study: Study) -> None:
    table = study.sections[1].tables[0]
    by = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert list(by) == [*STAGES, "minmax", "robust-clip", "quantile"]
    assert study.networks_trained == len(by) * 3 * len(RATES)
    bars = {bar["name"]: bar for bar in study.sections[1].pictures[0].data["rows"]}
    for how, bar in bars.items():
        assert bar["value"] == pytest.approx(by[how]["accuracy"] - by[REFERENCE]["accuracy"], abs=1e-9)
        assert bar["low"] <= bar["value"] <= bar["high"]
    best = next(d for d in study.decisions if d.code == "SHL441")
    assert set(best.evidence) == set(bars)
    assert by["standardize+whiten"]["condition"] == pytest.approx(1, abs=1e-2)


def test_the_pictures_hold_ellipses_of_the_covariance(study: Study) -> None:
    (cloud,) = (p for p in study.sections[0].pictures if p.kind == "clouds")
    panels = {panel["title"]: panel for panel in cloud.data["panels"]}
    assert list(panels)[:5] == ["before", "centred", "scaled", "decorrelated", "whitened"]
    for name in ("whitened", "whitened, turned back (ZCA)"):
        radius = np.linalg.norm(np.array(panels[name]["lines"][0]), axis=1)
        assert np.allclose(radius, 2, atol=1e-3)
    ellipse = np.array(panels["decorrelated"]["lines"][0])
    assert ellipse[:, 0].max() > 3 * ellipse[:, 1].max()  # long before it is whitened
    centre = np.array(panels["before"]["lines"][0])[:-1].mean(axis=0)
    assert np.allclose(centre, np.array(panels["before"]["points"])[:, :2].mean(axis=0), rtol=0.1)


def test_the_document_makes_a_page(study: Study) -> None:
    document = json.loads(json.dumps(study.model_dump(mode="json"), allow_nan=True))
    about = {"findings": [], "command": "c", "rows": {"train": 1, "validation": 1, "test": 0}, "data_hash": "h"}
    page = render_study({**document, **about, "seconds": 1.0, "versions": {}})
    assert study.answer.split("`")[0][:30] in page and "clouds" in page


@pytest.mark.parametrize("kind", ["image", "colour", "signal", "volume", "number"])
def test_every_kind_of_data(kind: str) -> None:
    rng = np.random.default_rng(0)
    shape = {"image": (8, 8), "colour": (24, 24, 3), "signal": (2, 40), "volume": (6, 14, 14), "number": (1,)}[kind]
    x = (rng.normal(size=(80, *shape)).cumsum(axis=-1) * 20 + 100).astype(np.float32)
    y = rng.normal(size=80) if kind == "number" else np.arange(80) % 2
    said = "volume" if kind == "volume" else None  # few slices of noise look like an image of six channels
    study = carried_out(Subject.read((x, y), kind=said), StudyOptions(replicates=2, epochs=1))
    drawn = [picture.kind for picture in study.sections[0].pictures]
    expected = {
        "image": ["clouds", "images"],
        "colour": ["clouds", "images"],
        "signal": ["clouds", "curves", "curves"],
        "volume": ["clouds", "images"],
        "number": [],
    }
    assert drawn == expected[kind]
    turned = "standardize+zca" in [row[0] for row in study.sections[1].tables[0].rows]
    assert turned == (kind != "volume")  # 1176 values
    if kind == "colour":
        assert "reduced to 12 x 12" in study.sections[0].pictures[1].caption


def test_what_it_cannot_study_is_refused() -> None:
    import polars as pl

    words = pl.DataFrame({"word": ["a", "b", "c", "d"] * 20, "y": ["u", "v"] * 40})
    with pytest.raises(InputError, match="no number columns"):
        carried_out(Subject.read(words, target="y"), StudyOptions(replicates=2, epochs=1))
    wrong = Subject.read(frame(), make_net=Mlp(inputs=9, outputs=2).build, model="mine:net")
    with pytest.raises(InputError, match=r"mine:net cannot take rows of shape \[3\]"):
        carried_out(wrong, StudyOptions(replicates=2, epochs=1))


@pytest.mark.slow
def test_scaling_helps_on_california_housing(shared_data: Path) -> None:
    subject = Subject.read(shared_data / "california_housing.csv.gz", target="median_house_value", most_rows=2000)
    study = carried_out(subject, StudyOptions(replicates=8, epochs=3))
    bars = {bar["name"]: bar for bar in study.sections[1].pictures[0].data["rows"]}
    assert "none" not in bars or bars["none"]["high"] < 0
    assert bars["minmax"]["high"] < 0
