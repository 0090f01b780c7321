"""The pictures that the networks are trained on. Each depends only on its number and its phase."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gradcam.pictograms._scenes import CLASSES, compose

SIDES = {"A": 112, "B": 224}
# The shares of pictures with 0, 1, 2, 3 and 4 objects. From those without objects the network
# learns that the background is evidence for no class.
OBJECTS = {"A": (0.05, 0.72, 0.23, 0.0, 0.0), "B": (0.05, 0.28, 0.37, 0.18, 0.12)}
# Training pictures are drawn from seeds of two words, which differ from all seeds of `scene`.
SECOND_WORD = {"A": 0x41, "B": 0x42}


def training_picture(number: int, phase: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw training picture `number` of a phase; return it with its target distribution."""
    rng = np.random.default_rng([number, SECOND_WORD[phase]])
    side = SIDES[phase]
    count = int(rng.choice(5, p=OBJECTS[phase]))
    # In some pictures a class occurs twice: the target is presence, not a count.
    classes = rng.choice(len(CLASSES), size=count, replace=bool(rng.random() < 0.1)).tolist()
    size, scale = (side, side), 1.0
    if phase == "A":
        scale = rng.uniform(0.75, 1.0) if count < 2 else 0.7
    elif rng.random() < 0.2:
        # The preset resizes without cropping, which changes the aspect ratio of objects.
        size = (side, int(side * rng.uniform(1.0, 1.6)))
        size = size if rng.random() < 0.6 else size[::-1]
    picture = compose(rng, classes, size, scale).picture
    if size != (side, side):
        resized = Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR)
        picture = np.asarray(resized)
    target = np.zeros(len(CLASSES), np.float32)
    target[classes if classes else slice(None)] = 1
    return picture, target / target.sum()
