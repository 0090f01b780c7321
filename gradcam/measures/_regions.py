"""Regions of a picture: boxes and masks, and how much two of them have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BoxLike = tuple[float, float, float, float]
"""``(x0, y0, x1, y1)`` in pixels, x1 and y1 exclusive."""

Region = BoxLike | Sequence[BoxLike] | NDArray[np.bool_]
"""A part of the original picture: a box, several boxes (their union), or an (H, W) mask of bool."""

_F64 = NDArray[np.float64]

_SMALLEST, _LARGEST = 1e-300, 1e300
"""The area of a box: with others, it is divided without an overflow."""


def region_mask(region: Region, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which pixels of a picture belong to a region, (H, W).

    Boxes are clipped to the picture. If sides are not whole numbers, pixels that the box covers in
    part belong to it.

    Parameters
    ----------
    region : Region
    size : (height, width)
        Of the picture, in pixels.

    Raises
    ------
    ValueError
        If a box is empty or lies outside the picture, its area is outside 1e-300 to 1e300, or a
        mask is empty or has another size.
    TypeError
        If the region is something else.
    """
    height, width = size
    boxes = region_boxes(region)
    if boxes is None:
        mask = np.asarray(region, bool)
        if mask.shape != (height, width):
            raise ValueError(
                f"region: the mask is of {' x '.join(map(str, mask.shape))} pixels, the picture of "
                f"{height} x {width}"
            )
        return mask
    mask = np.zeros((height, width), bool)
    for box in boxes:
        left, top = np.maximum(np.floor(box[:2]), 0).astype(int)
        right, bottom = np.minimum(np.ceil(box[2:]), (width, height)).astype(int)
        if not (left < right and top < bottom):
            raise ValueError(
                f"region: the box {_words(box)} lies outside the picture of {height} x {width} "
                f"pixels; boxes are (x0, y0, x1, y1)"
            )
        mask[top:bottom, left:right] = True
    return mask


def region_boxes(region: Region) -> _F64 | None:
    """Return the boxes of a region, (N, 4), having checked it; None for a mask."""
    if isinstance(region, np.ndarray) and region.dtype == bool:
        if region.ndim != 2 or not region.any():
            raise ValueError(
                f"region: expected a mask (H, W) with at least one pixel, got the shape "
                f"{region.shape} with {int(region.sum())} pixels"
            )
        return None
    wrong = "region: expected a box (x0, y0, x1, y1), a list of boxes, or a mask (H, W) of bool"
    try:
        given = np.asarray(region)
    except (TypeError, ValueError):
        raise TypeError(f"{wrong}, got {type(region).__name__}") from None
    if given.dtype.kind not in "fiu":
        raise TypeError(f"{wrong}, got {type(region).__name__} of {given.dtype}")
    boxes = given.astype(np.float64)
    if boxes.shape == (4,):
        boxes = boxes[None]
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        raise ValueError(f"{wrong}, got an array of shape {boxes.shape}")
    with np.errstate(all="ignore"):
        sides = boxes[:, 2:] - boxes[:, :2]
        areas = sides.prod(1)
        right = (sides > 0).all(1) & (areas >= _SMALLEST) & (areas <= _LARGEST)
    if not right.all():
        raise ValueError(
            f"region: the box {_words(boxes[right.argmin()])} is empty, or its area is not a "
            f"normal number; expected (x0, y0, x1, y1) with x0 < x1 and y0 < y1"
        )
    return boxes


def iou(a: Region, b: Region) -> float:
    """Return the intersection over union of two regions, 0 to 1 (the Jaccard index).

    Two boxes or lists of boxes are compared exactly, also if sides are not whole numbers. If one of
    the regions is a mask, both are compared as masks of its size. Regions count whole, also if the
    picture was cropped and the network saw only a part of them.

    Raises
    ------
    ValueError, TypeError
        As of :func:`region_mask`.
    """
    first, second = region_boxes(a), region_boxes(b)
    if first is not None and second is not None:
        if len(first) == len(second) == 1:
            return float(pairwise_iou(first, second)[0, 0])
        return _iou_of_unions(first, second)
    size = np.shape(b if first is not None else a)
    one, other = (region_mask(each, (size[0], size[1])) for each in (a, b))
    return mask_overlap(one, other)


def mask_overlap(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the IoU of two masks of one shape; 0 if both are empty."""
    union = int(np.count_nonzero(a | b))
    return int(np.count_nonzero(a & b)) / union if union else 0.0


def pairwise_iou(a: _F64, b: _F64) -> _F64:
    """Return the IoU of each of N boxes with each of M boxes, (N, M)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(-1)
    areas = [(each[:, 2:] - each[:, :2]).prod(-1) for each in (a, b)]
    overlap: _F64 = shared / (areas[0][:, None] + areas[1][None] - shared)
    return overlap


def _iou_of_unions(a: _F64, b: _F64) -> float:
    """Return the IoU of two unions of boxes, on the grid of all their sides."""
    both = np.concatenate([a, b])
    x, y = np.unique(both[:, ::2]), np.unique(both[:, 1::2])
    areas = np.diff(y)[:, None] * np.diff(x)
    covered = []
    for boxes in (a, b):
        cells = np.zeros(areas.shape, bool)
        columns, rows = np.searchsorted(x, boxes[:, ::2]), np.searchsorted(y, boxes[:, 1::2])
        for (left, right), (top, bottom) in zip(columns, rows, strict=True):
            cells[top:bottom, left:right] = True
        covered.append(cells)
    return float(areas[covered[0] & covered[1]].sum() / areas[covered[0] | covered[1]].sum())


def _words(box: _F64) -> str:
    return f"({', '.join(f'{side:g}' for side in box)})"
