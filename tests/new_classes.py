"""Pictures of things that no network of the pictograms learnt: distractors of the sprite sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gradcam.pictograms._backgrounds import background
from gradcam.pictograms._drawing import INDEX, OPAQUE, draw_patch, finish, paste, random_position

THINGS = INDEX["distractors"]
"""Their cells in the sheet."""


def picture(thing: int, number: int, size: int = 224) -> tuple[np.ndarray, np.ndarray]:
    """A picture of one thing on a background, and the mask of its pixels."""
    rng = np.random.default_rng([thing, number])
    canvas = background(rng, size, size)
    patch = draw_patch(rng, thing, rng.uniform(56, 130) * size / 224, (size, size))
    x, y = random_position(rng, patch, (size, size))
    paste(canvas, patch, x, y)
    mask = np.zeros((size, size), bool)
    mask[y : y + patch.shape[0], x : x + patch.shape[1]] = patch[..., 3] >= OPAQUE
    return finish(rng, canvas), mask


def write(folder: Path, classes: int, count: int, size: int = 224) -> Path:
    """Write a folder for each class, thing_0, thing_1, ..., with so many pictures each."""
    from PIL import Image

    for number, thing in enumerate(THINGS[:classes]):
        inside = folder / f"thing_{number}"
        inside.mkdir(parents=True)
        for each in range(count):
            Image.fromarray(picture(thing, each, size)[0]).save(inside / f"{each:03}.png")
    return folder
