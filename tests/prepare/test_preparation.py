"""Preparation: statistics of the training rows alone, nothing but finite numbers, and what it counts."""

from __future__ import annotations

import datetime as dt
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from shoal import prepare
from shoal.core.errors import InputError
from shoal.data import ArrayFeatures, Dataset, TableFeatures, read, read_rows
from shoal.prepare import Preparation, TargetScaling
from shoal.prepare.numbers import fit_number

RNG = np.random.default_rng(0)
ROWS = 1500


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    """Every kind of column, with holes."""
    holes = RNG.random(ROWS) < 0.1
    return pl.DataFrame(
        {
            "plain": RNG.normal(5, 2, ROWS),
            "tail": np.exp(RNG.normal(0, 2, ROWS)),
            "holes": pl.Series(RNG.exponential(size=ROWS)).set(pl.Series(holes), None),
            "flag": RNG.integers(0, 2, ROWS).astype(bool),
            "word": RNG.choice(["red", "green", "blue"], ROWS),
            "sex": RNG.choice(["m", "f"], ROWS),
            "rare": ["often" if i % 2 else f"only {i // 3}" if i % 300 == 0 else "usual" for i in range(ROWS)],
            "day": pl.datetime_range(dt.datetime(2015, 1, 1), dt.datetime(2020, 1, 1), "1d", eager=True)[:ROWS],
            "answer": RNG.choice(["yes", "no"], ROWS),
        }
    )


@pytest.fixture(scope="module")
def dataset(frame: pl.DataFrame) -> Dataset:
    return read(frame, target="answer")


TRAIN = np.arange(0, ROWS, 2)


def column(preparation: Preparation, x: np.ndarray, name: str) -> np.ndarray:
    return x[:, preparation.feature_names.index(name)].astype(np.float64)


def test_shapes_and_names(dataset: Dataset) -> None:
    preparation = prepare.fit(dataset, np.arange(ROWS))
    x = preparation.transform(dataset.features).x
    assert x.shape == (ROWS, *preparation.shape) == (ROWS, len(preparation.feature_names))
    assert x.dtype == np.float32 and np.isfinite(x).all()
    assert np.abs(x).max() <= 3
    assert len(set(preparation.feature_names)) == len(preparation.feature_names)


def test_numbers_are_standardised_and_softly_clipped(dataset: Dataset, frame: pl.DataFrame) -> None:
    preparation = prepare.fit(dataset, TRAIN)
    x = preparation.transform(dataset.features).x
    values = frame["plain"].to_numpy()
    z = (values - values[TRAIN].mean()) / values[TRAIN].std()
    assert np.allclose(column(preparation, x, "plain"), z / np.sqrt(1 + (z / 3) ** 2), atol=1e-6)


def test_ranks_follow_the_normal_scores_of_the_training_rows(dataset: Dataset, frame: pl.DataFrame) -> None:
    preparation = prepare.fit(dataset, np.arange(ROWS))
    x = preparation.transform(dataset.features).x
    rank = column(preparation, x, "tail rank")
    order = frame["tail"].rank().to_numpy()
    score = norm.ppf((order - 0.5) / ROWS)
    assert np.abs(rank - score / np.sqrt(1 + (score / 3) ** 2)).max() < 0.05
    assert (np.diff(rank[np.argsort(order)]) >= 0).all()


def test_ties_take_the_middle_of_their_ranks() -> None:
    values = np.concatenate([np.zeros(900), np.arange(1, 101)])
    fitted = prepare.preparation.fit_number("x", values.astype(np.float64))
    rank = fitted.transform(np.array([0.0, 50.0, -7.0, 1e9]))[:, 1]
    score = norm.ppf([0.45, 0.9495])
    assert np.allclose(rank[:2], score / np.sqrt(1 + (score / 3) ** 2), atol=0.02)
    assert rank[2] == rank[0]  # below all training rows: as the smallest of them
    assert np.isfinite(rank[3])


def test_missing_numbers_take_the_median_and_say_so(dataset: Dataset, frame: pl.DataFrame) -> None:
    preparation = prepare.fit(dataset, TRAIN)
    x = preparation.transform(dataset.features).x
    empty = frame["holes"].is_null().to_numpy()
    assert np.array_equal(column(preparation, x, "holes missing"), empty.astype(float))
    median = np.nanmedian(frame["holes"].fill_null(float("nan")).to_numpy()[TRAIN])
    fitted = next(c for c in preparation.columns if c.name == "holes")
    assert fitted.fill == pytest.approx(median)
    z = (median - fitted.mean) / fitted.std
    assert np.allclose(column(preparation, x, "holes")[empty], z / np.sqrt(1 + (z / 3) ** 2), atol=1e-6)
    assert "plain missing" not in preparation.feature_names


