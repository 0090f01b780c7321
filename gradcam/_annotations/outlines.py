"""Masks as COCO stores them: polygons and run lengths."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gradcam._annotations.truth import AnnotationError, Mask, Size
from gradcam._pictures.decoding import MAX_PIXELS
from gradcam._text import brief

Draw = Callable[[Size], Mask]
"""Returns a mask for a picture of this size."""

_MAX_COORDINATE = 1e6

_PART = 1 << 18
"""How many crossings of edges and rows are computed at once; it bounds the memory."""


def outline(segmentation: object) -> Draw:
    """Return what draws a `segmentation` of COCO.

    It is a list of polygons, or run lengths: ``{"size": [h, w], "counts": [...]}``. Compressed run
    lengths, whose `counts` are a text, need pycocotools.

    Raises
    ------
    AnnotationError
        If it is neither, or pycocotools is not installed.
    """
    if isinstance(segmentation, list):
        polygons = [_polygon(each) for each in segmentation]
        if not polygons:
            raise AnnotationError("the segmentation has no polygon")
        return partial(_draw, polygons)
    if not isinstance(segmentation, dict):
        raise AnnotationError(
            f"the segmentation is neither a list of polygons nor run lengths, but "
            f"{brief(segmentation)}"
        )
    size, counts = _run_size(segmentation.get("size")), segmentation.get("counts")
    if isinstance(counts, str):
        return partial(_compressed, size, counts)
    if not isinstance(counts, list) or not all(type(each) is int and each >= 0 for each in counts):
        raise AnnotationError("run lengths: expected counts to be a list of integers of 0 or more")
    if sum(counts) != size[0] * size[1]:
        raise AnnotationError(
            f"run lengths: the counts add up to {sum(counts)} pixels, but the size "
            f"{size[1]} x {size[0]} has {size[0] * size[1]}"
        )
    return partial(_runs, size, counts)


def _polygon(given: object) -> list[float]:
    if not isinstance(given, list) or len(given) < 6 or len(given) % 2:
        raise AnnotationError(
            f"a polygon is a list of x, y, x, y, ... of three points or more, not {brief(given)}"
        )
    for each in given:
        if type(each) not in (int, float) or not abs(each) < _MAX_COORDINATE:
            raise AnnotationError(f"a polygon has the coordinate {brief(each)}")
    return given


def _draw(polygons: Sequence[list[float]], size: Size) -> Mask:
    """Draw the union of polygons: a pixel belongs to one if its centre lies inside.

    Where edges cross, inside and outside alternate. pycocotools has another rule for pixels on an
    edge: it rounds points of the outline on a finer grid, so that masks may differ there by a
    pixel.
    """
    height, width = size
    mask = np.zeros(size, bool)
    for polygon in polygons:
        points = np.array(polygon, np.float64).reshape(-1, 2)
        low, high = points.min(0), points.max(0)
        if low.min() < -1 or high[0] > width + 1 or high[1] > height + 1:
            raise AnnotationError(f"a polygon reaches beyond the picture of {width} x {height}")
        left, top = np.clip(np.floor(low), 0, (width, height)).astype(int)
        right, bottom = np.clip(np.ceil(high), 0, (width, height)).astype(int)
        part = _filled(points - (left, top), (bottom - top, right - left))
        mask[top:bottom, left:right] |= part
    return mask


def _filled(points: NDArray[np.float64], size: Size) -> Mask:
    """Fill a polygon, (N, 2): along a row, inside and outside change at each edge."""
    height, width = size
    ends = np.roll(points, -1, 0)
    first, last = (
        np.clip(np.ceil(side(points[:, 1], ends[:, 1]) - 0.5), 0, height).astype(np.int64)
        for side in (np.minimum, np.maximum)
    )
    counts = np.cumsum(last - first)
    # The parity of how many edges cross a row before a pixel; 8 bits are enough for it.
    changes = np.zeros(height * (width + 1), np.uint8)
    total = int(counts[-1])
    for start in range(0, total, _PART):
        crossing = np.arange(start, min(start + _PART, total))
        edge = np.searchsorted(counts, crossing, side="right")
        row = last[edge] - (counts[edge] - crossing)
        (x0, y0), (x1, y1) = points[edge].T, ends[edge].T
        position = x0 + (row + 0.5 - y0) / (y1 - y0) * (x1 - x0)
        column = np.clip(np.ceil(position - 0.5), 0, width).astype(np.int64)
        np.add.at(changes, row * (width + 1) + column, np.uint8(1))
    odd = (changes & 1).reshape(height, width + 1)[:, :width]
    return np.asarray(np.bitwise_xor.accumulate(odd, axis=1).astype(bool))


def _run_size(given: object) -> Size:
    if (
        not isinstance(given, list)
        or len(given) != 2
        or not all(type(each) is int and each > 0 for each in given)
        or math.prod(given) > MAX_PIXELS
    ):
        raise AnnotationError(f"run lengths: expected the size [h, w], got {brief(given)}")
    return given[0], given[1]


def _runs(own: Size, counts: Sequence[int], size: Size) -> Mask:
    """Draw run lengths: column by column, background first."""
    values = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.ascontiguousarray(values.reshape(own[::-1]).T)


def _compressed(own: Size, counts: str, size: Size) -> Mask:
    try:
        from pycocotools import mask as coco
    except ImportError:
        raise AnnotationError(
            "the run lengths are compressed (their counts are a text): reading them needs "
            "pycocotools: pip install pycocotools"
        ) from None
    try:
        decoded = coco.decode({"size": list(own), "counts": counts})
    except Exception as error:  # pycocotools does not say which
        raise AnnotationError(f"the compressed run lengths cannot be decoded: {error}") from None
    return np.asarray(decoded) > 0
