"""Which axis of an array holds the channels: guessed and said, or given; and kept for new rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from shoal.core.errors import InputError
from shoal.data import ArrayFeatures, Dataset, read, read_rows
from shoal.data.codes import LAYOUT

Y = np.arange(60) % 3


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(60, *shape)).astype(np.float32)


def waves(channels: int, length: int) -> NDArray[np.float64]:
    """Signals [60, C, L] whose channels have nothing to do with each other."""
    rng = np.random.default_rng(1)
    phase, pitch = rng.uniform(0, 6, (60, channels, 1)), rng.uniform(0.05, 0.15, (60, channels, 1))
    return np.sin(phase + pitch * np.arange(length))


def array(dataset: Any) -> NDArray[np.generic]:
    assert isinstance(dataset.features, ArrayFeatures)
    return dataset.features.array


def said(dataset: Dataset) -> str:
    (finding,) = (finding for finding in dataset.findings if finding.code == LAYOUT)
    return f"{finding.sentence} {finding.fix}"


def test_the_few_are_the_channels_of_signals(tmp_path: Path) -> None:
    x = noise(64, 6)
    np.savez(tmp_path / "a.npz", X=x, y=Y)
    dataset = read(tmp_path / "a.npz")
    assert (dataset.kind, dataset.columns, dataset.schema.axes) == ("signal", 6, "NLC")
    assert np.array_equal(array(dataset), x.transpose(0, 2, 1))
    assert "read as signals [N, L, C]: 6 channels of 64 values." in said(dataset)
    assert 'axes="NCL", or --axes NCL' in said(dataset)
    assert np.array_equal(array(read((x.transpose(0, 2, 1), Y))), x.transpose(0, 2, 1))


@pytest.mark.parametrize("kind", [None, "signal"])
def test_smoothness_tells_time_from_channels_where_sizes_do_not(kind: Any) -> None:
    for x in (waves(20, 30), waves(30, 20)):
        for axes, given in (("NCL", x), ("NLC", x.transpose(0, 2, 1))):
            dataset = read((given, Y), kind=kind)
            assert (dataset.kind, dataset.schema.axes) == ("signal", axes)
            assert np.array_equal(array(dataset), x)


@pytest.mark.parametrize(
    ("shape", "axes", "stored", "channels"),
    [
        ((2, 16, 16), "NCHW", (16, 16, 2), 2),
        ((5, 16, 18), "NCHW", (16, 18, 5), 5),
        ((4, 9, 9), "NCHW", (9, 9, 4), 4),
        ((32, 32, 13), "NHWC", (32, 32, 13), 13),
        ((16, 16, 2), "NHWC", (16, 16, 2), 2),
        ((16, 20, 3), "NHWC", (16, 20, 3), 3),
        ((9, 9, 9), "NDHW", (9, 9, 9), 1),
        ((10, 11, 12), "NDHW", (10, 11, 12), 1),
        ((2, 8, 9, 10), "NCDHW", (8, 9, 10, 2), 2),
        ((8, 9, 10, 3), "NDHWC", (8, 9, 10, 3), 3),
        ((1, 6, 7, 8), "NCDHW", (6, 7, 8), 1),
    ],
)
def test_images_of_any_number_of_channels_are_no_volumes(
    shape: tuple[int, ...], axes: str, stored: tuple[int, ...], channels: int
) -> None:
    x = noise(*shape)
    dataset = read((x, Y))
    assert (dataset.schema.axes, dataset.schema.shape, dataset.columns) == (axes, stored, channels)
    order = [axes.index(letter) for letter in ("NHWC" if len(axes) == 4 else "NDHWC") if letter in axes]
    right = x if axes == "NDHW" else x.transpose(order)
    assert np.array_equal(array(dataset), right.reshape(60, *stored))


def test_a_stack_of_slices_that_follow_each_other_is_a_volume() -> None:
    depth = np.sin(noise(1, 16, 16) * 3 + 0.4 * np.arange(6)[:, None, None])
    steps = np.cumsum(np.cumsum(depth, axis=2), axis=3)
    assert read((steps, Y)).kind == "volume"
    assert read((steps[:, np.random.default_rng(0).permutation(6)], Y), kind="image").columns == 6


def test_axes_decide_without_a_guess() -> None:
    x = noise(64, 6)
    for axes, stored in (("NCL", (64, 6)), ("NLC", (6, 64)), ("NHW", (64, 6))):
        dataset = read((x, Y), axes=axes)
        assert (dataset.schema.shape, dataset.schema.axes) == (stored, axes)
        assert not [finding for finding in dataset.findings if finding.code == LAYOUT]
    assert read((noise(5, 6, 7), Y), axes="nchw").schema.shape == (6, 7, 5)
    assert read((noise(40), Y), axes="NL").kind == "signal"
    assert read((waves(1, 64)[:, 0], Y), axes="ND").kind == "table"


def test_axes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the axes NLC are 3 and the array has 2, of shape \[60, 20\]"):
        read((noise(20), Y), axes="NLC")
    with pytest.raises(InputError, match=r"\[60, 5, 6, 7\] holds the channels cannot be told; .* --axes NCHW"):
        read((noise(5, 6, 7), Y), kind="image")
    with pytest.raises(InputError, match=r"\[60, 5, 6, 7, 8\] holds the channels cannot be told; .* --axes NCDHW"):
        read((noise(5, 6, 7, 8), Y))
    with pytest.raises(InputError, match="no signal data"):
        read((noise(5, 6, 7), Y), kind="signal")
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match="axes"):
        read(tmp_path, axes="NHW")


def test_tensors_have_channels_first_where_sizes_leave_it_open() -> None:
    x = noise(5, 6, 7)
    assert read((x, Y)).kind == "volume"
    assert read((torch.from_numpy(x), torch.from_numpy(Y))).schema.axes == "NCHW"
    items = [(torch.from_numpy(x[row]), int(Y[row])) for row in range(60)]

    class Pairs(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return len(items)

        def __getitem__(self, row: int) -> Any:
            return items[row]

    assert read(Pairs()).schema.axes == "NCHW"
    assert read((torch.from_numpy(noise(64, 6)), torch.from_numpy(Y))).schema.axes == "NLC"  # sizes speak first


def test_new_rows_have_the_axes_of_training() -> None:
    x = noise(64, 6)
    schema = read((x, Y)).schema
    right = x.transpose(0, 2, 1)
    for rows in (x[:5], x[:1]):
        assert np.array_equal(array(read_rows(rows, schema)), right[: len(rows)])
    assert np.array_equal(array(read_rows(x[0], schema)), right[:1])
    other = read_rows(right[:5], schema)
    assert np.array_equal(array(other), right[:5])
    (warning,) = other.warnings
    assert (
        warning.code == LAYOUT and "read as [N, C, L]; the model was trained on [N, L, C], [64, 6]" in warning.sentence
    )
    with pytest.raises(InputError, match=r"\[60, 6\]; the model was trained on \[64, 6\]"):
        read_rows(x[:, :60], schema)


@pytest.mark.parametrize("axes", ["NCHW", "NHWC"])
def test_equal_sides_are_read_as_in_training(axes: str) -> None:
    x = noise(8, 8, 8)
    schema = read((x, Y), axes=axes).schema
    rows = read_rows(x[:4], schema)
    assert np.array_equal(array(rows), x[:4] if axes == "NHWC" else x[:4].transpose(0, 2, 3, 1))
    assert rows.warnings == ()
