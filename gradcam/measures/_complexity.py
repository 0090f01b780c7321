"""Whether a map is about few pixels or about many."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam.measures._given import MapLike, map_on_picture, seen_of


def complexity(map: MapLike) -> float:
    """Return the entropy of a map's values: low if few pixels hold all of it (Bhatt et al., 2020).

    With p the absolute values divided by their sum, it is ``-sum(p log p)``, in nats.

    Parameters
    ----------
    map : Explanation, or (H, W) array
        Of an explanation, ``explanation.map`` is measured, at the resolution of the picture.
        Pixels that the network did not see do not count.

    Returns
    -------
    float
        From 0, one pixel alone, to log(H W), the same value everywhere. NaN for a map that is zero
        everywhere, such as the flat map of an explanation.
    """
    shares = _shares(map)
    used = shares[shares > 0]
    return float(-(used * np.log(used)).sum()) + 0.0 if used.size else float("nan")


def sparseness(map: MapLike) -> float:
    """Return the Gini index of a map's values: high if few pixels hold all of it.

    With a the N absolute values in rising order, it is ``sum((2 i - N - 1) a_i) / (N sum(a))``,
    i from 1 on (Chalasani et al., 2020).

    Parameters
    ----------
    map : Explanation, or (H, W) array
        As of :func:`complexity`.

    Returns
    -------
    float
        From 0, the same value everywhere, to 1 - 1/N, one pixel alone. NaN for a map that is zero
        everywhere.
    """
    shares = _shares(map)
    count = shares.size
    if not shares.any():
        return float("nan")
    steps = 2 * np.arange(1, count + 1) - count - 1
    return float(steps @ np.sort(shares) / count)


def _shares(map: MapLike) -> NDArray[np.float64]:
    """Return the absolute values divided by their sum, flat; all zero for a map of zeros."""
    values, seen = map_on_picture(map), seen_of(map)
    sizes = np.abs((values if seen is None else values[seen]).astype(np.float64)).ravel()
    total = sizes.sum()
    found: NDArray[np.float64] = sizes / total if total > 0 else sizes
    return found