def test_categories(dataset: Dataset, frame: pl.DataFrame) -> None:
    preparation = prepare.fit(dataset, np.arange(ROWS))
    x = preparation.transform(dataset.features).x
    for value in ("red", "green", "blue"):
        assert np.array_equal(
            column(preparation, x, f"word={value}"), (frame["word"] == value).to_numpy().astype(float)
        )
    signed = column(preparation, x, next(n for n in preparation.feature_names if n.startswith("sex=")))
    assert set(signed) == {-1.0, 1.0}
    rare = frame["rare"].str.starts_with("only").to_numpy()
    assert rare.sum() >= 5
    assert np.array_equal(column(preparation, x, "rare=other"), rare.astype(float))
    assert "word=other" not in preparation.feature_names


def test_dates_become_parts(dataset: Dataset, frame: pl.DataFrame) -> None:
    preparation = prepare.fit(dataset, np.arange(ROWS))
    x = preparation.transform(dataset.features).x
    month = frame["day"].dt.month().to_numpy()
    assert np.allclose(column(preparation, x, "day month sin"), np.sin(2 * np.pi * month / 12), atol=1e-6)
    assert (np.diff(column(preparation, x, "day days")) > 0).all()
    assert not any("hour" in name for name in preparation.feature_names)  # all at midnight


def test_the_time_column_gives_its_cycles_only(frame: pl.DataFrame) -> None:
    dataset = read(frame, target="answer", time="day")
    names = [n for n in prepare.fit(dataset, np.arange(ROWS)).feature_names if n.startswith("day ")]
    assert names == ["day month sin", "day month cos", "day weekday sin", "day weekday cos"]


def noise_elsewhere(dataset: Dataset, keep: np.ndarray, seed: int) -> Dataset:
    """The same rows at `keep`, anything everywhere else."""
    rng = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(dataset.rows), keep)
    if isinstance(dataset.features, ArrayFeatures):
        array = dataset.features.array.copy()
        array[others] = rng.integers(0, 255, array[others].shape).astype(array.dtype)
        features: object = ArrayFeatures(array)
    else:
        spoiled = []
        for series in dataset.features.frame:
            if series.dtype == pl.String:
                noise = pl.Series([f"noise {n}" for n in rng.integers(0, 5, dataset.rows)])
            elif series.dtype == pl.Float64:
                noise = pl.Series(rng.normal(0, 1e6, dataset.rows)).set(pl.Series(rng.random(dataset.rows) < 0.5), None)
            else:
                noise = pl.Series(rng.integers(0, 2**50, dataset.rows)).cast(series.dtype)
            spoiled.append(series.scatter(others, noise[others]))
        features = TableFeatures(pl.DataFrame(spoiled))
    target = dataset.target.copy()
    target[others] = target[others] * 1000 if dataset.task == "regression" else 0
    return replace(dataset, features=features, target=target)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(10, ROWS - 10))
def test_no_other_row_changes_any_statistic(dataset: Dataset, seed: int, number: int) -> None:
    rows = np.sort(np.random.default_rng(seed).permutation(ROWS)[:number])
    assert prepare.fit(noise_elsewhere(dataset, rows, seed), rows) == prepare.fit(dataset, rows)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([(8, 8), (6, 7, 3), (2, 40), (5, 6, 7)]))
def test_no_other_row_changes_any_channel(seed: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 255, (40, *shape)).astype(np.uint8)
    images = read((x, rng.normal(size=40)))
    rows = np.sort(rng.permutation(40)[:20])
    spoiled = noise_elsewhere(images, rows, seed)
    assert prepare.fit(spoiled, rows) == prepare.fit(images, rows)
    assert TargetScaling.fit(spoiled, rows) == TargetScaling.fit(images, rows)


def test_json_keeps_every_bit(dataset: Dataset) -> None:
    preparation = prepare.fit(dataset, TRAIN)
    again = Preparation.from_json(preparation.to_json())
    assert again == preparation
    assert np.array_equal(again.transform(dataset.features).x, preparation.transform(dataset.features).x)


