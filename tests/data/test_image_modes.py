"""Every mode that image files can have, with the values that it must give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shoal.data import ArrayFeatures, read

RED = [200, 30, 60]
LILAC = [137, 98, 142]  # L* 47, a* 22, b* -18 in sRGB
RED_ON_WHITE = [227, 142, 157]  # half of it
ROUNDED = 2  # by JPEG, and by the conversion of a colour space


@pytest.mark.parametrize(
    ("mode", "ending", "value", "expected", "dtype"),
    [
        ("1", ".png", 1, 255, "uint8"),
        ("1", ".tif", 1, 255, "uint8"),
        ("L", ".png", 90, 90, "uint8"),
        ("L", ".jpg", 90, 90, "uint8"),
        ("LA", ".png", (90, 255), 90, "uint8"),
        ("LA", ".tif", (90, 0), 255, "uint8"),
        ("P", ".png", 1, RED, "uint8"),
        ("P", ".tif", 1, RED, "uint8"),
        ("PA", ".tif", (1, 255), RED, "uint8"),
        ("PA", ".tif", (1, 0), [255, 255, 255], "uint8"),
        ("RGB", ".png", (200, 30, 60), RED, "uint8"),
        ("RGB", ".jpg", (200, 30, 60), RED, "uint8"),
        ("RGBA", ".png", (200, 30, 60, 255), RED, "uint8"),
        ("RGBA", ".tif", (200, 30, 60, 128), RED_ON_WHITE, "uint8"),
        ("RGBX", ".tif", (200, 30, 60, 0), RED, "uint8"),
        ("RGBX", ".jpg", (200, 30, 60, 0), RED, "uint8"),
        ("CMYK", ".tif", (55, 225, 195, 0), RED, "uint8"),
        ("CMYK", ".jpg", (55, 225, 195, 0), RED, "uint8"),
        ("YCbCr", ".tif", (84, 114, 211), RED, "uint8"),
        ("YCbCr", ".jpg", (84, 114, 211), RED, "uint8"),
        ("LAB", ".tif", (120, 150, 110), LILAC, "uint8"),
        ("I", ".tif", 70000, 70000, "float32"),
        ("I;16", ".png", 700, 700, "uint16"),
        ("I;16", ".tif", 700, 700, "uint16"),
        ("I;16B", ".tif", 700, 700, "uint16"),
        ("F", ".tif", 0.25, 0.25, "float32"),
    ],
)  # La, RGBa and HSV are in no file that is opened here
def test_a_mode_gives_its_values(mode: str, ending: str, value: Any, expected: Any, dtype: str, tmp_path: Path) -> None:
    image = Image.new(mode, (4, 4), value)
    if mode in ("P", "PA"):
        image.putpalette([0, 0, 0, *RED])
    for row in range(4):
        path = tmp_path / "ab"[row % 2] / f"{row}{ending}"
        path.parent.mkdir(exist_ok=True)
        image.save(path, quality=100)
    dataset = read(tmp_path)
    assert isinstance(dataset.features, ArrayFeatures)
    array = dataset.features.array
    rounded = ending == ".jpg" or mode in ("CMYK", "YCbCr", "LAB") or expected is RED_ON_WHITE
    assert array.dtype == dtype and array.shape == (4, 4, 4, *np.shape(expected))
    assert np.abs(array.astype(np.float64) - expected).max() <= (ROUNDED if rounded else 0)
    said = " ".join(finding.sentence for finding in dataset.findings)
    assert ("with transparency" in said) == (mode in ("LA", "PA", "RGBA"))
