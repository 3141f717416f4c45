from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch

from shoal.core.errors import InputError, RunError
from shoal.store.model_folder import load_model, save_model

TENSORS = {
    "weight": torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(3, 4),
    "turned": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
    "count": torch.tensor(7),
    "seen": torch.tensor([True, False]),
}
DOCUMENT = {"architecture": {"hidden": [64, 64]}, "classes": ["<=50K", ">50K", "größer"], "mean": [0.1, 1e-300]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", TENSORS, DOCUMENT)
    return tmp_path / "model"


def test_a_model_comes_back_bit_for_bit(folder: Path) -> None:
    tensors, document = load_model(folder)
    assert document == DOCUMENT
    assert set(tensors) == set(TENSORS)
    for name, each in TENSORS.items():
        assert tensors[name].dtype == each.dtype
        assert torch.equal(tensors[name], each)


def test_the_weights_are_ordinary_safetensors(folder: Path) -> None:
    assert torch.equal(safetensors.torch.load_file(folder / "model.safetensors")["turned"], TENSORS["turned"])


def test_tensors_that_share_memory_are_saved(tmp_path: Path) -> None:
    base = torch.arange(8.0)
    save_model(tmp_path, {"all": base, "part": base[2:4]}, {})
    assert load_model(tmp_path)[0]["part"].tolist() == [2.0, 3.0]


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name} is missing"):
        load_model(folder)


@pytest.mark.parametrize("keep", [0, 10, 200, -1])
def test_a_truncated_file_is_refused(folder: Path, keep: int) -> None:
    for name in ("model.safetensors", "model.json"):
        path = folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[: keep if keep >= 0 else len(whole) - 3])
        with pytest.raises(InputError, match=name):
            load_model(folder)
        path.write_bytes(whole)


def test_one_changed_bit_is_noticed(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"not the file that model\.json describes"):
        load_model(folder)


def test_a_pickle_is_never_opened(folder: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (open, (str(tmp_path / "sprung"), "w"))

    for name in ("model.safetensors", "model.json"):
        (folder / name).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(InputError):
            load_model(folder)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"format_version": 99},
        {"format": "else"},
        {"tensors": {}},
        {"tensors": None},
        {"document": [1]},
    ],
)
def test_a_description_of_another_form_is_refused(folder: Path, change: dict[str, object]) -> None:
    path = folder / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=r"model\.json"):
        load_model(folder)


def test_numbers_that_json_has_not_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="NaN or infinity"):
        save_model(tmp_path / "model", TENSORS, {"scale": [1.0, float("nan")]})
    assert not (tmp_path / "model").exists()


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        save_model(tmp_path / "file" / "model", TENSORS, {})
