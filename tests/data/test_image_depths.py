"""One depth and one range for all images of a folder, in training and for new files; frames, order and hidden files."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shoal import prepare
from shoal.core.errors import InputError
from shoal.data import ArrayFeatures, read, read_rows
from shoal.data.samples import describe
from shoal.prepare.pixels import pixels


def write(path: Path, value: Any, dtype: Any = np.uint8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((6, 8), value, dtype)).save(path)
    return path


def folder(root: Path, values: list[Any], dtype: Any, ending: str) -> Path:
    for row, value in enumerate(values):
        write(root / "ab"[row % 2] / f"{row}{ending}", value, dtype)
    return root


def seen(dataset: Any) -> NDArray[np.generic]:
    assert isinstance(dataset.features, ArrayFeatures)
    return dataset.features.array


@pytest.mark.parametrize(
    ("values", "dtype", "ending", "white"),
    [
        ([0, 65535, 200, 300], np.uint16, ".png", 65535.0),  # the dark one was made bright
        ([0, 4095, 16, 17], np.uint16, ".tif", 4095.0),  # twelve bits kept 16 levels of grey
        ([0.0, 1.0, 0.25, 0.5], np.float32, ".tif", 1.0),  # became black
        ([-3.0, 700.0, 0.5, 2.0], np.float32, ".tif", 700.0),
        ([0, 255, 3, 4], np.uint8, ".png", 255.0),
    ],
)
def test_values_are_kept_as_the_files_hold_them(
    values: list[Any], dtype: Any, ending: str, white: float, tmp_path: Path
) -> None:
    dataset = read(folder(tmp_path, values, dtype, ending))
    assert seen(dataset)[:, 0, 0].tolist() == [values[0], values[2], values[1], values[3]]
    assert (seen(dataset).dtype, dataset.schema.ends) == (dtype, (min(0.0, values[0]), white))
    assert np.array_equal(seen(read_rows(tmp_path, dataset.schema)), seen(dataset))


def test_bytes_among_deeper_images_are_mapped_onto_their_range_and_said(tmp_path: Path) -> None:
    folder(tmp_path / "set", [0, 4095, 100, 200], np.uint16, ".png")
    write(tmp_path / "set/a/9.png", 255)
    dataset = read(tmp_path / "set")
    assert seen(dataset)[:, 0, 0].tolist() == [0, 100, 4095, 4095, 200]
    (said,) = (finding for finding in dataset.findings if finding.code == "SHL230")
    assert "(4 uint16, 1 uint8): all are kept as uint16, and 0 to 255 was mapped onto 0 to 4095" in said.sentence
    alone = read_rows(write(tmp_path / "new.png", 51), dataset.schema)
    assert seen(alone)[0, 0, 0] == 819
    assert [finding.code for finding in alone.warnings] == ["SHL230"]


def written(root: Path, images: NDArray[np.generic], white: float) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for row, image in enumerate(images):
        Image.fromarray(np.rint(image * (255 / white)).astype(np.uint8)).save(root / f"{row}.png")
    return root


def test_digits_as_files_are_the_digits_of_the_array(tmp_path: Path) -> None:
    dataset = read("digits")
    assert dataset.schema.ends == (0.0, 16.0)
    images = seen(dataset)[:20].reshape(20, 8, 8)
    rows = read_rows(written(tmp_path, images, 16), dataset.schema)
    assert np.abs(seen(rows).reshape(20, 8, 8) - images).max() <= 16 / 255 / 2 + 1e-6
    (said,) = rows.warnings
    assert said.code == "SHL230" and "black and white of the training set are 0 and 16" in said.sentence


@pytest.mark.parametrize(
    ("dtype", "top", "white", "depth"),
    [
        (np.uint8, 250, 255, "uint8"),
        (np.uint8, 16, 16, "float32"),
        (np.bool_, 1, 1, "float32"),
        (np.uint16, 4000, 4095, "uint16"),
        (np.int64, 250, 255, "float32"),
        (np.float64, 0.98, 1, "float32"),
        (np.float32, 254.5, 255, "float32"),
        (np.float64, 15, 15, "float32"),
    ],
)
def test_files_take_the_scale_of_an_array(dtype: Any, top: float, white: float, depth: str, tmp_path: Path) -> None:
    images = np.zeros((8, 9, 10), dtype)
    images[::2, 2:7, 3:8], images[1::2, 1:3] = top, top
    schema = read((images, np.arange(8) % 2), kind="image").schema
    assert (schema.ends, schema.image_depth) == ((0.0, float(white)), depth)
    rows = read_rows(written(tmp_path, images, white), schema)
    assert np.allclose(seen(rows), images, atol=white / 510 + 1e-6)
    assert [finding.code for finding in rows.warnings] == ([] if depth == "uint8" else ["SHL230"])


@pytest.mark.parametrize("scale", [(-1.0, 2.0), (0.0, 0.1), (0.0, 3.7)])
def test_files_for_an_array_on_a_scale_unknown_are_refused(scale: tuple[float, float], tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(*scale, (8, 9, 10))
    schema = read((images, np.arange(8) % 2), kind="image").schema
    with pytest.raises(InputError, match=r"do not say what is black and white.* give an array"):
        read_rows(write(tmp_path / "new.png", 9), schema)


def test_files_of_floats_for_an_array_are_taken_as_they_are_within_its_ends(tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(0, 1, (8, 6, 8)).astype(np.float32)
    schema = read((images, np.arange(8) % 2), kind="image").schema
    rows = read_rows(write(tmp_path / "new.tif", 0.5, np.float32), schema)
    assert (seen(rows) == 0.5).all() and "taken as they are" in rows.warnings[0].sentence
    with pytest.raises(InputError, match=r"from 200 to 200; black and white .* are 0 and 1;"):
        read_rows(write(tmp_path / "new.tif", 200.0, np.float32), schema)


def test_nan_and_floats_among_whole_numbers_are_refused_by_name(tmp_path: Path) -> None:
    folder(tmp_path / "nan", [0.0, 1.0, np.nan, 0.5], np.float32, ".tif")
    with pytest.raises(InputError, match=r"2\.tif: 48 of 48 pixels are NaN"):
        read(tmp_path / "nan")
    folder(tmp_path / "mixed", [0, 1, 2, 3], np.uint8, ".png")
    write(tmp_path / "mixed/b/9.tif", 0.5, np.float32)
    with pytest.raises(InputError, match=r"9\.tif holds floating-point .* no range in common"):
        read(tmp_path / "mixed")


def test_further_frames_are_said_and_colour_for_a_grey_model(tmp_path: Path) -> None:
    folder(tmp_path / "set", [10, 20, 30, 40], np.uint8, ".gif")
    frames = [Image.new("L", (8, 6), value) for value in (50, 60)]
    for ending in ("tif", "gif"):
        frames[0].save(tmp_path / f"set/a/9.{ending}", save_all=True, append_images=frames[1:])
    dataset = read(tmp_path / "set")
    assert seen(dataset)[2:4, 0, 0].tolist() == [50, 50]
    (said,) = (finding for finding in dataset.findings if finding.code == "SHL237")
    assert said.evidence == {"files": 2}
    Image.new("RGB", (8, 6), (9, 9, 9)).save(tmp_path / "new.png")
    assert "in colour" in read_rows(tmp_path / "new.png", dataset.schema).warnings[0].sentence


def test_natural_order_hidden_files_wrappers_and_loose_test_images(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for label in ("none", "NA"):
        for row in (10, 2, 1):
            write(root / f"inner/train/{label}/img{row}.png", row)
    for name in ("@eaDir/x.png", "__MACOSX/y.png", ".ipynb_checkpoints/z.png"):
        write(root / name, 99)
        write(root / "inner/train/none" / name, 99)
    write(root / "inner/train/none/._img1.png", 99)
    write(root / "inner/test/1.png", 99)
    (root / "inner/train/loop").symlink_to(root / "inner")
    dataset = read(root)
    assert dataset.classes == ("NA", "none")
    assert seen(dataset)[:, 0, 0].tolist() == [1, 2, 10] * 2
    said = {finding.code: finding for finding in dataset.findings}
    assert "inner" in said["SHL235"].sentence and "1 image without class folders" in said["SHL234"].sentence
    assert "shoal predict" in said["SHL234"].fix
    assert said["SHL238"].evidence["hidden"] == 4  # all within train
    rows = read_rows(root, dataset.schema)  # the test part, which has no answers
    assert (seen(rows)[:, 0, 0].tolist(), rows.truth, rows.warnings[0].code) == ([99], None, "SHL245")


def test_folders_beside_the_parts_do_not_make_classes_of_them(tmp_path: Path) -> None:
    for part in ("train", "test"):
        folder(tmp_path / part, [1, 2, 3, 4], np.uint8, ".png")
    (tmp_path / "docs").mkdir()
    dataset = read(tmp_path)
    assert dataset.classes == ("a", "b") and np.bincount(dataset.given_split).tolist() == [4, 0, 4]
    (said,) = (finding for finding in dataset.findings if finding.code == "SHL238")
    assert said.evidence["folders"] == ["docs"]


def test_a_dark_picture_is_shown_dark(tmp_path: Path) -> None:
    dataset = read(folder(tmp_path, [0, 65535, 6554, 300], np.uint16, ".png"))
    uri = str(describe(dataset, 1)["image"])
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
    assert shown[0, 0] == 25


def test_augmentation_takes_black_and_white_from_the_bits_of_the_training_rows(tmp_path: Path) -> None:
    dataset = read(folder(tmp_path, [0, 65535, 6554, 300], np.uint16, ".png"))
    dark = np.asarray([0, 1])  # rows of 0 and 6554 alone
    fitted = prepare.fit(dataset, dark)
    assert pixels(fitted, dataset, dark).mean == pytest.approx((3277 / 16383,))


def said(found: Any, words: str) -> bool:
    return any(each.code == "SHL230" and words in each.sentence for each in found)


@pytest.mark.parametrize(
    ("trained", "dtype", "new", "words"),
    [
        ([0, 255, 3, 4], np.uint8, 4000, "is 4000, as if of 12 bits, and white is 65535: it comes out dark"),
        ([0, 65535, 3, 4], np.uint16, 4000, "is 4000, as if of 12 bits, and white is 65535: it comes out dark"),
        ([0, 65535, 3, 4], np.uint16, 800, "as if of 10 bits"),
        ([0, 4095, 3, 4], np.uint16, 60000, "is 60000, above it, and white is 4095: it comes out brighter"),
        ([0, 255, 3, 4], np.uint8, 60000, ""),
        ([0, 65535, 3, 4], np.uint16, 40000, ""),
        ([0, 4095, 3, 4], np.uint16, 3000, ""),
    ],
)
def test_files_of_another_number_of_bits_are_said(
    trained: list[int], dtype: Any, new: int, words: str, tmp_path: Path
) -> None:
    schema = read(folder(tmp_path / "set", trained, dtype, ".png")).schema
    rows = read_rows(write(tmp_path / "new.png", new, np.uint16), schema)
    assert said(rows.warnings, "The brightest pixel") == bool(words) and said(rows.warnings, words) == bool(
        rows.warnings
    )


def test_whole_numbers_that_floats_round_are_said(tmp_path: Path) -> None:
    exact = folder(tmp_path / "exact", [0, 2**24, 2**24 + 2, 9], np.int32, ".tif")
    assert not said(read(exact).findings, "rounds")
    rounded = folder(tmp_path / "rounded", [0, 2**24 + 1, 2**27 + 9, 9], np.int32, ".tif")
    dataset = read(rounded)
    assert said(
        dataset.findings, "2 images of 4 hold whole numbers above 16777216, which float32 rounds: by 7 at most."
    )
    assert said(read_rows(rounded / "b/1.tif", dataset.schema).warnings, "1 image of 1 hold")


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["test"], ["test/0.png", "test/1.png"]),
        (["val"], ["val/0.png", "val/1.png"]),
        (["train"], ["train/0.png", "train/1.png"]),
        (["val", "test"], ["test/0.png", "test/1.png"]),
        (["test/a", "test/b"], ["test/a/0.png", "test/a/1.png", "test/b/0.png", "test/b/1.png"]),
        (["inner/test"], ["inner/test/0.png", "inner/test/1.png"]),
    ],
)
def test_a_folder_to_predict_needs_no_training_part(folders: list[str], expected: list[str], tmp_path: Path) -> None:
    dataset = read(folder(tmp_path / "set", [0, 10, 200, 255], np.uint8, ".png"))
    for name in folders:
        for row in range(2):
            write(tmp_path / "new" / name / f"{row}.png", 40 * row + 5)
    rows = read_rows(tmp_path / "new", dataset.schema)
    assert list(rows.files or ()) == expected
    assert seen(rows)[:, 0, 0].tolist() == [5, 45] * (len(expected) // 2)
    assert (rows.truth is None) == ("test/a" not in folders)
    assert [each.code for each in rows.warnings] == (["SHL238"] if "val" in folders and "test" in folders else [])
    with pytest.raises(InputError):
        read(tmp_path / "new")  # to learn from, there is no training part


def test_a_part_without_images_is_named(tmp_path: Path) -> None:
    schema = read(folder(tmp_path / "set", [0, 10, 200, 255], np.uint8, ".png")).schema
    (tmp_path / "new/test").mkdir(parents=True)
    with pytest.raises(InputError, match="test holds no images"):
        read_rows(tmp_path / "new", schema)
