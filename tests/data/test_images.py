"""Image folders: layouts, modes, sizes, and files that are no images."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from shoal.core.errors import InputError
from shoal.data import ArrayFeatures, Dataset, images, read, read_rows

RNG = np.random.default_rng(0)


def picture(
    path: Path, value: int | tuple[int, ...] | None = None, mode: str = "L", size: tuple[int, int] = (8, 6)
) -> Path:
    """One image of a colour, or of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if value is None:
        Image.fromarray(RNG.integers(0, 255, size[::-1]).astype(np.uint8)).save(path)
    else:
        Image.new(mode, size, value).save(path)
    return path


def folder(
    root: Path, parts: tuple[str, ...] = ("",), classes: tuple[str, ...] = ("cat", "dog"), rows: int = 3
) -> Path:
    for part in parts:
        for label in classes:
            for row in range(rows):
                picture(root / part / label / f"{row}.png")
    return root


def pixels(dataset: Dataset) -> np.ndarray:
    assert isinstance(dataset.features, ArrayFeatures)
    return dataset.features.array


def codes(dataset: Dataset) -> list[str]:
    return [finding.code for finding in dataset.findings]


def test_class_folders(tmp_path: Path) -> None:
    dataset = read(folder(tmp_path / "pets"))
    assert (dataset.name, dataset.kind, dataset.classes) == ("pets", "image", ("cat", "dog"))
    assert dataset.target.tolist() == [0, 0, 0, 1, 1, 1]
    assert pixels(dataset).shape == (6, 6, 8)
    assert dataset.given_split is None
    expected = np.asarray(Image.open(tmp_path / "pets/dog/1.png"))
    assert np.array_equal(pixels(dataset)[4], expected)


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
def test_given_parts(tmp_path: Path, validation: str) -> None:
    dataset = read(folder(tmp_path, ("train", validation, "test")))
    assert np.bincount(dataset.given_split).tolist() == [6, 6, 6]


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    assert read(folder(tmp_path, classes=("bus", "train"))).classes == ("bus", "train")


def test_colour_grey_palette_and_transparency(tmp_path: Path) -> None:
    picture(tmp_path / "a/0.png", (255, 0, 0), "RGB")
    picture(tmp_path / "a/1.png", 7, "L")
    picture(tmp_path / "b/0.png", (0, 255, 0, 0), "RGBA")  # nothing of it is seen
    palette = Image.new("P", (8, 6), 1)
    palette.putpalette([0, 0, 0, 0, 0, 255])
    palette.save(tmp_path / "b/1.png")
    dataset = read(tmp_path)
    assert pixels(dataset).shape == (4, 6, 8, 3)
    assert pixels(dataset)[:, 0, 0].tolist() == [[255, 0, 0], [7, 7, 7], [255, 255, 255], [0, 0, 255]]
    assert "SHL222" in codes(dataset)


def test_sixteen_bits_keep_their_range(tmp_path: Path) -> None:
    for row, (label, value) in enumerate([("a", 0), ("a", 65535), ("b", 32768), ("b", 65535)]):
        path = tmp_path / label / f"{row}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((6, 8), value, dtype=np.uint16)).save(path)
    dataset = read(tmp_path)
    assert pixels(dataset)[:, 0, 0].tolist() == [0, 65535, 32768, 65535]
    assert (dataset.schema.image_depth, dataset.schema.ends) == ("uint16", (0.0, 65535.0))


def test_mixed_sizes_take_the_commonest(tmp_path: Path) -> None:
    folder(tmp_path)
    picture(tmp_path / "cat/9.png", 200, size=(40, 30))
    dataset = read(tmp_path)
    assert pixels(dataset).shape == (7, 6, 8)
    assert (pixels(dataset)[3] == 200).all()
    assert "SHL221" in codes(dataset)


def test_the_first_image_does_not_decide(tmp_path: Path) -> None:
    folder(tmp_path)
    picture(tmp_path / "cat/.keep/skip.png", 1)
    picture(tmp_path / "cat/00.png", (9, 8, 7), "RGB", (20, 20))
    dataset = read(tmp_path)
    assert pixels(dataset).shape == (7, 6, 8, 3)
    assert pixels(dataset)[1, 2, 3].tolist() == [9, 8, 7]  # 0.png before 00.png
    grey = np.asarray(Image.open(tmp_path / "dog/2.png"))
    assert np.array_equal(pixels(dataset)[-1], np.repeat(grey[:, :, None], 3, axis=2))


def test_large_images_are_reduced_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LARGEST_SIDE", 4)
    dataset = read(folder(tmp_path))
    assert pixels(dataset).shape == (6, 3, 4)
    assert "SHL225" in codes(dataset)


def test_a_turned_photograph_stands_upright(tmp_path: Path) -> None:
    folder(tmp_path)
    image = Image.new("L", (6, 8), 0)
    image.paste(255, (0, 0, 6, 2))  # a light upper edge as stored
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    image.save(tmp_path / "cat/9.jpg", exif=exif, quality=95)
    upright = pixels(read(tmp_path))[3]
    assert upright.shape == (6, 8)
    assert upright[:, -1].min() > 200 and upright[:, 0].max() < 50


def test_other_files_are_ignored_and_counted(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "cat/notes.txt").write_text("x")
    (tmp_path / "README.md").write_text("x")
    picture(tmp_path / "9.png")
    picture(tmp_path / "cat/._0.png")
    picture(tmp_path / ".trash/0.png")
    said = {finding.code: finding for finding in read(tmp_path).findings}
    assert said["SHL223"].evidence["files"] == 2
    assert said["SHL238"].evidence == {"images": 1, "hidden": 2, "folders": []}


