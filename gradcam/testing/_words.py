"""The words and numbers of failures, and checks of what assertions are given."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradcam._methods.passes import real
from gradcam._results.explanation import Explanation
from gradcam.measures import MapLike, Region

NOTHING = "it has the same value everywhere, so it says nothing about the picture"


def limit(name: str, value: float, low: float, high: float) -> float:
    """Return a limit of an assertion.

    Raises
    ------
    TypeError, ValueError
        If it is not a number from `low` to `high`.
    """
    number = real(name, value)
    if not low <= number <= high:
        raise ValueError(f"{name}: expected {low:g} to {high:g}, got {value!r}")
    return number


def named(map: MapLike, otherwise: str = "the map") -> str:
    """Return how a sentence calls a map: by its method and what it explains, if that is known."""
    if isinstance(map, Explanation):
        return f"the {map.method} map of {map.label!r}"
    return otherwise


def is_flat(values: NDArray[np.floating]) -> bool:
    """Return whether a map has the same value everywhere."""
    return not values.min() < values.max()


def region_words(region: Region, of_several: str = "") -> str:
    """Return how a sentence calls a region; `of_several` stands before several boxes."""
    if isinstance(region, np.ndarray) and region.dtype == bool:
        return "the mask"
    boxes = np.asarray(region, np.float64).reshape(-1, 4)
    if len(boxes) > 1:
        return f"{of_several}the {len(boxes)} boxes"
    return f"the box ({', '.join(f'{side:g}' for side in boxes[0])})"


def number(value: float, bound: float, scale: float = 1, digits: int = 2) -> str:
    """Return a number, times `scale`, with so many digits that it is not rounded to `bound`."""
    exact, limit = scale * value, scale * bound
    while digits < 15 and value != bound and _rounded(exact, digits) == _rounded(limit, digits):
        digits += 1
    return _rounded(exact, digits)


def _rounded(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return f"{value:.0f}" if value == round(value) else text


def percent(value: float, bound: float) -> str:
    """Return a share in percent that is not rounded to `bound`."""
    return f"{number(value, bound, 100, 1)} %"
