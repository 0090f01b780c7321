"""One map from those of several layers: their average, as pytorch-grad-cam's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gradcam import _core
from gradcam._results import notes
from gradcam._results.explanation import Evidence, Resize


def average(found: Sequence[Evidence], size: tuple[int, int], resize: Resize) -> Evidence:
    """Return the mean of a method's maps of several layers.

    The ReLU of each map is scaled to 0 to 1 by its minimum and maximum (a flat map becomes 0),
    resized to the network's input and averaged. That is noted: how strong a map is, compared with
    that of another class, is lost.

    Parameters
    ----------
    found : sequence of Evidence
        One for each layer, of the view "map".
    size : (height, width)
        Of the network's input.
    resize : "half_pixel", "align_corners" or "nearest"

    Returns
    -------
    Evidence
        Raw values: 0 to 1, (S, N, height, width).
    """
    notes.add(
        f"The mean of the maps of {len(found)} layers, each scaled to 0 to 1 by itself: strengths "
        f"of classes cannot be compared."
    )
    total = np.zeros((*found[0].raw.shape[:2], *size), np.float32)
    for each in found:
        maps = np.maximum(each.raw, 0)
        low, scale = spread(maps)
        total += _core.resize((maps - low) / scale, size, resize)
    return Evidence(total / np.float32(len(found)))


def spread(maps: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each map's minimum and what to divide by: maximum - minimum, infinity if flat."""
    low = maps.min((-2, -1), keepdims=True)
    high = maps.max((-2, -1), keepdims=True)
    return low, np.where(high > low, high - low, np.float32(np.inf))
