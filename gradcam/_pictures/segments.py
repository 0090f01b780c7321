"""The largest connected segment of a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""``(x0, y0, x1, y1)`` in pixels, x1 and y1 exclusive."""


def largest_segment(mask: NDArray[np.bool_]) -> Box | None:
    """Return the bounding box of the largest 4-connected segment of an (H, W) mask.

    Among segments of equal area, the first one in row-major order is taken. For an empty mask the
    result is None.

    The mask is split into horizontal runs. Overlapping runs of neighbouring rows are joined by
    union-find on whole arrays: each round hooks the higher root to the lower one, then shortens
    all paths (after Shiloach and Vishkin, 1982).
    """
    height, width = mask.shape
    row = width + 1  # one empty column, so that no run continues in the next row
    flat = np.zeros(height * row + 1, np.int8)
    flat[1:].reshape(height, row)[:, :width] = mask
    steps = np.diff(flat)
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    if starts.size == 0:
        return None
    first = np.searchsorted(ends, starts + row, "right")
    count = np.searchsorted(starts, ends + row, "left") - first
    above = np.repeat(np.arange(starts.size), count)
    below = np.arange(count.sum()) + np.repeat(first - (np.cumsum(count) - count), count)

    root = np.arange(starts.size)
    while True:
        low = np.minimum(root[above], root[below])
        hooked = root.copy()
        np.minimum.at(hooked, root[above], low)
        np.minimum.at(hooked, root[below], low)
        while not np.array_equal(shorter := hooked[hooked], hooked):
            hooked = shorter
        if np.array_equal(hooked, root):
            break
        root = hooked

    area = np.bincount(root, weights=ends - starts)
    runs = np.flatnonzero(root == area.argmax())
    rows, left, right = starts[runs] // row, starts[runs] % row, ends[runs] % row
    return int(left.min()), int(rows[0]), int(right.max()), int(rows[-1]) + 1
