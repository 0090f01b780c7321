"""Boxes around the high values of a map."""

from __future__ import annotations

from typing import Literal

from gradcam._pictures.segments import Box, Threshold, find_boxes, largest_box
from gradcam.measures._given import MapLike, map_on_picture, seen_of


def boxes(
    map: MapLike,
    threshold: Threshold = 0.15,
    segments: Literal["largest", "all"] = "largest",
) -> list[Box]:
    """Return the boxes around connected segments of high values: where the object is.

    Pixels are connected by their sides. The defaults are those of the Grad-CAM paper (Selvaraju et
    al., 2017, section 4.1).

    Parameters
    ----------
    map : MapLike
    threshold : float or "otsu"
        A pixel is high from this share of the map's maximum on, above 0 and up to 1; or if it is
        above Otsu's threshold, which splits the map's histogram of 256 bins into two parts whose
        means differ most. Pixels that the network did not see are not in the histogram.
    segments : "largest" or "all"
        The segment of the largest area, or all of them, the largest first.

    Returns
    -------
    list of (x0, y0, x1, y1)
        In pixels, x1 and y1 exclusive. Empty if the map is flat, or has no value above 0 of which
        to take a share.

    Raises
    ------
    ValueError
        If the threshold is not one of these, or the map is not (H, W) and finite.
    TypeError
        If the map is neither an explanation nor numbers.
    """
    if segments not in ("largest", "all"):
        raise ValueError(f"segments: expected 'largest' or 'all', got {segments!r}")
    values, seen = map_on_picture(map), seen_of(map)
    if segments == "all":
        return find_boxes(values, threshold, seen)
    largest = largest_box(values, threshold, seen)
    return [] if largest is None else [largest]
