"""Each prediction says of which row it is, and has the type of the target."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import shoal
from shoal import api
from shoal.cli import predict as verb
from shoal.cli.predict import _as_csv, _formulas
from shoal.data import read, read_rows


class Terminal(io.StringIO):
    """Where an answer is read by people."""

    def isatty(self) -> bool:
        return True


N = 90
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a file whose identifiers have the names of our own columns, and begin as formulas do."""
    made = tmp_path_factory.mktemp("rows")
    x = RNG.normal(size=N)
    table = {"row": [f"@r{i:03}" for i in RNG.permutation(N)], "CustomerId": RNG.permutation(N) + 500, "x": x}
    table["label"] = np.where(x > 0, 7, 3)
    pl.DataFrame(table).write_csv(made / "train.csv")
    shoal.fit(made / "train.csv", target="label", out=str(made / "run"), budget="trials=4", epochs=4)
    return made


def test_predictions_carry_row_and_identifiers_and_equal_the_target(folder: Path) -> None:
    given = pl.read_csv(folder / "train.csv")
    found = api.predict(folder / "run", folder / "train.csv")
    assert found.columns[:4] == ["row", "data_row", "CustomerId", "prediction"]
    assert [row[0] for row in found.rows] == list(range(N))
    assert [row[1] for row in found.rows] == given["row"].to_list()
    assert [row[2] for row in found.rows] == given["CustomerId"].to_list()  # numbers, to be joined on
    right = np.mean([row[3] == label for row, label in zip(found.rows, given["label"], strict=True)])
    assert right == api.evaluate(folder / "run", folder / "train.csv")["score"] > 0.8
    answers = shoal.load(folder / "run").model.predict(given)
    assert answers.dtype == np.int64 and (answers == given["label"].to_numpy()).mean() == right
    assert {type(row[3]) for row in json.loads(json.dumps(found.rows))} == {int}
    without = api.predict(folder / "run", given.select("x"))
    assert without.columns[:2] == ["row", "prediction"]


def test_rows_without_a_true_answer_are_predicted_and_not_scored(folder: Path) -> None:
    given = pl.read_csv(folder / "train.csv")
    some = given.with_columns(label=pl.when(pl.int_range(N) < 60).then(pl.col("label")))
    scored, first = api.evaluate(folder / "run", some), api.evaluate(folder / "run", given.head(60))
    assert (scored["rows"], scored["score"]) == (60, first["score"])
    assert "30 rows of 90 without a true answer: not scored." in [each["sentence"] for each in scored["findings"]]
    assert len(api.predict(folder / "run", some).rows) == N


def test_text_from_the_data_is_quoted_and_stays_as_it_is() -> None:
    name = 'x"\xa0\t,\ny\rz'
    text = _as_csv(
        ["row", "na,me", "prediction", "probability_a"], [[0, name, "a\xa0", 0.123456789], [1, "a\rb", "", 1]]
    )
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["row", "na,me", "prediction", "probability_a"],
        ["0", name, "a\xa0", "0.123457"],
        ["1", "a\rb", "", "1"],
    ]


def test_text_from_the_data_steers_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(
        api, "predict", lambda *_: api.Prediction(["row", "a\x1b", "prediction"], [[0, "x\x1b[2J\ny", "n"]], ())
    )
    monkeypatch.setattr(verb, "reserved_stdout", lambda: nullcontext(terminal))
    verb.predict(run="run", data="rows.csv", out=None, model=None, json=False, debug=False)
    assert terminal.getvalue() == "row,a ,prediction\n0,x [2J y,n\n"


def pictures(folder: Path) -> Path:
    """Dark ones and light ones."""
    for label, low in (("dark", 0), ("light", 150)):
        (folder / label).mkdir(parents=True)
        for i in range(24):
            pixels = RNG.integers(low, low + 100, (8, 8)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"img{i}.png")
    return folder


def test_texts_that_begin_like_formulas_stay_as_they_are_and_are_said(folder: Path) -> None:
    program = [sys.executable, "-c", "from shoal.cli import main; main()"]
    told = {"capture_output": True, "text": True, "timeout": 110}
    run = subprocess.run([*program, "predict", folder / "run", folder / "train.csv"], check=True, **told)
    rows = list(csv.DictReader(io.StringIO(run.stdout)))
    assert [row["data_row"] for row in rows] == pl.read_csv(folder / "train.csv")["row"].to_list()
    assert f"{N} texts begin like a formula, such as '@r" in run.stderr
    found = _formulas(["=row", "prediction"], [[0, "=1+1"], [1, "-cmd"], [2, "-5"], [3, "1e5"], [4, -7.5], [5, "a=b"]])
    assert found == ["=row", "=1+1", "-cmd"]


def test_images_are_known_by_their_files_below_the_folder(tmp_path: Path) -> None:
    schema = read(pictures(tmp_path / "train")).schema
    found = read_rows(tmp_path / "train", schema)
    assert found.files is not None and found.truth is not None
    assert len(set(found.files)) == 48 and found.files[0] == "dark/img0.png"
    assert [name.startswith("light/") for name in found.files] == [code == 1 for code in found.truth]
    assert sorted(read_rows(tmp_path / "train" / "light", schema).files or ()) == sorted(
        f"img{i}.png" for i in range(24)
    )
    assert read_rows(tmp_path / "train" / "light" / "img3.png", schema).files == ("img3.png",)


@pytest.mark.slow
def test_a_prediction_of_an_image_names_its_file(tmp_path: Path) -> None:
    pictures(tmp_path / "train")
    run = shoal.fit(tmp_path / "train", out=str(tmp_path / "run"), budget="trials=2", epochs=1, augment="none")
    found = api.predict(run.folder.path, tmp_path / "train")
    assert found.columns[:2] == ["file", "prediction"]
    names = [row[0] for row in found.rows]
    assert names[0] == "dark/img0.png" and len(set(names)) == 48
    alone = api.predict(run.folder.path, tmp_path / "train" / "light" / "img3.png")
    assert [row[0] for row in alone.rows] == ["img3.png"]
    assert alone.rows[0][1:] == pytest.approx(found.rows[names.index("light/img3.png")][1:], abs=1e-5)
