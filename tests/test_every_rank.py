"""Signals, volumes and pictures in NumPy archives, from the file to answers for new rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import shoal
from shoal import data as data_room
from shoal.api import Run
from shoal.core.errors import InputError
from shoal.core.events import PopulationStarted, RunStarted
from shoal.report import answer, story
from shoal.resample import hold_out

Archive = dict[str, NDArray[Any]]


def write(path: Path, arrays: Archive) -> str:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def first(run: Run, kind: type[Any]) -> Any:
    return next(event for event in run.events if isinstance(event, kind))


@pytest.fixture(scope="module")
def beats(shared_data: Path) -> Archive:
    """Every twentieth of the real heart beats, at half the sampling rate; each patient's are a group."""
    with np.load(shared_data / "mitbih_beats.npz") as file:
        kept: Archive = {"classes": file["classes"]}
        for part in ("train", "test"):
            rows = np.flatnonzero(np.arange(len(file[f"y_{part}"])) % 20 == 0)
            rows = np.union1d(rows, np.flatnonzero(file[f"y_{part}"] == 4))  # the rarest class has eight
            kept[f"x_{part}"] = file[f"x_{part}"][rows, ::2]
            kept |= {f"{name}_{part}": file[f"{name}_{part}"][rows] for name in ("y", "record")}
    return kept


@pytest.fixture(scope="module")
def of_beats(beats: Archive, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("beats")
    path = write(folder / "beats.npz", beats)
    return shoal.fit(path, group="record", out=str(folder / "run"), budget="trials=3", epochs=4, seed=1)


@pytest.mark.slow
def test_heart_beats_of_unseen_patients_are_told_apart(of_beats: Run, beats: Archive) -> None:
    begun = first(of_beats, RunStarted)
    assert (begun.data_kind, begun.shape) == ("signal", [1, 128])
    assert first(of_beats, PopulationStarted).network["network"] == "resnet"
    summary: Any = of_beats.summary
    assert summary["test_interval"][0] > summary["baseline"] + 0.1
    truth, names = beats["y_test"], beats["classes"]
    predicted = of_beats.model.predict(beats["x_test"])
    recall = [(predicted[truth == code] == name).mean() for code, name in enumerate(names)]
    assert summary["test"] == pytest.approx((predicted == names[truth]).mean(), abs=1e-4)
    assert summary["test_scores"]["balanced_accuracy"] == pytest.approx(np.mean(recall), abs=1e-4)


@pytest.mark.slow
def test_the_answer_names_the_accuracy_by_class(of_beats: Run) -> None:
    scores: Any = of_beats.summary["test_scores"]
    said = answer.sentence(story.read(of_beats.events))
    assert "Averaged over the classes, which are of unequal size, it is" in said
    assert f"{100 * scores['balanced_accuracy']:.0f}" in said.split("it is")[1].replace(".", " ").split()[0]


def test_no_patient_lies_in_two_parts(shared_data: Path) -> None:
    dataset = data_room.read(shared_data / "mitbih_beats.npz", group="record")
    assert (dataset.kind, dataset.task) == ("signal", "classification")
    plan = hold_out(dataset, seed=3)
    assert dataset.group is not None
    train, validation, test = (set(dataset.group[rows]) for rows in (plan.train, plan.validation, plan.test))
    assert not train & validation and not train & test and not validation & test
    assert len(train | validation) == 22 and len(test) == 22
    assert "by whole groups" in plan.method


def volumes(rows: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One volume in four has a bright ball somewhere; the labels have MedMNIST's shape N x 1."""
    rng = np.random.default_rng(seed)
    y = (np.arange(rows) % 4 == 0).astype(np.uint8)
    x = rng.integers(0, 60, (rows, 5, 6, 7))
    for row in np.flatnonzero(y):
        d, h, w = (rng.integers(0, side - 2) for side in x.shape[1:])
        x[row, d : d + 3, h : h + 3, w : w + 3] += 120
    return x.astype(np.uint8), y[:, None]


@pytest.mark.parametrize("model", ["auto", pytest.param("resnet", marks=pytest.mark.slow)])
def test_volumes_under_medmnists_names_are_learned(model: str, tmp_path: Path) -> None:
    parts = {
        name: volumes(rows, seed) for seed, (name, rows) in enumerate({"train": 120, "val": 40, "test": 100}.items())
    }
    arrays = {f"{n}_images": x for n, (x, _) in parts.items()} | {f"{n}_labels": y for n, (_, y) in parts.items()}
    path = write(tmp_path / "balls.npz", arrays)
    run = shoal.fit(path, model=model, out=str(tmp_path / "run"), budget="trials=4", epochs=4, augment="none")
    begun = first(run, RunStarted)
    assert (begun.data_kind, begun.shape, begun.split["test"]) == ("volume", [1, 5, 6, 7], 100)
    assert first(run, PopulationStarted).network["network"] == ("cnn" if model == "auto" else "resnet")
    summary: Any = run.summary
    assert summary["baseline"] == 0.75
    assert summary["test_interval"][0] > 0.8 and summary["test_scores"]["balanced_accuracy"] > 0.8
    again = shoal.load(run.folder.path).model.predict(parts["test"][0])
    assert (again == parts["test"][1][:, 0]).mean() == pytest.approx(summary["test"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "kind", "prepared"),
    [
        ((12, 12, 2), "image", [2, 12, 12]),
        ((5, 12, 12), "image", [5, 12, 12]),
        ((2, 6, 7, 8), "volume", [2, 6, 7, 8]),
    ],
)
def test_any_number_of_channels_goes_the_whole_way(
    shape: tuple[int, ...], kind: str, prepared: list[int], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(90) % 2
    x = rng.normal(size=(90, *shape)) + 2.0 * y.reshape(-1, *(1 for _ in shape))
    path = write(tmp_path / "channels.npz", {"x": x.astype(np.float32), "y": y})
    run = shoal.fit(path, out=str(tmp_path / "run"), budget="trials=2", epochs=2, augment="brightness=0.2")
    begun = first(run, RunStarted)
    assert (begun.data_kind, begun.shape) == (kind, prepared)
    again = shoal.load(run.folder.path).model.predict(x)
    assert (again == y).mean() > 0.9
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "image"}, r"the shape \[40, 5, 6, 7\] holds the channels cannot be told; .* --axes NCHW"),
        ({"group": "patient"}, r"no array 'patient'"),
        ({"group": "one"}, r"too few groups to hold whole ones out"),
        ({"model": "cnn", "kind": "table"}, r"the columns of a table have no neighbours"),
        ({"model": "resnets"}, r"the model `resnets` is unknown: write `auto`, `mlp`, `cnn`, `resnet` or"),
    ],
)
def test_what_cannot_be_done_with_volumes_is_said(options: dict[str, str], said: str, tmp_path: Path) -> None:
    x, y = volumes(40, 0)
    path = write(tmp_path / "v.npz", {"x": x, "y": y, "one": np.zeros(40)})
    with pytest.raises(InputError, match=said):
        shoal.fit(path, out=str(tmp_path / "run"), budget="trials=4", **options)  # type: ignore[arg-type]
