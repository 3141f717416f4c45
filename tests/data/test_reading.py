"""The one door: names, endings, and what is said of a source that is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoal.core.errors import InputError
from shoal.data import read

TABLE = "a,b,y\n" + "".join(f"{i * 0.37:.2f},{i % 5},{'no' if i % 3 else 'yes'}\n" for i in range(30))


def refused(source: object, *words: str, **options: object) -> None:
    with pytest.raises(InputError) as caught:
        read(source, **options)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.txt", "ROWS.CSV"])
def test_endings(text_file, name: str) -> None:
    content = TABLE.replace(",", "\t") if name.endswith("tsv") else TABLE
    dataset = read(str(text_file(content, name)), target="y")
    assert (dataset.name, dataset.rows, dataset.columns) == (name.split(".")[0], 30, 2)
    assert dataset.source.endswith(name)
    assert read(text_file(content, name), target="y", name="mine").name == "mine"


def test_what_is_not_there(text_file, tmp_path: Path) -> None:
    text_file(TABLE, "people.csv")
    refused(tmp_path / "poeple.csv", "does not exist", "did you mean people.csv?", target="y")
    refused(tmp_path / "nowhere/people.csv", "no folder")
    refused("digts", "did you mean digits")
    refused(text_file("x", "rows.xlsx"), "rows.xlsx", "not read")
    refused(text_file(b"PAR1 no", "rows.parquet"), "Parquet")
    refused(tmp_path, "is a folder", "people.csv", target="y")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.md").write_text("x")
    refused(tmp_path / "notes", "no images")
    refused(tmp_path, "folder", kind="table")
    refused(text_file(TABLE), "image", target="y", kind="image")
    refused(text_file(TABLE), "`kind`", "`table`, `image`, `signal` or `volume`", target="y", kind="tabel")
    refused("wine", "`target`", target="class")


def test_pairs_of_frames_and_lists() -> None:
    frame = pl.DataFrame({"a": np.arange(30) * 0.37, "w": ["x", "y", "z"] * 10})
    answers = ["no", "yes", "yes"] * 10
    dataset = read((frame, answers))
    assert [c.name for c in dataset.schema.features()] == ["a", "w"]
    assert dataset.classes == ("no", "yes")
    refused((frame, answers[:20]), "30 rows", "20 answers")


@pytest.mark.parametrize(
    ("file", "target", "options", "rows", "columns", "classes"),
    [
        ("titanic.csv.gz", "Survived", {}, 891, 8, 2),
        ("adult.csv.gz", "income", {"drop": ["split"]}, 48842, 14, 2),
        ("covertype_15k.csv.gz", "Cover_Type", {}, 15120, 52, 7),
        ("california_housing.csv.gz", "median_house_value", {}, 20640, 9, None),
        ("ETTh1.csv.gz", "OT", {"time": "date"}, 17420, 7, None),
        ("daily-min-temperatures.csv.gz", "Temp", {"time": "Date"}, 3650, 1, None),
    ],
)
def test_real_tables(
    shared_data: Path, file: str, target: str, options: dict[str, object], rows: int, columns: int, classes: int | None
) -> None:
    dataset = read(shared_data / file, target=target, **options)
    assert (dataset.rows, dataset.columns) == (rows, columns)
    assert (dataset.classes and len(dataset.classes)) == classes


def test_titanic_names_what_it_sets_aside(shared_data: Path) -> None:
    dataset = read(shared_data / "titanic.csv.gz", target="Survived")
    roles = {column.name: column.role for column in dataset.schema.columns}
    aside = {name for name, role in roles.items() if role in ("identifier", "free text")}
    assert aside == {"PassengerId", "Name", "Ticket"}
    said = " ".join(finding.sentence for finding in dataset.findings)
    assert "Cabin in 687 of 891 rows (77 %)" in said
    assert all(name in said for name in ("PassengerId", "Name", "Ticket"))
    missing = sum(column.missing for column in dataset.schema.columns)
    assert missing == 866  # as the file's own description counts them


def test_adult_counts_its_missing_cells(shared_data: Path) -> None:
    columns = read(shared_data / "adult.csv.gz", target="income", drop="split").schema.columns
    assert sum(column.missing for column in columns) == 6465
    assert [c.role for c in columns].count("category") == 8
    assert [c.role for c in columns].count("numeric") == 6


def test_real_arrays(shared_data: Path) -> None:
    beats = read(shared_data / "mitbih_beats.npz", kind="signal", group="record")
    assert beats.schema.shape == (1, 256)
    assert beats.classes == ("N", "S", "V", "F", "Q")
    in_train, in_test = (set(beats.group[beats.given_split == part].tolist()) for part in (0, 2))
    assert not in_train & in_test
    volumes = read(shared_data / "adrenalmnist3d.npz")
    assert (volumes.kind, volumes.schema.shape) == ("volume", (28, 28, 28))
    assert np.bincount(volumes.given_split).tolist() == [1188, 98, 298]
    colour = read(shared_data / "cifar10_small.npz")
    assert (colour.kind, colour.columns) == ("image", 3)


def test_a_real_folder_equals_the_arrays_that_it_came_from(shared_data: Path, tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(shared_data / "fashion_folder.tar.gz") as archive:
        wanted = [m for m in archive.getmembers() if "/test/" in m.name or m.isdir() or m.name.endswith("0.png")]
        archive.extractall(tmp_path, wanted, filter="data")
    folder = read(tmp_path / "fashion_folder")
    with np.load(shared_data / "fashion_mnist.npz") as file:
        known = {image.tobytes() for image in np.concatenate([file["x_train"], file["x_test"]])}
    assert len(folder.classes) == 10
    assert all(image.tobytes() in known for image in folder.features.array)


def test_a_pandas_frame_of_every_type() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "float": np.where(np.arange(60) % 5, np.arange(60) * 0.31, np.nan),
            "category": pandas.Categorical(list("xyz") * 20),
            "mixed": [True, None, False, True] * 15,
            "day": pandas.date_range("2020", periods=60).where(np.arange(60) % 7 > 0),
            "whole": pandas.array([1, None, 5, 7, 9, 2] * 10, dtype="Int64"),
            "text": pandas.array(["p", "q", None, "p", "p"] * 12, dtype="string"),
            7: np.arange(60) % 4,
            "y": [0, 1] * 30,
        }
    )
    dataset = read(frame, target="y")
    assert {c.name: (c.role, c.missing) for c in dataset.schema.features()} == {
        "float": ("numeric", 12), "category": ("category", 0), "mixed": ("boolean", 15), "day": ("date", 9),
        "whole": ("numeric", 10), "text": ("category", 12), "7": ("numeric", 0),
    }  # fmt: skip
    nested = pandas.DataFrame({"a": [[1, 2]] * 60, "y": [0, 1] * 30})
    refused(nested, "'a'", "list", target="y")
    refused(pandas.DataFrame(np.ones((4, 2)), columns=["a", "a"]), "two columns", "'a'", target="a")
