"""The pointing game: whether the maximum of a map lies on the object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import non_negative
from gradcam._results.explanation import Explanation
from gradcam.measures._given import MapLike, map_on_picture
from gradcam.measures._regions import Region, region_mask


@dataclass(frozen=True)
class Pointed:
    """Where the map of a predicted class points, for :func:`fit_rejection`.

    Attributes
    ----------
    peak : float
        The map's largest value: of an explanation before it is scaled to 0 to 1.
    present : bool
        Whether the class is in the picture.
    inside : bool
        Whether the map points at it: :func:`pointing`. False if it is absent.
    """

    peak: float
    present: bool
    inside: bool


def pointing(map: MapLike, region: Region, tolerance: float = 15) -> bool:
    """Return whether the maximum of a map lies on a region, or near it.

    The pointing game (Zhang et al., 2016). The maximum is the first one in row-major order; its
    distance is that to the centre of the nearest pixel of the region.

    Parameters
    ----------
    map : MapLike
    region : Region
        The object: of several boxes or instances any one may be hit.
    tolerance : float
        Largest distance in pixels that counts as a hit, 0 or more. 0: on the region.

    Returns
    -------
    bool
        False for a flat map: it points nowhere.

    Raises
    ------
    ValueError, TypeError
        As of :func:`region_mask`, whose size is the map's; or if `tolerance` is not a number
        of 0 or more.
    """
    non_negative("tolerance", tolerance)
    values = map_on_picture(map)
    mask = region_mask(region, (values.shape[0], values.shape[1]))
    if not values.min() < values.max():
        return False
    y, x = divmod(int(values.argmax()), values.shape[1])
    return _is_near(mask, y, x, tolerance)


def _is_near(mask: NDArray[np.bool_], y: int, x: int, tolerance: float) -> bool:
    """Return whether a pixel of the mask is within `tolerance` of (y, x)."""
    reach = int(min(tolerance, max(mask.shape)))
    top, left = max(y - reach, 0), max(x - reach, 0)
    rows, columns = np.nonzero(mask[top : y + reach + 1, left : x + reach + 1])
    squares = (rows + (top - y)) ** 2 + (columns + (left - x)) ** 2
    return bool((squares <= tolerance**2).any())


def pointed(map: MapLike, region: Region | None, tolerance: float = 15) -> Pointed:
    """Return where the map of a predicted class points, and how high its maximum is.

    Parameters
    ----------
    map : MapLike
    region : Region or None
        The object; None if the class is not in the picture.
    tolerance : float
        As of :func:`pointing`.

    Raises
    ------
    ValueError, TypeError
        As of :func:`pointing`.
    """
    values = map.evidence if isinstance(map, Explanation) else map_on_picture(map)
    inside = region is not None and pointing(map, region, tolerance)
    return Pointed(float(values.max()), region is not None, inside)
