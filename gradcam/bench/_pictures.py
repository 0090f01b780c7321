"""A folder of synthetic photographs for the task ``stream``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HEIGHT, WIDTH = 375, 500
"""The size of most pictures of ImageNet."""

SEED = 7
QUALITY = 90


def write_pictures(folder: Path, count: int) -> None:
    """Write JPEG files of about 90 KB: parts of a large texture with details of all sizes."""
    folder.mkdir()
    generator = np.random.default_rng(SEED)
    texture = _texture(generator, 2 * HEIGHT, 2 * WIDTH)
    for number in range(count):
        top, left = generator.integers(0, (HEIGHT, WIDTH))
        part = texture[top : top + HEIGHT, left : left + WIDTH, generator.permutation(3)]
        Image.fromarray(part).save(folder / f"{number:04}.jpg", quality=QUALITY)


def _texture(generator: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Return noise with details of all sizes, of almost equal amplitudes as in photographs."""
    values = np.zeros((height, width, 3), np.float32)
    for side in (1, 2, 4, 8, 16, 32, 64, 128):
        for channel in range(3):
            coarse = generator.standard_normal((height // side + 2, width // side + 2), np.float32)
            resized = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
            values[:, :, channel] += side**0.2 * np.asarray(resized)
    low, high = np.percentile(values, (1, 99))
    scaled = np.clip((values - low) * (255 / (high - low)), 0, 255)
    return np.asarray(scaled, np.uint8)
