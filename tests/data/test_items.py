"""Data sets as objects: torch's, Hugging Face's, and whatever gives items."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from shoal.core.errors import InputError
from shoal.data import ArrayFeatures, Dataset, TableFeatures, items, read, read_rows

RNG = np.random.default_rng(0)
X = RNG.integers(0, 255, (60, 9, 7)).astype(np.uint8)
Y = np.arange(60) % 3


class Pairs(torch.utils.data.Dataset):  # type: ignore[type-arg]
    """Map-style: one item by its number."""

    classes = ("low", "mid", "high")

    def __init__(self, x: Any = X, y: Any = Y) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, row: int) -> Any:
        return self.x[row], self.y[row]


class Stream(IterableDataset):  # type: ignore[type-arg]
    """Items one after another, and no length."""

    def __init__(self, source: Any) -> None:
        self.source = source

    def __iter__(self) -> Iterator[Any]:
        return (self.source[row] for row in range(len(self.source)))


def array(dataset: Dataset) -> np.ndarray:
    assert isinstance(dataset.features, ArrayFeatures)
    return dataset.features.array


@pytest.mark.parametrize("source", [Pairs(), Stream(Pairs()), TensorDataset(torch.tensor(X), torch.tensor(Y))])
def test_datasets_of_torch_hold_what_the_arrays_hold(source: Any) -> None:
    dataset, plain = read(source, kind="image"), read((X, Y), kind="image")
    assert np.array_equal(array(dataset), array(plain)) and array(dataset).dtype == np.uint8
    assert dataset.target.tolist() == plain.target.tolist()
    assert (dataset.kind, dataset.task) == ("image", "classification")
    assert dataset.classes == (("low", "mid", "high") if isinstance(source, Pairs) else ("0", "1", "2"))


def test_items_may_be_pictures_mappings_or_vectors() -> None:
    pictures = Pairs([Image.fromarray(each) for each in X], [int(each) for each in Y])
    assert np.array_equal(array(read(pictures, kind="image")), X)
    named = [{"image": x, "label": torch.tensor(y)} for x, y in zip(X, Y, strict=True)]
    assert np.array_equal(array(read(Stream(named), kind="image")), X)
    vectors = read(Pairs(torch.tensor(X.reshape(60, -1)[:, :5]).double(), RNG.normal(size=60)))
    assert (vectors.kind, vectors.task, vectors.columns) == ("table", "regression", 5)
    words = read(Pairs(X, ["abc"[y] for y in Y]), kind="image")
    assert words.classes == ("a", "b", "c")


def test_items_of_a_wider_type_are_read_where_their_values_fit() -> None:
    wider = Pairs([*X[:5], *X[5:].astype(np.uint16)], Y)
    assert array(read(wider, kind="image")).dtype == np.uint8 and np.array_equal(array(read(wider, kind="image")), X)
    rounded = Pairs([X[0].astype(np.float32), *(X[1:] / 3)], Y)
    assert np.allclose(array(read(rounded, kind="image"))[1:], X[1:] / 3)


@pytest.mark.parametrize(
    ("mode", "values"),
    [
        ("F", (X * 7.5).astype(np.float32)),
        ("I", X.astype(np.int32) * 1000),
        ("I;16", X.astype(np.uint16) * 200),
        ("I;16B", X.astype(np.uint16) * 200),
    ],
)
def test_deep_pictures_keep_their_values(mode: str, values: np.ndarray) -> None:
    stored = values.astype(">u2") if mode == "I;16B" else values
    pictures = [Image.frombytes(mode, (7, 9), each.tobytes()) for each in stored]
    assert pictures[0].mode == mode
    dataset = read(Pairs(pictures, Y), kind="image")
    assert np.array_equal(array(dataset), values) and array(dataset).dtype.isnative


def test_transparent_grey_lies_over_white() -> None:
    opaque = np.full_like(X, 255)
    opaque[:, 0] = 0
    pictures = [Image.fromarray(np.stack(pair, axis=-1), "LA") for pair in zip(X, opaque, strict=True)]
    found = array(read(Pairs(pictures, Y), kind="image"))
    assert (found[:, 0] == 255).all() and np.array_equal(found[:, 1:], X[:, 1:])


def test_channels_first_and_larger_than_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    colour = RNG.integers(0, 255, (60, 3, 9, 7)).astype(np.uint8)
    inside = read(Pairs(colour, Y))
    monkeypatch.setattr(items, "IN_MEMORY", 1000)
    monkeypatch.setattr(items, "WRITE_BYTES", 500)
    outside = read(Pairs(colour, Y))
    assert isinstance(array(outside).base, np.memmap)
    assert np.array_equal(array(outside), np.moveaxis(colour, 1, 3))
    assert outside.content_hash == inside.content_hash


def test_memory_stays_bounded_while_a_stream_is_read() -> None:
    program = """
