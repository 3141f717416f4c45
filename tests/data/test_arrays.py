"""Arrays: names in an archive, the kind from the rank, and what is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from shoal.core.errors import InputError
from shoal.data import ArrayFeatures, Dataset, read

RNG = np.random.default_rng(0)
Y = np.arange(60) % 3


def codes(dataset: Dataset) -> list[str]:
    return [finding.code for finding in dataset.findings]


@pytest.mark.parametrize(
    ("shape", "kind", "stored"),
    [
        ((8, 8), "image", (8, 8)),
        ((32, 32, 3), "image", (32, 32, 3)),
        ((3, 32, 32), "image", (32, 32, 3)),
        ((1, 9, 9), "image", (9, 9, 1)),
        ((12, 100), "signal", (12, 100)),
        ((2, 30), "signal", (2, 30)),
        ((10, 11, 12), "volume", (10, 11, 12)),
        ((1, 6, 7, 8), "volume", (6, 7, 8)),
        ((5,), "table", (5,)),
    ],
)
def test_the_rank_says_the_kind(shape: tuple[int, ...], kind: str, stored: tuple[int, ...]) -> None:
    dataset = read((RNG.normal(size=(60, *shape)), Y))
    assert (dataset.kind, dataset.schema.shape) == (kind, stored)
    assert dataset.task == "classification"


def test_kind_overrides_the_rank() -> None:
    x = RNG.normal(size=(60, 20))
    assert read((x, Y), kind="signal").schema.shape == (1, 20)
    assert read((x.reshape(60, 4, 5), Y), kind="signal").schema.shape == (4, 5)
    assert read((x.reshape(60, 4, 5), Y), kind="table").columns == 20
    assert read((RNG.normal(size=(60, 3, 8, 9)), Y), kind="volume").schema.shape == (3, 8, 9)
    with pytest.raises(InputError, match=r"\[60, 20\].*\[N, H, W\]"):
        read((x, Y), kind="image")


def test_channels_first_images_are_turned_not_scrambled() -> None:
    x = RNG.normal(size=(60, 3, 8, 9)).astype(np.float32)
    dataset = read((torch.tensor(x), torch.tensor(Y)))
    assert isinstance(dataset.features, ArrayFeatures)
    assert np.array_equal(dataset.features.array[:, 2, 5, 1], x[:, 1, 2, 5])
    assert "SHL231" in codes(dataset)


def test_a_table_of_numbers_keeps_missing_cells() -> None:
    x = RNG.normal(size=(60, 3))
    x[4, 1] = np.nan
    dataset = read((x, Y))
    assert [(c.name, c.missing) for c in dataset.schema.features()] == [("x0", 0), ("x1", 1), ("x2", 0)]


def archive(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_names_of_archives(tmp_path: Path) -> None:
    images = RNG.integers(0, 255, (60, 8, 8)).astype(np.uint8)
    parts = {"x_train": images[:30], "y_train": Y[:30], "x_test": images[30:], "y_test": Y[30:]}
    keras = read(archive(tmp_path / "a.npz", **parts))
    assert keras.given_split.tolist() == [0] * 30 + [2] * 30
    medmnist = read(
        archive(
            tmp_path / "b.npz",
            train_images=images[:30], train_labels=Y[:30, None], val_images=images[30:45], val_labels=Y[30:45, None],
            test_images=images[45:], test_labels=Y[45:, None],
        )
    )  # fmt: skip
    assert np.bincount(medmnist.given_split).tolist() == [30, 15, 15]
    assert medmnist.target.tolist() == Y.tolist()
    plain = read(archive(tmp_path / "c.npz", X=images, y=Y, classes=np.array(["low", "mid", "high"]), extra=Y))
    assert plain.given_split is None
    assert plain.classes == ("low", "mid", "high")
    assert "SHL232" in codes(plain)


def test_groups_of_an_archive(tmp_path: Path) -> None:
    x = RNG.normal(size=(60, 2, 40))
    who = np.arange(60) // 5
    path = archive(
        tmp_path / "a.npz",
        x_train=x[:40],
        y_train=Y[:40],
        x_test=x[40:],
        y_test=Y[40:],
        who_train=who[:40],
        who_test=who[40:],
    )
    assert read(path, group="who").group.tolist() == who.tolist()
    with pytest.raises(InputError, match="'whom'"):
        read(path, group="whom")
    with pytest.raises(InputError, match=r"who_train.*\[40|as many"):
        read(archive(tmp_path / "b.npz", X=x, y=Y, who=who[:40]), group="who")


def refused(source: object, *words: str, **options: object) -> None:
    with pytest.raises(InputError) as caught:
        read(source, **options)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_archives_that_are_refused(tmp_path: Path) -> None:
    x = RNG.normal(size=(60, 4))
    objects = np.array([{"a": 1}, None], dtype=object)
    refused(archive(tmp_path / "pickled.npz", X=x, y=Y, meta=objects), "pickled.npz", "'meta'", "pickled objects")
    refused(archive(tmp_path / "names.npz", left=x, right=Y), "left, right", "x_train")
    refused(archive(tmp_path / "none.npz", X=x), "without answers")
    refused(archive(tmp_path / "short.npz", X=x, y=Y[:50]), "60 rows", "50")
    refused(archive(tmp_path / "wide.npz", x_train=x, y_train=Y, x_test=x[:, :3], y_test=Y), "[4]", "[3]")
    refused(archive(tmp_path / "two.npz", X=x, y=np.stack([Y, Y], 1)), "[60, 2]")
    absent = archive(tmp_path / "class.npz", x_train=x[:40], y_train=Y[:40] % 2, x_test=x[40:], y_test=Y[40:])
    refused(absent, "training part", "2")
    (tmp_path / "text.npz").write_text("no archive")
    refused(tmp_path / "text.npz", "NumPy archive")
    whole = (tmp_path / "short.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "cut.npz", "NumPy archive")


def test_a_header_that_declares_more_than_there_is_allocates_nothing(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 8)})
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as file:
        file.writestr("X.npy", header.getvalue())
    refused(tmp_path / "bomb.npz", "'X'", "damaged")


def test_an_archive_above_the_bound_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "big.npz"
    np.savez_compressed(path, X=np.zeros((1000, 1000)), y=np.arange(1000) % 2)
    monkeypatch.setattr("shoal.data.limits.memory_bytes", lambda: 1 << 20)
    monkeypatch.setattr(np, "load", lambda *a, **k: pytest.fail("was read"))
    refused(path, "GB")


def test_values_that_are_refused() -> None:
    x = RNG.normal(size=(60, 6, 6))
    refused((x + 0j, Y), "complex")
    refused((x.astype(str), Y), "text")
    refused((np.array([[1, "a"]] * 60, dtype=object), Y), "Python objects")
    refused(([[1.0, 2.0], [3.0]] * 30, Y), "different lengths")
    refused((x, Y[:50]), "60 rows", "50 answers")
    refused((x[:, 0, 0], Y), "[60]")
    refused((x[0, 0, 0], Y), "single number")
    refused((x, np.full(60, 4)), "4")
    refused(x, "pair (X, y)")
    refused(object(), "object")
    for value, word in ((np.nan, "NaN"), (np.inf, "infinity"), (-1e300, "1e30")):
        spoiled = x.copy()
        spoiled[17, 2, 3] = value
        refused((spoiled, Y), "row 17", word)
    flat = RNG.normal(size=(60, 2))
    flat[9, 1] = np.inf
    refused((flat, Y), "'x1'", "row 9", "infinity")
    refused((RNG.normal(size=(60, 2)), np.where(Y == 1, np.inf, 0.5)), "infinity", "1, 4")


def test_whole_number_answers_of_images_are_classes_even_if_many() -> None:
    many = np.arange(400) % 40
    x = RNG.integers(0, 255, (400, 6, 6)).astype(np.uint8)
    assert read((x, many)).task == "classification"
    assert read((x, many + 0.5)).task == "regression"
    assert read((x.reshape(400, 36), many)).task == "regression"  # a table: counts and years look like this


@pytest.mark.parametrize(
    ("name", "kind", "task", "shape", "classes"),
    [
        ("digits", "image", "classification", (1797, 8, 8), 10),
        ("wine", "table", "classification", (178, 13), 3),
        ("breast_cancer", "table", "classification", (569, 30), 2),
        ("iris", "table", "classification", (150, 4), 3),
        ("diabetes", "table", "regression", (442, 10), 0),
    ],
)
def test_builtin_names(name: str, kind: str, task: str, shape: tuple[int, ...], classes: int) -> None:
    dataset = read(name)
    assert (dataset.kind, dataset.task, dataset.name) == (kind, task, name)
    rows = dataset.features.array.shape if isinstance(dataset.features, ArrayFeatures) else dataset.features.frame.shape
    assert rows == shape
    assert len(dataset.classes or ()) == classes


def test_times_of_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    when = np.asarray([f"2024-01-{day:02d}".encode() for day in range(1, 31)])
    when[4] = b"2024\xff"
    np.savez(tmp_path / "times.npz", X=np.random.default_rng(0).normal(size=(30, 2)), y=np.arange(30) * 0.7, when=when)
    with pytest.raises(InputError, match=r"row 4: the time array 'when' holds .*no text"):
        read(tmp_path / "times.npz", time="when")
