"""The assertion that two maps agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam import measures
from gradcam._results.explanation import no_flat_warnings
from gradcam.measures import MapLike
from gradcam.measures._given import map_on_picture, seen_of
from gradcam.testing import _slides
from gradcam.testing._failure import fail
from gradcam.testing._words import NOTHING, is_flat, limit, named, number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__unittest = True


def assert_maps_agree(first: MapLike, second: MapLike, at_least: float = 0.9) -> None:
    """Assert that two maps of one size order the pixels in nearly the same way.

    Parameters
    ----------
    first, second : MapLike
        Explanations, or maps of another program. Of explanations, the maps on the picture are
        compared: those that were resized. Pixels that one of the networks did not see, because
        the picture was cropped, do not count.
    at_least : float
        The smallest rank correlation that is accepted, -1 to 1: that of
        :func:`gradcam.measures.spearman`.

    Raises
    ------
    AssertionError
        If it is less, or a map is flat. The message has the numbers and the path of a picture.
    ValueError, TypeError
        If the maps have different sizes or show no common part, or an argument is wrong.
    """
    __tracebackhide__ = True
    at_least = limit("at_least", at_least, -1, 1)
    names = named(first, "the first map"), named(second, "the second map")
    if names[0] == names[1]:
        names = "the first map", "the second map"
    sentence = disagreement(first, second, at_least, names)
    if sentence:
        fail("maps_agree", sentence, lambda: _both(sentence, first, second))


def disagreement(first: MapLike, second: MapLike, at_least: float, names: tuple[str, str]) -> str:
    """Return why two maps do not agree; an empty text if they do.

    Raises
    ------
    ValueError
        If they have different sizes, or the networks saw no common part.
    """
    with no_flat_warnings():
        values = [map_on_picture(each) for each in (first, second)]
    if values[0].shape != values[1].shape:
        sizes = " and ".join(" x ".join(map(str, each.shape)) for each in values)
        raise ValueError(
            f"the maps are of {sizes} pixels: resize one of them before the comparison"
        )
    seen = _seen_by_both(first, second)
    if seen is not None:
        values = [each[seen] for each in values]
    for name, each in zip(names, values, strict=True):
        if is_flat(each):
            return f"{name} is flat: {NOTHING}"
    found = measures.spearman(*values)
    if found >= at_least:
        return ""
    return (
        f"the rank correlation of {names[0]} and {names[1]} is {number(found, at_least)}; at least "
        f"{at_least:g} was expected"
    )


def _seen_by_both(first: MapLike, second: MapLike) -> NDArray[np.bool_] | None:
    """Return which pixels both networks saw; None if that is all of them."""
    parts = [seen for seen in (seen_of(first), seen_of(second)) if seen is not None]
    if not parts:
        return None
    seen: NDArray[np.bool_] = np.logical_and.reduce(parts)
    if not seen.any():
        raise ValueError("the maps show no common part of the picture: there is nothing to compare")
    return seen


def _both(sentence: str, first: MapLike, second: MapLike) -> Figure:
    """Return a slide with both maps."""
    panels = _slides.map_panel(first, "the first map"), _slides.map_panel(second, "the second map")
    return _slides.slide(sentence, *panels)