@pytest.mark.filterwarnings("error")
def test_a_new_number_beyond_all_measure_is_the_limit_and_not_the_middle() -> None:
    column = fit_number("x", np.linspace(0, 1e-9, 50))
    assert column.transform(np.array([1e300, -1e300]))[:, 0].tolist() == [3, -3]


@pytest.mark.parametrize("rows", [40, 400, 4000])
@pytest.mark.parametrize("cells", [(1000.0,), (1e9, -1e7), (1000.0, 300.0)])
def test_wild_cells_change_nothing_for_the_others(rows: int, cells: tuple[float, ...]) -> None:
    clean = np.random.default_rng(rows).normal(size=rows)
    fitted = fit_number("x", np.concatenate([clean[: -len(cells)], cells]))
    plain = fit_number("x", clean[: -len(cells)])
    assert (fitted.mean, fitted.std) == (plain.mean, plain.std)
    assert fitted.transform(np.array(cells))[0, 0] > 2.9  # on its side, at the limit


def test_a_long_tail_is_ranked_in_few_rows_too_and_ordinary_columns_are_not() -> None:
    normal = np.random.default_rng(1).normal(size=300)
    tail = fit_number("x", np.exp(2 * normal))
    assert tail.knots and not fit_number("x", normal).knots
    ranks = tail.transform(np.exp(2 * np.array([-1.0, 0.0, 1.0, 2.0])))[:, 1]
    assert np.allclose(
        ranks, norm.ppf(norm.cdf([-1, 0, 1, 2])) / np.sqrt(1 + np.array([-1, 0, 1, 2]) ** 2 / 9), atol=0.4
    )
    assert (np.diff(ranks) > 0.4).all()  # spread again, where the values alone lie in a corner


@pytest.mark.parametrize("rest", [0.0, 1.0])
def test_columns_that_are_mostly_one_value_keep_what_differs(rest: float) -> None:
    """A flag, a lone cell, and a few amounts beside one wild cell."""
    for values in ([1.0 - rest], [1.0 - rest] * 30, [*range(100, 130), 1e9]):
        column = fit_number("x", np.concatenate([np.full(400, rest), values]))
        usual, differs = column.transform(np.array([rest, values[0]]))[:, 0]
        assert abs(differs - usual) > 1


def test_new_rows_are_bent_and_counted(frame: pl.DataFrame, dataset: Dataset) -> None:
    preparation = prepare.fit(dataset, np.arange(ROWS))
    new = frame.head(6).with_columns(
        pl.Series("word", ["pink", "pink", "red", None, "mauve", "blue"]),
        pl.Series("sex", ["x", "m", "f", None, "m", "f"]),
        pl.Series("rare", ["new", "only 0", "often", "often", "often", "often"]),
        pl.Series("plain", [None, 1.0, 2.0, 3.0, 4.0, 1e30]),
        pl.Series("day", [None, *frame["day"][1:6]]),
        pl.Series("holes", [None, 1.0, 2.0, 3.0, 4.0, 5.0]),
    )
    prepared = preparation.transform(read_rows(new, dataset.schema).features)
    assert prepared.x.shape == (6, *preparation.shape) and np.isfinite(prepared.x).all()
    counted = {(f.code, f.evidence["column"]): f.evidence["rows"] for f in prepared.warnings}
    assert counted == {
        ("SHL242", "word"): 3, ("SHL243", "word"): 1, ("SHL242", "sex"): 1, ("SHL243", "sex"): 1, ("SHL242", "rare"): 1,
        ("SHL243", "plain"): 1, ("SHL243", "day"): 1,
    }  # fmt: skip
    cycles = [i for i, name in enumerate(preparation.feature_names) if name.startswith("day month")]
    assert prepared.x[0, cycles].tolist() == [0, 0]
    words = [preparation.feature_names.index(f"word={value}") for value in ("red", "green", "blue")]
    assert prepared.x[:, words].sum(axis=1).tolist() == [0, 0, 1, 0, 0, 1]
    assert column(preparation, prepared.x, "rare=other")[:2].tolist() == [1, 1]
    (sex,) = [i for i, name in enumerate(preparation.feature_names) if name.startswith("sex=")]
    assert prepared.x[[0, 3], sex].tolist() == [0, 0]


