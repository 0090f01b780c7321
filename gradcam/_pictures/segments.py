"""Connected segments of high values: which pixels are high, and the boxes around their segments."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""``(x0, y0, x1, y1)`` in pixels, x1 and y1 exclusive."""

Threshold = float | Literal["otsu"]
"""From where on a value is high: a share of the maximum, above 0 and up to 1; or Otsu's threshold,
which splits the histogram of the values (256 bins) into two parts whose means differ most (1979).
"""

_BINS = 256


class Segments(NamedTuple):
    """The 4-connected segments of a mask, largest area first.

    Attributes
    ----------
    boxes : (S, 4) array of int64
        ``x0, y0, x1, y1`` of each segment.
    areas : (S,) array of int64
        Pixels of each segment.
    """

    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]


def check_threshold(threshold: Threshold) -> None:
    """Raise ValueError unless it is a share above 0 and up to 1, or "otsu"."""
    if isinstance(threshold, str) and threshold == "otsu":
        return
    is_number = isinstance(threshold, (int, float, np.number)) and not isinstance(threshold, bool)
    if not is_number or not 0 < threshold <= 1:
        raise ValueError(
            f"threshold: expected a share above 0 and up to 1, or 'otsu', got {threshold!r}"
        )


def high_values(
    values: NDArray[np.float32], threshold: Threshold, seen: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_] | None:
    """Return which pixels of an (H, W) map are high; None if it is flat.

    With a share, pixels of at least that share of the maximum; a map without values above 0 is
    flat. With "otsu", pixels above Otsu's threshold.

    Parameters
    ----------
    values : (H, W) array
    threshold : Threshold
    seen : (H, W) array of bool, optional
        The pixels that the network saw, by default all. Others do not count and are not high.
    """
    check_threshold(threshold)
    counted = values if seen is None else values[seen]
    low, high = float(counted.min()), float(counted.max())
    if not low < high:
        return None
    if not isinstance(threshold, str):
        if high <= 0:
            return None
        found: NDArray[np.bool_] = values >= np.float32(float(threshold) * high)
    else:
        found = values > otsu(counted)
    if seen is not None:
        found &= seen
    return found


def otsu(values: NDArray[np.float32]) -> float:
    """Return Otsu's threshold of values that are not all the same, the centre of a bin."""
    counts, edges = np.histogram(values.astype(np.float64), _BINS)
    centres = (edges[1:] + edges[:-1]) / 2
    below, above = np.cumsum(counts)[:-1], np.cumsum(counts[::-1])[-2::-1]
    sums = counts * centres
    mean_below = np.cumsum(sums)[:-1] / below
    mean_above = np.cumsum(sums[::-1])[-2::-1] / above
    between = below * above.astype(np.float64) * (mean_below - mean_above) ** 2
    return float(centres[between.argmax()])


def find_boxes(
    values: NDArray[np.float32], threshold: Threshold, seen: NDArray[np.bool_] | None = None
) -> list[Box]:
    """Return the boxes of all segments of high values, largest area first; [] for a flat map."""
    mask = high_values(values, threshold, seen)
    if mask is None:
        return []
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in segments(mask).boxes.tolist()]


def largest_box(
    values: NDArray[np.float32], threshold: Threshold, seen: NDArray[np.bool_] | None = None
) -> Box | None:
    """Return the box of the largest segment of high values; None for a flat map."""
    mask = high_values(values, threshold, seen)
    return None if mask is None else largest_segment(mask)


def largest_segment(mask: NDArray[np.bool_]) -> Box | None:
    """Return the bounding box of the largest 4-connected segment of an (H, W) mask.

    Among segments of equal area, the first one in row-major order is taken. For an empty mask the
    result is None.
    """
    found = segments(mask)
    if not len(found.areas):
        return None
    x0, y0, x1, y1 = found.boxes[0].tolist()
    return x0, y0, x1, y1


def segments(mask: NDArray[np.bool_]) -> Segments:
    """Return the 4-connected segments of an (H, W) mask, largest area first.

    Segments of equal area are in row-major order of their first pixels. The mask is split into
    horizontal runs, which are joined to segments.
    """
    height, width = mask.shape
    row = width + 1  # one empty column, so that no run continues in the next row
    flat = np.zeros(height * row + 1, np.int8)
    flat[1:].reshape(height, row)[:, :width] = mask
    steps = np.diff(flat)
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    roots, owner = np.unique(_joined(starts, ends, row), return_inverse=True)
    areas = np.zeros(len(roots), np.int64)
    np.add.at(areas, owner, ends - starts)
    boxes = np.empty((4, len(roots)), np.int64)
    boxes[:2], boxes[2:] = max(height, width), 0
    rows = starts // row
    np.minimum.at(boxes[0], owner, starts % row)
    np.minimum.at(boxes[1], owner, rows)
    np.maximum.at(boxes[2], owner, ends % row)
    np.maximum.at(boxes[3], owner, rows + 1)
    order = np.argsort(-areas, kind="stable")
    return Segments(boxes.T[order], areas[order])


def _joined(starts: NDArray[np.intp], ends: NDArray[np.intp], row: int) -> NDArray[np.intp]:
    """Return for each run the first run of its segment.

    Overlapping runs of neighbouring rows are joined by union-find on whole arrays: each round hooks
    the higher root to the lower one, then shortens all paths (after Shiloach and Vishkin, 1982).
    """
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
            return root
        root = hooked
