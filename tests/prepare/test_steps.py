"""Every step of preparation: equal to scikit-learn and to the textbook, undone, streamed, and true on hard data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, QuantileTransformer, RobustScaler, StandardScaler

from shoal.core.errors import InputError
from shoal.prepare import (
    Chunks,
    Step,
    chunked,
    fit_center,
    fit_chain,
    fit_impute,
    fit_minmax,
    fit_pca,
    fit_quantile,
    fit_robust,
    fit_standardize,
    fit_whiten,
    fit_zca,
    streaming,
)
from shoal.prepare.chain import FITS
from tests.oracle import prepare_textbook as textbook

Floats = NDArray[np.float64]

# Every transformer, by name; a new one is tested by standing here.
STEPS: dict[str, Callable[[Chunks], Step]] = {
    **FITS,
    "pca of 2": lambda chunks: fit_pca(chunks, components=2),
    "whiten, eps 0": lambda chunks: fit_whiten(chunks, eps_frac=0.0),
    "zca, eps 0.1": lambda chunks: fit_zca(chunks, eps_frac=0.1),
    "impute": fit_impute,
    "impute by mean": lambda chunks: fit_impute(chunks, by="mean"),
}
INVERTIBLE = [name for name in STEPS if name != "pca of 2"]
SCALERS = ["center", "standardize", "minmax", "robust", "robust-clip", "quantile", "quantile-uniform"]
ROTATIONS = ["pca", "whiten", "zca", "whiten, eps 0", "zca, eps 0.1"]


def make(seed: int = 0, rows: int = 300, width: int = 5) -> Floats:
    """Correlated features in unlike units, one with a long tail."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width)) @ rng.normal(size=(width, width)) * np.geomspace(0.1, 30, width) + 7
    x[:, 0] = np.exp(x[:, 0] - 7)
    return x


def in_chunks(x: Floats, sizes: list[int]) -> Chunks:
    """The rows in pieces of the given sizes, the last one repeated."""

    def once() -> Iterator[Floats]:
        start = 0
        for number in (*sizes, *([sizes[-1]] * len(x))):
            if start >= len(x):
                return
            yield x[start : start + number]
            start += number

    return once


# --- against scikit-learn ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (fit_center, StandardScaler(with_std=False)),
        (fit_standardize, StandardScaler()),
        (fit_minmax, MinMaxScaler()),
        (fit_robust, RobustScaler()),
        (fit_quantile, QuantileTransformer(n_quantiles=300, output_distribution="normal")),
        (lambda c: fit_quantile(c, "uniform", knots=50), QuantileTransformer(n_quantiles=50)),
    ],
)
@pytest.mark.parametrize("holes", [False, True])
def test_scaling_equals_scikit_learn(ours: Callable[[Chunks], Step], theirs: object, holes: bool) -> None:
    x, new = make(), make(1) * 2
    if holes:
        x[np.random.default_rng(2).random(x.shape) < 0.1] = np.nan
        new[3, 2] = np.nan
    ties = np.round(x[:, 1])
    x[:, 1] = ties
    step = ours(chunked(x, size=37))
    theirs.fit(x)
    for rows in (x, new):
        assert np.allclose(step.apply(rows), theirs.transform(rows), rtol=1e-8, atol=1e-8, equal_nan=True)


@pytest.mark.parametrize("components", [None, 2])
def test_pca_and_whitening_equal_scikit_learn_up_to_sign(components: int | None) -> None:
    x, new = make(), make(1)
    for whiten in (False, True):
        theirs = PCA(n_components=components, whiten=whiten, svd_solver="full").fit(x)
        fit = (lambda c: fit_whiten(c, components, eps_frac=0)) if whiten else (lambda c: fit_pca(c, components))
        step = fit(chunked(x, size=41))
        sign = np.sign((step.axes * theirs.components_.T).sum(axis=0))
        assert np.allclose(step.variances, theirs.explained_variance_, rtol=1e-8)
        for rows in (x, new):
            assert np.allclose(step.apply(rows) * sign, theirs.transform(rows), rtol=1e-8, atol=1e-8)
        assert np.allclose(step.invert(step.apply(new)), theirs.inverse_transform(theirs.transform(new)), atol=1e-8)


