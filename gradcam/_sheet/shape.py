"""Pictures that are very tall or very wide, drawn so that something can be seen."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MOST = 8
"""The longer side of a picture may have so many times the length of the shorter one."""


def widened(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture whose shorter side is repeated if it is very short."""
    height, width = pixels.shape[:2]
    times = _times(height, width)
    return pixels if times == 1 else np.repeat(pixels, times, 1 if width < height else 0)


def how_drawn(pixels: NDArray[np.uint8]) -> str:
    """Return what :func:`widened` does: "drawn 12 times as wide"; empty if nothing."""
    height, width = pixels.shape[:2]
    times = _times(height, width)
    side = "wide" if width < height else "high"
    return "" if times == 1 else f"drawn {times} times as {side}"


def _times(height: int, width: int) -> int:
    return max(1, max(height, width) // (_MOST * min(height, width)))
