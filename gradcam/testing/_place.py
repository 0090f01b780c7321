"""Assertions about the place of a map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gradcam import measures
from gradcam._results.explanation import no_flat_warnings
from gradcam.measures import MapLike, Region
from gradcam.measures._given import map_on_picture
from gradcam.testing import _slides
from gradcam.testing._failure import fail
from gradcam.testing._words import (
    NOTHING,
    is_flat,
    limit,
    named,
    number,
    percent,
    region_words,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__unittest = True


def assert_points_at(map: MapLike, region: Region, tolerance: float = 0) -> None:
    """Assert that the maximum of a map lies in a region, or near it.

    Parameters
    ----------
    map : MapLike
        An explanation, or the map of another program.
    region : Region
        A box (x0, y0, x1, y1) in pixels of the original picture, a list of boxes of which any may
        be hit, or an (H, W) mask of bool.
    tolerance : float
        The largest distance in pixels that is allowed, 0 or more; the pointing game allows 15.

    Raises
    ------
    AssertionError
        If the maximum is farther away, or the map is flat. The message has the numbers and the path
        of a picture.
    ValueError, TypeError
        If an argument is wrong: as of :func:`gradcam.measures.pointing`.
    """
    __tracebackhide__ = True
    with no_flat_warnings():
        near = measures.pointing(map, region, tolerance)
        values = map_on_picture(map)
    if near:
        return
    _not_flat("points_at", map, values, region)
    y, x = divmod(int(values.argmax()), values.shape[1])
    rows, columns = np.nonzero(measures.region_mask(region, (values.shape[0], values.shape[1])))
    distance = float(np.sqrt(((rows - y) ** 2 + (columns - x) ** 2).min()))
    allowed = f"; the tolerance is {tolerance:g}" if tolerance else ""
    sentence = (
        f"the maximum of {named(map)} is at (x {x}, y {y}), {_pixels(distance, tolerance)} from "
        f"{region_words(region, 'the nearest of ')}{allowed}"
    )
    fail("points_at", sentence, lambda: _slide_of(sentence, map, region, (x, y)))


def assert_energy_inside(map: MapLike, region: Region, at_least: float = 0.5) -> None:
    """Assert that a share of a map's energy, the sum of its positive values, lies in a region.

    Parameters
    ----------
    map : MapLike
        An explanation, or the map of another program.
    region : Region
        As of :func:`assert_points_at`; several boxes are one region.
    at_least : float
        The smallest share that is accepted, 0 to 1.

    Raises
    ------
    AssertionError
        If it is less, or the map is flat. The message has the numbers and the path of a picture.
    ValueError, TypeError
        If an argument is wrong: as of :func:`gradcam.measures.energy_inside`.
    """
    __tracebackhide__ = True
    at_least = limit("at_least", at_least, 0, 1)
    with no_flat_warnings():
        inside = measures.energy_inside(map, region)
        values = map_on_picture(map)
    _not_flat("energy_inside", map, values, region)
    if inside >= at_least:
        return
    where = region_words(region)
    if np.isnan(inside):
        sentence = f"no value of {named(map)} is above 0, so that none of its energy is in {where}"
    else:
        area = measures.region_mask(region, (values.shape[0], values.shape[1])).mean()
        cover = "covers" if where.startswith("the box ") or where == "the mask" else "cover"
        sentence = (
            f"{percent(inside, at_least)} of the energy of {named(map)} is in {where}, which "
            f"{cover} {100 * area:.1f} % of the picture; at least {100 * at_least:g} % was expected"
        )
    fail("energy_inside", sentence, lambda: _slide_of(sentence, map, region))


def _not_flat(kind: str, map: MapLike, values: NDArray[np.float32], region: Region) -> None:
    """Fail if a map has the same value everywhere."""
    __tracebackhide__ = True
    if is_flat(values):
        sentence = f"{named(map)} is flat: {NOTHING}"
        fail(kind, sentence, lambda: _slide_of(sentence, map, region))


def _slide_of(
    sentence: str, map: MapLike, region: Region, maximum: tuple[int, int] | None = None
) -> Figure:
    return _slides.slide(sentence, *_slides.picture_and_map(map, region, maximum))


def _pixels(distance: float, bound: float) -> str:
    words = number(distance, bound, digits=1 if distance < 10 else 0)
    return f"{words} pixel{'' if words == '1' else 's'}"