def test_nested_folders_and_classes_written_in_two_ways_are_said(tmp_path: Path) -> None:
    folder(tmp_path, classes=("cat", "Cat", "dog"))
    picture(tmp_path / "dog/small/0.png")
    dataset = read(tmp_path)
    assert dataset.classes == ("Cat", "cat", "dog") and dataset.target.tolist().count(2) == 4
    said = {finding.code: finding for finding in dataset.findings}
    assert said["SHL239"].evidence == {"images": 1}
    assert said["SHL240"].evidence == {"classes": ["Cat", "cat"]}
    assert {"SHL239", "SHL240"}.isdisjoint(codes(read(folder(tmp_path / "plain"))))


def test_of_a_folder_with_parts_the_test_part_is_predicted_and_said(tmp_path: Path) -> None:
    folder(tmp_path, ("train", "val", "test"))
    dataset = read(tmp_path)
    rows = read_rows(tmp_path, dataset.schema)
    assert np.array_equal(rows.features.array, pixels(dataset)[dataset.given_split == 2])
    assert rows.truth.tolist() == [0, 0, 0, 1, 1, 1] and rows.files[0] == "test/cat/0.png"
    assert [finding.code for finding in rows.warnings] == ["SHL245"]
    assert "6 images of 18" in rows.warnings[0].sentence


def refused(source: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read(source)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty folder")
    (tmp_path / "bare/cat").mkdir(parents=True)
    (tmp_path / "bare/dog").mkdir()
    refused(tmp_path / "bare", "none of them holds images")
    (folder(tmp_path / "half") / "eel").mkdir()
    refused(tmp_path / "half", str(tmp_path / "half/eel"), "without images")
    refused(folder(tmp_path / "one", classes=("cat",)), "one class only", "'cat'")
    picture(tmp_path / "loose/0.png")
    refused(tmp_path / "loose", "no class folders")
    refused(folder(tmp_path / "parts", ("test", "val")), "no train folder")
    folder(tmp_path / "gap", ("train", "test"))
    folder(tmp_path / "gap", ("test",), ("eel",))
    refused(tmp_path / "gap", "eel", "training part")
    picture(folder(tmp_path / "single") / "eel/0.png")
    refused(tmp_path / "single", "eel", "single image")


def bomb(path: Path, side: int) -> None:
    """A PNG whose header declares a huge square of which no pixel is there."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
def test_bombs_are_refused_by_their_header(tmp_path: Path, side: int) -> None:
    bomb(folder(tmp_path) / "cat/7.png", side)
    refused(tmp_path, str(tmp_path / "cat/7.png"), "pixels")


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    folder(tmp_path)
    whole = (tmp_path / "dog/1.png").read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2], whole[:20] + bytes(30)):
        (tmp_path / "dog/1.png").write_bytes(content)
        refused(tmp_path, str(tmp_path / "dog/1.png"), "mend or delete")


def test_formats_that_run_programs_are_not_opened(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "dog/1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 6\nshowpage\n")
    refused(tmp_path, "dog/1.png")
    Image.new("L", (8, 6)).save(tmp_path / "dog/1.png", format="PCX")  # harmless, and not on the list
    refused(tmp_path, "dog/1.png")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["png", "jpg", "gif", "bmp", "tif", "webp"]),
    st.integers(0, 400),
    st.binary(min_size=1, max_size=12),
)
def test_damage_anywhere_gives_pixels_or_a_clear_error(tmp_path: Path, ending: str, where: int, bits: bytes) -> None:
    path = picture(tmp_path / f"x.{ending}", 90)
    content = bytearray(path.read_bytes())
    place = where % len(content)
    content[place : place + len(bits)] = bits
    path.write_bytes(bytes(content))
    try:
        assert images.decode([path], "L", (8, 6))[0].shape == (1, 6, 8)
    except InputError as error:
        assert str(path) in str(error)


def test_new_images_for_a_trained_model(tmp_path: Path) -> None:
    dataset = read(folder(tmp_path / "pets"))
    scored = read_rows(tmp_path / "pets", dataset.schema)
    assert scored.truth.tolist() == dataset.target.tolist()
    alone = read_rows(picture(tmp_path / "new.png", (3, 3, 3), "RGB", (16, 12)), dataset.schema)
    assert (alone.features.array == 3).all() and alone.features.array.shape == (1, 6, 8)
    assert alone.truth is None
    loose = read_rows(tmp_path / "pets/dog", dataset.schema)
    assert np.array_equal(loose.features.array, pixels(dataset)[3:])
    folder(tmp_path / "more", classes=("dog", "eel"))
    unknown = read_rows(tmp_path / "more", dataset.schema)
    assert unknown.truth is None and "eel" in unknown.warnings[0].sentence


def test_names_that_are_not_utf8_are_refused_of_classes_and_shown_of_files(tmp_path: Path) -> None:
    odd = os.fsdecode(b"d\xffg")
    with pytest.raises(InputError, match=r"dir/d\\xffg' cannot be used: the name is not UTF-8; rename it"):
        read(folder(tmp_path / "dir", classes=("cat", odd)))
    with pytest.raises(InputError, match=r"d\\xffg' cannot be used"):  # the folder that holds everything
        read(folder(tmp_path / "wrapped" / odd).parent)
    whole = folder(tmp_path / "files")
    (whole / "dog/0.png").rename(whole / "dog" / f"{odd}.png")
    picture(whole / "dog" / odd / "nested.png")
    found = read(whole)
    assert found.classes == ("cat", "dog") and found.rows == 7
    rows = read_rows(whole, found.schema)
    assert rows.files is not None and {"dog/d\\xffg.png", "dog/d\\xffg/nested.png"} < {*rows.files}
    for text in (*rows.files, *(each.model_dump_json() for each in (*found.findings, *rows.warnings))):
        assert text.encode()
