"""`shoal data preview`: the picture, the document, and what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shoal.cli import run
from shoal.report.augmentation_grid import grid
from shoal.studies.augmented_samples import Cell, preview


def test_the_picture_and_its_document(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "grid.png"
    line = ["data", "preview", "digits", "--augment", "rotate=20,mixup", "--samples", "5", "--draws", "3", "--json"]
    assert run([*line, "--out", str(out)]) == 0
    document = json.loads(capfd.readouterr().out)
    assert document["labels"] == ["0", "1", "2", "3", "4"] and len(document["rows"]) == 5
    assert document["augment"]["rotate"] == 20 and document["out"] == str(out) and document["judged"] == []
    with Image.open(out) as image:
        assert image.format == "PNG" and image.width > 4 * 100 and image.height > 5 * 100


def test_the_first_column_is_the_data_and_the_others_are_drawn() -> None:
    found = preview("digits", "vflip=1", samples=3, draws=2)
    from sklearn.datasets import load_digits

    raw = load_digits().images
    for row, cells in zip(found.rows, found.cells, strict=True):
        np.testing.assert_allclose(cells[0].values[0], raw[row] / 16, atol=1e-6)
        for drawn in cells[1:]:
            np.testing.assert_allclose(drawn.values[0], raw[row][::-1] / 16, atol=1e-6)


def test_black_stays_black_around_a_turned_picture() -> None:
    found = preview("digits", "scale=0.4:0.5", samples=4, draws=2)
    for cells in found.cells:
        for drawn in cells[1:]:
            assert np.abs(drawn.values[0][:2]).max() < 1e-5


def test_mixed_labels_are_named() -> None:
    found = preview("digits", "mixup=1", samples=6, draws=1)
    captions = [cells[1].caption for cells in found.cells]
    assert any(" + " in caption for caption in captions)


def test_two_previews_are_the_same_picture() -> None:
    one, other = (preview("digits", "photo,saturation=0", samples=3, draws=2, seed=4) for _ in range(2))
    assert grid(one.cells, one.labels, one.title) == grid(other.cells, other.labels, other.title)
    third = preview("digits", "photo,saturation=0", samples=3, draws=2, seed=5)
    assert grid(third.cells, one.labels, one.title) != grid(one.cells, one.labels, one.title)


def test_the_grid_shows_the_values() -> None:
    white, black = Cell(np.ones((1, 8, 8))), Cell(np.zeros((1, 8, 8)))
    pixels = np.asarray(Image.open(io.BytesIO(grid([[white, black]], ["a"], "title"))))
    column = pixels[100, :, 0]
    assert (column == 255).sum() > 100 and (column == 0).sum() > 100


@pytest.mark.parametrize("shape", [(2, 40), (1, 6, 8, 8), (3, 8, 8)])
def test_every_kind_is_drawn(shape: tuple[int, ...]) -> None:
    cell = Cell(np.random.default_rng(0).uniform(size=shape))
    assert Image.open(io.BytesIO(grid([[cell, cell]], ["a"], "title"))).width > 200


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["digits", "--augment", "rotat"], "there is no operation `rotat`; did you mean `rotate`"),
        (["digits", "--augment", "hue"], "hue needs the 3 channels of a colour image; these have 1"),
        (["digits", "--augment", "rotate=999"], "rotate=999: it must be less than or equal to 180"),
        (["iris", "--augment", "rotate"], "is a table: there are no pictures to augment"),
        (["digits", "--samples", "0"], "--samples 0: give a number from 1 to 40"),
        (["digits", "--out", "grid.jpg"], "the picture is a PNG; give a name that ends with .png"),
        (["digits", "--out", "nowhere/grid.png"], "nowhere"),
    ],
)
def test_bad_input_is_one_sentence(line: list[str], sentence: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "preview", *line]) == 2
    said = capfd.readouterr().err
    assert sentence in said and "Traceback" not in said and len(said.strip().splitlines()) == 1
