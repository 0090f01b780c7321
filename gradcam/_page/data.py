"""What the page shows and draws: classes, pictograms and backgrounds.

The pixels of all pictograms and backgrounds are one sequence of bytes, compressed by zlib, which
browsers decompress. The backgrounds are those of the built-in scenes, from fixed seeds.
"""

from __future__ import annotations

import zlib
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from gradcam.pictograms._backgrounds import background
from gradcam.pictograms._drawing import INDEX, sprites

SIZE = 224
"""Pixels of a side of a scene."""

_SEEDS = {
    "meadow": 75,
    "sea": 60,
    "sand": 34,
    "leaves": 7,
    "bricks": 42,
    "street": 17,
    "fog": 48,
    "shapes": 64,
}
"""The seed of each background of the built-in scenes."""

_PLAIN = (148, 150, 152)  # the background "plain", RGB


class Class(TypedDict):
    """A class: its label, and the numbers of the pictograms that show it."""

    label: str
    cells: list[int]


class Contents(TypedDict):
    """What the bytes of :func:`pixels` hold, in this order.

    `cells` are (width, height) of each pictogram, whose pixels are RGBA, row by row; `grounds` the
    names of the backgrounds, whose pixels are RGB, each value as its difference from that of the
    pixel above, modulo 256. `size` is the side of a background.
    """

    size: int
    classes: list[Class]
    cells: list[tuple[int, int]]
    grounds: list[str]


def contents() -> Contents:
    """Return the classes, and what the bytes of :func:`pixels` are."""
    classes: list[Class] = [
        {"label": each["label"], "cells": list(each["cells"])} for each in INDEX["classes"]
    ]
    cells = [each.size for each in sprites()]
    return {"size": SIZE, "classes": classes, "cells": cells, "grounds": [*_grounds()]}


def pixels() -> bytes:
    """Return the pixels of all pictograms, then of all backgrounds, compressed by zlib."""
    parts = [np.asarray(each).tobytes() for each in sprites()]
    parts += [np.diff(each, axis=0, prepend=np.uint8(0)).tobytes() for each in _grounds().values()]
    return zlib.compress(b"".join(parts), 9)


def _grounds() -> dict[str, NDArray[np.uint8]]:
    """Return the backgrounds by name, each (SIZE, SIZE, 3)."""
    found = {"plain": np.full((SIZE, SIZE, 3), _PLAIN, np.uint8)}
    for name, seed in _SEEDS.items():
        drawn = background(np.random.default_rng(seed), SIZE, SIZE)
        found[name] = drawn.clip(0, 255).astype(np.uint8)
    return found