def test_columns_that_are_constant_in_training_become_zero(dataset: Dataset) -> None:
    rows = np.flatnonzero(dataset.features.frame["flag"].to_numpy() == 1)[:50]
    preparation = prepare.fit(dataset, rows)
    assert (column(preparation, preparation.transform(dataset.features).x, "flag") == 0).all()


@pytest.mark.parametrize(
    ("shape", "prepared"),
    [((8, 9), (1, 8, 9)), ((8, 9, 3), (3, 8, 9)), ((2, 50), (2, 50)), ((5, 6, 7), (1, 5, 6, 7))],
)
def test_channels_are_standardised(
    shape: tuple[int, ...], prepared: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.prepare.channels.BLOCK_VALUES", 1000)  # several blocks
    x = RNG.integers(0, 200, (40, *shape)).astype(np.uint8)
    dataset = read((x, np.arange(40) % 2))
    rows = np.arange(5, 35)
    preparation = prepare.fit(dataset, rows)
    out = preparation.transform(dataset.features.take(rows)).x.astype(np.float64)
    assert preparation.shape == prepared == out.shape[1:]
    axes = (0, *range(2, out.ndim))
    assert np.allclose(out.mean(axis=axes), 0, atol=1e-4)
    assert np.allclose(out.std(axis=axes), 1, atol=1e-4)
    if len(shape) == 3 and shape[-1] == 3:
        c, h, w = 1, 4, 5
        pixels = x[rows][:, :, :, c].astype(np.float64)
        assert np.allclose(out[:, c, h, w], (pixels[:, h, w] - pixels.mean()) / pixels.std(), atol=1e-4)


def test_wrong_features_are_refused(dataset: Dataset) -> None:
    table = prepare.fit(dataset, TRAIN)
    image = prepare.fit(read((RNG.normal(size=(40, 8, 8)), np.arange(40) % 2)), np.arange(20))
    with pytest.raises(InputError, match="table"):
        image.transform(dataset.features)
    with pytest.raises(InputError, match="array"):
        table.transform(ArrayFeatures(np.zeros((2, 8, 8))))
    with pytest.raises(InputError, match=r"\[8, 9\].*\[8, 8\]"):
        image.transform(ArrayFeatures(np.zeros((2, 8, 9))))
    with pytest.raises(InputError, match="plain"):
        table.transform(TableFeatures(dataset.features.frame.drop("plain")))
    with pytest.raises(InputError, match="no training rows"):
        prepare.fit(dataset, np.zeros(0, dtype=np.int64))


def test_targets_there_and_back(dataset: Dataset) -> None:
    labels = TargetScaling.fit(dataset, TRAIN)
    assert labels.encode(dataset.target).dtype == np.int64
    scores = RNG.normal(size=(2, 5, 2))
    assert labels.decode(scores)[1, 3] == dataset.classes[scores[1, 3].argmax()]
    assert labels.decode(np.array([1, 0])).tolist() == list(reversed(dataset.classes))
    values = read((RNG.normal(size=(80, 2)), RNG.normal(100, 7, 80)))
    scaling = TargetScaling.from_json(TargetScaling.fit(values, np.arange(50)).to_json())
    encoded = scaling.encode(values.target)
    assert encoded.shape == (80, 1) and encoded.dtype == np.float32
    assert abs(encoded[:50].mean()) < 1e-6 and abs(encoded[:50].std() - 1) < 1e-6
    assert np.allclose(scaling.decode(encoded), values.target, rtol=1e-6)
    flat = replace(values, target=np.ones(80))
    with pytest.raises(InputError, match="one target value"):
        TargetScaling.fit(flat, np.arange(50))


def test_a_network_learns_from_it(shared_data: Path) -> None:
    from sklearn.neural_network import MLPRegressor

    from shoal.resample import hold_out

    dataset = read(shared_data / "california_housing.csv.gz", target="median_house_value")
    plan = hold_out(dataset, seed=0)
    preparation, scaling = prepare.fit(dataset, plan.train), TargetScaling.fit(dataset, plan.train)
    x, y = preparation.transform(dataset.features).x, scaling.encode(dataset.target)[:, 0]
    network = MLPRegressor(
        hidden_layer_sizes=(64, 64), max_iter=8, random_state=0, learning_rate_init=3e-3, batch_size=128, tol=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it stops early on purpose
        network.fit(x[plan.train], y[plan.train])
    assert network.score(x[plan.test], y[plan.test]) > 0.76
