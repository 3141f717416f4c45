from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from shoal.experiment.cache import Kept, pack, unpack
from shoal.population import EpochRecord, Population
from shoal.store.checkpoint import EVERY_S, LEAST_S, SHARE, Checkpoint
from shoal.store.plans import RecordedPlans

ARRAYS = {"loss": np.array([[1.5, np.nan], [np.inf, -0.0]]), "steps": np.array(7), "ok": np.array([True, False])}


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def checkpoint(folder: Path, clock: Clock) -> Checkpoint:
    return Checkpoint(folder / "checkpoint", RecordedPlans({}, lambda _: None), clock)


def long_work(cache: Checkpoint, clock: Clock, piece: str = "coarse", key: str = "k") -> None:
    """Ask for a piece, and take a minute for it."""
    assert cache.recall(piece, key) is None
    clock.time += 60


def population() -> Population:
    return Population(lambda: nn.Linear(3, 2), [{"seed": seed} for seed in range(4)])


def test_a_piece_comes_back_bit_for_bit(tmp_path: Path) -> None:
    clock, rows = Clock(), population()
    cache = checkpoint(tmp_path, clock)
    long_work(cache, clock, "sweep 1e-05 to 1")
    cache.keep("sweep 1e-05 to 1", "k", ARRAYS, {"status": [["ok", "pruned"]]}, rows)
    kept = checkpoint(tmp_path, clock).recall("sweep 1e-05 to 1", "k")
    assert kept is not None and kept.done and kept.population is not None
    assert kept.document == {"status": [["ok", "pruned"]]}
    for name, array in ARRAYS.items():
        assert kept.arrays[name].dtype == array.dtype and kept.arrays[name].tobytes() == array.tobytes()
    again = Population.load(kept.population, lambda: nn.Linear(3, 2))
    assert torch.equal(again.theta, rows.theta)


def test_an_answer_to_another_question_is_no_answer(tmp_path: Path) -> None:
    clock = Clock()
    cache = checkpoint(tmp_path, clock)
    long_work(cache, clock)
    cache.keep("coarse", "k", ARRAYS)
    assert cache.recall("coarse", "other") is None
    assert cache.recall("refine 1", "k") is None
    assert cache.recall("coarse", "k") is not None
    assert cache.notices() == []


def test_of_a_piece_under_way_the_last_two_states_stay_and_the_end_replaces_them(tmp_path: Path) -> None:
    clock = Clock()
    cache = checkpoint(tmp_path, clock)
    long_work(cache, clock)
    for count in range(1, 5):
        cache.keep("coarse", "k", {"count": np.array(count)}, population=population(), done=False)
    names = sorted(path.name for path in (tmp_path / "checkpoint").iterdir())
    assert names == [f"coarse@0000{n}{end}.safetensors" for n in (3, 4) for end in (".networks", "")]
    found = cache.recall("coarse", "k")
    assert found is not None and not found.done and found.arrays["count"] == 4
    clock.time += 60
    cache.keep("coarse", "k", ARRAYS)
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["coarse@done.safetensors"]


@pytest.mark.parametrize(
    "harm", ["cut", "zeros", "empty", "networks cut", "networks gone", "networks of another state"]
)
def test_a_damaged_state_is_named_and_the_one_before_is_taken(tmp_path: Path, harm: str) -> None:
    clock = Clock()
    cache = checkpoint(tmp_path, clock)
    long_work(cache, clock)
    for count in (1, 2):
        rows = population()
        rows.theta += count
        cache.keep("coarse", "k", {"count": np.array(count)}, population=rows, done=False)
    newest = tmp_path / "checkpoint/coarse@00002.safetensors"
    networks = tmp_path / "checkpoint/coarse@00002.networks.safetensors"
    content = newest.read_bytes()
    match harm:
        case "cut":
            newest.write_bytes(content[:-1])
        case "zeros":
            newest.write_bytes(bytes(len(content)))
        case "empty":
            newest.write_bytes(b"")
        case "networks cut":
            networks.write_bytes(networks.read_bytes()[:-1])
        case "networks gone":
            networks.unlink()
        case _:
            networks.write_bytes((tmp_path / "checkpoint/coarse@00001.networks.safetensors").read_bytes())
    cache = checkpoint(tmp_path, clock)
    found = cache.recall("coarse", "k")
    assert found is not None and found.arrays["count"] == 1
    (said,) = cache.notices()
    assert "coarse@00002" in said and "damaged" in said
    assert cache.notices() == []