@pytest.mark.parametrize("by", ["median", "mean"])
def test_imputation_equals_scikit_learn(by: str) -> None:
    x = make()
    x[np.random.default_rng(2).random(x.shape) < 0.1] = np.nan
    x[:, 3] = make()[:, 3]
    step = fit_impute(chunked(x, size=37), by=by)
    theirs = SimpleImputer(strategy=by, add_indicator=True).fit(x)
    assert np.allclose(step.apply(x), theirs.transform(x), rtol=1e-12)
    assert step.names(list("abcde")) == [*"abcde", "a missing", "b missing", "c missing", "e missing"]


# --- against the textbook ---------------------------------------------------------------------------------------------


def test_scaling_equals_the_textbook() -> None:
    x = make(rows=40, width=3)
    columns = [textbook.column(x.tolist(), d) for d in range(3)]
    expected = {
        "center": [(textbook.mean(c), 1.0) for c in columns],
        "standardize": [(textbook.mean(c), textbook.variance(c) ** 0.5) for c in columns],
        "minmax": [(min(c), max(c) - min(c)) for c in columns],
        "robust": [
            (textbook.quantile(c, 0.5), textbook.quantile(c, 0.75) - textbook.quantile(c, 0.25)) for c in columns
        ],
    }
    for name, statistics in expected.items():
        z = FITS[name](chunked(x, size=7)).apply(x)
        for d, (center, scale) in enumerate(statistics):
            assert np.allclose(z[:, d], [(value - center) / scale for value in x[:, d]], rtol=1e-12, atol=1e-12)


def test_zca_is_the_symmetric_root_of_the_inverse_covariance() -> None:
    x = make(rows=60, width=3) / np.geomspace(0.1, 30, 3)
    root = np.array(textbook.inverse_root(textbook.covariance(x.tolist())))
    assert np.allclose(fit_zca(chunked(x), eps_frac=0).apply(x), (x - x.mean(axis=0)) @ root, atol=1e-8)


def test_smooth_clipping_is_that_of_realmlp() -> None:
    x = make()
    z = fit_robust(chunked(x)).apply(x)
    assert np.allclose(fit_robust(chunked(x), smooth_clip=True).apply(x), z / np.sqrt(1 + (z / 3) ** 2), atol=1e-12)
    zeros = np.concatenate([np.zeros(90), np.arange(1.0, 11)])[:, None]
    assert fit_robust(chunked(zeros)).scale.tolist() == [5.0]  # quartiles coincide: half of the range


@pytest.mark.parametrize("name", ["whiten", "zca", "whiten, eps 0"])
def test_the_whitened_training_covariance_is_the_identity(name: str) -> None:
    x = make() / np.geomspace(0.1, 30, 5)
    step = STEPS[name](chunked(x, size=50))
    white = np.cov(step.apply(x).T)
    expected = step.variances / (step.variances + step.eps)  # eps takes this much from each axis
    if name == "zca":
        assert np.allclose(white, step.axes @ np.diag(expected) @ step.axes.T, atol=1e-9)
    else:
        assert np.allclose(white, np.diag(expected), atol=1e-9)
    assert np.abs(white - np.eye(5)).max() < (1e-9 if step.eps == 0 else 1e-6)


def test_pca_decorrelates_and_keeps_distances() -> None:
    x = make()
    step = fit_pca(chunked(x))
    spread = np.cov(step.apply(x).T)
    assert np.allclose(spread, np.diag(step.variances), atol=1e-8)
    assert (np.diff(step.variances) <= 0).all()
    turned = step.apply(x)
    assert np.allclose(np.linalg.norm(turned[1:] - turned[0], axis=1), np.linalg.norm(x[1:] - x[0], axis=1))
    assert step.condition == pytest.approx(np.linalg.cond(np.cov(x.T)), rel=1e-6)


# --- there and back ---------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31))
@pytest.mark.parametrize("name", INVERTIBLE)
def test_what_was_applied_is_undone(name: str, seed: int) -> None:
    x = make(seed, rows=80)
    if name.startswith("impute"):
        x[np.random.default_rng(seed).random(x.shape) < 0.2] = np.nan
    step = STEPS[name](chunked(x))
    inside = x if name.startswith(("quantile", "impute")) else np.concatenate([x, make(seed + 1)])
    back = step.invert(step.apply(inside))
    assert np.allclose(back, inside, rtol=1e-8, atol=1e-8 * np.nanstd(x, axis=0).max(), equal_nan=True)


