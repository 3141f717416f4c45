"""One-pass checks of tables and arrays: each planted fault is named, its healthy twin is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from shoal.core.events import Finding
from shoal.data import Dataset, read
from shoal.data.single import single
from shoal.data.targets import Target

ROWS = 600
RNG = np.random.default_rng(0)
ANSWER = RNG.integers(0, 2, ROWS)
NOISE = RNG.normal(size=ROWS)


def finding(dataset: Dataset, code: str) -> Finding | None:
    return next((each for each in dataset.findings if each.code == code), None)


def table(**columns: object) -> pl.DataFrame:
    base = {"x": NOISE, "word": ["red", "green", "blue"] * (ROWS // 3), "y": np.where(ANSWER, "yes", "no")}
    return pl.DataFrame(base | columns)


@pytest.mark.parametrize(
    ("leak", "named"),
    [
        (ANSWER + 0.05 * NOISE, True),
        (ANSWER + 0.7 * NOISE, False),
        (np.where(ANSWER, None, NOISE.astype(object)), True),  # filled for one class only
        (np.where(RNG.random(ROWS) < 0.3, None, NOISE.astype(object)), False),
    ],
)
def test_a_column_from_which_alone_the_target_can_be_told(leak: np.ndarray, named: bool) -> None:
    said = finding(read(table(leak=pl.Series(leak.tolist(), strict=False)), target="y"), "SHL253")
    assert (said is not None) == named
    if said is not None:
        assert list(said.evidence["columns"]) == ["leak"]
        assert 'drop="leak"' in said.fix and "--drop leak" in said.fix


def test_a_column_is_judged_on_rows_that_it_was_not_learned_from() -> None:
    noise = pl.Series(RNG.integers(0, ROWS // 6, ROWS).astype(str))  # learned by heart it would be right on 70 %
    for neighbours in (3, 20):
        alone = single(noise, Target(ANSWER.astype(np.int64), "classification", ("a", "b")), neighbours=neighbours)
        assert alone is not None and abs(alone.gain) < 0.15 and alone.z < 3
        values = single(noise, Target(NOISE, "regression", None), neighbours=neighbours)
        assert values is not None and values.gain < 0.1


@pytest.mark.parametrize(("noise", "named"), [(0.001, True), (0.5, False)])
def test_the_same_for_numbers(noise: float, named: bool) -> None:
    y = RNG.normal(size=ROWS)
    frame = pl.DataFrame({"near": np.exp(y) + noise * NOISE, "x": NOISE, "y": y})
    assert (finding(read(frame, target="y"), "SHL253") is not None) == named


def test_an_identifier_that_predicts() -> None:
    order = np.argsort(ANSWER + 0.3 * NOISE)  # rows were collected class by class, or nearly
    frame = table(id=np.arange(ROWS))
    sorted_rows = frame[order].with_columns(id=pl.int_range(1, ROWS + 1))
    said = finding(read(sorted_rows, target="y"), "SHL254")
    assert said is not None and said.level == "warning" and "id identifies" in said.sentence
    assert finding(read(frame, target="y"), "SHL254") is None
    codes = [f"{'AB'[a]}-{i:04d}" for i, a in enumerate(ANSWER)]
    assert finding(read(table(code=codes), target="y"), "SHL254") is not None
    assert finding(read(table(code=[f"C-{i * 7919 % 10007:05d}" for i in range(ROWS)]), target="y"), "SHL254") is None


def test_scales_far_apart() -> None:
    assert finding(read(table(big=1e6 * RNG.normal(size=ROWS)), target="y"), "SHL257") is not None
    assert finding(read(table(big=30 * RNG.normal(size=ROWS)), target="y"), "SHL257") is None


def test_values_that_pile_up_at_an_end() -> None:
    said = finding(read(table(cut=np.minimum(RNG.normal(size=ROWS), 1.5)), target="y"), "SHL259")
    assert said is not None and said.evidence["columns"]["cut"]["value"] == 1.5
    healthy = [RNG.normal(size=ROWS), np.maximum(RNG.normal(size=ROWS), 0), RNG.integers(0, 100, ROWS)]
    for values in healthy:  # zeros are nothing of something; whole numbers repeat everywhere
        assert finding(read(table(fine=values), target="y"), "SHL259") is None


def test_a_target_that_is_cut_off(shared_data: Path) -> None:
    dataset = read(shared_data / "california_housing.csv.gz", target="median_house_value")
    said = finding(dataset, "SHL259")
    assert said is not None
    assert {name: each["value"] for name, each in said.evidence["columns"].items()} == {
        "housing_median_age": 52.0,
        "median_house_value": 500001.0,
    }


def test_an_order_of_time_that_nobody_named(shared_data: Path) -> None:
    said = finding(read(shared_data / "ETTh1.csv.gz", target="OT"), "SHL258")
    assert said is not None and said.evidence["step_s"] == 3600.0
    assert 'time="date"' in said.fix and "--time date" in said.fix
    assert finding(read(shared_data / "ETTh1.csv.gz", target="OT", time="date"), "SHL258") is None
    days = pl.datetime_range(pl.datetime(2020, 1, 1), pl.datetime(2023, 1, 1), "1d", eager=True)[:ROWS]
    assert finding(read(table(day=days), target="y"), "SHL258") is not None
    assert finding(read(table(day=days.shuffle(0)), target="y"), "SHL258") is None


def test_a_column_that_names_the_parts_of_a_split(shared_data: Path) -> None:
    assert finding(read(shared_data / "adult.csv.gz", target="income"), "SHL260") is not None
    assert finding(read(shared_data / "adult.csv.gz", target="income", drop="split"), "SHL260") is None
    assert finding(read(table(vehicle=["train", "bus", "car"] * 200), target="y"), "SHL260") is None


Y = np.arange(60) % 2


def test_clipped_signals() -> None:
    waves = np.sin(np.linspace(0, 12, 100)) * RNG.uniform(1, 2, (60, 1, 1)) + 0.01 * RNG.normal(size=(60, 1, 100))
    assert finding(read((waves, Y), kind="signal"), "SHL227") is None
    said = finding(read((np.minimum(waves, 0.8), Y), kind="signal"), "SHL227")
    assert said is not None and said.evidence["rows"] == 60
    padded = waves.copy()
    padded[:, :, 60:] = 0
    assert finding(read((np.abs(padded), Y), kind="signal"), "SHL227") is None  # padding is no wall


def test_rows_of_one_value_and_grey_in_colour() -> None:
    colour = RNG.integers(0, 255, (60, 9, 9, 3)).astype(np.uint8)
    assert {f.code for f in read((colour, Y)).findings} == set()
    colour[[7, 20]] = 255
    said = finding(read((colour, Y)), "SHL228")
    assert said is not None and said.evidence["first"] == [7, 20]
    assert finding(read((np.repeat(colour[..., :1], 3, axis=3), Y)), "SHL226") is not None
    late = np.repeat(RNG.integers(0, 255, (600, 9, 9, 1)), 3, axis=3).astype(np.uint8)
    late[599, 0, 0, 1] += 1  # one pixel of the last image
    assert finding(read((late, np.arange(600) % 2)), "SHL226") is None


def test_classes_of_a_folder_may_be_unequal(tmp_path: Path) -> None:
    from PIL import Image

    for label, number in (("common", 60), ("rare", 2)):
        (tmp_path / label).mkdir()
        for i in range(number):
            Image.fromarray(RNG.integers(0, 255, (6, 6)).astype(np.uint8)).save(tmp_path / label / f"{i}.png")
    said = finding(read(tmp_path), "SHL215")
    assert said is not None and said.evidence["rows"] == {"common": 60, "rare": 2}


def test_class_names_stand_in_the_sentence_on_unequal_classes(shared_data: Path) -> None:
    said = finding(read(shared_data / "mitbih_beats.npz"), "SHL215")
    assert said is not None and "'N'" in said.sentence and "'Q'" in said.sentence


def test_no_fix_speaks_of_the_command_line_alone(shared_data: Path) -> None:
    options = 0
    for file, target in (("ETTh1.csv.gz", "OT"), ("adult.csv.gz", "income"), ("mitbih_beats.npz", None)):
        for each in read(shared_data / file, target=target).findings:
            options += "--" in each.fix
            assert ("--" in each.fix) == ('="' in each.fix), each.fix
    assert options
