"""How much of a map lies inside a region."""

from __future__ import annotations

import numpy as np

from gradcam.measures._given import MapLike, map_on_picture, seen_of
from gradcam.measures._regions import Region, region_mask


def energy_inside(map: MapLike, region: Region) -> float:
    """Return the share of the map's positive values that lies inside a region, 0 to 1.

    The energy-based pointing game of Score-CAM (Wang et al., 2020); of maps without negative
    values it is also the relevance mass accuracy (Arras et al., 2022) and the attribution
    localisation (Kohlbrenner et al., 2020). An array with one value above 0 everywhere gets the
    region's share of the picture; a flat explanation is 0 everywhere and gets NaN.

    Parameters
    ----------
    map : MapLike
    region : Region
        In pixels of the original picture; of an array, in its pixels.

    Returns
    -------
    float
        NaN if no value is above 0.

    Raises
    ------
    ValueError, TypeError
        As of :func:`region_mask`, whose size is the map's.
    """
    positive = np.maximum(map_on_picture(map), 0)
    mask = region_mask(region, (positive.shape[0], positive.shape[1]))
    total = float(positive.sum(dtype=np.float64))
    inside = float(positive.sum(dtype=np.float64, where=mask))
    return inside / total if total > 0 else float("nan")


def inside_outside(map: MapLike, region: Region) -> float:
    """Return the mean of a map inside a region over its mean outside, 0 or more.

    Selvaraju et al. (2017), section 7.1. An array with one value above 0 everywhere gets 1; a flat
    explanation gets NaN. Values below 0 count as 0. Pixels that the network did not see, because
    the picture was cropped, count neither inside nor outside.

    Parameters
    ----------
    map : MapLike
    region : Region
        In pixels of the original picture; of an array, in its pixels.

    Returns
    -------
    float
        inf if the map is 0 everywhere outside; NaN if it is 0 everywhere, or if the region covers
        all or nothing of what the network saw.

    Raises
    ------
    ValueError, TypeError
        As of :func:`region_mask`, whose size is the map's.
    """
    positive = np.maximum(map_on_picture(map), 0)
    mask = region_mask(region, (positive.shape[0], positive.shape[1]))
    seen = seen_of(map)
    parts = (mask, ~mask) if seen is None else (mask & seen, ~mask & seen)
    if not all(part.any() for part in parts):
        return float("nan")
    inside, outside = (float(positive.mean(dtype=np.float64, where=part)) for part in parts)
    if outside > 0:
        return inside / outside
    return float("inf") if inside > 0 else float("nan")