def test_few_components_come_back_to_the_closest_rows_of_their_span() -> None:
    x = make()
    step = fit_pca(chunked(x), components=2)
    left = x - step.invert(step.apply(x))
    assert np.allclose(left @ step.axes, 0, atol=1e-9)
    assert (left**2).sum() / (len(x) - 1) == pytest.approx(fit_pca(chunked(x)).variances[2:].sum())


# --- streamed ---------------------------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31), sizes=st.lists(st.integers(1, 60), min_size=1, max_size=8))
@pytest.mark.parametrize("name", STEPS)
def test_streamed_equals_in_one_piece(name: str, seed: int, sizes: list[int]) -> None:
    x = make(seed, rows=120)
    if name in SCALERS or name.startswith("impute"):
        x[np.random.default_rng(seed).random(x.shape) < 0.2] = np.nan
    whole, streamed = STEPS[name](chunked(x, size=120)), STEPS[name](in_chunks(x, sizes))
    a, b = whole.apply(x), streamed.apply(x)
    if name in ROTATIONS and "zca" not in name:
        b = b * np.sign((whole.axes * streamed.axes).sum(axis=0))
    assert np.allclose(a, b, rtol=1e-8, atol=1e-8 * np.nanmax(np.abs(a)), equal_nan=True)


def test_a_sample_does_not_depend_on_chunks_and_is_as_good_as_it_says() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60_000, 2))
    drawn, seen = streaming.sample(chunked(x, size=999), most=2000)
    again, _ = streaming.sample(chunked(x, size=20_000), most=2000)
    assert seen == 60_000 and len(drawn) == 2000 and np.array_equal(drawn, again)
    ordered = np.sort(x[:, 0])
    off = np.abs(np.searchsorted(ordered, np.sort(drawn[:, 0])) / 60_000 - np.arange(2000) / 2000).max()
    assert off <= streaming.rank_error(60_000, 2000) + 1 / 2000
    assert streaming.rank_error(2000, 2000) == 0


