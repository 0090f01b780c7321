"""How much of a map lies inside a region."""

from __future__ import annotations

import numpy as np

from gradcam.measures._given import MapLike, map_on_picture
from gradcam.measures._regions import Region, region_mask


def energy_inside(map: MapLike, region: Region) -> float:
    """Return the share of the map's positive values that lies inside a region, 0 to 1.

    The energy-based pointing game of Score-CAM (Wang et al., 2020); of maps without negative
    values it is also the relevance mass accuracy (Arras et al., 2022) and the attribution
    localisation (Kohlbrenner et al., 2020). A uniform map gets the region's share of the picture.

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

    Selvaraju et al. (2017), section 7.1. A uniform map gets 1. Values below 0 count as 0.

    Returns
    -------
    float
        inf if the map is 0 everywhere outside; NaN if it is 0 everywhere, or if the region covers
        the whole picture.

    Raises
    ------
    ValueError, TypeError
        As of :func:`region_mask`, whose size is the map's.
    """
    positive = np.maximum(map_on_picture(map), 0)
    mask = region_mask(region, (positive.shape[0], positive.shape[1]))
    if mask.all():
        return float("nan")
    inside, outside = (float(positive.mean(dtype=np.float64, where=m)) for m in (mask, ~mask))
    if outside > 0:
        return inside / outside
    return float("inf") if inside > 0 else float("nan")