import resource, numpy as np
from shoal.data import items, read
items.IN_MEMORY = 1 << 20
class Stream:
    def __iter__(self):
        for row in range(1600):
            yield np.full((256, 512), row % 251, dtype=np.uint8), row % 2
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = items.read_items([(None, Stream())], "stream", None).found
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert found.x.shape == (1600, 256, 512) and int(found.x[1599, 0, 0]) == 1599 % 251
print((after - before) // 1024)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 60  # MB, of 210 that were read


def test_parts_by_their_names() -> None:
    source = {"train": Pairs(X[:40], Y[:40]), "test": Pairs(X[40:], Y[40:])}
    dataset = read(source, kind="image")
    assert dataset.given_split.tolist() == [0] * 40 + [2] * 20
    assert np.array_equal(array(dataset), X)
    by_name = read({"x_train": X[:40], "y_train": Y[:40], "x_test": X[40:], "y_test": Y[40:]}, kind="image")
    assert by_name.given_split.tolist() == dataset.given_split.tolist()


def test_rows_of_plain_cells_are_a_table() -> None:
    rows = [{"zip": f"0{2100 + i % 7}", "x": float(i * 0.37), "y": "ab"[i % 2]} for i in range(60)]
    dataset = read(Stream(rows), target="y")
    assert isinstance(dataset.features, TableFeatures)
    assert dataset.features.frame["zip"][0] == "02100" and dataset.classes == ("a", "b")


def test_new_rows_may_come_as_a_dataset() -> None:
    schema = read(Pairs(), kind="image").schema
    rows = read_rows(Pairs(X[:7], Y[:7]), schema)
    assert rows.truth is not None and rows.truth.tolist() == Y[:7].tolist()
    without = read_rows(Stream([(x,) for x in X[:7]]), schema)
    assert len(without) == 7 and without.truth is None


class Mappings(Pairs):
    """Items of plain cells or of arrays, with more beside them than is wanted."""

    def __init__(self, **more: Any) -> None:
        super().__init__()
        self.more = more

    def __getitem__(self, row: int) -> Any:
        return self.more | {"label": "abc"[int(self.y[row])]}


@pytest.mark.parametrize("in_parts", [False, True])
def test_dropped_values_of_items_are_not_looked_at(in_parts: bool) -> None:
    class Cells(Mappings):
        def __getitem__(self, row: int) -> Any:
            return {"size": float(self.x[row, 0].mean()), "kind": row % 3} | super().__getitem__(row)

    def given(**more: Any) -> Any:
        return {"train": Cells(**more), "test": Cells(**more)} if in_parts else Cells(**more)

    plain = read(given(), target="label", drop="kind")
    for more in ({"meta": {"a": 1}}, {"spans": [1, 2]}, {"meta": [{"a": [1]}], "spans": (1, 2)}):
        dataset = read(given(**more), target="label", drop=("kind", *more))
        assert isinstance(dataset.features, TableFeatures) and isinstance(plain.features, TableFeatures)
        assert dataset.features.frame.equals(plain.features.frame)
        roles = {column.name: column.role for column in dataset.schema.columns}
        assert roles == {"size": "numeric", "label": "target", **dict.fromkeys(["kind", *more], "dropped")}
        assert len(read_rows(given(**more), plain.schema)) == len(Y)
    with pytest.raises(InputError, match="did you mean kind"):
        read(given(), target="label", drop="kin")


def test_a_dropped_array_of_an_item_is_no_input_then_and_later() -> None:
    class Two(Mappings):
        def __getitem__(self, row: int) -> Any:
            return {"image": np.zeros((5, 6), np.float32), "mask": self.x[row]} | super().__getitem__(row)

    dataset = read(Two(), drop="image")
    assert np.array_equal(array(dataset), X)
    assert np.array_equal(array(read_rows(Two(), dataset.schema)), X)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"no item holds 'masc'.*did you mean mask"):
        read(Two(), drop="masc")
    with pytest.raises(InputError, match="option `drop` cannot be used"):
        read(Pairs(), drop="image")


def test_a_dropped_array_of_an_archive_is_no_input_later(tmp_path: Path) -> None:
    one, other = np.zeros((60, 9, 9)), np.random.default_rng(0).normal(size=(60, 9, 9))
    np.savez(tmp_path / "a.npz", X=one, images=other, y=np.arange(60) % 2)
    dataset = read(tmp_path / "a.npz", drop="X")
    assert np.array_equal(array(dataset), other)
    rows = read_rows(tmp_path / "a.npz", dataset.schema)
    assert np.array_equal(array(rows), other)  # type: ignore[arg-type]


def test_a_random_transform_is_named() -> None:
    class Shaken(Pairs):
        def __getitem__(self, row: int) -> Any:
            return self.x[row] + torch.rand(9, 7).numpy(), self.y[row]

    assert "SHL233" in {each.code for each in read(Shaken(), kind="image").findings}
    assert "SHL233" not in {each.code for each in read(Pairs(), kind="image").findings}


