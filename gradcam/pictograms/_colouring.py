"""Pictograms in one colour, or in two: each pixel keeps its brightness and gets another hue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam.pictograms._drawing import OPAQUE

COLOURS: dict[str, tuple[int, int, int]] = {
    "blue": (55, 115, 255),
    "green": (45, 185, 65),
    "purple": (170, 65, 215),
    "red": (225, 35, 35),
    "white": (245, 245, 245),
    "yellow": (250, 215, 30),
}
"""The colours that words name, as RGB."""

_DARKEST = 0.4
"""The brightness that black becomes, so that dark pictograms have a colour, too."""


def coloured(patch: NDArray[np.uint8], colour: str, shade: float = 1.0) -> NDArray[np.uint8]:
    """Return a patch, (h, w, 4), in one colour; `shade` multiplies its brightness."""
    return _with_colour(patch, np.array(COLOURS[colour], np.float32), shade)


def two_coloured(
    patch: NDArray[np.uint8], colours: tuple[str, str], shade: float = 1.0
) -> tuple[NDArray[np.uint8], tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return a patch with one colour above and another one below, and the mask of each.

    Each half has the same number of opaque pixels, but for those of one row.
    """
    opaque = patch[..., 3] >= OPAQUE
    rows = opaque.sum(1).cumsum()
    middle = int(np.searchsorted(rows, rows[-1] / 2)) + 1
    upper = np.arange(len(patch)) < middle
    values = np.where(upper[:, None, None], *(np.array(COLOURS[c], np.float32) for c in colours))
    masks = (opaque & upper[:, None], opaque & ~upper[:, None])
    return _with_colour(patch, values, shade), masks


def _with_colour(
    patch: NDArray[np.uint8], colour: NDArray[np.float32], shade: float
) -> NDArray[np.uint8]:
    """Return the patch with `colour`, (3,) or (h, 1, 3), times each pixel's brightness."""
    grey = patch[..., :3] @ np.array((0.3, 0.59, 0.11), np.float32)
    seen = grey[patch[..., 3] >= OPAQUE]
    low, high = np.quantile(seen, (0.05, 0.95)) if seen.size else (0.0, 255.0)
    light = np.clip((grey - low) / max(high - low, 1.0), 0, 1)
    light = np.float32(shade) * (_DARKEST + (1 - _DARKEST) * light)
    new: NDArray[np.uint8] = patch.copy()
    new[..., :3] = np.clip(light[..., None] * colour, 0, 255).astype(np.uint8)
    return new
