"""A named preparation of a whole data set: fitted on training rows alone, undone, kept with the model, advised on."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from shoal import prepare
from shoal.core.errors import InputError
from shoal.core.settings import PREPARATIONS, FitSettings
from shoal.data import ArrayFeatures, Dataset, TableFeatures, read
from shoal.ensemble.model import EnsembleMember, Model
from shoal.nn.networks import Mlp
from shoal.prepare import Preparation
from shoal.prepare.advice import shared_unit
from shoal.prepare.chain import FITS
from shoal.store.model_folder import load_model, save_model

ROWS = 300
# Every setting; a new step is tested by being listed in FITS.
SETTINGS = ["auto", "none", *FITS, "standardize+pca", "quantile+whiten"]
SHAPES = {"image": (6, 5), "colour": (5, 4, 3), "signal": (3, 11), "volume": (3, 4, 5)}


def table(seed: int = 0, rows: int = ROWS) -> Dataset:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3)) @ rng.normal(size=(3, 3))
    holes = pl.Series(rng.random(rows) < 0.2)
    frame = pl.DataFrame(
        {
            "wide": 1000 * x[:, 0],
            "narrow": pl.Series(x[:, 1]).set(holes, None),
            "tail": np.exp(2 * x[:, 2]),
            "flag": rng.integers(0, 2, rows).astype(bool),
            "word": rng.choice(["red", "green", "blue"], rows),
            "day": pl.datetime_range(dt.datetime(2015, 1, 1), dt.datetime(2020, 1, 1), "1d", eager=True)[:rows],
            "answer": rng.choice(["yes", "no"], rows),
        }
    )
    return read(frame, target="answer")


def arrays(shape: tuple[int, ...], seed: int = 0, rows: int = 80) -> Dataset:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, *shape)).cumsum(axis=-1) * 20 + 100
    return read((np.clip(x, 0, 255).astype(np.uint8), np.arange(rows) % 2))


def noise_elsewhere(dataset: Dataset, keep: np.ndarray, seed: int) -> Dataset:
    """The same rows at `keep`, noise everywhere else."""
    rng = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(dataset.rows), keep)
    if isinstance(dataset.features, ArrayFeatures):
        array = dataset.features.array.copy()
        array[others] = rng.integers(0, 255, array[others].shape).astype(array.dtype)
        return replace(dataset, features=ArrayFeatures(array))
    spoiled = []
    for series in dataset.features.frame:
        noise: pl.Series
        if series.dtype == pl.String:
            noise = pl.Series([f"noise {n}" for n in rng.integers(0, 5, dataset.rows)])
        elif series.dtype == pl.Float64:
            noise = pl.Series(rng.normal(0, 1e6, dataset.rows)).set(pl.Series(rng.random(dataset.rows) < 0.5), None)
        else:
            noise = pl.Series(rng.integers(0, 2**50, dataset.rows)).cast(series.dtype)
        spoiled.append(series.scatter(others, noise[others]))
    return replace(dataset, features=TableFeatures(pl.DataFrame(spoiled)))


# --- law 4 ------------------------------------------------------------------------------------------------------------


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**31), number=st.integers(20, ROWS - 10))
@pytest.mark.parametrize("how", SETTINGS)
def test_no_statistic_of_a_table_changes_with_other_rows(how: str, seed: int, number: int) -> None:
    dataset = table()
    rows = np.sort(np.random.default_rng(seed).permutation(ROWS)[:number])
    spoiled = noise_elsewhere(dataset, rows, seed)
    fitted = prepare.fit(dataset, rows, how)
    assert prepare.fit(spoiled, rows, how) == fitted
    assert prepare.advise(spoiled, rows, fitted) == prepare.advise(dataset, rows, fitted)
    assert prepare.fit(spoiled, np.arange(ROWS), how) != prepare.fit(dataset, np.arange(ROWS), how)  # it could


@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**31))
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("how", SETTINGS)
def test_no_statistic_of_arrays_changes_with_other_rows(how: str, shape: str, seed: int) -> None:
    dataset = arrays(SHAPES[shape])
    rows = np.sort(np.random.default_rng(seed).permutation(80)[:50])
    fitted = prepare.fit(dataset, rows, how)
    assert prepare.fit(noise_elsewhere(dataset, rows, seed), rows, how) == fitted


# --- what comes out ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", SETTINGS)
def test_every_setting_gives_finite_inputs_of_the_stated_shape(how: str) -> None:
    for dataset in (table(), *(arrays(shape) for shape in SHAPES.values())):
        train = np.arange(0, dataset.rows, 2)
        preparation = prepare.fit(dataset, train, how)
        x = preparation.transform(dataset.features).x
        assert x.dtype == np.float32 and np.isfinite(x).all() and x.shape[1:] == preparation.shape
        assert preparation.how == how


def test_numbers_go_through_the_step_and_the_rest_stays_as_it_was() -> None:
    dataset = table()
    train = np.arange(0, ROWS, 2)
    standard, auto = prepare.fit(dataset, train, "standardize"), prepare.fit(dataset, train)
    x, as_auto = (p.transform(dataset.features).x.astype(np.float64) for p in (standard, auto))
    raw = dataset.features.frame["tail"].to_numpy()[:, None]
    names = standard.feature_names
    assert np.allclose(x[:, [names.index("tail")]], StandardScaler().fit(raw[train]).transform(raw), rtol=1e-6)
    for name in ("word=red", "narrow missing", "day weekday sin"):
        assert np.array_equal(x[:, names.index(name)], as_auto[:, auto.feature_names.index(name)]), name
    holes = dataset.features.frame["narrow"].is_null().to_numpy()
    assert len(set(x[holes, names.index("narrow")])) == 1  # all take the training median
    components = prepare.fit(dataset, train, "pca").feature_names
    assert components[:3] == ["component 1", "component 2", "component 3"] and "narrow missing" in components


@pytest.mark.parametrize("how", ["whiten", "standardize+whiten", "zca"])
def test_whitened_numbers_of_the_training_rows_are_uncorrelated(how: str) -> None:
    dataset = table()
    train = np.arange(200)
    preparation = prepare.fit(dataset, train, how)
    x = preparation.transform(dataset.features.take(train)).x[:, : len(preparation.numbers.sources)]
    assert np.abs(np.cov(x.astype(np.float64).T) - np.eye(x.shape[1])).max() < 1e-2


@pytest.mark.parametrize("shape", SHAPES)
def test_scaling_of_arrays_is_by_channel_and_whitening_by_row(shape: str) -> None:
    dataset = arrays(SHAPES[shape])
    train = np.arange(60)
    x = prepare.fit(dataset, train, "minmax").transform(dataset.features.take(train)).x
    places = (0, *range(2, x.ndim))
    assert np.allclose(x.min(axis=places), 0) and np.allclose(x.max(axis=places), 1)
    preparation = prepare.fit(dataset, train, "zca")
    white = preparation.transform(dataset.features.take(train)).x.reshape(60, -1).astype(np.float64)
    step = preparation.arrays.steps[0]
    expected = step.axes @ np.diag(step.variances / (step.variances + step.eps)) @ step.axes.T
    assert np.allclose(np.cov(white.T), expected, atol=1e-5)


@pytest.mark.parametrize("how", [name for name in SETTINGS if name != "auto"])
def test_what_was_prepared_comes_back(how: str) -> None:
    dataset = table()
    preparation = prepare.fit(dataset, np.arange(ROWS), how)
    back = preparation.invert(preparation.transform(dataset.features).x)
    for k, source in enumerate(preparation.numbers.sources[:3]):
        raw = dataset.features.frame[source.column].to_numpy()
        assert np.allclose(back[:, k], raw, rtol=2e-3, atol=1e-3 * np.nanstd(raw), equal_nan=True), source
    for shape in SHAPES.values():
        images = arrays(shape)
        fitted = prepare.fit(images, np.arange(80), how)
        again = fitted.invert(fitted.transform(images.features).x)
        assert again.shape == images.features.array.shape
        if how == "quantile+whiten":
            continue  # where pixels tie, a rank has many values
        assert np.abs(again - images.features.array).max() < 0.1, shape


def test_signals_with_a_large_mean_keep_their_digits() -> None:
    signal = 1e8 + np.random.default_rng(0).normal(size=(60, 2, 30))
    dataset = read((signal, np.arange(60) % 2))
    x = prepare.fit(dataset, np.arange(60)).transform(dataset.features).x
    exact = signal - 1e8
    center, scale = exact.mean(axis=(0, 2), keepdims=True), exact.std(axis=(0, 2), keepdims=True)
    assert np.allclose(x, (exact - center) / scale, atol=1e-5)


def test_what_cannot_be_done_is_refused() -> None:
    dataset = table()
    with pytest.raises(InputError, match="no preparation `whitten`; did you mean `whiten`"):
        prepare.fit(dataset, np.arange(9), "whitten")
    with pytest.raises(InputError, match="cannot be undone"):
        prepare.fit(dataset, np.arange(9)).invert(np.zeros((1, 3)))
    wide = read(
        (np.zeros((20, 80, 80), dtype=np.uint8) + np.arange(20, dtype=np.uint8)[:, None, None], np.arange(20) % 2)
    )
    with pytest.raises(InputError, match="6400 values"):
        prepare.fit(wide, np.arange(10), "zca")
    with pytest.raises(InputError, match=r"prepared rows have \[1, 80, 80\]"):
        prepare.fit(wide, np.arange(10)).invert(np.zeros((1, 1, 80, 8)))
    fitted = prepare.fit(dataset, np.arange(50), "pca")
    with pytest.raises(InputError, match="narrow"):
        fitted.transform(TableFeatures(dataset.features.frame.drop("narrow")))
    holed = dataset.features.frame.with_columns(pl.lit(None, dtype=pl.Float64).alias("wide"))
    assert [(w.code, w.evidence["column"]) for w in fitted.transform(TableFeatures(holed)).warnings] == [
        ("SHL243", "wide")
    ]


def test_the_setting_knows_every_step_and_no_other() -> None:
    assert ("auto", "none", *FITS) == PREPARATIONS
    for how in SETTINGS:
        assert FitSettings(data="iris", prepare=how).prepare == how
    with pytest.raises(InputError, match="no preparation `standardise`; did you mean `standardize`"):
        FitSettings(data="iris", prepare="standardise+pca")
    with pytest.raises(InputError, match="`none` cannot be joined"):
        FitSettings(data="iris", prepare="none+pca")


# --- one artefact -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", SETTINGS)
def test_a_saved_model_predicts_from_raw_rows(how: str, tmp_path: Path) -> None:
    for number, dataset in enumerate((table(), arrays(SHAPES["colour"]))):
        preparation = prepare.fit(dataset, np.arange(60), how)
        spec = Mlp(inputs=int(np.prod(preparation.shape)), outputs=2, width=8, depth=1)
        part = EnsembleMember(spec.build().eval(), spec.model_dump(mode="json"), 1, 0)
        model = Model((part,), preparation, prepare.TargetScaling.fit(dataset, np.arange(60)), dataset.schema)
        folder = tmp_path / str(number)
        save_model(folder, model.tensors(), model.document())
        again = Model.of(*load_model(folder))
        assert again.preparation == preparation
        assert np.array_equal(again.answers(dataset.features)[0], model.answers(dataset.features)[0])
        if how == "zca":
            assert (folder / "model.json").stat().st_size < 20_000  # matrices lie in the tensors
        assert Preparation.from_json(preparation.to_json()) == preparation


def test_a_model_without_its_matrices_is_refused() -> None:
    dataset = table()
    preparation = prepare.fit(dataset, np.arange(60), "pca")
    part = EnsembleMember(torch.nn.Identity(), {"network": "given", "factory": ""}, 1, 0)
    model = Model((part,), preparation, prepare.TargetScaling.fit(dataset, np.arange(60)), dataset.schema)
    with pytest.raises(InputError, match="cannot be read"):
        Model.of({}, model.document())


# --- advice -----------------------------------------------------------------------------------------------------------


def advised(dataset: Dataset, how: str) -> dict[str, dict[str, object]]:
    rows = np.arange(dataset.rows)
    found = prepare.advise(dataset, rows, prepare.fit(dataset, rows, how))
    assert all(finding.fix and finding.sentence.endswith(".") for finding in found)
    return {finding.code: finding.evidence for finding in found}


def test_scaling_what_shares_a_unit() -> None:
    iris = read("iris")
    for how in ("standardize", "minmax", "quantile", "standardize+pca"):
        assert "SHL291" in advised(iris, how), how
    assert "SHL291" not in advised(iris, "center") and "SHL291" not in advised(iris, "pca")
    assert "SHL291" not in advised(read("wine"), "standardize")
    assert advised(iris, "auto") == {}
    pixels = np.full((2, 4), 3.0) * [[0], [1]]
    assert shared_unit(["p1", "p2", "p3", "p4"], pixels) == "numbered alike and range from 0 to 3"
    assert shared_unit(["p1", "p2", "p3", "p4"], pixels * [1, 2, 3, 4]) == ""
    assert shared_unit(["length_mm", "width_mm"], pixels[:, :2]) == "in mm"
    assert shared_unit(["length_mm", "weight_g"], pixels[:, :2]) == ""


def test_rotation_of_images() -> None:
    for how in ("pca", "whiten", "zca", "standardize+zca"):
        assert advised(arrays(SHAPES["colour"]), how)["SHL292"]["values"] == 60, how
    assert "SHL292" not in advised(arrays(SHAPES["image"]), "standardize")
    assert "SHL292" not in advised(arrays(SHAPES["signal"]), "pca")


def test_whitening_along_flat_axes() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3))
    repeated = read((np.column_stack([x, x.sum(axis=1) + 1e-6 * rng.normal(size=200)]), np.arange(200) % 2))
    assert advised(repeated, "whiten")["SHL293"]["axes"] == 1
    assert "SHL293" not in advised(repeated, "pca")
    assert "SHL293" not in advised(read((x, np.arange(200) % 2)), "whiten")


def test_minmax_with_outliers() -> None:
    x = np.random.default_rng(0).normal(size=(1000, 2))
    x[5, 1] = 1e4
    assert list(advised(read((x, np.arange(1000) % 2)), "minmax")["SHL294"]["shares"]) == ["x1"]
    assert "SHL294" not in advised(read((x[6:], np.arange(994) % 2)), "minmax")
    assert "SHL294" not in advised(read((x, np.arange(1000) % 2)), "robust")


def test_axes_that_follow_the_units() -> None:
    dataset = table()
    evidence = advised(dataset, "pca")["SHL295"]
    assert evidence["column"] == "wide" and evidence["share"] > 0.99
    assert "SHL295" not in advised(dataset, "standardize+pca")


@pytest.mark.slow
def test_a_run_keeps_the_preparation_that_was_asked_for(tmp_path: Path) -> None:
    import shoal
    from shoal.core.events import FindingRaised, RunStarted

    out = tmp_path / "run"
    asked = {"prepare": "standardize+pca", "budget": "trials=2", "epochs": 1}
    shoal.fit("iris", out=str(out), **asked)
    run = shoal.load(str(out))
    assert run.model.preparation.how == "standardize+pca" and run.model.preparation.feature_names[0] == "component 1"
    assert len(run.model.predict(np.array([[5.1, 3.5, 1.4, 0.2]]))) == 1
    begun = next(event for event in run.events if isinstance(event, RunStarted))
    assert "--prepare standardize+pca" in begun.command
    assert 'prepare = "standardize+pca"' in (out / "run.toml").read_text()
    assert "SHL291" in {event.finding.code for event in run.events if isinstance(event, FindingRaised)}
