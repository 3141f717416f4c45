"""Black and white of pictures: a byte of files has them by its type, all else by the training rows alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from shoal.api.work import prepared, read
from shoal.core.settings import FitSettings


def archive(root: Path, x: NDArray[np.generic]) -> str:
    path = root / f"{x.max()}.npz"
    y = np.arange(len(x)) % 2
    np.savez(path, x_train=x[:24], y_train=y[:24], x_val=x[24:30], y_val=y[24:30], x_test=x[30:], y_test=y[30:])
    return str(path)


def files(root: Path, x: NDArray[np.generic]) -> str:
    ending = "tif" if x.dtype.kind == "f" else "png"
    for row, image in enumerate(x):
        part = "train" if row < 24 else "val" if row < 30 else "test"
        path = root / f"{x.max()}" / part / "ab"[row % 2] / f"{row:02d}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return str(root / f"{x.max()}")


@pytest.mark.parametrize(
    ("write", "dtype", "top", "extreme", "white"),
    [
        (archive, np.uint8, 16, 200, 16.0),
        (archive, np.float32, 0.9, 200.0, 1.0),
        (archive, np.uint16, 4000, 65535, 4095.0),
        (files, np.uint16, 4000, 65535, 4095.0),
        (files, np.float32, 0.9, 200.0, 1.0),
        (files, np.uint8, 16, 200, 255.0),
    ],
)
def test_a_pixel_of_a_test_row_changes_nothing_in_training(
    write: Any, dtype: Any, top: float, extreme: float, white: float, tmp_path: Path
) -> None:
    x = (np.random.default_rng(0).random((36, 8, 8)) * top).astype(dtype)
    x[0, 0, 0] = top
    planted = x.copy()
    planted[33, 4, 4] = extreme
    made = []
    for images in (x, planted):
        settings = FitSettings(data=write(tmp_path, images), kind="image")
        made.append(prepared(settings, read(settings, None), None))
    plain, with_extreme = (work.problem for work in made)
    assert (plain.train.x == with_extreme.train.x).all()
    assert plain.pixels is not None and plain.pixels == with_extreme.pixels
    fitted = made[0].task.fold().preparation
    inputs = np.stack([np.full(fitted.shape, value) for value in (0.0, 1.0)])
    zero, one = fitted.invert(inputs).reshape(2, -1)[:, 0]
    assert plain.pixels.mean == pytest.approx((zero / white,))
    assert plain.pixels.std == pytest.approx(((one - zero) / white,))
