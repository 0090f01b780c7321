"""Pixels as files: every format is read back, PNG without any loss."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from gradcam._pictures.encoding import ENCODERS, png

SHAPES = [(1, 1), (1, 1, 3), (5, 1, 3), (1, 5), (7, 5), (40, 60, 3)]


def read(content):
    with Image.open(io.BytesIO(content)) as image:
        image.load()  # checks the checksums
        return image.format, np.asarray(image)


@pytest.mark.parametrize("shape", SHAPES)
def test_png_is_exact(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for each in (pixels, np.full_like(pixels, 255), pixels[::-1]):
        kind, found = read(png(each))
        assert kind == "PNG"
        np.testing.assert_array_equal(found, each)


@pytest.mark.parametrize(
    ("suffix", "kind"), [(".jpg", "JPEG"), (".jpeg", "JPEG"), (".webp", "WEBP"), (".png", "PNG")]
)
def test_lossy_formats_are_close(suffix, kind):
    rows, columns = np.mgrid[:64, :96]
    pixels = np.stack([rows * 3, columns * 2, rows + columns], axis=-1).astype(np.uint8)
    found_kind, found = read(ENCODERS[suffix](pixels))
    assert found_kind == kind
    assert np.abs(found.astype(int) - pixels).max() < 24
