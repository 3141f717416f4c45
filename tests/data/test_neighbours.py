"""An array [N, D] is read as signals where its columns follow each other smoothly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from shoal.data import ArrayFeatures, read, read_rows
from shoal.data.codes import LAYOUT
from shoal.data.neighbours import SMOOTH, are_signals, roughness


def waves(rows: int = 200, length: int = 64) -> np.ndarray:
    rng = np.random.default_rng(0)
    phase, pitch = rng.uniform(0, 6, (rows, 1)), rng.uniform(0.05, 0.15, (rows, 1))
    return np.sin(phase + pitch * np.arange(length))


def test_waves_are_signals_and_their_shuffled_columns_are_not() -> None:
    x = waves()
    assert are_signals(x)
    shuffled = x[:, np.random.default_rng(1).permutation(x.shape[1])]
    assert roughness(shuffled) == pytest.approx(1.0, abs=0.25)
    assert not are_signals(shuffled)


def test_the_columns_units_do_not_matter() -> None:
    x = waves()
    units = 10.0 ** np.random.default_rng(2).uniform(-3, 3, x.shape[1])
    assert roughness(x * units + 7) == pytest.approx(roughness(x))


def test_independent_columns_have_a_ratio_of_one() -> None:
    assert roughness(np.random.default_rng(0).normal(size=(500, 64))) == pytest.approx(1.0, abs=0.03)


def test_few_columns_constants_and_gaps_are_a_tables() -> None:
    x = waves()
    assert not are_signals(x[:, :31])
    assert np.isnan(roughness(np.ones((20, 40))))
    assert not are_signals(np.ones((20, 40)))
    x[3, 5] = np.nan
    assert not are_signals(x)


def test_flattened_pictures_are_no_signals_and_beats_are(shared_data: Path) -> None:
    assert roughness(load_digits().data) > 10 * SMOOTH
    with np.load(shared_data / "mitbih_beats.npz") as beats:
        assert roughness(beats["x_train"]) < SMOOTH / 5
    with np.load(shared_data / "fashion_mnist.npz") as pictures:
        assert roughness(pictures["x_test"].reshape(10_000, -1)) > 4 * SMOOTH


def test_smooth_columns_are_read_as_signals_unless_told_otherwise() -> None:
    x, y = waves(), np.arange(200) % 2
    dataset = read((x, y))
    assert (dataset.kind, dataset.schema.shape) == ("signal", (1, 64))
    (said,) = (finding for finding in dataset.findings if finding.code == LAYOUT)
    assert said.sentence == "Shape [200, 64] was read as signals [N, L]."
    assert "table" in said.fix
    assert read((x, y), kind="table").kind == "table"
    rows = read_rows(x[:3], dataset.schema)  # new rows are laid out as the model was trained, however few they are
    assert isinstance(rows.features, ArrayFeatures)
    assert rows.features.array.shape == (3, 1, 64)
