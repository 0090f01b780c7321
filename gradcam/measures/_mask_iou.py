"""The overlap of a map's high values with a mask: at one threshold, and at the best one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam._pictures.segments import Threshold, high_values
from gradcam.measures._given import MapLike, map_on_picture, seen_of
from gradcam.measures._regions import Region, mask_overlap, region_mask


@dataclass(frozen=True)
class BestMaskIoU:
    """The largest overlap of a map with a mask.

    Attributes
    ----------
    iou : float
        0 to 1; NaN if the network saw nothing of the mask.
    threshold : float
        The share of the map's maximum at which it is reached; NaN for a flat map.
    """

    iou: float
    threshold: float


def mask_iou(map: MapLike, mask: Region, threshold: Threshold = 0.15) -> float:
    """Return the IoU of a map's high values with a mask, 0 to 1.

    Pixels that the network did not see, because the picture was cropped, do not count.

    Parameters
    ----------
    map : MapLike
    mask : Region
        The true place: a mask of the map's size, or boxes.
    threshold : float or "otsu"
        As of :func:`boxes`. All high pixels count, whichever segment they belong to.

    Returns
    -------
    float
        0 for a flat map; NaN if the network saw nothing of the mask.

    Raises
    ------
    ValueError, TypeError
        As of :func:`boxes` and :func:`region_mask`.
    """
    values = map_on_picture(map)
    seen = seen_of(map)
    truth = _seen_part(mask, values, seen)
    found = high_values(values, threshold, seen)
    if not truth.any():
        return float("nan")
    return 0.0 if found is None else mask_overlap(found, truth)


def best_mask_iou(map: MapLike, mask: Region) -> BestMaskIoU:
    """Return the largest IoU of a map's high values with a mask, over all thresholds.

    ``mask_iou(map, mask, found.threshold)`` is ``found.iou``. Thresholds are above 0, so pixels
    without evidence never count as found. Among equally good ones it is the highest. Pixels that
    the network did not see, because the picture was cropped, do not count.

    Only values inside the mask can be the best threshold: to lower it to a value that occurs only
    outside adds wrong pixels alone. Both parts are sorted once, O(n log n) for n pixels.

    Parameters
    ----------
    map : MapLike
    mask : Region
        The true place: a mask of the map's size, or boxes.

    Returns
    -------
    BestMaskIoU
        Of a flat map, and of one without values above 0 in the mask, the IoU is 0 and the
        threshold NaN. If the network saw nothing of the mask, both are NaN.

    Raises
    ------
    ValueError, TypeError
        As of :func:`region_mask`.
    """
    values = map_on_picture(map)
    truth = _seen_part(mask, values, seen_of(map))  # elsewhere the map of an explanation is 0
    if not truth.any():
        return BestMaskIoU(float("nan"), float("nan"))
    high = float(values.max())
    within = values[truth & (values > 0)]
    if not float(values.min()) < high or not within.size:
        return BestMaskIoU(0.0, float("nan"))
    inside, outside = np.sort(within), np.sort(values[~truth])
    first = np.flatnonzero(np.diff(inside, prepend=-1))  # of each distinct value
    true = inside.size - first
    false = outside.size - np.searchsorted(outside, inside[first])
    overlap = true / (int(np.count_nonzero(truth)) + false)
    best = len(overlap) - 1 - int(overlap[::-1].argmax())
    return BestMaskIoU(float(overlap[best]), float(inside[first[best]]) / high)


def _seen_part(
    mask: Region, values: NDArray[np.float32], seen: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Return which pixels of a map belong to the mask and were seen by the network, (H, W)."""
    truth = region_mask(mask, (values.shape[0], values.shape[1]))
    return truth if seen is None else truth & seen