def broken(row: int) -> Any:
    if row == 5:
        raise KeyError("lost")
    return X[row], Y[row]


class Broken(Pairs):
    def __getitem__(self, row: int) -> Any:
        return broken(row)


class Stored:
    """What hands out one iterator, made before."""

    def __init__(self, given: Iterator[Any]) -> None:
        self.given = given

    def __iter__(self) -> Iterator[Any]:
        return self.given


class Remapped(Stored):
    """The same, each time in another wrapper."""

    def __iter__(self) -> Iterator[Any]:
        return map(tuple, self.given)


ODD = np.arange(9)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (DataLoader(Pairs(), batch_size=4), ["DataLoader", "loader.dataset"]),
        ((each for each in Pairs()), ["generator", "once"]),
        (Pairs([]), ["without items"]),
        (Broken(), ["item 5", "KeyError"]),
        (Stream(Broken()), ["item 5", "KeyError"]),
        (Pairs([*X[:5], X[5, :3]], Y), ["item 5", "[3, 7]", "[9, 7]"]),
        (Pairs([*X[:5], X[5] * 0.5], Y), ["item 5", "float64", "uint8"]),
        (Pairs([*X[:5], X[5].astype(np.uint16) + 300], Y), ["item 5", "uint16", "uint8"]),
        (Pairs([*X.astype(np.int32)[:5], X[5] + np.int64(2) ** 32], Y), ["item 5", "int64", "int32"]),
        (Pairs([*X.astype(np.float32)[:5], np.full((9, 7), 1e300)], Y), ["item 5", "float64", "float32"]),
        (Stored(iter(Pairs())), ["once only"]),
        (Remapped(iter(Pairs())), ["once only"]),
        (Pairs(X, [0, 1, None, *Y]), ["item 2", "no answer"]),
        (Pairs(X, [0, 1, "x", *Y]), ["item 2", "'x'", "another type"]),
        (Pairs(X, [ODD] * 60), ["item 0", "answer of shape [9]"]),
        (Pairs(["a", "b"], Y), ["item 0", "str"]),
        ({"test": Pairs()}, ["no train part"]),
        ({"left": X, "right": Y}, ["left, right", "x_train"]),
        ({"train": Pairs(), "test": Pairs([])}, ["part without items"]),
    ],
)
def test_what_is_refused(source: Any, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read(source, kind="image")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_endless_stream_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def __iter__(self) -> Iterator[Any]:
            while True:
                yield X[0], 1

    monkeypatch.setattr(items, "DISK_SHARE", 1e-7)
    monkeypatch.setattr(items, "WRITE_BYTES", 500)
    with pytest.raises(InputError, match="does it end"):
        read(Endless())


def test_datasets_of_hugging_face() -> None:
    hugging = pytest.importorskip("datasets", reason="needs the package datasets (extra hf)")
    rows = {"zip": [f"0{2100 + i % 7}" for i in range(60)], "x": RNG.normal(size=60), "y": Y}
    features = hugging.Features(
        {
            "zip": hugging.Value("string"),
            "x": hugging.Value("float64"),
            "y": hugging.ClassLabel(names=["low", "mid", "high"]),
        }
    )
    table = hugging.Dataset.from_dict(rows, features=features)
    chosen = read(table.select(range(30, 60)), target="y")
    assert chosen.rows == 30 and chosen.classes == ("high", "low", "mid")
    assert chosen.features.frame["zip"][0] == rows["zip"][30]
    split = read(
        hugging.DatasetDict({"train": table.select(range(40)), "test": table.select(range(40, 60))}), target="y"
    )
    assert split.given_split.tolist() == [0] * 40 + [2] * 20
    streamed = read(table.to_iterable_dataset(), target="y")
    assert streamed.features.frame.equals(read(table, target="y").features.frame)
    assert streamed.classes == ("high", "low", "mid")


def test_pictures_of_hugging_face() -> None:
    hugging = pytest.importorskip("datasets", reason="needs the package datasets (extra hf)")
    from PIL import Image

    features = hugging.Features({"image": hugging.Image(), "label": hugging.ClassLabel(names=["low", "mid", "high"])})
    source = hugging.Dataset.from_dict({"image": [Image.fromarray(x) for x in X], "label": Y}, features=features)
    dataset = read(source, kind="image")
    assert np.array_equal(array(dataset), X) and dataset.classes == ("low", "mid", "high")
    assert np.array_equal(array(dataset)[3], np.asarray(source[3]["image"]))


def test_frames_and_tensors_are_not_taken_for_datasets() -> None:
    frame = pl.DataFrame({"a": [1]})
    assert not any(items.gives_items(each) for each in (frame, X, torch.tensor(X), [1], (1, 2), "x", {1: 2}))