def test_more_rows_than_memory_would_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks are made on the fly; none is kept."""
    made = []

    def once() -> Iterator[Floats]:
        for k in range(200):
            block = np.random.default_rng(k).normal(3, 2, size=(500, 3))
            made.append(block.nbytes)
            yield block

    step = fit_standardize(once)
    assert np.allclose(step.center, 3, atol=0.05) and np.allclose(step.scale, 2, atol=0.05)
    monkeypatch.setattr(streaming.sample, "__defaults__", (10_000,))
    monkeypatch.setattr(streaming.rank_error, "__defaults__", (10_000,))
    quantile = fit_quantile(once, to="uniform")
    assert quantile.rank_error == pytest.approx(0.01358, abs=1e-4)
    assert abs(quantile.apply(np.array([[3.0, 3.0, 3.0]])) - 0.5).max() < quantile.rank_error


# --- hard data --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_large_mean_costs_no_digits(dtype: type) -> None:
    noise = np.random.default_rng(0).normal(size=(5000, 3)) * (100 if dtype is np.float32 else 1e-3)
    x = (1e8 + noise).astype(dtype)
    exact = x.astype(np.float64) - 1e8
    for size in (5000, 64):
        step = fit_standardize(chunked(x, size=size))
        assert np.allclose(step.scale, exact.std(axis=0), rtol=1e-7)
        assert np.allclose(step.apply(x), (exact - exact.mean(axis=0)) / exact.std(axis=0), atol=2e-5)
        turned = fit_pca(chunked(x, size=size))
        assert np.allclose(turned.variances, np.linalg.eigvalsh(np.cov(exact.T))[::-1], rtol=1e-7)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.filterwarnings("error")
def test_constant_features(name: str) -> None:
    x = make()
    x[:, 2] = 0.1
    step = STEPS[name](chunked(x, size=17))
    y = step.apply(x)
    assert np.isfinite(y).all()
    new = x.copy()
    new[:, 2] = 1e9
    if name in SCALERS and name not in ("center", "quantile-uniform"):
        assert (y[:, 2] == 0).all() and (step.apply(new)[:, 2] == 0).all()
    if name != "pca of 2":
        assert np.allclose(step.invert(y), x, atol=1e-6)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.filterwarnings("error")
def test_one_row(name: str) -> None:
    x = make(rows=1)
    step = STEPS[name](chunked(x))
    y = step.apply(x)
    assert y.shape[0] == 1 and np.isfinite(y).all()
    if not name.startswith(("impute", "quantile-uniform")):
        assert np.abs(y).max() < 1e-12
    if name != "pca of 2":
        assert np.allclose(step.invert(y), x)


@pytest.mark.parametrize("name", STEPS)
def test_infinite_values_are_refused_by_feature(name: str) -> None:
    x = make()
    x[7, 3] = -np.inf
    with pytest.raises(InputError, match="feature 3 holds -inf"):
        STEPS[name](chunked(x, size=5))


@pytest.mark.parametrize("name", ROTATIONS)
def test_missing_values_are_refused_by_what_needs_whole_rows(name: str) -> None:
    x = make()
    x[7, 3] = np.nan
    with pytest.raises(InputError, match="feature 3 has missing values"):
        STEPS[name](chunked(x))


@pytest.mark.parametrize("name", SCALERS)
@pytest.mark.filterwarnings("error")
def test_a_feature_without_a_single_value(name: str) -> None:
    x = make()
    x[:, 1] = np.nan
    step = STEPS[name](chunked(x, size=30))
    assert np.isnan(step.apply(x)[:, 1]).all() and np.isfinite(step.apply(x)[:, 0]).all()
    assert np.isfinite(step.apply(np.ones((1, 5)))).all()


@pytest.mark.parametrize("name", STEPS)
def test_no_rows_and_other_widths_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="no training rows"):
        STEPS[name](chunked(make()[:0]))
    with pytest.raises(InputError, match=r"\[2, 4\].*\[n, 5\]"):
        STEPS[name](chunked(make())).apply(np.zeros((2, 4)))


def test_a_rank_deficient_covariance() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 6)) + 3  # a plane in six dimensions
    plain = fit_whiten(chunked(x), eps_frac=0)
    assert (plain.variances > 0).sum() == 2 and plain.condition == np.inf
    white = plain.apply(x)
    assert np.allclose(np.cov(white.T), np.diag([1, 1, 0, 0, 0, 0]), atol=1e-9)
    assert np.allclose(plain.invert(white), x, atol=1e-9)
    for kind in ("whiten", "zca"):
        safe = STEPS[kind](chunked(x))
        off_plane = x + rng.normal(size=x.shape)
        assert np.isfinite(safe.apply(off_plane)).all()
        assert np.allclose(safe.invert(safe.apply(off_plane)), off_plane, atol=1e-8)
    fewer_rows = rng.normal(size=(4, 6))
    assert (fit_pca(chunked(fewer_rows)).variances > 0).sum() == 3


def test_rows_that_are_too_wide_are_refused_before_memory_is_taken() -> None:
    with pytest.raises(InputError, match=r"rows of 150528 values have a covariance of 181.3 GB"):
        fit_zca(chunked(np.zeros((2, 150528), dtype=np.uint8)))


# --- chains and records -----------------------------------------------------------------------------------------------


def test_a_chain_fits_each_step_on_what_the_ones_before_made() -> None:
    x = make()
    first, second = fit_chain("standardize+pca", chunked(x, size=31))
    assert first == fit_standardize(chunked(x, size=31))
    assert np.allclose(second.variances, np.linalg.eigvalsh(np.cov(first.apply(x).T))[::-1])
    assert fit_chain("none", chunked(x)) == ()
    with pytest.raises(InputError, match="no preparation `standardise`; did you mean `standardize`"):
        fit_chain("standardise", chunked(x))


@pytest.mark.parametrize("name", STEPS)
def test_a_step_survives_text_and_tensors_bit_for_bit(name: str) -> None:
    step = STEPS[name](chunked(make()))
    again = type(step).model_validate_json(step.model_dump_json())
    assert again == step and np.array_equal(again.apply(make(1)), step.apply(make(1)))
    tensors: dict[str, object] = {}
    document = step.model_dump(mode="json", context={"tensors": tensors})
    assert type(step).model_validate(document, context={"tensors": tensors}) == step
    assert step != STEPS[name](chunked(make(5)))