@pytest.mark.parametrize("name", ["coarse@done.safetensors", "coarse@done.networks.safetensors"])
def test_no_flipped_bit_of_a_piece_is_believed(tmp_path: Path, name: str) -> None:
    """Whatever byte is changed, the piece is dropped and said to be; elsewhere in the file nothing is different."""
    clock = Clock()
    cache = checkpoint(tmp_path, clock)
    cache.recall("coarse", "k")
    clock.time += 100.0
    cache.keep("coarse", "k", {"a": np.arange(6.0).reshape(2, 3)}, {"epochs": [1, 2]}, population())
    path = tmp_path / "checkpoint" / name
    whole = path.read_bytes()
    places, said = range(0, len(whole), max(1, len(whole) // 60)), 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(bytes(damaged))
        assert cache.recall("coarse", "k") is None, place
        notices = cache.notices()
        assert all("damaged" in sentence for sentence in notices)
        said += len(notices)  # none: it looks like another version's
    assert said >= 0.9 * len(places)
    path.write_bytes(whole)
    kept = cache.recall("coarse", "k")
    assert kept is not None and kept.arrays["a"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]


def test_it_is_written_at_intervals_that_cost_next_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    cache = checkpoint(tmp_path, clock)
    cache.recall("coarse", "k")
    assert not cache.due()
    clock.time += EVERY_S
    assert cache.due()
    monkeypatch.setattr(Checkpoint, "_write", lambda *_: setattr(clock, "time", clock.time + 2.0))  # a slow disk
    cache.keep("coarse", "k", ARRAYS, done=False)
    clock.time += SHARE * 2.0 - 0.1
    assert not cache.due()
    clock.time += 0.2
    assert cache.due()


def test_what_is_done_again_in_no_time_is_not_written(tmp_path: Path) -> None:
    clock = Clock()
    cache = checkpoint(tmp_path, clock)
    cache.recall("initial losses", "k")
    clock.time += 0.9 * LEAST_S
    cache.keep("initial losses", "k", ARRAYS)
    assert not (tmp_path / "checkpoint").exists()


def test_a_folder_that_cannot_be_written_is_noticed_once(tmp_path: Path) -> None:
    clock = Clock()
    cache = checkpoint(tmp_path / "removed meanwhile", clock)
    for piece in ("coarse", "refine 1"):
        long_work(cache, clock, piece)
        cache.keep(piece, "k", ARRAYS, population=population())
    (said,) = cache.notices()
    assert said.startswith("No checkpoint: ") and "The run goes on" in said


def test_another_format_is_no_answer(tmp_path: Path) -> None:
    clock = Clock()
    cache = checkpoint(tmp_path, clock)
    long_work(cache, clock)
    cache.keep("coarse", "k", ARRAYS)
    path = tmp_path / "checkpoint/coarse@done.safetensors"
    header = {"piece": "coarse", "key": "k", "done": True, "document": {}, "format": "shoal-checkpoint-99"}
    save_file(load_file(path), path, metadata={"shoal": json.dumps(header)})
    assert cache.recall("coarse", "k") is None


def test_records_come_back_as_they_were() -> None:
    rows = Population(lambda: nn.Linear(3, 2), [{"seed": seed, "lr": 10.0**seed} for seed in range(4)])
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    records = list(rows.train(x, y, epochs=3, batch_size=8, validation=(x, y)))
    arrays, document = pack(records)
    again = unpack(Kept(arrays, json.loads(json.dumps(document)), None, True))
    assert len(again) == 3
    for one, other in zip(records, again, strict=True):
        assert isinstance(other, EpochRecord)
        for name, value in vars(one).items():
            if isinstance(value, np.ndarray):
                assert np.array_equal(value, getattr(other, name), equal_nan=True)
                assert value.dtype == getattr(other, name).dtype
            else:
                assert value == getattr(other, name) and type(value) is type(getattr(other, name))
